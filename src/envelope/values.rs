//! Values of any type that a session attaches for the handler.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};

use parking_lot::Mutex;

/// Typed values that travel from a [`Session`](crate::Session)'s hooks to the [`Handler`](crate::Handler): at most one
/// of each type.
///
/// A hook has two sets of them in its [`Context`](crate::Context): the transaction's, which go into the envelope that the
/// transaction becomes, and the connection's, which every envelope of the connection has. Attach a type of your own, so that
/// no other code's value has the same type.
///
/// ```
/// use pillarbox::Values;
///
/// struct Customer(u64);
///
/// let values = Values::default();
/// values.insert(Customer(7));
/// assert_eq!(values.with(|c: &mut Customer| c.0), Some(7));
/// assert!(values.take::<Customer>().is_some());
/// assert!(values.take::<Customer>().is_none());
/// ```
#[derive(Default)]
pub struct Values {
    // No map until there is something to hold: most transactions have nothing.
    by_type: Mutex<Option<Box<ByType>>>,
}

type ByType = HashMap<TypeId, Box<dyn Any + Send>>;

impl Values {
    /// Attaches a value, and returns the previous one of the same type.
    pub fn insert<T: Send + 'static>(&self, value: T) -> Option<T> {
        let before = self.by_type.lock().get_or_insert_default().insert(TypeId::of::<T>(), Box::new(value));
        before.and_then(downcast)
    }

    /// Removes and returns the value of a type.
    pub fn take<T: Send + 'static>(&self) -> Option<T> {
        let value = self.by_type.lock().as_mut()?.remove(&TypeId::of::<T>());
        value.and_then(downcast)
    }

    /// Calls `work` with the value of a type, in place. While `work` runs, this set holds no value of that type.
    pub fn with<T: Send + 'static, R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        // Taken out meanwhile, so that `work` may use this set without a deadlock.
        let mut value = self.take::<T>()?;
        let result = work(&mut value);
        self.by_type.lock().get_or_insert_default().entry(TypeId::of::<T>()).or_insert_with(|| Box::new(value));
        Some(result)
    }

    /// Whether there is a value of a type.
    pub fn contains<T: Send + 'static>(&self) -> bool {
        self.by_type.lock().as_ref().is_some_and(|map| map.contains_key(&TypeId::of::<T>()))
    }
}

fn downcast<T: 'static>(value: Box<dyn Any + Send>) -> Option<T> {
    value.downcast().ok().map(|value| *value)
}

impl Debug for Values {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.by_type.lock().as_ref().map_or(0, |map| map.len());
        f.debug_struct("Values").field("count", &count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_type() {
        let values = Values::default();
        assert_eq!(values.insert(1u8), None);
        assert_eq!(values.insert(2u8), Some(1));
        assert_eq!(values.insert("text"), None);
        assert!(values.contains::<u8>() && !values.contains::<u16>());
        assert_eq!(values.take::<u8>(), Some(2));
        assert_eq!(values.take::<&str>(), Some("text"));
    }

    #[test]
    fn with_may_use_the_set_again() {
        let values = Values::default();
        values.insert(1u32);
        let inner = values.with(|n: &mut u32| {
            *n += 1;
            values.with(|_: &mut u32| ())
        });
        assert_eq!(inner, Some(None));
        assert_eq!(values.take::<u32>(), Some(2));
    }
}
