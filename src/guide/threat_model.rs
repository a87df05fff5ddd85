//! The threat model: who may attack a server, what each may try, what the server does about it, and what it does not.
//!
//! # Before you put it on the Internet
//!
//! 1. Limit each client: [`max_connections_per_network`](Builder::max_connections_per_network), say 50, and
//!    [`max_connection_rate`](Builder::max_connection_rate). By default one client may take all connections.
//! 2. Limit guessing: [`max_error_rate`](Builder::max_error_rate), since three failed logins end a connection but not an
//!    attack.
//! 3. Set [`hostname`](Builder::hostname), and a certificate with [`tls`](Builder::tls).
//! 4. On a port for submission (587, 465) use [`require_tls`](Builder::require_tls) or
//!    [`implicit_tls`](crate::Listener::implicit_tls), and [`require_auth`](Builder::require_auth). Leave
//!    [`clear_text_auth`](Builder::clear_text_auth) off.
//! 5. Refuse unknown recipients at RCPT, with [`Session::rcpt`](crate::Session::rcpt), not after you have accepted the
//!    message.
//! 6. If you relay, list the fewest networks and domains that will do, and require TLS to the upstream if it is not on this
//!    machine: [`Upstream::tls`](crate::Upstream::tls).
//! 7. Behind a load balancer, set [`proxy_protocol`](Builder::proxy_protocol) to the balancer's address alone, and let a
//!    firewall keep others away from the port. Otherwise all clients look like the balancer, and limits and relays trust them
//!    alike.
//! 8. Run it without root: `examples/deploy/` has a systemd service whose socket is opened for it. Give the spool folder and
//!    the Maildir a file system with a quota, and watch how full it is.
//! 9. Accept a message only when it is safe, keep handlers quick, and treat what the message says, its headers included, as
//!    a stranger's claim.
//! 10. Build with `panic = "unwind"`, the default. Keep OpenSSL and the dependencies current.
//!
//! # What is trusted
//!
//! Trusted are the program with its handlers and hooks, the machine's administrator, the operating system and the
//! dependencies. Nothing is trusted that comes over a connection. Numbers are defaults, and each is a setting unless
//! it says "fixed". [The guarantees](crate::guide::guarantees) say what holds when nobody attacks.
//!
//! # A stranger who can connect
//!
//! Port 25 is open to everybody, so this is the usual case: no account, any octets, and connections from as many machines as
//! the attacker can get.
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | use up all connections | one more gets `421 4.3.2`, and the listener never waits for it; while over 90 % are in use, clients get less time | [`max_connections`](Builder::max_connections) 1,000; [`stress_timeout`](Builder::stress_timeout) 30 s |
//! | do so from one address or network | `421 4.7.0`, **if you set a limit** | [`max_connections_per_address`](Builder::max_connections_per_address), [`max_connections_per_network`](Builder::max_connections_per_network), [`max_connection_rate`](Builder::max_connection_rate): unlimited |
//! | connect and send nothing, or an octet now and then | the timeout covers the whole command, from the wait for it to its last octet; then `421 4.4.2` | [`command_timeout`](Builder::command_timeout) 300 s |
//! | send content slowly | pauses are limited, and so is the time that the content may lag behind 500 octets a second (fixed) | [`data_timeout`](Builder::data_timeout) 180 s |
//! | never read the replies, or the handshake, or leave it half done | writes have a deadline too; a handshake has 60 s (fixed), a PROXY header 10 s (fixed) | [`command_timeout`](Builder::command_timeout) 300 s |
//! | send a message, or a line, without end | what exceeds the limit is not stored; the server reads up to four times the limit, then closes the connection. Content has no line buffer. A command line is limited to 2,048 octets (12,288 in AUTH); the server skips the rest, and closes the connection after 64 KiB (all fixed) | [`data_size_limit`](Builder::data_size_limit) 32 MiB |
//! | fill memory with many messages | content beyond the budget goes to disk, in files without a name; beyond the second one messages are refused with `452 4.3.1` | [`memory_budget`](Builder::memory_budget) 64 MiB, [`buffer_budget`](Builder::buffer_budget) 2 GiB |
//! | name recipients without end | `452 4.5.3` for each beyond | [`max_recipients`](Builder::max_recipients) 1,000 |
//! | fill memory with recipients, over many connections | they count by what they take in memory, a quarter of the budget for one message; past it `452 4.3.1`. The first 16 KiB of a message are taken up to 16 MiB beyond (fixed), so that others can still send | [`memory_budget`](Builder::memory_budget) 64 MiB |
//! | try commands, or send ones that do nothing | the connection ends; beyond a number, each command that does nothing counts as an error. Errors are counted across all connections of one network **if you set a limit** | [`max_errors`](Builder::max_errors) 20, [`max_junk`](Builder::max_junk) 100; [`max_error_rate`](Builder::max_error_rate): unlimited |
//! | smuggle a message inside another | only CRLF ends a line, and only CRLF.CRLF ends content. Lone CRs and LFs become CRLF, except in BINARYMIME content, so that the next reader of the message sees the same lines; dots are unstuffed on these lines too | [`line_ends`](Builder::line_ends): normalised |
//! | have content taken for commands: a refused message or chunk, a cut chunk, DATA that was refused, a chunk of unknown length | content is read to its end whatever becomes of it. If its end cannot be known, the connection is closed: with `421 4.7.0` if anything follows a DATA that is refused, `501 5.5.4` for a BDAT with an invalid number, `500 5.5.2` for a DATA or BDAT line that is too long | fixed |
//! | send a browser here | a line of HTTP, of any method, ends the connection before anything else of the request is read | fixed |
//! | put control characters into an address, a name or a verb, for a log or a header to repeat | `500 5.5.2`; all text of clients is [`Escaped`] in logs and in `Debugging`'s output, and never repeated in a reply | fixed |
//! | find out who has an account here | VRFY answers 252 to all, EXPN 502, and AUTH the same to an unknown name and a wrong password. [`Users`](crate::Users) takes the same time for both, and shows salts that say nothing either: those of unknown names are the same on each server with the same users, and after a restart, if some users' are. **But** a change of the users changes the salts of all unknown names, and of no SCRAM secret: who asks before and after can tell them apart. Who answers 550 to RCPT tells whom there is: that is RCPT's purpose | |
//! | make the server look up names, or connect somewhere | nothing a client says is ever resolved or connected to; no reverse DNS. A relay connects to its one upstream | fixed |
//! | pretend to be another client with a PROXY header or XCLIENT | from whoever is not listed these are bad commands; whom one that is listed does not name is [nobody](crate::Endpoint::Unknown), on no list and not on this machine | [`proxy_protocol`](Builder::proxy_protocol), [`xclient`](Builder::xclient): nobody |
//! | have mail relayed | only for this machine, listed networks, authenticated clients and listed domains; else `550 5.7.1`, as for a local part with `@`, `%`, `!` or `:` in it, by which the next server may be led elsewhere | [`Proxy`](handlers::Proxy): nobody listed |
//! | crash it | no input is known to make the library panic, and fuzzing looks for one; a panic in a handler, a hook, a session factory, an authenticator, a SASL mechanism or a TLS acceptor is caught, counted, and affects its own client alone. `unsafe` is forbidden | |
//!
//! # A client that has an account, or wants one
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | guess passwords | each failure is answered half a second later than the one before; three end the connection. Over many connections only [`max_error_rate`](Builder::max_error_rate) helps | [`max_auth_failures`](Builder::max_auth_failures) 3 |
//! | use up the processor with costly hashes | [`Users`](crate::Users) checks no more argon2 hashes and SCRAM secrets at a time than there are processors, and refuses secrets of more than 10,000,000 iterations, or 16 passes over 1 GiB, when it reads them; a login that waits for 30 s reads `454 4.7.0` | fixed |
//! | give a name or a password that grows when it is prepared | 512 and 9,216 octets hold before SASLprep and after it; beyond, `535 5.7.8` | fixed |
//! | act as somebody else | refused, unless the [`Authenticator`](crate::Authenticator) allows it. A hook that calls [`Context::authenticate`](crate::Context::authenticate) is believed | nobody may |
//! | send as somebody else | **nothing**: the reverse-path and the header `From` are not compared with the identity. A [`Session`](crate::Session) can, in [`mail`](crate::Session::mail) | |
//! | send without limit | **nothing** but the limits above: there are no quotas for an account | |
//!
//! # Whoever sits between client and server
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | read and change what is in clear | TLS, implicit or by STARTTLS, version 1.2 and, where the TLS library has it, 1.3 (native-tls with OpenSSL does not); there is no certificate by default, and TLS is not required | [`tls`](Builder::tls): none, [`require_tls`](Builder::require_tls): false, [`Listener::implicit_tls`](crate::Listener::implicit_tls) |
//! | take STARTTLS out of the reply to EHLO | with `require_tls` no mail is accepted in clear (`530 5.7.0`), and with implicit TLS there is nothing to take out. Without either, clients that do not insist on TLS send in clear | |
//! | add commands after STARTTLS, to have them run within TLS | the connection is closed if anything is there already; what comes later fails the handshake. The session forgets all that it learned before TLS | fixed |
//! | cut a message short | the end of a stream, with close_notify or without, delivers nothing of what is not complete | fixed |
//! | learn a password | mechanisms that show it are offered under TLS and, while TLS is not required, to clients on this machine; SCRAM-SHA-256 does not show it, and its `-PLUS` form detects somebody in between | [`clear_text_auth`](Builder::clear_text_auth): false |
//! | read or change what is relayed | **by default only listeners are kept out**: any certificate is taken, and none is needed. `Required` and `Implicit` check it, and the name | [`Upstream::tls`](crate::Upstream::tls): `WhenOffered` |
//!
//! DANE and MTA-STS, which tell other servers to insist on TLS, are records in the DNS and files on the web: you publish
//! them, and the other servers check them.
//!
//! # What a message holds
//!
//! A message is whatever octets its sender chose, NULs and invalid UTF-8 included. Handlers get it as it was sent, except for
//! lone CRs and LFs.
//!
//! | against | what is done |
//! |---|---|
//! | the handler | nothing is parsed unless it is asked for. `Envelope::parsed` reads a stranger's octets within limits: no recursion, time linear in the octets, memory at most four times the octets and 32 MiB, and a message on disk stays there; `mime::Message::cut` says what passed a limit. An attachment's name is the last piece of a path without control characters, and its octets are the sender's. What [`Envelope`](crate::Envelope) says of sender, recipients and peer is parsed and checked; what the message's headers say is a claim, `X-Peer` and `Received` included: the server's own stand above them. An address is text of the client's choice as well: a local part may hold `/`, and quoted also `../`, so make no path of it unchecked |
//! | a terminal | [`Debugging`](handlers::Debugging) prints control characters, and the controls of writing direction, escaped, and changes lines that pose as the frame around a message, whatever cannot be seen in them; a client's `X-Peer` stands below the server's |
//! | the log | content is not logged, at any level. A [`Transcript`](crate::testing::Transcript) has the first KiB of a message, if [`transcripts`](Builder::transcripts) are made: an inbox makes them, a server does not by default |
//! | a Maildir | no part of a file's name is a client's. Files are of mode 0600 and folders that are made 0700. `Return-Path`, `Delivered-To` and `Received` are made from parsed values |
//! | who takes messages off a queue | `handlers::RedisStream::read` refuses an entry with a field that no server can have received, and names it |
//! | the next server | no lone CR or LF goes out, but within BINARYMIME; dots are stuffed anew; more than 100 `Received` lines are a loop, `554 5.4.6` (fixed). Which parameters go on is said by the next server's EHLO |
//! | the web inbox | HTML is shown in a sandboxed frame under a policy by which nothing runs and nothing is loaded from anywhere; attachments are downloads, of a type that nothing runs |
//!
//! # The next server of a relay
//!
//! | tries to | what is done | setting and default |
//! |---|---|---|
//! | stop, at any step | the client reads a 4xx; one at a time waits while it is known to be silent | [`Upstream::timeout`](crate::Upstream::timeout): 60 to 600 s |
//! | fill memory with replies | 64 KiB each, and over all recipients of a message; of further ones the first 256 octets each | fixed |
//! | learn who submitted a message | `X-Peer` and `Received` tell the client's address | [`Proxy::x_peer`](handlers::Proxy::x_peer): true |
//!
//! # The web inbox's own visitors
//!
//! `-c Inbox --http ADDR` has no password. It listens on this machine alone unless `--http-public` is said, and whoever can
//! connect reads all mail, deletes it and scripts faults. Pages of other sites cannot reach it through a browser, by a name
//! made to lead here neither: `Host`, `Origin` and `Sec-Fetch-Site` are checked. 128 visitors at once, 10 s for a request, a
//! head of 16 KiB (all fixed). An answer that its visitor does not take at once needs one of 96 places, so that the page and
//! other small answers always have some; who takes no octet of one for 10 s is cut off, and after 1 s if somebody else wants
//! the place. 10,000 messages, or 256 MiB of memory with their recipients, conversations and what is searched, beyond which
//! mail is refused; a deleted message counts until the last visitor has read it. Messages on their way and large answers
//! come on top: 64 MiB and 256 MiB at most. It is a tool for development, and speaks no TLS.
//!
//! # Somebody else on the machine
//!
//! Messages that are spooled are in files without a name, not encrypted. Everybody on this machine counts as near: they may
//! log in without TLS, and a relay relays for them. A Unix socket has the permissions of [`Listener::mode`](crate::Listener::mode)
//! or `--socket-mode` from before it listens, else those that the process's umask leaves, and so lets in whom those let in. It is
//! removed only while it is the server's own, and a socket that somebody listens at is never replaced; but who may write to its
//! folder can put another there. Passwords are wiped from memory after use, but what [`Users`](crate::Users) keeps, in clear if
//! the file has it so, is there as long as the server. The permissions of that file are not checked.
//!
//! A Maildir that is a link, or whose `tmp`, `new` or `cur` is one, or that belongs to a user who is neither the process's nor
//! root, is refused at the start. Later the folders that were opened then are used: if others are put in their place, messages are
//! refused until all is well. Whoever may write to a Maildir can still remove what is in it.
//!
//! # The administrator's mistakes
//!
//! | mistake | result |
//! |---|---|
//! | `require_tls` without a certificate, `require_auth` without users, an inbox that everybody can read, settings that exclude each other | the server does not start, and says why |
//! | a hash of an unknown kind in the file of users | it is refused, and not taken for a password |
//! | a key that root can read, and the user nobody, whom root becomes, cannot: SIGHUP could not renew it | the command does not start, and says what to do |
//! | a hook that takes more stack than there is | **the process ends**: [`worker_stack`](Builder::worker_stack) is 1 MiB |
//! | an encrypted key, or one in another format | an error with the command that converts it |
//! | an open relay | only by [`open_relay`](handlers::Proxy::open_relay) or `--open-relay`. **Not noticed:** behind a load balancer on this machine all clients seem to be on this machine, unless the balancer names them: [`proxy_protocol`](Builder::proxy_protocol) |
//! | too large a network in `proxy_protocol` or `xclient` | **not noticed**: every address in it may pose as any client, and by XCLIENT as any user |
//! | the command run by root with `-n` | **it stays root**. Without `-n` it becomes nobody once it listens; the unit in `examples/deploy/` needs no root at all |
//! | `panic = "abort"` in the program's profile | **a panic ends the process**: nothing can be caught then |
//! | a handler that accepts before the message is safe | a crash loses mail; see [`Handler`](crate::Handler) |
//! | a handler that is slow | messages wait, and their clients with them, up to [`handler_timeout`](Builder::handler_timeout) (600 s); enough such clients use up all connections. [`consumers`](Builder::consumers) and [`process_delivery`](crate::Handler::process_delivery) help |
//!
//! # What it does not defend against
//!
//! - Spam, viruses, phishing and forged senders: no SPF, DKIM, DMARC, DNS lists or filters. A [`Session`](crate::Session) or a
//!   [`Handler`](crate::Handler) may ask a program that checks them.
//! - Attacks from many addresses, or with more packets than the network can carry. All limits by address are off by default,
//!   since a test suite connects from one address. Without them one client may
//!   hold all connections: at 500 octets a second a message of 32 MiB takes 18 hours.
//! - A full disk: mail is then refused with a 4xx, but a Maildir has no quota, and whoever may send mail may fill it.
//! - A full log: at `info` each message and each misbehaving client has a line. The command logs from `warn` on.
//! - Mail that arrives twice, whether by a client's fault or its intention.
//! - Other servers' bounces. It writes none itself: what it does not accept it refuses while the client is connected.
//! - Anyone who can read the process's memory, its disk, or the private key.
//! - Faults of OpenSSL, the kernel, or any other dependency, including what OpenSSL negotiates from TLS 1.2 on.
//! - Hooks and handlers that are not careful themselves.

#[cfg(doc)]
use crate::{Builder, Escaped, handlers};
