//! Python's smtplib: dots doubled after every line feed, CRLF added at the end of a last line without it, verbs in lower
//! case, SIZE with MAIL. Given a string it makes all line ends CRLF; given bytes it leaves them.

use std::process::Command;

use pillarbox::{Body, Endpoint, Envelope, Protocol, Reply};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_mail, assert_nothing_received, assert_received, assert_received_from, builder, choosy_inbox,
    hundred_recipients, inbox, inbox_on_ipv6, inbox_on_unix_socket, port, receive, utf8,
};
use crate::support::{self, Finished};

/// Runs a script that finds `smtp` connected to this server, `content` on its standard input and its own arguments in `args`.
fn python(server: &[&str], script: &str, args: &[&str], content: &[u8]) -> Option<Finished> {
    const CONNECT: &str = "
import smtplib, socket, sys

class Unix(smtplib.SMTP):
    def _get_socket(self, path, port, timeout):
        unix = socket.socket(socket.AF_UNIX)
        unix.settimeout(timeout)
        unix.connect(path)
        return unix

args = sys.argv[4:]
smtp = (Unix if sys.argv[3] == 'unix' else smtplib.SMTP)(local_hostname=sys.argv[1], timeout=60)
smtp.connect(sys.argv[2], 0 if sys.argv[3] == 'unix' else int(sys.argv[3]))
content = sys.stdin.buffer.read()
";
    let mut python = Command::new(support::program("python3")?);
    // -I: nothing of the user's own settings and modules.
    python.args(["-I", "-X", "utf8", "-c", &format!("{CONNECT}{script}\nsmtp.quit()\n"), CLIENT]);
    Some(support::run(python.args(server).args(args), content))
}

const SENDMAIL: &str = "assert smtp.sendmail(args[0], args[1:], content) == {}";

#[track_caller]
fn arrives(content: &[u8]) {
    arrives_as(content, &contents::terminated(content));
}

#[track_caller]
fn arrives_as(content: &[u8], expected: &[u8]) {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let Some(python) = python(&server, SENDMAIL, &[SENDER, RECIPIENT], content) else {
        return;
    };
    python.succeeded();
    let mail = assert_received(&inbox, expected);
    assert_eq!(mail.protocol(), Protocol::Esmtp);
    assert_eq!(mail.mail_parameters().size(), Some(content.len() as u64));
    assert_eq!(mail.mail_parameters().body(), None);
}

#[test]
fn plain() {
    arrives(contents::PLAIN);
}

#[test]
fn lines_beginning_with_dots() {
    arrives(contents::DOTS);
}

#[test]
fn only_dots() {
    arrives(contents::ONLY_DOTS);
}

#[test]
fn utf8_body() {
    arrives(contents::UTF8);
}

#[test]
fn every_octet() {
    arrives(&contents::octets());
}

#[test]
fn no_final_line_end() {
    arrives(contents::UNTERMINATED);
}

#[test]
fn empty() {
    arrives(contents::EMPTY);
}

#[test]
fn a_long_line() {
    arrives(&contents::long_line());
}

#[test]
fn thirty_mebibytes() {
    arrives(&contents::large());
}

/// Of bytes with lone line feeds Python doubles the dots after those too, and the server undoes them in the lines that it
/// makes.
#[test]
fn lone_line_feeds() {
    arrives_as(
        b"Subject: x\n\n.one\n..two\n.\n...\nend\r\n",
        b"Subject: x\r\n\r\n.one\r\n..two\r\n.\r\n...\r\nend\r\n",
    );
}

/// What ends a line for another server ends nothing here: two messages would be a smuggled one.
#[test]
fn a_dot_between_lone_line_ends() {
    arrives_as(
        b"Subject: x\r\n\r\na\r.\rb\n\r.\r\nMAIL FROM:<evil@example.org>\r\n",
        b"Subject: x\r\n\r\na\r\n.\r\nb\r\n\r\n.\r\nMAIL FROM:<evil@example.org>\r\n",
    );
}

#[test]
fn a_string_gets_crlf() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "smtp.sendmail(args[0], args[1], 'Subject: x\\n\\n.one\\r..two\\r\\nend')";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], b"") else {
        return;
    };
    python.succeeded();
    assert_received(&inbox, b"Subject: x\r\n\r\n.one\r\n..two\r\nend\r\n");
}

#[test]
fn eight_bit_mime() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "smtp.sendmail(args[0], args[1], content, mail_options=['BODY=8BITMIME'])";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], contents::UTF8) else {
        return;
    };
    python.succeeded();
    let mail = assert_received(&inbox, contents::UTF8);
    assert_eq!(mail.mail_parameters().body(), Some(Body::EightBitMime));
    assert_eq!(mail.mail_options(), [&format!("SIZE={}", contents::UTF8.len()), "BODY=8BITMIME"]);
}

