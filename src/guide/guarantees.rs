//! What you can rely on, and what you cannot.
//!
//! Three things are yours to do, and the rest of this page depends on them:
//!
//! - Return an acceptance from a handler only when the message is where it must be: on disk, in the database, at the next
//!   server. The client deletes its copy when it sees your `250`.
//! - Answer within [`handler_timeout`](Builder::handler_timeout), and let the message be handled twice without harm.
//! - Stop a server with [`shutdown`](Server::shutdown), and give clients time to finish.
//!
//! Each promise names what it depends on, and the default numbers; [`defaults`](crate::guide::defaults) has their reasons.
//! [The threat model](crate::guide::threat_model) says who may attack, and what is not defended against.
//!
//! # A message that was acknowledged is safe
//!
//! The server sends `250` to a message after the handler has accepted it, never before. [`handlers::Maildir`] accepts
//! once the file is flushed to the disk, moved to `new`, and the folder flushed too: after `kill -9` or a power cut at any
//! moment, each acknowledged message is there, whole. Nothing partial is ever in `new`. [`handlers::Proxy`] accepts once
//! the next server has, and in that server's words. `handlers::RedisStream` accepts once Redis has: what that is worth is in
//! [`scaling_out`](crate::guide::scaling_out).
//!
//! A message may arrive twice. If the reply to it is lost on the way, its client sends it again, as RFC 5321 section 6.1
//! requires. The same happens if the client got a refusal while the handler was still at work, at the end of
//! [`handler_timeout`](Builder::handler_timeout) or of a shutdown's grace time, and the handler then stores the message after
//! all. An acknowledged message never arrives zero times.
//!
//! A Maildir's folders are held open, are no links, and belong to the process's user or root; nothing is written or removed
//! anywhere else, whatever is put in their place. What it removes are files of its own naming, left unfinished in `tmp` for over
//! 36 hours.
//!
//! Not promised: that a disk, or a network file system, keeps what it said it has flushed. [`Inbox`], [`handlers::Sink`] and
//! [`handlers::Debugging`] keep nothing.
//!
//! # Nothing that has begun is cut short
//!
//! At [`shutdown`](Server::shutdown) clients between messages get `421 4.3.2` at once (RFC 5321 section 3.8). A client that
//! was told to send its message may finish, and gets its final reply, within the grace time: 15 s for the command, which
//! ends on SIGTERM and SIGINT. What is left then is cut, with a 421, and counted. A handler or a hook may end its own
//! server with [`begin_shutdown`](Server::begin_shutdown): its message or command is still answered.
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
//! - Threads: [`max_connections`](Builder::max_connections) (1,000), each with a stack of 1 MiB
//!   ([`worker_stack`](Builder::worker_stack)) of which only what was used takes memory; one more client reads `421 4.3.2`, without the listener
//!   waiting for it. Where the system has no descriptor or thread left, the listener waits a little and goes on.
//!   One address or network has as many as
//!   [`max_connections_per_address`](Builder::max_connections_per_address) and
//!   [`max_connections_per_network`](Builder::max_connections_per_network) say; by default as many as it likes.
//! - Stress: while over nine tenths of the connections are in use, clients have [`stress_timeout`](Builder::stress_timeout)
//!   (30 s) for a command, and 3 errors, as which each command counts that brings no mail beyond the tenth.
//! - Time: a command has [`command_timeout`](Builder::command_timeout) (300 s) from the wait for it to its last octet, content
//!   [`data_timeout`](Builder::data_timeout) (180 s) between its parts and no less than 500 octets a second, a reply to be
//!   read the command's time, a TLS handshake 60 s, a PROXY header 10 s. All of them hold in total: octets that drip win
//!   nothing. The first two are as long as RFC 5321 section 4.5.3.2 asks.
//! - Secrets: [`Users`](crate::Users) checks no more argon2 hashes and SCRAM secrets at a time than there are processors; a login
//!   waits 30 s for its turn and then reads `454 4.7.0`. A name has 512 octets and a password 9,216, as sent and as prepared by
//!   SASLprep (`535 5.7.8`).
//! - Work: no input makes any path quadratic, and a command costs the same whether a message has ten
//!   recipients or 20,000. [`max_errors`](Builder::max_errors) (20) end a connection, and beyond
//!   [`max_junk`](Builder::max_junk) (100) each command that brings no mail counts as one; three failed authentications do,
//!   each answered later than the one before.
//!
//! # A slow handler slows its clients, and nothing else
//!
//! Messages wait in a channel of [`queue_capacity`](Builder::queue_capacity) (1,024); their clients wait with them, up to
//! [`handler_timeout`](Builder::handler_timeout) (600 s, as long as RFC 5321 section 4.5.3.2.6 has clients wait), and then
//! get `451 4.3.0`. If a handler panics, its client gets `451 4.3.0` and the server goes on. If a session, its factory or an
//! authenticator or a SASL mechanism panics, the client gets `421 4.3.0`; if a TLS library does, the connection ends.
//! [`Stats::panics`](crate::Stats::panics) counts panics.
//!
//! # No octet of a message is taken for a command
//!
//! Only CRLF ends a line and only CRLF.CRLF ends content (RFC 5321 section 2.3.8): no message can be smuggled inside
//! another. Whatever becomes of a message (too big, refused by a hook, out of budget, late), the server reads its content to
//! the end or closes the connection. Commands sent in clear after STARTTLS never run.
//!
//! Where nobody can tell content from commands, the server closes the connection and runs nothing more of it: when something
//! has already arrived after a DATA that it refuses (a client that waits for the reply, as RFC 2920 section 3.1 requires, has
//! sent nothing), after a BDAT whose number it cannot read, and after a DATA or BDAT line that is too long. An HTTP request, of
//! any method, closes the connection as well.
//!
//! Not promised: that content does not run if a client sends it late, after it got the refusal of its DATA.
//!
//! # No client waits for an acknowledgement
//!
//! On Linux the server acknowledges content at once while its end is still to come. A client whose system holds small packets
//! back until then (Nagle's algorithm) sends the final dot without a delay of 40 ms.
//!
//! # A full disk makes clients wait, not give up
//!
//! [`handlers::Maildir`] answers `452 4.3.1` for lack of room or descriptors, and `451 4.3.0` for anything else that fails: the
//! client keeps the message. It never sees a path or an error text of the system. The log has one line when the trouble
//! begins and one when it is over.
//!
//! # A relay tells the truth
//!
//! What a client hears from [`handlers::Proxy`] and [`handlers::Mailman`] is never better than what is true of the next server:
//! its refusals are handed back word for word, silence and lies become a 4xx, and a message that went to several has the
//! reply of the worst. Of what a server says of many recipients, the first 64 KiB are kept whole.
//!
//! Each step waits for the next server as long as [`Upstream::timeout`] says (by default 60 s for a session, 180 s for a reply,
//! 600 s for a message and its verdict). While that server is silent one client at a time waits for it; the others are told
//! `451 4.4.1` at once.
//!
//! It relays for nobody by accident: not for a stranger whose recipient names another way in its local part
//! (`user%elsewhere.example@listed.example`), and not for a client that a proxy speaks for without naming it.
//!
//! # What a client sends cannot pose as something else
//!
//! Octets of a client reach logs, replies and [`handlers::Debugging`]'s output only as [`Escaped`]; `Received` and `X-Peer` are made
//! of parsed values. Control characters are refused in every command, and in every field of an entry that
//! `handlers::RedisStream::read` takes. No line that [`handlers::Debugging`] prints of a message reads like its frame.
//!
//! # Secrets
//!
//! No secret is logged. Lines of AUTH are overwritten after use, and so are decoded passwords. What the TLS
//! library keeps in memory is outside the crate's control.
//!
//! # No unsafe code
//!
//! The crate has none. Its dependencies have some: OpenSSL, the kernel's interfaces, the search for line ends.

#[cfg(doc)]
use crate::{Builder, Escaped, Inbox, Server, Upstream, handlers};
