//! Relatives of those cases, reported of other readers.

use pillarbox::mime::{Limits, Message};

fn read(message: impl AsRef<[u8]>) -> Message {
    let mail = Message::from_octets(message.as_ref(), &Limits::default());
    assert_eq!(mail.cut(), []);
    mail
}

/// The texts of a message, without line ends at their end.
fn bodies(message: impl AsRef<[u8]>) -> (Option<String>, Option<String>) {
    let mail = read(message);
    let end = |text: Option<&str>| text.map(|text| text.trim_end().to_owned());
    (end(mail.text()), end(mail.html()))
}

#[track_caller]
fn expect_text(message: impl AsRef<[u8]>, text: &str) {
    assert_eq!(bodies(message), (Some(text.to_owned()), None));
}

/// Names and types.
fn files(mail: &Message) -> Vec<(&str, &str)> {
    mail.attachments().iter().map(|part| (part.name().unwrap_or_default(), part.content_type())).collect()
}

/// Reported of go-message and maddy: HTML right behind the header, without an empty line, was an error.
#[test]
fn a_body_without_an_empty_line_before_it() {
    let mail = read(
        "Subject: x\r\nContent-Type: text/html\r\n<!DOCTYPE html PUBLIC \"-//W3C//DTD\" \"http://x\">\r\n<p>y</p>\r\n",
    );
    assert_eq!(mail.html(), Some("<!DOCTYPE html PUBLIC \"-//W3C//DTD\" \"http://x\">\n<p>y</p>\n"));
    expect_text("Subject: x\r\nwords", "words");
}

/// Reported of fast_mail_parser: a delimiter became a field of the header, and the body was lost.
#[test]
fn a_delimiter_with_a_colon_ends_a_header() {
    expect_text("Content-Type: multipart/mixed; boundary=\"a:b\"\r\n--a:b\r\n\r\nwords\r\n--a:b--\r\n", "words");
}

/// Reported of MimeKit and nodemailer: line ends of other systems.
#[test]
fn any_line_ends() {
    let message =
        "Subject: a\r\n b\r\nContent-Type: multipart/mixed; boundary=k\r\n\r\n--k\r\n\r\none\r\ntwo\r\n--k--\r\n";
    for end in ["\r\n", "\n", "\r"] {
        let mail = read(message.replace("\r\n", end));
        assert_eq!((mail.subject(), mail.text()), (Some("a b"), Some("one\ntwo")), "{end:?}");
    }
    let mail = read([b"\xef\xbb\xbf", message.as_bytes()].concat());
    assert_eq!((mail.subject(), mail.text()), (Some("a b"), Some("one\ntwo")));
}

/// Reported of libetpan and MailCore: a boundary that never comes hid the text.
#[test]
fn multiparts_without_parts_are_text() {
    for kind in ["multipart/mixed", "multipart/alternative; boundary=k", "multipart/mixed; boundary=\"\""] {
        expect_text(format!("Content-Type: {kind}\r\n\r\nwords\r\n"), "words");
    }
}

/// Reported of nodemailer's mailparser: it waited for ever where the last delimiter lacked its dashes.
#[test]
fn a_last_delimiter_that_is_none() {
    let mail = read(
        "Content-Type: multipart/mixed; boundary=k\r\n\r\n--k\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n\
         --i\r\n\r\nwords\r\n--i\r\n--k\r\nContent-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\nx\r\n--k\r\n",
    );
    assert_eq!((mail.text(), files(&mail)), (Some("words"), vec![("", "message/rfc822")]));
    assert_eq!(mail.attachments()[0].message().unwrap().unwrap().subject(), Some("within"));
}

/// Reported of php-imap: a boundary of one dash.
#[test]
fn boundaries_of_any_kind() {
    for boundary in ["-", "--", "=_x y", "'()+_,-./:=?", "k--"] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\npreamble\r\n--{boundary}  \t\r\n\r\none\r\n--{boundary}\r\n\r\n\
             two\r\n--{boundary}--\t\r\nepilogue\r\n"
        );
        expect_text(message, "one\ntwo");
    }
    // Folded within its quotes, as Notes does.
    expect_text("Content-Type: multipart/mixed; boundary=\"=_a\r\n b\"\r\n\r\n--=_a b\r\n\r\nx\r\n--=_a b--\r\n", "x");
    // A parameter on a line that does not say that it goes on.
    expect_text("Content-Type: multipart/mixed;\r\nboundary=\"k\"\r\n\r\n--k\r\n\r\nx\r\n--k--\r\n", "x");
}

