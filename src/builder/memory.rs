//! What the server takes of the machine: memory, disk and threads.

use std::path::PathBuf;

use super::Builder;

/// # Memory and threads
///
/// What the server takes of the machine: memory, disk and threads.
impl Builder {
    /// The most octets of content held at once, in memory and on disk, counted over all connections and all envelopes not
    /// dropped yet; past it messages are refused with `452 4.3.1`: before their content is sent if none is left by then, or
    /// less than the client announces by SIZE. `None` is no limit. Default: 2 GiB.
    pub fn buffer_budget(mut self, octets: impl Into<Option<u64>>) -> Builder {
        self.config.buffer_budget = octets.into().unwrap_or(u64::MAX);
        self
    }

    /// The octets of messages in memory: those of content, counted as for [`buffer_budget`](Builder::buffer_budget), past
    /// which messages larger than the [`spool_threshold`](Builder::spool_threshold) go to disk: a message that grows on takes
    /// with it what of it was in memory. 0 sends all of them there, and `None` none. Default: 64 MiB.
    ///
    /// A message that goes to disk costs more of the processor's time than one that does not, since it is written and read
    /// once more. So as long as there are few at a time, all of them are spared that, large ones too; and when there are
    /// many, memory stays within this limit and one threshold for each message.
    ///
    /// Recipients cannot go to disk. With their parameters, and with the envelope and its transcript once there is a message,
    /// they count here by what they take in memory, until the envelope is dropped. One message may have a quarter of the
    /// budget for that, and all together the whole of it, of which the last quarter is for those that need no more than
    /// 16 KiB; past it RCPT is refused with `452 4.3.1`, and the recipients before stay. Messages that need no more than
    /// 16 KiB, some hundred recipients, are taken up to 16 MiB beyond the budget, so that nobody is kept from sending a small
    /// message, and also where the budget is 0. [`Envelope::leave_budgets`](crate::Envelope::leave_budgets) is for programs
    /// that keep envelopes within a limit of their own.
    pub fn memory_budget(mut self, octets: impl Into<Option<u64>>) -> Builder {
        self.config.memory_budget = octets.into().unwrap_or(u64::MAX);
        self
    }

    /// The size, in octets, up to which a message is kept in memory in any case; a larger one goes to disk while the
    /// [`memory_budget`](Builder::memory_budget) is used up. Default: 65,536.
    ///
    /// There it is in a file without a name, which nobody else can find and which is gone with the envelope, or with the
    /// process however that ends. Handlers do not see a difference: see [`Content`](crate::Content). An envelope takes a
    /// file descriptor as long as its content is on disk. If the disk is full, or there are no descriptors, the message is
    /// refused with `452 4.3.1`; if it fails otherwise, with `451 4.3.0`.
    pub fn spool_threshold(mut self, octets: u64) -> Builder {
        self.config.spool_threshold = octets;
        self
    }

    /// The folder for messages that go to disk: see [`spool_threshold`](Builder::spool_threshold). It has to be there when
    /// the server starts. Default: the system's for temporary files, [`std::env::temp_dir`]; where that is in memory, as
    /// `/tmp` is on some Linux systems, choose another one.
    pub fn spool_folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.config.spool_folder = Some(folder.into());
        self
    }

    /// How many consumer threads there are, each with a handler of its own: see [`serve_with`](Builder::serve_with).
    /// Default: 1.
    pub fn consumers(mut self, threads: usize) -> Builder {
        self.config.consumers = threads;
        self
    }

    /// How many messages may wait for a consumer; connections with a further one wait until there is room. 0 hands each
    /// over directly. Default: 1,024.
    pub fn queue_capacity(mut self, messages: usize) -> Builder {
        self.config.queue_capacity = messages;
        self
    }

    /// The stack of a worker thread, in octets. The hooks of a [`Session`](crate::Session), its factory, an
    /// [`Authenticator`](crate::Authenticator) and a [`TlsAcceptor`](crate::TlsAcceptor) run on it; handlers do not. Code that
    /// takes more than there is ends the process: Rust cannot catch that.
    ///
    /// Memory is only taken for what is used. What is reserved are addresses, this much for each connection: a limit on
    /// these (`ulimit -v`), a kernel that commits no more than it has (`vm.overcommit_memory` 2), or 32 bits may ask for
    /// less, or for fewer [`max_connections`](Builder::max_connections). Where no thread can be started, a client reads
    /// `421 4.3.2`. Default: 1 MiB.
    pub fn worker_stack(mut self, octets: usize) -> Builder {
        self.config.worker_stack = octets;
        self
    }
}
