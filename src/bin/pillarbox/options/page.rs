//! The manual page and the shells' completions, from the words of the command line.

use std::io::{self, Write};

use super::help::{EXAMPLES, LISTENERS};

/// The manual page after the options, in roff.
const MORE_OF_THE_PAGE: &str = r#".SH SIGNALS
.TP
SIGINT, SIGTERM
Stop: idle clients are told, and messages in progress may finish within fifteen seconds. A second signal stops it at once.
A worker (pillarbox deliver) takes no more messages, and gives back what it has not finished by then.
.TP
SIGHUP
Reads the certificates, their keys, the authorities of clients, their revocation lists, the certificates for Redis and the files of users again, if there
are any; else it ends it. Whatever cannot be read or used stays as it was, with a line in the log. Files of certificates, keys, authorities
and lists that change are read again within ten seconds without it. Root becomes the user nobody unless \-n is given, so nobody must be able to read
these files, and the start fails otherwise; of users that nobody cannot read it warns.
.SH CLIENT CERTIFICATES
With \-\-client\-ca clients are asked for a certificate, except by listeners with no\-auth. One that no authority in the file
signed ends the handshake; without any a client may connect. AUTH EXTERNAL makes a client the first e\-mail address of its certificate's
subjectAltName, else the first DNS name there, else the common name of its subject; an authorization identity must be the same.
.P
With \-\-client\-crl certificates that are revoked end the handshake too. The file has a list (PEM, of version 2) of each authority in
a client's chain: a client of whom no list speaks is refused, and so are all clients of an authority whose list has expired.
.SH LOGINS FOR TESTS
With \-\-accept\-any\-login a client may log in by PLAIN, LOGIN, CRAM\-MD5, XOAUTH2 or OAUTHBEARER, also without TLS, and whatever
it sends is right; an empty name becomes anonymous. SCRAM is not offered: there the server must know the password too. No identity means
anything then, so the relaying classes refuse to start with it, and a program of the class Pipe must not rely on PILLARBOX_IDENTITY.
Passwords that people use elsewhere cross the network in clear: keep it to networks of tests. \-\-clear\-text\-auth is for \-\-users:
PLAIN and LOGIN are offered without TLS, and whoever listens reads the passwords.
.SH ENVIRONMENT
.TP
PILLARBOX_SIZE and so on
Each option as a variable: PILLARBOX_ and its name in capitals, with _ for \-. PILLARBOX_LOCALADDR and PILLARBOX_REMOTEADDR are the
addresses; PROGRAM has none. Flags, and options whose value is optional, take true or false (or yes, no, on, off, 1, 0). Options that can
be repeated take several values with semicolons or line ends between them, and those that take lists have commas. An empty variable is
none. What the command line says wins. Other variables that begin with PILLARBOX_ are warned of, unless Kubernetes or Docker sets them for a
service. A program of the class Pipe has the variables of its message, and pillarbox takes none of them for an option.
.TP
RUST_LOG
The level of the log on stderr: off, error, warn (the default), info, debug or trace (as with \-\-debug).
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
Set by systemd, which is then told when the server is ready, reloads or stops, and that it works: see sd_notify(3).
.SH HTTP
With \-\-metrics, and with the class Inbox at \-\-http:
.TP
/metrics
Counters of connections, messages, refusals and more, of a worker of deliveries, as OpenMetrics, or as Prometheus's text format by the field Accept.
.TP
/livez
200 while the server works, 503 if a listener or a handler hangs.
.TP
/readyz
The same, and 503 once a shutdown has begun, or while the Redis of the class RedisStream or of a worker is away.
.PP
The class Inbox answers by the names localhost, the machine's own host name, those of \-\-http\-host, and addresses; so no page of another
site can read it under a name of its own (DNS rebinding). With \-\-http\-users page and API ask for a name and a password (HTTP Basic),
/metrics there as well; /livez and /readyz do not. A client has ten wrong ones, and another every five seconds; then it gets 429. Without
TLS in front of it, passwords cross the network in clear.
.SH WHAT THE CLASS INBOX KEEPS
At most \-\-keep messages and \-\-keep\-octets octets: of their contents with what is known of them, or with \-\-inbox\-dir of
the files. When there is no room for a message, the oldest go; with \-\-when\-full refuse the message is refused with 452 4.3.1 until
some are deleted. One that is larger than all of the room is refused while there are others.
.PP
With \-\-inbox\-dir each message is a file ID.mail, made for the server's user alone, and on disk before the message is accepted.
What is known of the messages is in memory: at most 256 MiB. The folder is for one process at a time. Files that are no messages, or are
damaged, are named in the log and left alone.
.SH REDIS
The class RedisStream answers 250 once Redis has a message. That is as durable as Redis is: it needs appendonly yes, appendfsync always and
maxmemory\-policy noeviction. A URL may also be redis+unix:///PATH, for a socket. One with a password is better in the environment (PILLARBOX_REDIS) than on the command line, which everybody
on the machine can read; no message shows it. While Redis is away or full, clients read a 4xx before they send a content.
.SH THE API OF THE CLASS INBOX
At \-\-http, for tests in any language. /api/openapi.json describes it whole. Clients made for Mailpit find their paths at /api/v1/.
.TP
GET /api/wait?to=ADDR&from=ADDR&subject=TEXT&search=WORDS&count=1&after=ID&timeout=10
The messages that match, whole, once there are so many; those that are there already count. 404 with what did arrive if too few come.
.TP
GET /api/messages, DELETE /api/messages
List or delete messages, by the same to, from, subject and search. /api/messages/ID is one of them, /api/messages/ID/source its octets.
.TP
POST /api/messages/ID/release
Sends a message on to the server that \-\-release\-to names, to {"to": ["ann@example.org"]}, if \-\-release\-pattern allows each
recipient: an address in which * stands for any characters. The answer has the reply for each. Without these options it is refused.
.TP
PUT /api/faults
Rules by which the SMTP server misbehaves.
.PP
An unknown path, method or parameter is an error that names what there is.
.SH THE PROGRAM OF THE CLASS PIPE
It gets the message on its stdin, and the envelope as variables: PILLARBOX_SENDER, PILLARBOX_RECIPIENTS (one a line),
PILLARBOX_PEER, PILLARBOX_HELO, PILLARBOX_PROTOCOL, PILLARBOX_IDENTITY, PILLARBOX_TLS, PILLARBOX_ID, PILLARBOX_SIZE and others. Of the
server's variables it gets PATH, HOME, USER, LOGNAME, TMPDIR, LANG, LC_ALL, LC_CTYPE and TZ; env(1) sets others. Exit status 0 accepts the message,
75 asks the client to try again, any other refuses it. A last line on stdout such as \(dq550 5.7.1 no spam\(dq is the reply
instead; it accepts nothing unless the exit status is 0. What it prints on stderr is logged.
.SH EXIT STATUS
0 after a signal to stop, 1 if it cannot start or got a second signal, 2 for errors in the command line.
.SH SEE ALSO
curl(1), swaks(1), systemd.service(5), systemd.socket(5)"#;

/// What is made from the words of the command line.
#[derive(Clone, Copy)]
pub enum Generated {
    Man,
    Completions(clap_complete::Shell),
}

impl Generated {
    pub fn write(self, command: clap::Command, deliver: clap::Command, out: &mut impl Write) -> io::Result<()> {
        match self {
            Generated::Man => {
                let page = clap_mangen::Man::new(command);
                page.render_title(out)?;
                page.render_name_section(out)?;
                page.render_synopsis_section(out)?;
                page.render_description_section(out)?;
                page.render_options_section(out)?;
                write_section(out, "LISTENERS", LISTENERS)?;
                write_section(out, "EXAMPLES", EXAMPLES)?;
                write_deliver(out, deliver)?;
                writeln!(out, "{MORE_OF_THE_PAGE}")
            }
            Generated::Completions(shell) => {
                // It cannot report what goes wrong.
                let mut script = Vec::new();
                let mut command = command.subcommand(deliver);
                clap_complete::generate(shell, &mut command, "pillarbox", &mut script);
                out.write_all(&script)
            }
        }
    }
}

/// The subcommand's part of the manual page: the same sections, a level deeper.
fn write_deliver(out: &mut impl Write, deliver: clap::Command) -> io::Result<()> {
    let about = deliver.get_about().map(ToString::to_string).unwrap_or_default();
    let examples = deliver.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = clap_mangen::Man::new(deliver);
    let mut options = Vec::new();
    page.render_synopsis_section(&mut options)?;
    page.render_options_section(&mut options)?;
    writeln!(out, ".SH PILLARBOX DELIVER\n{about}.")?;
    out.write_all(String::from_utf8_lossy(&options).replace(".SH ", ".SS ").as_bytes())?;
    write_section(out, "EXAMPLES OF PILLARBOX DELIVER", &examples)
}

/// A section of the manual page, from one of the help: not as clap makes it, which fills its lines.
fn write_section(out: &mut impl Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, ".SH {name}\n.nf")?;
    for line in help.lines().skip(1) {
        writeln!(out, "{}", line.strip_prefix("  ").unwrap_or(line).replace('-', "\\-"))?;
    }
    writeln!(out, ".fi")
}

pub fn parse_generated(text: &str) -> Result<Generated, String> {
    match text {
        "man" => Ok(Generated::Man),
        shell => shell.parse().map(Generated::Completions),
    }
}