/// Reported of MimeKit, FlowCrypt, Email-MIME, zbateson and JavaMail.
#[test]
fn names_of_files() {
    for (fields, name) in [
        (
            "Content-Disposition: attachment; filename*=\"utf-8''SBD%20%C5%A0kodov%C3%A1k%2Ejpg\"",
            "SBD \u{160}kodov\u{e1}k.jpg",
        ),
        (
            "Content-Type: text/plain; charset=UTF-16LE; name=\"a.rdp\"\r\nContent-Disposition: attachment; filename=\"b.rdp\"",
            "b.rdp",
        ),
        ("Content-Disposition: attachment;\r\n filename*0*=utf-8''XX%20;\r\n filename*1=p", "XX p"),
        (
            "Content-Type: image/jpeg; name*0=\"=?utf-8?B?44KP44Gf?=\"\r\n name*1=\" =?utf-8?B?LmpwZw==?=\"",
            "\u{308f}\u{305f}.jpg",
        ),
        (
            "Content-Disposition: attachment;\r\n filename*0=\"=?UTF-8?Q?*_=F0=9F=98=81=F0?=\r\n =?UTF-8?Q?=9F=98=8\";\r\n filename*1=\"1.docx?=\"",
            "* \u{1f601}\u{1f601}.docx",
        ),
        ("Content-Disposition: attachment; filename=\"../../etc/pass\u{202e}wd\"", "passwd"),
        ("Content-Disposition: attachment; filename=\"C:\\dir\\a\x07.txt\"", "a.txt"),
        ("Content-Disposition: inline; filename=\"@images/favicon.png\"\r\nContent-Type: image/png", "favicon.png"),
        (
            "Content-Disposition: attachment; filename=\"\u{645}\u{6cc}\u{200c}\u{62e}.txt\"",
            "\u{645}\u{6cc}\u{200c}\u{62e}.txt",
        ),
    ] {
        let mail = read(format!("{fields}\r\n\r\nx\r\n"));
        let all = if mail.attachments().is_empty() { mail.parts() } else { mail.attachments() };
        assert_eq!(all[0].name(), Some(name), "{fields}");
    }
}

/// Reported of msgvault: an error message for a type lost the whole mail.
#[test]
fn types_that_are_none() {
    let mail = read(
        "Content-Type: multipart/mixed; boundary=k\r\n\r\n--k\r\n\r\nwords\r\n--k\r\n\
         Content-Type: cannot open (No such file or directory)\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nx\r\n--k--\r\n",
    );
    assert_eq!((mail.text(), files(&mail)), (Some("words"), vec![("a.pdf", "text/plain")]));
    expect_text("Content-Type: \r\n\r\nwords", "words");
    expect_text("Content-Type: text/plain/x; charset=utf-8\r\n\r\nwords", "words");
}

/// Reported of Python's email: a word behind the encoding, or an encoding of a multipart.
#[test]
fn encodings_with_something_behind() {
    expect_text("Content-Transfer-Encoding: base64 some text \r\n\r\nSGVsbG8=\r\n", "Hello");
    expect_text("Content-Transfer-Encoding: Base64 ; x\r\n\r\nSGVsbG8", "Hello");
    expect_text("Content-Transfer-Encoding: x-none\r\n\r\nwords", "words");
    expect_text(
        "Content-Type: multipart/mixed; boundary=k\r\nContent-Transfer-Encoding: base64\r\n\r\n--k\r\n\r\nwords\r\n--k--\r\n",
        "words",
    );
}

/// Reported of postal-mime: `a=b,b` became a control character.
#[test]
fn what_is_not_quoted_stays() {
    expect_text("Content-Transfer-Encoding: quoted-printable\r\n\r\na=b,b=20=\r\nc  \r\n", "a=b,b c");
}

