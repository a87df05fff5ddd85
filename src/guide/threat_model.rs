//! The threat model: who may attack a server, what they may try, what the server does about it, and what it does not
//! do.
//!
//! # Before you put it on the Internet
//!
//! 1. Limit each client: [`max_connections_per_network`](Builder::max_connections_per_network), say 50, and
//!    [`max_connection_rate`](Builder::max_connection_rate). By default one client may take all connections.
//! 2. Limit guessing: [`max_error_rate`](Builder::max_error_rate), since three failed logins end a connection but not
//!    an attack.
//! 3. Set [`hostname`](Builder::hostname), and a certificate with [`tls`](Builder::tls).
//! 4. On a port for submission (587, 465) use [`require_tls`](crate::Listener::require_tls) or
//!    [`implicit_tls`](crate::Listener::implicit_tls), and [`require_auth`](crate::Listener::require_auth). On port 25 of the
//!    same server turn AUTH off with [`offer_auth`](crate::Listener::offer_auth), so that nobody guesses passwords there.
//!    Leave [`clear_text_auth`](Builder::clear_text_auth) off.
//! 5. Refuse unknown recipients at RCPT, with [`Session::rcpt`](crate::Session::rcpt), not after you have accepted the
//!    message.
//! 6. If you relay, list the fewest networks and domains that will do, and require TLS to the upstream if it is not on
//!    this machine: [`Upstream::tls`](crate::Upstream::tls).
//! 7. Behind a load balancer, set [`proxy_protocol`](Builder::proxy_protocol) to the balancer's address alone, and let
//!    a firewall keep others away from the port. Otherwise all clients have the balancer's address: limits count them
//!    as one, and a relay trusts them if it trusts the balancer.
//! 8. Run it without root: `examples/deploy/` has a systemd service whose socket is opened for it. Give the spool
//!    folder and the Maildir a file system with a quota, or the Maildir a [`Quota`](handlers::Quota), and watch how full
//!    it is.
//! 9. Accept a message only when it is safe, keep handlers quick, and treat everything in the message, headers
//!    included, as a claim by a stranger.
//! 10. Build with `panic = "unwind"`, the default. Keep the TLS library and the dependencies current.
//!
//! # What is trusted
//!
//! Trusted are the program with its handlers and hooks, the machine's administrator, the operating system and the
//! dependencies. Nothing that comes over a connection is trusted. Numbers on this page are defaults of the settings
//! named beside them, unless they are marked as fixed. [The guarantees](crate::guide::guarantees) say what holds when
//! nobody attacks.
//!
//! # A stranger who can connect
//!
//! Port 25 is open to everybody, so this is the usual case: no account, any octets, and connections from as many
//! machines as the attacker can get.
//!
//! ## Using up the server
//!
//! - **Take all connections.** With [`max_connections`](Builder::max_connections) (1,000) open, the next one gets `421
//!   4.3.2`, and the listener does not wait for it. While over 90 % are in use, clients have only
//!   [`stress_timeout`](Builder::stress_timeout) (30 s) for a command.
//! - **Take them from one address or network.** Not limited by default. Set
//!   [`max_connections_per_address`](Builder::max_connections_per_address),
//!   [`max_connections_per_network`](Builder::max_connections_per_network) or
//!   [`max_connection_rate`](Builder::max_connection_rate), and what exceeds them gets `421 4.7.0`.
//! - **Connect and send nothing, or an octet now and then.** [`command_timeout`](Builder::command_timeout) (300 s)
//!   covers the whole command, from the wait for it to its last octet. Then the client gets `421 4.4.2`.
//! - **Send content slowly.** A pause is limited to [`data_timeout`](Builder::data_timeout) (180 s), and so is the time
//!   by which the content may fall behind 500 octets a second (fixed).
//! - **Not read replies, or stop in the middle of a handshake.** Writes have the deadline of a command. A TLS handshake
//!   has 60 s and a PROXY header 10 s (fixed).
//! - **Send a message without end.** Content beyond [`data_size_limit`](Builder::data_size_limit) (32 MiB) is not
//!   stored. The server reads up to four times the limit and then closes the connection (fixed). Content has no line
//!   buffer.
//! - **Send a line without end.** A command line has 2,048 octets, or 12,288 in AUTH; the parameters of an
//!   [`Extension`](crate::Extension) add theirs. The server skips the rest, and
//!   closes the connection after 64 KiB (all fixed).
//! - **Fill memory with messages.** Content beyond [`memory_budget`](Builder::memory_budget) (64 MiB) goes to disk, in
//!   files without a name. Beyond [`buffer_budget`](Builder::buffer_budget) (2 GiB) messages are refused with `452
//!   4.3.1`.
//! - **Fill memory with recipients.** A message has [`max_recipients`](Builder::max_recipients) (1,000), and each
//!   further one gets `452 4.5.3`. Over all connections they count against `memory_budget` by the memory that they
//!   take, up to a quarter of it for one message, and then get `452 4.3.1`. The first 16 KiB of each message may exceed
//!   the budget, by 16 MiB in total (fixed), so that other clients can still send.
//! - **Send bad commands, or commands that do nothing.** The connection ends after [`max_errors`](Builder::max_errors)
//!   (20), and after [`max_junk`](Builder::max_junk) (100) each command that does nothing counts as an error. Errors
//!   are counted across the connections of a network only if you set [`max_error_rate`](Builder::max_error_rate).
//! - **Crash it.** No input is known to make the library panic, and fuzzing looks for one. A panic in a handler, a
//!   hook, a session factory, an authenticator, a SASL mechanism or a TLS acceptor is caught and counted, and only its
//!   own client notices. `unsafe` is forbidden.
//!
//! ## Deceiving the server
//!
//! - **Smuggle a message inside another.** Only CRLF ends a line, and only CRLF.CRLF ends content.
//!   [`line_ends`](Builder::line_ends) decides about a lone CR or LF: by default it becomes CRLF, except in BINARYMIME
//!   content, so that the next reader of the message sees the same lines. Dots are unstuffed on these lines too.
//! - **Have content run as commands.** The content of a refused message or chunk is read to its end. Where the end
//!   cannot be known the server closes the connection (fixed): with `421 4.7.0` if anything follows a DATA that is
//!   refused, with `501 5.5.4` after a BDAT with an invalid number, and with `500 5.5.2` after a DATA or BDAT line that
//!   is too long.
//! - **Lead a browser here.** A line of HTTP, of any method, ends the connection before anything else of the request is
//!   read (fixed).
//! - **Put control characters into a log or a header.** In an address, a name or a verb they get `500 5.5.2`. What
//!   clients sent is [`Escaped`] in logs and in the output of [`Debugging`](handlers::Debugging), and never repeated in
//!   a reply (fixed).
//! - **Pretend to be another client, by a PROXY header or XCLIENT.** These are bad commands unless
//!   [`proxy_protocol`](Builder::proxy_protocol) or [`xclient`](Builder::xclient) lists the sender; by default they
//!   list nobody. If a listed proxy does not name its client, the client is [unknown](crate::Endpoint::Unknown): in no
//!   network, and not on this machine.
//! - **Have mail relayed.** [`Proxy`](handlers::Proxy) relays only for this machine, listed networks, authenticated
//!   clients and to listed domains; by default nothing is listed. Everything else gets `550 5.7.1`, and so does a local
//!   part with `@`, `%`, `!` or `:`, which could make the next server send the message elsewhere.
//! - **Make the server look up names, or connect somewhere.** Nothing that a client sends is resolved or connected to,
//!   and there is no reverse DNS. A relay connects to its upstream only (fixed).
//!
//! ## Finding out who has an account
//!
//! VRFY answers 252 to all, EXPN 502, and AUTH answers an unknown name like a wrong password. [`Users`](crate::Users)
//! takes the same time for both. For unknown names it makes up salts, which stay the same across servers with the same
//! users and across restarts, if some users have salts of their own. There are two gaps:
//!
//! - A change of the users changes the salts of all unknown names, but not that of a stored SCRAM secret. Who asks
//!   before and after the change can tell them apart.
//! - If you refuse unknown recipients at RCPT, as you should, anybody can ask which exist.
//!
//! # A client that has an account, or wants one
//!
//! - **Guess passwords.** Each failure is answered half a second later than the one before, and
//!   [`max_auth_failures`](Builder::max_auth_failures) (3) end the connection. Over many connections only
//!   [`max_error_rate`](Builder::max_error_rate) helps; by default it is unlimited.
//! - **Use up the processor with costly hashes.** [`Users`](crate::Users) checks as many argon2 hashes and SCRAM
//!   secrets at a time as there are processors. A login that has waited 30 s gets `454 4.7.0`. A secret that needs more
//!   than 10,000,000 iterations, or 16 passes over 1 GiB, is refused when the users are read (all fixed).
//! - **Send a name or password that grows when it is prepared.** The limits of 512 and 9,216 octets hold before and
//!   after SASLprep; beyond them the client gets `535 5.7.8` (fixed).
//! - **Act as somebody else.** Refused, unless the [`Authenticator`](crate::Authenticator) allows it. A hook that calls
//!   [`Context::authenticate`](crate::Context::authenticate) is believed.
//! - **Send as somebody else.** Not prevented: neither the reverse-path nor the header `From` is compared with the
//!   identity. Your [`Session::mail`](crate::Session::mail) can do it.
//! - **Send without limit.** Not prevented, beyond the limits above: there are no quotas for an account.
//!
//! # Somebody between client and server
//!
//! - **Read and change what is sent.** TLS prevents it, implicit or by STARTTLS. rustls, which the command uses, speaks
//!   1.2 and 1.3 with forward secrecy and authenticated encryption only. native-tls with OpenSSL has no 1.3 in servers, and
//!   accepts older suites. By default there is no certificate ([`tls`](Builder::tls))
//!   and TLS is not required ([`require_tls`](Builder::require_tls),
//!   [`Listener::implicit_tls`](crate::Listener::implicit_tls)).
//! - **Take STARTTLS out of the reply to EHLO.** With `require_tls` no mail is accepted in clear (`530 5.7.0`), and
//!   with implicit TLS there is nothing to take out. Without either, clients that do not insist on TLS send in clear.
//! - **Add commands after STARTTLS, to have them run within TLS.** The connection is closed if anything has arrived
//!   already; what comes later fails the handshake. The session forgets all that it learned before TLS (fixed).
//! - **Cut a message short.** If the stream ends before the message does, with close_notify or without, nothing is
//!   delivered (fixed).
//! - **Learn a password.** Mechanisms that reveal it are offered within TLS and, while TLS is not required, to clients
//!   on this machine; [`clear_text_auth`](Builder::clear_text_auth) (false) offers them to all. SCRAM-SHA-256 does not
//!   reveal it, and its `-PLUS` form detects somebody in between.
//! - **Read or change what is relayed.** By default this is only protected against passive listeners: with
//!   [`UpstreamTls::WhenOffered`](crate::Upstream::tls) any certificate is taken, and none is needed. `Required` and
//!   `Implicit` check the certificate and its name.
//!
//! DANE and MTA-STS, which tell other servers to insist on TLS, are records in the DNS and files on the web: you
//! publish them, and the other servers check them.
//!
//! # What a message contains
//!
//! A message is whatever octets its sender chose, NULs and invalid UTF-8 included. Handlers get it as it was sent,
//! except for lone CRs and LFs. What is done to protect
//!
//! - **the handler:** Sender, recipients and peer in [`Envelope`](crate::Envelope) are parsed and checked. Headers of
//!   the message are claims, `X-Peer` and `Received` included; the server's own come first. An address is text that the
//!   client chose: a local part may contain `/`, and quoted also `../`, so do not make a path of it unchecked.
//!   `handlers::Mailboxes` checks it. A header that a handler [puts before](crate::Envelope::prepend_header) a message
//!   cannot contain a line end, and nothing that the client sent can continue it.
//! - **a handler that reads MIME:** Nothing is parsed unless you ask for it. `Envelope::parsed` does not recurse, takes
//!   time linear in the octets and memory of at most four times the octets and 32 MiB, and leaves a message on disk
//!   there. `mime::Message::cut` tells what exceeded a limit. An attachment's name is the last part of a path, without
//!   control characters. Its content is the sender's.
//! - **a terminal:** [`Debugging`](handlers::Debugging) escapes control characters and the controls of writing
//!   direction. A line of the message that looks like the frame around it is changed, even if it differs in ways that
//!   cannot be seen. A client's `X-Peer` comes below the server's.
//! - **the log:** Content is not logged, at any level. A [`Transcript`](crate::testing::Transcript) has the first KiB
//!   of a message, if [`transcripts`](Builder::transcripts) are made: an inbox makes them, a server does not by
//!   default.
//! - **a Maildir:** No part of a file's name comes from a client. The address of a recipient chooses one of the
//!   [`Mailboxes`](handlers::Mailboxes) that you made, and no address leads out of their root. Files have mode 0600, and
//!   folders that are made 0700. `Return-Path`, `Delivered-To` and `Received` are made from parsed values.
//! - **a program that answers for messages:** No shell has a part in it, no value in its environment has a control
//!   character, and of the server's environment it gets only what it needs. A client chooses most values, so they must be
//!   quoted in a shell. Its time, its number and what it writes are bounded.
//! - **a worker that takes messages off a queue:** `handlers::RedisStream::read` refuses an entry with a field that no
//!   server can have received, and names the field.
//! - **the next server:** No lone CR or LF is sent, except within BINARYMIME. Dots are stuffed anew. A message with
//!   more than 100 `Received` lines is in a loop and gets `554 5.4.6` (fixed). Parameters are passed on only if the
//!   next server offers them.
//! - **visitors of the web inbox:** HTML is shown in a sandboxed frame, under a policy by which nothing runs and
//!   nothing is loaded from elsewhere. A link shows its address first, and the tab that it opens learns nothing of the
//!   inbox. Remote images load only if the visitor asks for those of a message, in a frame of an origin of its own, so
//!   that no referrer goes with them; their server still learns the visitor's address, and gets its own cookies.
//!   Attachments are downloads, of a type that nothing runs; what the page shows of them are pictures and text.
//!
//! # The next server of a relay
//!
//! - **Stop, at any step.** The client gets a 4xx after [`Upstream::timeout`](crate::Upstream::timeout) (60 to 600 s).
//!   While the server is known to be silent, only one client at a time waits for it.
//! - **Fill memory with replies.** Of the replies to one message 64 KiB are kept, and of further ones the first 256
//!   octets each (fixed).
//! - **Learn who submitted a message.** `X-Peer` and `Received` contain the client's address.
//!   [`Proxy::x_peer`](handlers::Proxy::x_peer) turns off the first.
//!
//! # Visitors of the web inbox
//!
//! `-c Inbox` is a tool for development: it has no TLS, and no password unless you give `--http-users`. Anybody who can connect, and
//! knows the password if there is one, can read and delete all mail and script faults. So it listens on this machine alone, unless you
//! give `--http-public`.
//!
//! - **Reach it from another site, through a browser.** `Host`, `Origin` and `Sec-Fetch-Site` are checked, so neither
//!   another site nor a name that somebody has pointed here gets through. The machine's own host name is taken: whoever
//!   decides in your network what it leads to could point it at an inbox.
//! - **Guess a password.** Each client (for IPv6 each network of 64 bits) has ten wrong ones, and another every 5 s; one password is
//!   checked at a time, and one that was right is not checked again (fixed). Only a digest of it, with a key of the process, is
//!   remembered. Clients behind one proxy count as one. Without TLS in front of it, whoever listens reads the password.
//! - **Log in as anybody.** With `--accept-any-login` an identity means nothing: it is for tests. Passwords that people use
//!   elsewhere cross the network in clear.
//! - **Use it up.** There may be 128 visitors at once; a request has 10 s and a head of 16 KiB (all fixed). An answer
//!   that its visitor does not take at once needs one of 96 places, so that small answers, such as the page, always
//!   have some. A visitor that takes nothing for 10 s is cut off, and after 1 s if somebody else needs the place. Beside
//!   these, 1,024 visitors may wait for messages, or as many as there are file descriptors for.
//! - **Fill its memory.** It holds 10,000 messages, or 256 MiB with their recipients, conversations and what is
//!   searched (`--keep`, `--keep-octets`); then the oldest go, or mail is refused with `--when-full refuse`. With
//!   `--inbox-dir` the octets are those of the files, and what is known of the messages takes at most 256 MiB of memory.
//!   A message that is gone counts until the last visitor has read it. Visitors may keep as many octets of such
//!   messages as the inbox holds, at least 64 MiB; beyond that those who have read for longest are cut off, and with
//!   twice as many mail is refused until they have noticed. Messages on their way and answers come on top: at most
//!   64 MiB and 320 MiB.
//! - **Push mail out.** Whoever may send mail can fill the inbox, so that older messages go. The page and `/api/changes`
//!   tell how many went.
//!
//! `--metrics ADDR` has the same limits for its visitors, no password, and no check of `Host`: what it shows are counts, and nothing
//! of who sent what. Give it an address that only your monitoring can reach.
//!
//! # Somebody else on the machine
//!
//! - Spooled messages are in files without a name, not encrypted.
//! - The folder of `--inbox-dir` is made for the server's user alone, and its messages are not encrypted. A folder that
//!   was there before keeps its permissions.
//! - Everybody on this machine counts as near: they may log in without TLS, and a relay relays for them.
//! - A Unix socket has the permissions of [`Listener::mode`](crate::Listener::mode) or `--socket-mode` from before it
//!   listens, otherwise those that the process's umask leaves. The server removes it only while it is its own, and
//!   never replaces a socket that somebody listens on. But anybody who may write to its folder can put another there.
//! - Passwords are wiped from memory after use. What [`Users`](crate::Users) keeps stays as long as the server, in
//!   clear if the file has it in clear. The permissions of that file are not checked.
//! - A Maildir is refused at the start if it is a link, or its `tmp`, `new` or `cur` is one, or if it belongs to a user
//!   other than the process's and root. Later, only the folders that were opened then are used: if others are put in
//!   their place, messages are refused until that is mended. Anybody who may write to a Maildir can still remove what
//!   is in it.
//!
//! # The administrator's mistakes
//!
//! The server does not start, and says why, for
//!
//! - `require_tls` without a certificate, `require_auth` without users, an inbox that everybody could read, and
//!   settings that exclude each other;
//! - a hash of an unknown kind in the file of users, which must not be taken for a password;
//! - an encrypted key, or one in another format: the error has the command that converts it;
//! - a key that root can read and the user nobody, whom root becomes, cannot: it could not be renewed on SIGHUP.
//!
//! It does start, and does not notice,
//!
//! - **an open relay:** only [`open_relay`](handlers::Proxy::open_relay) or `--open-relay` makes one, but behind a load
//!   balancer on this machine all clients seem to be on this machine, unless the balancer names them by
//!   [`proxy_protocol`](Builder::proxy_protocol);
//! - **too large a network in `proxy_protocol` or `xclient`:** every address in it may pose as any client, and by
//!   XCLIENT as any user;
//! - **too large a network in [`xforward`](Builder::xforward):** every address in it may claim any origin for a message.
//!   No decision of this server depends on that;
//! - **the command run by root with `-n`:** it stays root. Without `-n` it becomes nobody once it listens, and the unit
//!   in `examples/deploy/` needs no root at all;
//! - **`panic = "abort"` in the program's profile:** any panic ends the process, since none can be caught;
//! - **a hook that needs more stack than [`worker_stack`](Builder::worker_stack) (1 MiB):** the process ends;
//! - **a handler that accepts before the message is safe:** a crash loses mail. See [`Handler`](crate::Handler);
//! - **a slow handler:** messages and their clients wait up to [`handler_timeout`](Builder::handler_timeout) (600 s),
//!   and enough such clients use up all connections. [`consumers`](Builder::consumers) and
//!   [`process_delivery`](crate::Handler::process_delivery) help.
//!
//! # What it does not defend against
//!
//! - Spam, viruses, phishing and forged senders: it has no SPF, DKIM, DMARC, DNS lists or filters. A
//!   [`Session`](crate::Session) or a [`Handler`](crate::Handler) may ask a program that checks them.
//! - Attacks from many addresses, or with more packets than the network can carry. All limits by address are off by
//!   default, since a test suite connects from one address. Without them one client may hold all connections: at 500
//!   octets a second a message of 32 MiB takes 18 hours.
//! - A full disk. Mail is then refused with a 4xx, but a Maildir without a [`quota`](handlers::Maildir::quota) has no
//!   limit, and anybody who may send mail may fill it.
//! - A full log. At `info` each message and each misbehaving client has a line. The command logs from `warn` on.
//! - Mail that arrives twice, by a client's mistake or intention.
//! - Bounces of other servers. It writes none itself: what it does not accept, it refuses while the client is
//!   connected.
//! - Anybody who can read the process's memory, its disk, or the private key.
//! - Faults of OpenSSL, the kernel or any other dependency, including what native-tls negotiates from TLS 1.2 on.
//! - Hooks and handlers that are not careful themselves.

#[cfg(doc)]
use crate::{Builder, Escaped, handlers};
