//! The threat model: who may attack a server, what each could try, what is done about it, and what is not.
//!
//! Trusted are the program with its handlers and hooks, the machine's administrator, the operating system and the
//! dependencies. Nothing is trusted that comes over a connection. What is promised to whom all is well with is in
//! [`promises`](crate::promises); this page is about those who want harm. Numbers are defaults, and each is a setting unless
//! it says "fixed".
//!
//! # A stranger who can connect
//!
//! Port 25 is open to everybody, so this is the usual case: no account, any octets, as many connections as there are machines
//! to be had.
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | open connections until there are none left | one more reads `421 4.3.2`, and the listener never waits for it; while over 90 % are in use, all have to hurry | [`max_connections`](Builder::max_connections) 1,000; [`stress_timeout`](Builder::stress_timeout) 30 s |
//! | do so from one address or network | `421 4.7.0`, **if it was asked for** | [`max_connections_per_address`](Builder::max_connections_per_address), [`max_connections_per_network`](Builder::max_connections_per_network), [`max_connection_rate`](Builder::max_connection_rate): none |
//! | connect, and say nothing, or an octet now and then | a command has its time in total, from the wait for it to its last octet; then `421 4.4.2` | [`command_timeout`](Builder::command_timeout) 300 s |
//! | send content slowly | no longer pause than this, and in total no slower than 500 octets a second (fixed) for longer than this | [`data_timeout`](Builder::data_timeout) 180 s |
//! | never read the replies, or the handshake, or leave it half done | writes have a deadline too; a handshake has 60 s (fixed), a PROXY header 10 s (fixed) | [`command_timeout`](Builder::command_timeout) 300 s |
//! | send a message, or a line, without end | more than the limit is not stored; it is read off up to four times as much, then the connection is closed. Content has no line buffer. A command line of 2,048 octets, of AUTH 12,288, is skipped from there on, and ends the connection after 64 KiB (all fixed) | [`data_size_limit`](Builder::data_size_limit) 32 MiB |
//! | fill memory with many messages | content beyond the budget goes to disk, in files without a name; beyond the second one messages are refused with `452 4.3.1` | [`memory_budget`](Builder::memory_budget) 64 MiB, [`buffer_budget`](Builder::buffer_budget) 2 GiB |
//! | name recipients without end | `452 4.5.3` for each beyond | [`max_recipients`](Builder::max_recipients) 1,000 |
//! | try commands, or send ones that do nothing | the connection ends; from one network over all of its connections, **if it was asked for** | [`max_errors`](Builder::max_errors) 20, [`max_junk`](Builder::max_junk) 100; [`max_error_rate`](Builder::max_error_rate): none |
//! | smuggle a message inside another | only CRLF ends a line, and only CRLF.CRLF ends content. CRs and LFs that stand alone are made CRLF, but in BINARYMIME content, so that whoever reads the message next sees the same lines | [`line_ends`](Builder::line_ends): normalised |
//! | have content taken for commands: a refused message or chunk, a cut chunk, DATA that was refused | content is read off whatever becomes of it, or the connection is closed | |
//! | lead a browser here | GET, POST, PUT and CONNECT end the connection before anything else of the request is read | fixed |
//! | put control characters into an address, a name or a verb, for a log or a header to repeat | `500 5.5.2`; all text of clients is [`Escaped`] in logs and in `Debugging`'s output, and never repeated in a reply | fixed |
//! | find out who has an account here | VRFY answers 252 to all, EXPN 502, and AUTH the same to an unknown name and a wrong password. [`Users`](crate::Users) takes the same time for both. Who answers 550 to RCPT tells whom there is: that is RCPT's purpose | |
//! | make the server look up names, or connect somewhere | nothing a client says is ever resolved or connected to; no reverse DNS. A relay connects to its one upstream | fixed |
//! | pretend to be another client with a PROXY header or XCLIENT | from whoever is not listed these are bad commands | [`proxy_protocol`](Builder::proxy_protocol), [`xclient`](Builder::xclient): nobody |
//! | have mail relayed | only for this machine, listed networks, authenticated clients and listed domains; else `550 5.7.1` | [`Proxy`](handlers::Proxy): nobody listed |
//! | crash it | no input makes the library panic that is known, by fuzzing as well; a panic of a handler or a hook is caught and costs its client alone. `unsafe` is forbidden | |
//!
//! # A client with an account, or one that wants it
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | guess passwords | each failure is answered half a second later than the one before; three end the connection. Over many connections only [`max_error_rate`](Builder::max_error_rate) helps | [`max_auth_failures`](Builder::max_auth_failures) 3 |
//! | use up the processor with costly hashes | argon2 runs no more than once a processor at a time, in [`Users`](crate::Users) | fixed |
//! | act as somebody else | refused, unless the [`Authenticator`](crate::Authenticator) allows it | nobody may |
//! | send as somebody else | **nothing**: the reverse-path and the header `From` are not compared with the identity. A [`Session`](crate::Session) can, in [`mail`](crate::Session::mail) | |
//! | send without end | **nothing** but the limits above: there are no quotas for an account | |
//!
//! # Whoever sits between client and server
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | read and change what is in clear | TLS 1.2, and 1.3 where the library does it (native-tls with OpenSSL does not), at once or by STARTTLS; by default neither is required, nor is there a certificate | [`tls`](Builder::tls): none, [`require_tls`](Builder::require_tls): false, [`Listener::implicit_tls`](crate::Listener::implicit_tls) |
//! | take STARTTLS out of the reply to EHLO | with `require_tls` no mail is taken in clear (`530 5.7.0`), and with implicit TLS there is nothing to take out. Without either, clients that do not insist send in clear | |
//! | put commands behind STARTTLS, to have them run within TLS | the connection is closed if anything is there already; what comes later is garbage to the handshake. All that was known before the handshake is forgotten | fixed |
//! | cut a message short | the end of a stream, with close_notify or without, delivers nothing of what is not complete | fixed |
//! | learn a password | mechanisms that show it are offered within TLS and, while TLS is not required, on this machine; SCRAM-SHA-256 does not show it, and with `-PLUS` finds out that somebody sits between | [`clear_text_auth`](Builder::clear_text_auth): false |
//! | read or change what is relayed | **by default only listeners are kept out**: any certificate is taken, and none is needed. `Required` and `Implicit` check it, and the name | [`Upstream::tls`](crate::Upstream::tls): `WhenOffered` |
//!
//! DANE and MTA-STS, by which other servers could know that TLS is to be had here, are DNS's and the web's; and so is the
//! client's part of checking.
//!
//! # What a message holds
//!
//! A message is octets of somebody's choice, NULs and invalid UTF-8 among them. It comes to handlers as it was sent, but for
//! lone CRs and LFs.
//!
//! | against | what is done |
//! |---|---|
//! | the handler | nothing is parsed unless it is asked for. `Envelope::parsed` reads a stranger's octets within limits: no recursion, time linear in the octets, memory at most four times the octets and 32 MiB, and a message on disk stays there; `mime::Message::cut` says what passed a limit. An attachment's name is the last piece of a path without control characters, and its octets are the sender's. What [`Envelope`](crate::Envelope) says of sender, recipients and peer is parsed and checked; what the message's headers say is a claim, `X-Peer` and `Received` included: the server's own stand above them |
//! | a terminal | [`Debugging`](handlers::Debugging) prints control characters, and the controls of writing direction, escaped, and changes lines that pose as the frame around a message |
//! | the log | content is not logged, at any level. A [`Transcript`](crate::testing::Transcript) has the first KiB of a message, if [`transcripts`](Builder::transcripts) are made: an inbox makes them, a server does not by default |
//! | a Maildir | no part of a file's name is a client's. Files are of mode 0600 and folders that are made 0700. `Return-Path`, `Delivered-To` and `Received` are made from parsed values |
//! | the next server | no lone CR or LF goes out, but within BINARYMIME; dots are stuffed anew; more than 100 `Received` lines are a loop, `554 5.4.6` (fixed). Which parameters go on is said by the next server's EHLO |
//! | the web inbox | HTML is shown in a sandboxed frame under a policy by which nothing runs and nothing is loaded from anywhere; attachments are downloads, of a type that nothing runs |
//!
//! # The web inbox's own visitors
//!
//! `-c Inbox --http ADDR` has no password. It listens on this machine alone unless `--http-public` is said, and whoever can
//! connect reads all mail, deletes it and scripts faults. Pages of other sites cannot reach it through a browser, by a name
//! made to lead here neither: `Host`, `Origin` and `Sec-Fetch-Site` are checked. 128 visitors at once, 10 s for a request, a
//! head of 16 KiB, 10,000 messages or 256 MiB, beyond which mail is refused (all fixed). It is a tool for development, and speaks no TLS.
//!
//! # Somebody else on the machine
//!
//! Messages that are spooled are in files without a name, not encrypted. Everybody on this machine counts as near: they may
//! log in without TLS, and a relay relays for them. A Unix socket has the permissions that the process's umask leaves, and so
//! lets in whom those let in. Passwords are wiped from memory after use, but what [`Users`](crate::Users) keeps, in clear if
//! the file has it so, is there as long as the server. The permissions of that file are not checked.
//!
//! # The administrator's mistakes
//!
//! | mistake | what happens |
//! |---|---|
//! | `require_tls` without a certificate, `require_auth` without users, an inbox that everybody can read, settings that exclude each other | it does not start, and says why |
//! | a hash of an unknown kind in the file of users | it is refused, and not taken for a password |
//! | an encrypted key, or one of another form | an error that has the command which converts it |
//! | an open relay | only by [`open_relay`](handlers::Proxy::open_relay) or `--open-relay`. **Not noticed:** behind a load balancer on this machine all clients seem to be near, unless it tells who they are: [`proxy_protocol`](Builder::proxy_protocol) |
//! | a network too large in `proxy_protocol` or `xclient` | **not noticed**: all of it may claim to be any client, and by XCLIENT any user |
//! | the command as root with `-n` | **it stays root**. Without `-n` it becomes nobody once it listens; the unit in `examples/deploy/` needs no root at all |
//! | `panic = "abort"` in the program's profile | **a panic ends the process**: nothing can be caught then |
//! | a handler that accepts before the message is safe | mail is lost when the process is; see [`Handler`](crate::Handler) |
//! | a handler that is slow | messages wait, and their clients with them, up to [`handler_timeout`](Builder::handler_timeout) (600 s): enough of them use up all connections. [`consumers`](Builder::consumers) and [`process_delivery`](crate::Handler::process_delivery) help |
//!
//! # What it does not defend against
//!
//! - Spam, viruses, phishing and forged senders: no SPF, DKIM, DMARC, DNS lists or filters. A [`Session`](crate::Session) or a
//!   [`Handler`](crate::Handler) may ask those who know.
//! - Attacks from many addresses, or with more packets than the network takes. All limits by address are off by default, since
//!   a test suite comes from one; **turn them on where the server can be reached by everybody.** Without them one client may
//!   hold all connections: at 500 octets a second a message of 32 MiB takes 18 hours.
//! - A full disk: mail is refused with a 4xx then, but a Maildir has no quota, and who may send mail may fill it.
//! - A full log: at `info` each message and each misbehaving client has a line. The command logs from `warn` on.
//! - Mail that arrives twice, by a client's fault or its wish.
//! - Other servers' bounces. It writes none itself: what it does not take it refuses, while the client is there.
//! - Whoever can read the process's memory, its disk, or the private key.
//! - Faults of OpenSSL, the kernel, or any other dependency. Whatever native-tls and OpenSSL negotiate from TLS 1.2 on is
//!   theirs.
//! - Hooks and handlers that are not careful themselves.

#[cfg(doc)]
use crate::{Builder, Escaped, handlers};
