//! What pillarbox promises to those who run it, and what it does not.
//!
//! Each promise names what it depends on, and the numbers that it holds with by default. Who may attack, and what is not
//! defended against, is in [`threats`](crate::threats).
//!
//! # A message that was acknowledged is safe
//!
//! The client's `250` to a message is said after the handler has accepted it, never before. [`handlers::Maildir`] accepts
//! once the file is flushed to the disk, moved to `new`, and the folder flushed too: after `kill -9` or a power cut at any
//! moment, each acknowledged message is there, whole. Nothing partial is ever in `new`. [`handlers::Proxy`] accepts once
//! the next server has, and in that server's words. `handlers::RedisStream` accepts once Redis has: what that is worth is in
//! [`scaling_out`](crate::scaling_out).
//!
//! A message may arrive twice. If the reply to it was lost on the way, its client sends it again, as RFC 5321 section 6.1
//! wants it to. So it does if it was refused while the handler was still at work, at the end of
//! [`handler_timeout`](Builder::handler_timeout) or of a shutdown's grace time, and the handler stores it after all. It never
//! arrives zero times. A handler of your own is the promise: return an acceptance once the message is where it is to be.
//!
//! Not promised: that a disk, or a file system over a network, keeps what it said it has flushed. [`Inbox`], [`handlers::Sink`] and [`handlers::Debugging`]
//! keep nothing.
//!
//! # Nothing that has begun is cut short
//!
//! At [`shutdown`](Server::shutdown) clients between messages read `421 4.3.2` at once (RFC 5321 section 3.8). Whoever was
//! told to send its message may finish, and reads its final reply, within the grace time: 15 s for the command, which
//! SIGTERM and SIGINT ask to end. What is left then is cut, with a 421, and counted.
//!
//! # A client cannot use up the machine
//!
//! - Memory: content goes to disk once all of it together passes [`memory_budget`](Builder::memory_budget) (64 MiB); on disk
//!   and in memory it counts against [`buffer_budget`](Builder::buffer_budget) (2 GiB), past which messages are refused with
//!   `452 4.3.1`, before their content if that is known in time. Recipients with their parameters count against the first of
//!   the two by what they take in memory, a quarter of it for one message; past it RCPT is refused with `452 4.3.1`, but for
//!   the first 16 KiB of a message, up to 16 MiB in all. 300 clients who name a thousand recipients each, with the longest
//!   paths and parameters, take some 70 MiB. A transcript, where they are made, has 64 KiB for each connection. A message has
//!   [`data_size_limit`](Builder::data_size_limit) (32 MiB, `552 5.3.4`) and
//!   [`max_recipients`](Builder::max_recipients) (1,000, `452 4.5.3`); a command line 2,048 octets (`500 5.5.2`).
//! - Threads: [`max_connections`](Builder::max_connections) (1,000); one more client reads `421 4.3.2`, without the listener
//!   waiting for it. Where the system has no descriptor or thread left, the listener waits a little and goes on.
//!   One address or network has as many as
//!   [`max_connections_per_address`](Builder::max_connections_per_address) and
//!   [`max_connections_per_network`](Builder::max_connections_per_network) say; by default as many as it likes.
//! - Stress: while over nine tenths of the connections are in use, clients have [`stress_timeout`](Builder::stress_timeout)
//!   (30 s) for a command, 3 errors and 10 commands that bring no mail.
//! - Time: a command has [`command_timeout`](Builder::command_timeout) (300 s) from the wait for it to its last octet, content
//!   [`data_timeout`](Builder::data_timeout) (180 s) between its parts and no less than 500 octets a second, a reply to be
//!   read the command's time, a TLS handshake 60 s, a PROXY header 10 s. All of them hold in total: octets that drip win
//!   nothing. The first two are as long as RFC 5321 section 4.5.3.2 asks.
//! - Work: no input makes any path quadratic; a command costs the same whether a message has ten recipients or 20,000. [`max_errors`](Builder::max_errors) (20) and
//!   [`max_junk`](Builder::max_junk) (100) end connections that bring no mail; three failed
//!   authentications do, each answered later than the one before.
//!
//! # A slow handler slows its clients, and nothing else
//!
//! Messages wait in a channel of [`queue_capacity`](Builder::queue_capacity) (1,024); their clients wait with them, up to
//! [`handler_timeout`](Builder::handler_timeout) (600 s, as long as RFC 5321 section 4.5.3.2.6 has clients wait), and then
//! read `451 4.3.0`. A handler that panics costs its client a `451 4.3.0` and the server nothing.
//!
//! # No octet of a message is taken for a command
//!
//! Only CRLF ends a line and only CRLF.CRLF ends content (RFC 5321 section 2.3.8): no message can be smuggled inside
//! another. Whatever becomes of a message (too big, refused by a hook, out of budget, late), its content is read to its end,
//! or the connection closed. What comes in clear behind STARTTLS never runs.
//!
//! # A full disk is the client's reason to wait, not to give up
//!
//! [`handlers::Maildir`] answers `452 4.3.1` for lack of room or descriptors, and `451 4.3.0` for anything else that fails: the
//! client keeps the message. No path and no error text of the system reaches it. The log has one line when it begins and
//! one when it is over.
//!
//! # A relay tells the truth
//!
//! What a client hears from [`handlers::Proxy`] and [`handlers::Mailman`] is never better than what is true of the next server:
//! its refusals are handed back word for word, silence and lies become a 4xx, and a message that went to several has the
//! reply of the worst. It relays for nobody by accident.
//!
//! # What a client says cannot pose as something else
//!
//! Octets of a client reach logs, replies and [`handlers::Debugging`]'s output only as [`Escaped`]; `Received` and `X-Peer` are made
//! of parsed values. Control characters are refused in every command.
//!
//! # Secrets
//!
//! No secret is logged. Lines of AUTH are overwritten once they were heard, and so are decoded passwords. What the TLS
//! library keeps is its own affair.
//!
//! # No unsafe code
//!
//! The crate has none. Its dependencies have some: OpenSSL, the kernel's interfaces, the search for line ends.

#[cfg(doc)]
use crate::{Builder, Escaped, Inbox, Server, handlers};