/// Reported of Thunderbird's tests against mail-parser: HTML in multipart/related, and what is beside it.
#[test]
fn the_root_of_related_parts() {
    let related = |parameters: &str, parts: &[&str]| {
        let mut message = format!("Content-Type: multipart/related; boundary=k{parameters}\r\n\r\n");
        parts.iter().for_each(|part| message += &format!("--k\r\n{part}\r\n"));
        read(message + "--k--\r\n")
    };
    let (html, picture, page) = (
        "Content-Type: text/html\r\nContent-ID: <r>\r\n\r\n<p>",
        "Content-Type: image/png\r\n\r\nx",
        "Content-Type: text/html\r\n\r\nno",
    );
    for (parameters, parts, others) in [
        ("", &[html, picture, page][..], 2),
        ("; start=\"<r>\"", &[page, picture, html], 2),
        ("; type=\"text/html\"", &[picture, html], 1),
        ("", &[picture, html], 1),
    ] {
        let mail = related(parameters, parts);
        assert_eq!((mail.html(), mail.attachments().len()), (Some("<p>"), others), "{parameters}");
    }
}

/// Calendars, signatures and reports are attachments beside the text.
#[test]
fn parts_of_other_types() {
    for (kind, part) in [
        ("alternative", "text/calendar"),
        ("signed", "application/pgp-signature"),
        ("report", "message/delivery-status"),
        ("mixed", "application/ms-tnef"),
        ("mixed", "message/partial"),
        ("x-unknown", "image/png"),
    ] {
        let mail = read(format!(
            "Content-Type: multipart/{kind}; boundary=k\r\n\r\n--k\r\nContent-Type: text/plain; format=flowed\r\n\r\na \r\nb\r\n\
             --k\r\nContent-Type: {part}\r\n\r\nx\r\n--k--\r\n"
        ));
        assert_eq!((mail.text(), files(&mail)), (Some("a \nb"), vec![("", part)]), "{kind}");
    }
}

/// Reported of Roundcube, Apple Mail's users and many lists: charsets that are not said, or said wrongly.
#[test]
fn charsets() {
    let body = |charset: &str, octets: &[u8]| {
        bodies([format!("Content-Type: text/plain; charset={charset}\r\n\r\n").as_bytes(), octets].concat()).0.unwrap()
    };
    for (charset, octets, text) in [
        ("us-ascii", "gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
        ("us-ascii", b"gr\xfcn", "gr\u{fc}n"),
        ("no-such", b"gr\xfcn", "gr\u{fc}n"),
        ("\"utf8\"", "gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
        ("gb2312", b"\x96\x7c", "\u{6771}"),
        ("utf-7", b"+AOQ-", "\u{e4}"),
        ("iso-2022-jp", b"\x1b$B$3$s\x1b(B", "\u{3053}\u{3093}"),
        ("iso-2022-jp", "\u{307b}".as_bytes(), "\u{307b}"),
        ("iso-8859-1", b"\x80", "\u{20ac}"),
        ("iso-8859-1", b"\xef\xbb\xbf\xc3\xbc", "\u{fc}"),
        ("utf-16", b"\xff\xfea\0b\0", "ab"),
    ] {
        assert_eq!(body(charset, octets), text, "{charset}");
    }
}

/// Reported of mail-parser, mailparse and himalaya.
#[test]
fn addresses() {
    let mail = read(
        "From: =?iso-8859-1?Q?Lastname=2C_First?= <a@example.org>\r\nTo: \"=?utf-8?q?=C3=9C?=\" <b@example.org>,\r\n\tc@example.org (C)\r\n\
         Cc: undisclosed-recipients:;\r\nReply-To: No reply @ Example <d@example.org>\r\n\
         References: <1@x>\r\n <2@x>\r\nIn-Reply-To: Message of Monday <2@x>\r\nMessage-ID: 3@x\r\n\
         Date: Mon, 23 Nov 26 10:00 +0100 (CET)\r\n\r\n",
    );
    assert_eq!(mail.from()[0].to_string(), "Lastname, First <a@example.org>");
    assert_eq!(
        mail.to().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["\u{dc} <b@example.org>", "C <c@example.org>"]
    );
    assert_eq!((mail.cc().len(), mail.reply_to()[0].address()), (0, "d@example.org"));
    assert_eq!(
        (mail.references(), mail.in_reply_to()),
        (vec!["1@x".to_owned(), "2@x".to_owned()], vec!["2@x".to_owned()])
    );
    assert_eq!(mail.message_id(), Some("3@x"));
    assert!(mail.date().is_some());
}
