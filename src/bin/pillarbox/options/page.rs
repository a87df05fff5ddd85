//! The manual page and the shells' completions, from the words of the command line.

use std::io::{self, Write};

use super::help::{CLASSES, EXAMPLES, LISTENERS};

/// The manual page after the options, in roff.
const MORE_OF_THE_PAGE: &str = r#".SH SIGNALS
.TP
SIGINT, SIGTERM
Stop: idle clients get a 421, and messages in progress may finish within fifteen seconds. A second signal stops it at once.
A worker (pillarbox deliver) takes no more messages, and gives back those that it has not finished by then.
.TP
SIGHUP
Reload certificates, their keys, authorities, revocation lists, the certificates for Redis and the files of users. Without any of these it ends the server. A file that
cannot be read or used changes nothing, and the log has a line for it. When files of certificates, keys, authorities or lists change, they
are reloaded within ten seconds, without the signal. Unless \-n is given, root becomes the user nobody, who must be able to read these
files: otherwise the server does not start. For a file of users that nobody cannot read there is only a warning.
.SH CLIENT CERTIFICATES
With \-\-client\-ca the server asks clients for a certificate, except at listeners with no\-auth. A certificate that no authority in the
file signed ends the handshake; a client without any may connect. With AUTH EXTERNAL the client's identity is the first e\-mail address in
its certificate's subjectAltName, else the first DNS name there, else the common name of the subject. An authorization identity must be the
same.
.P
With \-\-client\-crl revoked certificates end the handshake too. The file must have a list (PEM, version 2) of each authority in a client's
chain. Clients of an authority that has no list, or whose list has expired, are refused.
.SH LOGINS FOR TESTS
With \-\-accept\-any\-login a client may log in by PLAIN, LOGIN, CRAM\-MD5, XOAUTH2 or OAUTHBEARER, also without TLS, and any
name and password are accepted; an empty name becomes anonymous. SCRAM is not offered, because it needs the server to know the password.
Identities then prove nothing: the relaying classes refuse to start with this option, and a program of the class Pipe must not rely on
PILLARBOX_IDENTITY. Passwords cross the network in clear, so use this in test networks only. \-\-clear\-text\-auth is for \-\-users: it
offers PLAIN and LOGIN without TLS, and anyone who can listen on the network reads the passwords.
.SH ENVIRONMENT
.TP
PILLARBOX_SIZE and so on
Each option as a variable: PILLARBOX_ and its name in capitals, with _ for \-. PILLARBOX_LOCALADDR and PILLARBOX_REMOTEADDR are the
addresses; PROGRAM has none. Flags, and options whose value is optional, take true or false (or yes, no, on, off, 1, 0). Options that can
be repeated take several values, separated by semicolons or line ends; lists have commas. An empty variable counts as unset. The command
line overrides variables. Unknown variables that begin with PILLARBOX_ cause a warning, unless Kubernetes or Docker sets them for a
service. The variables that a program of the class Pipe gets for its message are never taken for options.
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
Counters of connections, messages, refusals and more, for a worker of its deliveries, as OpenMetrics, or as Prometheus's text format if
Accept asks for it.
.TP
/livez
200 while the server works; 503 if a listener or a handler hangs.
.TP
/readyz
The same, and 503 once a shutdown has begun, or while the Redis of the class RedisStream or of a worker is away.
.PP
The class Inbox answers requests for IP addresses and for the host names localhost, the machine's own, and those of \-\-http\-host. So no
other site can read it under a name of its own (DNS rebinding). With \-\-http\-users the page, the API and /metrics ask for a name and a
password (HTTP Basic); /livez and /readyz do not. A client may be wrong ten times, and once more every five seconds; beyond that it gets
429. Without a TLS proxy in front, passwords cross the network in clear.
.SH WHAT THE CLASS INBOX KEEPS
At most \-\-keep messages and \-\-keep\-octets octets. These are the octets of the contents and metadata, or with \-\-inbox\-dir of the
files. When a message does not fit, the oldest are deleted; with \-\-when\-full refuse it is refused with 452 4.3.1 until some are deleted.
A message that is larger than \-\-keep\-octets is refused while there are others.
.PP
With \-\-inbox\-dir each message is a file ID.mail, which only the server's user can read, and which is on disk before the message is
accepted. The metadata are in memory: at most 256 MiB. Only one process at a time can use the folder. Files that are not messages, or are
damaged, are logged and left alone.
.SH REDIS
The class RedisStream answers 250 once Redis has a message. That is as durable as Redis is: it needs appendonly yes, appendfsync always and
maxmemory\-policy noeviction. Put a URL with a password into the environment (PILLARBOX_REDIS): everybody on the machine can read the
command line. No message of pillarbox shows it. The URL may also be redis+unix:///PATH, for a
socket; one that begins with rediss:// asks for TLS. While Redis is away or full, clients get a 4xx before they send any content.
.SH THE API OF THE CLASS INBOX
At \-\-http, for tests in any language. /api/openapi.json describes all of it. Clients made for Mailpit work with /api/v1/.
.TP
GET /api/wait?to=ADDR&from=ADDR&subject=TEXT&search=WORDS&count=1&after=ID&timeout=10
The complete messages that match, as soon as there are count of them; earlier ones count too. If too few come in time, 404 and a list of
what did arrive.
.TP
GET /api/messages, DELETE /api/messages
List or delete messages, selected by to, from, subject and search. /api/messages/ID is one message, and /api/messages/ID/source its octets.
.TP
POST /api/messages/ID/release
Send a message on through the server of \-\-release\-to, to the recipients in {"to": ["ann@example.org"]}. Each must match a
\-\-release\-pattern, where * is any characters. The answer has the server's reply for each recipient. Without these options it is refused.
.TP
PUT /api/faults
Set the rules by which the SMTP server misbehaves.
.PP
An unknown path, method or parameter is an error that names what there is.
.SH THE PROGRAM OF THE CLASS PIPE
It gets the message on stdin, and the envelope in variables: PILLARBOX_SENDER, PILLARBOX_RECIPIENTS (one a line),
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
                write_section(out, "CLASSES", CLASSES)?;
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
