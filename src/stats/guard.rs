//! Panics in code that is not ours: they end what they happened in, and not the server.

use std::any::Any;
use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::stats::counters::Counter;

/// Runs code of the program's own. A panic is logged and counted, and gives `None`.
pub(crate) fn guarded<T>(panics: &Counter, who: Arguments<'_>, work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) => {
            log::error!("{who} panicked: {}", panic_text(&*panic));
            panics.add(1);
            None
        }
    }
}

/// What a panic had to say.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_its_text_found() {
        let panics = Counter::default();
        assert_eq!(guarded(&panics, format_args!("nobody"), || 1), Some(1));
        assert_eq!(panics.get(), 0);
        assert_eq!(guarded(&panics, format_args!("a test"), || panic!("on {}", "purpose")), None::<()>);
        assert_eq!(panics.get(), 1);
        assert_eq!(panic_text(&"plain"), "plain");
        assert_eq!(panic_text(&"formatted".to_owned()), "formatted");
        assert_eq!(panic_text(&1), "no text");
    }
}
