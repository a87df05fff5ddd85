//! The changes of the list of messages, for clients that follow them.

use std::collections::VecDeque;
use std::time::SystemTime;

/// How many changes are remembered.
const MAX_REMEMBERED: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    Arrived(u64),
    /// By somebody, or to make room.
    Deleted(u64),
    Read(u64),
    Unread(u64),
}

/// The last changes, each with a number. Numbers of an earlier process are less than the first of this one.
pub struct ChangeLog {
    changes: VecDeque<Change>,
    last: u64,
}

impl Default for ChangeLog {
    fn default() -> ChangeLog {
        // What a process can count in a millisecond, and below what JavaScript can count.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ChangeLog { changes: VecDeque::new(), last: since.as_millis() as u64 * 1000 }
    }
}

impl ChangeLog {
    pub fn push(&mut self, change: Change) {
        if self.changes.len() == MAX_REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.last += 1;
    }

    /// The number of the last change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The changes after a number; `None` if they are not remembered, or the number is not one of this process.
    pub fn after(&self, number: u64) -> Option<impl ExactSizeIterator<Item = Change> + '_> {
        let count = usize::try_from(self.last.checked_sub(number)?).ok()?;
        let from = self.changes.len().checked_sub(count)?;
        Some(self.changes.range(from..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(log: &ChangeLog, number: u64) -> Option<Vec<Change>> {
        log.after(number).map(Iterator::collect)
    }

    #[test]
    fn only_what_is_remembered_can_be_told() {
        let mut log = ChangeLog::default();
        let start = log.last();
        assert!(start > 1_700_000_000_000_000 && start < 1 << 53);
        log.push(Change::Arrived(1));
        log.push(Change::Read(1));
        assert_eq!(after(&log, start), Some(vec![Change::Arrived(1), Change::Read(1)]));
        assert_eq!(after(&log, start + 1), Some(vec![Change::Read(1)]));
        assert_eq!(after(&log, start + 2), Some(Vec::new()));
        for other in [start - 1, start + 3, 0, u64::MAX] {
            assert_eq!(after(&log, other), None);
        }
        for id in 2..MAX_REMEMBERED as u64 + 2 {
            log.push(Change::Arrived(id));
        }
        assert_eq!(after(&log, start + 1), None);
        assert_eq!(after(&log, start + 2).map(|all| all.len()), Some(MAX_REMEMBERED));
    }
}