#[test]
fn smtputf8() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
from email.message import EmailMessage
mail = EmailMessage()
mail['From'] = 'J\u{f6}rg <\u{fc}ser@ex\u{e4}mple.org>'
mail['To'] = 'b\u{f6}b@ex\u{e4}mple.org'
mail['Subject'] = 'Gr\u{fc}\u{df}e'
mail.set_content('.dot\\n\u{20ac}\\n')
assert smtp.send_message(mail) == {}
";
    let Some(python) = python(&server, script, &[], b"") else {
        return;
    };
    python.succeeded();
    let expected = "From: J\u{f6}rg <\u{fc}ser@ex\u{e4}mple.org>\r\nTo: b\u{f6}b@ex\u{e4}mple.org\r\n\
        Subject: Gr\u{fc}\u{df}e\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 8bit\r\n\
        MIME-Version: 1.0\r\n\r\n.dot\r\n\u{20ac}\r\n";
    let (from, to) = ("\u{fc}ser@ex\u{e4}mple.org", "b\u{f6}b@ex\u{e4}mple.org");
    let mail = assert_received_from(&inbox, from, &[to], expected.as_bytes());
    assert_eq!(mail.protocol(), Protocol::Utf8Smtp);
    assert!(mail.mail_parameters().smtputf8());
    assert_eq!(mail.mail_options(), [&format!("SIZE={}", expected.len()), "SMTPUTF8", "BODY=8BITMIME"]);
}

/// A server that was not told to offer SMTPUTF8 is never sent such an address.
#[test]
fn smtputf8_not_offered() {
    let inbox = builder().smtputf8(false).inbox("127.0.0.1:0").expect("a free port");
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
from email.message import EmailMessage
mail = EmailMessage()
mail['From'], mail['To'] = args[0], 'b\u{f6}b@example.org'
try:
    smtp.send_message(mail)
except smtplib.SMTPNotSupportedError:
    print('not supported')
";
    let Some(python) = python(&server, script, &[SENDER], b"") else {
        return;
    };
    assert_eq!(python.succeeded().stdout, "not supported\n");
    assert_nothing_received(&inbox);
}

#[test]
fn attachment() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
from email.message import EmailMessage
mail = EmailMessage()
mail['From'], mail['To'], mail['Subject'] = args[0], args[1], 'attached'
mail.set_content('.one\\n\\n..two\\n')
mail.add_attachment(content, maintype='application', subtype='octet-stream', filename='all.bin')
mail.set_boundary('frontier')
smtp.send_message(mail)
";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], &contents::attachment()) else {
        return;
    };
    python.succeeded();
    let expected = format!(
        "From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: attached\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n\
         --frontier\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         .one\r\n\r\n..two\r\n\r\n\
         --frontier\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"all.bin\"\r\nMIME-Version: 1.0\r\n\r\n\
         {}\r\n\r\n--frontier--\r\n",
        contents::base64(&contents::attachment())
    );
    assert_received(&inbox, expected.as_bytes());
}

#[test]
fn null_reverse_path() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let Some(python) = python(&server, SENDMAIL, &["", RECIPIENT], contents::PLAIN) else {
        return;
    };
    python.succeeded();
    assert_received_from(&inbox, "", &[RECIPIENT], contents::PLAIN);
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let to = hundred_recipients();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let args = [&[SENDER], &to[..]].concat();
    let Some(python) = python(&server, SENDMAIL, &args, contents::PLAIN) else {
        return;
    };
    python.succeeded();
    assert_received_from(&inbox, SENDER, &to, contents::PLAIN);
}

#[test]
fn several_messages_on_one_connection() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
for n in range(20):
    smtp.sendmail(args[0], args[1], b'%d\\r\\n' % n + content)
";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], contents::DOTS) else {
        return;
    };
    python.succeeded();
    let first = receive(&inbox);
    assert_mail(&first, SENDER, &[RECIPIENT], &[b"0\r\n", contents::DOTS].concat());
    for n in 1..20 {
        let mail = receive(&inbox);
        assert_mail(&mail, SENDER, &[RECIPIENT], &[format!("{n}\r\n").as_bytes(), contents::DOTS].concat());
        assert_eq!(mail.peer(), first.peer());
    }
    assert_nothing_received(&inbox);
}

