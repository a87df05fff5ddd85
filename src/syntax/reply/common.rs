//! Replies to faults of the server's own, which have the same words wherever they arise.

use super::{Reply, Status};

impl Reply {
    /// Something failed that is not about storage. The log says what.
    pub(crate) const LOCAL_ERROR: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Local error in processing");

    /// The message could not be stored. The log says why.
    pub(crate) const NOT_STORED: Reply =
        Reply::fixed(451, Status::new(4, 3, 0), "Cannot store the message, try again later");

    /// No room, on a disk or in memory, for now.
    pub(crate) const NO_STORAGE: Reply =
        Reply::fixed(452, Status::new(4, 3, 1), "Insufficient storage, try again later");
}
