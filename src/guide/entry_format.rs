//! The format in which a message waits in a queue: what to read if you write a worker, or a handler for another broker.
//!
//! [`handlers::RedisStream`] puts each message into a stream as an entry of names and values. Workers in any language can
//! read it. Nothing else goes into the stream.
//!
//! 1. In Rust you need none of the details: [`RedisStream::read`](handlers::RedisStream::read) makes an [`Envelope`] of an entry, and
//!    [`RedisStream::entry`](handlers::RedisStream::entry) an entry of an [`Envelope`].
//! 2. In another language, read [the fields](#the-fields), [what a worker does](#what-a-worker-does) and
//!    [`examples/redis_worker.py`](#a-worker-in-python).
//! 3. For Kafka, NATS, SQS or another broker, read [other brokers](#other-brokers).
//!
//! # The fields
//!
//! | field | when | value |
//! |---|---|---|
//! | `version` | always | `1`, or soon `2`: see [versions](#versions) |
//! | `id` | always | [`Envelope::id`], different for each message: `5eb63bbbe01eeed0-7-1`, at most 48 octets of digits, `a` to `f` and hyphens |
//! | `received_at` | always | when its last octet arrived, in nanoseconds since 1970 (UTC), in decimal |
//! | `peer`, `local` | always | the connection's ends: `192.0.2.1:40212`, `[2001:db8::1]:25`, `unix:` and a path, if it has one, or `unknown` |
//! | `hostname` | always | the server's name, as it stands in its banner |
//! | `helo` | always | the name that the client gave in HELO or EHLO; ASCII, at most 255 octets |
//! | `protocol` | always | [`Protocol`] in upper case: `ESMTPSA` |
//! | `mail_from` | always | the reverse-path without angle brackets; empty if it is null |
//! | `mail_options` | always | the parameters of MAIL, as the client sent them, separated by blanks; often empty |
//! | `recipients` | always | for each recipient two [netstrings](https://cr.yp.to/proto/netstrings.txt): the address, and the parameters of RCPT separated by blanks |
//! | `content` | always | the octets of the message |
//! | `identity` | if the client has authenticated | the user |
//! | `xforward` | if the client said XFORWARD | where the message came from before its client: `ADDR=192.0.2.1 HELO=client.example` |
//! | `tls` | if it came within TLS | `yes` |
//! | `tls_version`, `tls_cipher`, `tls_server_name` | if they are known | `TLSv1.3`, the suite, and the name that the client asked for |
//! | `tls_client_certificate` | if the client sent one | the certificate as DER |
//!
//! - **Order.** Fields come in any order, each at most once. Ignore those that you do not know: a later pillarbox may add some
//!   without a new version.
//! - **Text.** All values but `content` and `tls_client_certificate` are UTF-8 without control characters. Addresses have other
//!   characters than ASCII only if the client asked for SMTPUTF8, which then stands in `mail_options`.
//! - **Netstrings.** A length in decimal, a colon, that many octets, a comma: one recipient without parameters is
//!   `15:bob@example.org,0:,`. Addresses may contain commas, colons and quotes; lengths count octets, not characters.
//! - **xtext.** Parameters are as on the wire, so ENVID, ORCPT and AUTH in `mail_options` and `recipients`, and the values of
//!   `xforward`, are encoded as xtext (RFC 3461 section 4): `+` and two upper case hexadecimal digits stand for an octet,
//!   `a+2Bb` is `a+b`.
//! - **Content.** Lines end with CRLF, and the message ends with one. The dots that SMTP adds are taken out. No header is added: a
//!   worker writes `Return-Path` (from `mail_from`) and `Received` if it wants them; a [`Maildir`](handlers::Maildir) does. Octets may
//!   have any value, and with BODY=BINARYMIME a CR or LF may stand alone.
//!
//! [`RedisStream::read`](handlers::RedisStream::read) checks all of this, so that nobody who can write to the stream can put a line
//! into a header or a path into a file's name. A worker in another language must not use `hostname` and `id` for file names or
//! headers without a check of its own, unless only pillarbox has the right to XADD.
//!
//! # What a worker does
//!
//! The stream is `pillarbox` and the consumer group is `pillarbox`, if they are not configured. Several groups would each get all
//! messages, but the first one that deletes an entry deletes it for all: use one.
//!
//! 1. Read (XREADGROUP) what this worker's name has taken before and not finished (id `0`), then new entries (id `>`). If the answer is
//!    NOGROUP, make the group (XGROUP CREATE, id `0`, MKSTREAM). Do not make it at each start: that needs memory, which a Redis at its
//!    `maxmemory` refuses. From Redis 7 on a script that begins with `#!lua flags=allow-oom` may make it even then.
//! 2. Store the message so that it survives a crash, under a name that is the same for each worker: see [once](#once).
//! 3. Delete and acknowledge the entry: XDEL and XACK, not within MULTI, which a Redis at its `maxmemory` refuses. Without XDEL the
//!    stream fills up.
//! 4. Now and then take over what workers that are gone have left (XAUTOCLAIM), and follow its cursor to the end of the list:
//!    entries that nobody can read may stand before others.
//! 5. Leave an entry that you cannot read where it is, or move it to a stream of its own; never delete it.
//!
//! # Once
//!
//! A worker that is killed between steps 2 and 3 leaves a message that is stored and still in the stream. Whoever handles it again
//! must know it: by `id`, `received_at` and `hostname`, which together are different for each message. A
//! [`Maildir`](handlers::Maildir) with [`once`](handlers::Maildir::once) makes a file's name of them, and workers in other
//! languages that share its folder have to make the same:
//!
//! ```text
//! SECONDS.NNANOSECONDSIID.HOSTNAME        1800000000.N000000042I5eb63bbbe01eeed0-7-1.mx.example
//! ```
//!
//! SECONDS and NANOSECONDS (nine digits) are `received_at`; in HOSTNAME, `/` is written as `\057` and `:` as `\072`. If that has more
//! than 100 octets, its first 60 stand there (less the part of a character), `~`, and 32 hexadecimal digits of the 128-bit FNV-1a of all. The message
//! is there if `new` has the name, or `cur` has it with or without flags (`:2,S`). This finds a message again in one Maildir that
//! all workers share, while its file is there. It does not if a reader has deleted or moved the file, or if workers have a Maildir
//! each.
//!
//! A message that its client sends twice, because the 250 did not arrive, is two messages with two ids, as with any mail server.
//!
//! # A worker in Python
//!
//! `examples/redis_worker.py`, with which the tests run beside the one in Rust:
//!
//! ```python
#![doc = include_str!("../../examples/redis_worker.py")]
//! ```
//!
//! # Versions
//!
//! This pillarbox writes version `1`, and reads `1` and `2`: a version differs from the one before only by what a reader of that
//! may ignore. Write your worker the same way, and leave entries of any other version where they are.
//!
//! When you upgrade, upgrade the workers first and the servers last; when you go back, the other way round. From one version to
//! the next the order does not matter.
//!
//! # Dead letters
//!
//! What a [`RedisWorker`](handlers::RedisWorker) cannot deliver goes to a stream of its own, `pillarbox:dead` by default: the same
//! fields, with those recipients alone who did not get the message, and `dead_reason` (the reply, or what is wrong with the
//! entry), `dead_entry` (its id in the stream), `dead_attempts` and `dead_at` (seconds since 1970). Workers ignore these fields, so
//! you can add such an entry to the stream again.
//!
//! # Other brokers
//!
//! [`RedisStream::entry`](handlers::RedisStream::entry) gives the same fields, the content last, for any broker:
//!
//! - If its messages have headers for octets of any kind (Kafka), make the fields headers and `content` the value.
//! - If its headers are text (AMQP's are, SQS's attributes too), encode `tls_client_certificate` with base64 or leave it out.
//! - If a message is one string of octets (NATS), write a netstring for each name and each value in turn. A reader needs no more
//!   than the one that it has for `recipients`.
//!
//! Answer 250 when the broker has acknowledged the message, and no sooner: [`Handler::process_delivery`] lets the handler answer
//! later, so many messages are under way at once. `examples/nats/` does that for JetStream; the tests run it with a real NATS server,
//! and kill that.

#[cfg(doc)]
use crate::{Envelope, Handler, Protocol, handlers};
