//! What pillarbox has beside other servers of its kind, and what they have that it has not.
//!
//! Looked up in November 2026, for aiosmtpd 1.4.6, smtpd of CPython 3.11, mailin-embedded 0.8.3 and nodemailer's smtp-server
//! 3.21.6 by running them and in their sources; for go-smtp in its sources (`conn.go` as of commit 6944e33, `server.go`
//! of 5d0023b, `data.go` of 434ddca); for Mailpit, MailHog and GreenMail in their documentation, and in Mailpit's and
//! MailHog's sources. "On request" is a setting that is off by default; "no" means that it was looked for and is not
//! there. Who finds an error here, or something that has changed, please says so.
//!
//! # Servers for programs
//!
//! | | pillarbox | aiosmtpd | smtpd | go-smtp | mailin-embedded | smtp-server |
//! |---|---|---|---|---|---|---|
//! | language | Rust | Python | Python, until 3.11 | Go | Rust | JavaScript |
//! | serves by | a thread for each connection | an event loop | an event loop | a goroutine for each connection | a pool of threads, 4 by default | an event loop |
//! | PIPELINING | yes | not offered, but works | not offered, but works | yes | not offered, but works | yes |
//! | SIZE | yes | yes | yes | yes | no | on request; over the limit is refused on request |
//! | 8BITMIME | yes | yes | yes | yes | yes | yes |
//! | SMTPUTF8 | on request | yes, or on request without a `Controller` | on request | on request | no | yes |
//! | ENHANCEDSTATUSCODES | yes | no | no | yes | no | on request |
//! | CHUNKING; BINARYMIME | yes; yes | no | no | yes; on request | no | no |
//! | DSN | yes | no, parameters of RCPT are refused | no, the same | on request | no | on request |
//! | REQUIRETLS | yes, within TLS | no | no | on request | no | on request |
//! | LIMITS RCPTMAX | yes | no | no | yes, if there is a limit | no | no |
//! | MT-PRIORITY, DELIVERBY | on request | no | no | on request | no | no |
//! | others | PRDR, FUTURERELEASE on request | | | RRVS on request | | XFORWARD on request |
//! | LMTP, a reply for each recipient | yes, yes | LHLO, but one reply | no | yes, yes | no | yes, yes |
//! | PROXY protocol | 1 and 2 | 1 and 2, with TLVs | no | no | no | 1 |
//! | XCLIENT | yes | no | no | no | no | yes |
//! | STARTTLS; implicit TLS | yes; yes | yes; yes | no | yes; yes | yes; no | yes; yes |
//! | AUTH that is there | PLAIN, LOGIN, SCRAM-SHA-256 and -PLUS, OAUTHBEARER, XOAUTH2, EXTERNAL | PLAIN, LOGIN | no | by go-sasl | PLAIN, LOGIN | PLAIN, LOGIN, XOAUTH2, CRAM-MD5 |
//! | AUTH of one's own | no | yes | no | yes | no | no |
//! | only CRLF.CRLF ends content | yes | yes | yes | yes | **no**, LF.CRLF does too | yes |
//! | lone CR and LF in content | made CRLF, refused, or kept | kept | kept | kept | kept | kept |
//! | a bare LF ends a command | no | yes | no | yes | no | yes |
//! | time for a command, by default | 300 s in total | 300 s in total | no limit | no limit; in total if there is one | 300 s for each read | 60 s without a sign of life |
//! | connections, by default | 1,000 | no limit | no limit | no limit | as many as threads, others wait | no limit; on request |
//! | limits for an address or network | on request | no | no | no | no | no |
//! | recipients, by default | 1,000 | no limit | no limit | no limit; on request | no limit | no limit; on request |
//! | errors that end a connection | 20 of any kind, 3 of AUTH | 5 unknown commands | none | more than 3 unknown or bad commands | none | 10 unknown commands |
//! | content | in memory, and on disk when memory runs short; whole | in memory; whole | in memory; whole | as it comes | as it comes | as it comes |
//! | a handler that fails | `451`, the message stays with its client | `500` with the exception's text | connection ends | `421` for a panic | the handler's affair | the handler's affair |
//! | at shutdown | idle clients are told, messages in progress finish | all are cut | all are cut | waits for clients to go by themselves, as long as the program likes | no shutdown | waits 30 s, then tells those that are left and cuts them |
//! | to print, store and relay | `Debugging`, `Maildir`, `Proxy`, `Mailman`, `RedisStream` | `Debugging`, `Mailbox`, `Proxy` | `DebuggingServer`, `PureProxy`, `MailmanProxy` | no | no | no |
//!
//! Where the others do better:
//!
//! - go-smtp, mailin-embedded and smtp-server hand content to the program while it comes. Here it is seen when it is complete.
//! - aiosmtpd and smtp-server have no thread for each connection, nor does go-smtp, whose goroutines are cheaper. For tens of
//!   thousands of connections at once they are the better choice, and so they are in a program that is asynchronous anyway.
//! - aiosmtpd and go-smtp take SASL mechanisms of one's own.
//! - aiosmtpd, go-smtp and smtp-server take whatever their TLS library can be told: client certificates, several names. Here
//!   native-tls can do neither, and another library has to be brought: `examples/rustls.rs`.
//! - go-smtp has an SMTP client as well. The one here is for the relaying handlers alone.
//! - All of them have been in use for years. pillarbox is new.
//!
//! # Servers for tests
//!
//! | | pillarbox | Mailpit 1.27 | MailHog 1.0 | GreenMail 2.1 |
//! |---|---|---|---|---|
//! | used from | Rust, in the test's own process; any language over HTTP | any language over HTTP | any language over HTTP | Java, in the test's own process; stand-alone |
//! | waits for a message | yes, in Rust and over HTTP | | | yes, in Java |
//! | page in a browser | yes | yes | yes | |
//! | JSON API | yes | yes | yes | |
//! | faults on purpose | by verb, count, sender, recipient, message and chance: replies, delays, dripping, closes and resets, stalls, TLS, extensions, greylisting | refusals of sender, recipient and login, by chance | refusals of connections, senders, recipients and logins, disconnects and slow links, by chance | |
//! | what was said on the wire | yes, with times | | | |
//! | certificates made for a test | yes | | | |
//! | a message answered by the test itself | yes | | | |
//! | IMAP, POP3 | no | POP3 | no | both |
//! | checks of HTML, links and spam score | no | yes | no | |
//! | tags on messages | no | yes | no | |
//! | release to a real server | no | yes | yes | no, by design |
//! | kept over a restart | no | yes, in a database | yes, MongoDB or Maildir | |
//! | password for the page and API | no | yes | yes | |
//!
//! An empty field was not looked up. Mailpit shows mail better and checks more of it, and is the better choice for looking at
//! mail by hand and sharing it in a team. MailHog is no longer maintained, as Mailpit's documentation says. GreenMail also tests
//! the other direction, programs that fetch mail. pillarbox is for tests that need a server which misbehaves as told, speaks
//! the protocol to the letter, and is gone with the test.