#[test]
fn refused_recipients() {
    let inbox = choosy_inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
print(smtp.sendmail(args[0], ['no@refused.example', args[1]], content))
try:
    smtp.sendmail(args[0], ['no@refused.example', 'nor@refused.example'], content)
except smtplib.SMTPRecipientsRefused as e:
    print(e.recipients)
smtp.sendmail(args[0], args[1], content)
";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], contents::DOTS) else {
        return;
    };
    assert_eq!(
        python.succeeded().stdout,
        "{'no@refused.example': (550, b'5.7.1 relaying denied')}\n\
         {'no@refused.example': (550, b'5.7.1 relaying denied'), 'nor@refused.example': (550, b'5.7.1 relaying denied')}\n"
    );
    for _ in 0..2 {
        assert_mail(&receive(&inbox), SENDER, &[RECIPIENT], contents::DOTS);
    }
    assert_nothing_received(&inbox);
}

#[test]
fn too_big() {
    let inbox = builder().data_size_limit(1000).inbox("127.0.0.1:0").expect("a free port");
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
print(smtp.esmtp_features['size'] if smtp.ehlo()[0] == 250 else None)
big = b'.' * 1000 + b'\\r\\n'
try:
    smtp.sendmail(args[0], args[1], big)
except smtplib.SMTPSenderRefused as e:
    print('MAIL', e.smtp_code, e.smtp_error[:5], e.sender)
# Not announced, and thus found out at the end only.
del smtp.esmtp_features['size']
try:
    smtp.sendmail(args[0], args[1], big)
except smtplib.SMTPDataError as e:
    print('DATA', e.smtp_code, e.smtp_error[:5])
smtp.sendmail(args[0], args[1], big[2:])
";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], b"") else {
        return;
    };
    assert_eq!(python.succeeded().stdout, format!("1000\nMAIL 552 b'5.3.4' {SENDER}\nDATA 552 b'5.3.4'\n"));
    assert_received(&inbox, &[&b".".repeat(998)[..], b"\r\n"].concat());
}

/// A client that dies within the content, even behind a line that its server might take for the last, has sent nothing.
#[test]
fn cut_off() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
smtp.ehlo()
for command in 'MAIL FROM:<%s>' % args[0], 'RCPT TO:<%s>' % args[1], 'DATA':
    smtp.docmd(command)
smtp.send(content + b'.\\r')
smtp.close()
smtp.connect(sys.argv[2], int(sys.argv[3]))
smtp.ehlo()
smtp.sendmail(args[0], args[1], content)
";
    let Some(python) = python(&server, script, &[SENDER, RECIPIENT], contents::PLAIN) else {
        return;
    };
    python.succeeded();
    assert_received(&inbox, contents::PLAIN);
}

#[test]
fn the_handlers_refusal() {
    let refuse = |_: Envelope| Reply::temporary("the disk is full");
    let server = builder().serve("127.0.0.1:0", refuse).expect("a free port");
    let script = "
try:
    smtp.sendmail(args[0], args[1], content)
except smtplib.SMTPDataError as e:
    print(e.smtp_code, e.smtp_error)
";
    let at = ["127.0.0.1", &port(server.local_addr())];
    let Some(python) = python(&at, script, &[SENDER, RECIPIENT], contents::PLAIN) else {
        return;
    };
    assert_eq!(python.succeeded().stdout, "451 b'4.3.0 the disk is full'\n");
}

#[test]
fn other_commands() {
    let inbox = inbox();
    let server = ["127.0.0.1", &port(inbox.local_addr())];
    let script = "
print(smtp.ehlo()[0], sorted(smtp.esmtp_features))
print(smtp.helo()[0], smtp.noop()[0], smtp.rset()[0], smtp.vrfy(args[0])[0], smtp.expn('list')[0])
print(smtp.docmd('HELP')[0], smtp.docmd('DATA')[0], smtp.docmd('BOGUS')[0])
";
    let Some(python) = python(&server, script, &[RECIPIENT], b"") else {
        return;
    };
    assert_eq!(
        python.succeeded().stdout,
        "250 ['8bitmime', 'binarymime', 'chunking', 'dsn', 'enhancedstatuscodes', 'help', 'limits', 'pipelining', 'size', 'smtputf8']\n\
         250 250 250 252 502\n214 503 500\n"
    );
    assert_nothing_received(&inbox);
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    let server = ["::1", &port(inbox.local_addr())];
    let Some(python) = python(&server, SENDMAIL, &[SENDER, RECIPIENT], contents::DOTS) else {
        return;
    };
    python.succeeded();
    let mail = assert_received(&inbox, contents::DOTS);
    assert!(mail.peer().ip().is_some_and(|ip| ip.is_ipv6()), "{}", mail.peer());
}

#[test]
fn unix_socket() {
    let server = inbox_on_unix_socket();
    let at = [utf8(&server.path), "unix"];
    let Some(python) = python(&at, SENDMAIL, &[SENDER, RECIPIENT], contents::DOTS) else {
        return;
    };
    python.succeeded();
    let mail = assert_received(&server.inbox, contents::DOTS);
    assert!(matches!(mail.peer(), Endpoint::Unix(_)), "{}", mail.peer());
}
