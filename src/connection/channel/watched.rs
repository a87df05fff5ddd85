//! Content on its way into an envelope, and past the session's hook.

use crate::content::collector::Collector;
use crate::content::writer::ContentWriter;
use crate::session::{Context, Session};
use crate::stats::counters::Counter;
use crate::stats::guard::guarded;
use crate::syntax::reply::Reply;

/// Shows the session what the collector has kept, and no more once either will have no more of it.
pub(super) struct Watched<'a> {
    pub collector: &'a mut Collector,
    pub refusal: &'a mut Option<Reply>,
    pub session: &'a mut dyn Session,
    pub context: &'a Context,
    pub panics: &'a Counter,
}

impl ContentWriter for Watched<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.collector.put(octets);
        if octets.is_empty() || self.collector.overflow().is_some() {
            return;
        }
        let asked = ask(self.panics, self.context, || self.session.content(self.context, octets));
        if let Err(reply) = asked {
            self.collector.abandon();
            *self.refusal = Some(reply);
        }
    }
}

/// Asks a hook about content. One that panics refuses this message, since the rest of it can still be read off in step.
pub(super) fn ask(panics: &Counter, context: &Context, hook: impl FnOnce() -> Result<(), Reply>) -> Result<(), Reply> {
    let who = format_args!("[{}] session, at the content,", context.connection);
    guarded(panics, who, hook).unwrap_or(Err(Reply::LOCAL_ERROR)).map_err(Reply::into_refusal)
}
