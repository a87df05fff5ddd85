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
    /// A message on disk costs more processor time, since it is written and read once more. As long as there are few messages at
    /// a time, even large ones stay in memory. When there are many, memory stays within this limit plus one threshold for each
    /// message.
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

    /// The size, in octets, up to which a message always stays in memory. A larger one goes to disk while the
    /// [`memory_budget`](Builder::memory_budget) is used up. Default: 65,536.
    ///
    /// On disk it is in a file without a name, which nobody else can find, and which is deleted with the envelope or when the
    /// process ends, however it ends. Handlers see no difference: see [`Content`](crate::Content). An envelope takes a
    /// file descriptor while its content is on disk. If the disk is full, or there are no descriptors, the message is
    /// refused with `452 4.3.1`; after other failures with `451 4.3.0`.
    pub fn spool_threshold(mut self, octets: u64) -> Builder {
        self.config.spool_threshold = octets;
        self
    }

    /// The folder for messages that go to disk: see [`spool_threshold`](Builder::spool_threshold). It must exist when
    /// the server starts. Default: the system's folder for temporary files, [`std::env::temp_dir`]. Choose another one where
    /// that is in memory, as `/tmp` is on some Linux systems.
    pub fn spool_folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.config.spool_folder = Some(folder.into());
        self
    }

    /// The number of consumer threads, each with a handler of its own: see [`serve_with`](Builder::serve_with). Default: 1.
    pub fn consumers(mut self, threads: usize) -> Builder {
        self.config.consumers = threads;
        self
    }

    /// How many messages may wait for a consumer. Connections with further messages wait until there is room. 0 hands each
    /// message over directly. Default: 1,024.
    pub fn queue_capacity(mut self, messages: usize) -> Builder {
        self.config.queue_capacity = messages;
        self
    }

    /// The stack of a worker thread, in octets. The hooks of a [`Session`](crate::Session), its factory, an
    /// [`Authenticator`](crate::Authenticator) and a [`TlsAcceptor`](crate::TlsAcceptor) run on it; handlers do not. Code that
    /// needs more ends the process: Rust cannot catch a stack overflow.
    ///
    /// Only what is used takes memory. Reserved is address space, this much for each connection: where that is limited
    /// (`ulimit -v`, `vm.overcommit_memory` 2, 32 bits), choose a smaller stack or fewer
    /// [`max_connections`](Builder::max_connections). If no thread can be started, the client gets `421 4.3.2`. Default: 1 MiB.
    pub fn worker_stack(mut self, octets: usize) -> Builder {
        self.config.worker_stack = octets;
        self
    }
}
