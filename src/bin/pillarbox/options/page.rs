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
Reads the certificates, their keys, the authorities of clients, the certificates for Redis and the file of users again, if there are any; else it ends it.
Whatever cannot be read or used stays as it was, with a line in the log. Files of certificates, keys and authorities that change are
read again within ten seconds without it. Root becomes the user nobody unless \-n is given, so nobody must be able to read
these files, and the start fails otherwise; of users that nobody cannot read it warns.
.SH CLIENT CERTIFICATES
With \-\-client\-ca clients are asked for a certificate, except by listeners with no\-auth. One that no authority in the file
signed ends the handshake; without any a client may connect. AUTH EXTERNAL makes a client the first e\-mail address of its certificate's
subjectAltName, else the first DNS name there, else the common name of its subject; an authorization identity must be the same.
.SH ENVIRONMENT
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
.SH REDIS
The class RedisStream answers 250 once Redis has a message. That is as durable as Redis is: it needs appendonly yes, appendfsync always and
maxmemory\-policy noeviction. A URL with a password is better in the environment (PILLARBOX_REDIS) than on the command line, which everybody
on the machine can read; no message shows it. While Redis is away or full, clients read a 4xx before they send a content.
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
