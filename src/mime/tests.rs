use std::io::Read;
use std::time::Duration;

use super::*;

const MIXED: &str = "From: =?iso-8859-1?q?J=FCrgen?= <j@example.org>, k@example.org\r\n\
    To: \"List\": a@example.org;\r\nCc: c@example.org\r\nReply-To: r@example.org\r\n\
    Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_und_Dank?=\r\n\
    Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@example.org>\r\nX-Folded: one\r\n two\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
    --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
    --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Gr=FC=DFe\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\u{fc}\u{df}e</p>\r\n--a--\r\n\
    --m\r\nContent-Type: Application/PDF\r\nContent-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename*=utf-8''%C3%BCber.pdf\r\n\r\nAAEC\r\n\
    --m\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAwQ=\r\n--m--\r\n";

fn parse(text: impl AsRef<[u8]>) -> Message {
    Message::from_octets(text.as_ref(), &Limits::default())
}

#[test]
fn everything_is_decoded() {
    let mail = parse(MIXED);
    assert_eq!(mail.subject(), Some("Gr\u{fc}\u{df}e und Dank"));
    assert_eq!(mail.from(), ["j@example.org", "k@example.org"]);
    assert_eq!(mail.from()[0].name(), Some("J\u{fc}rgen"));
    assert_eq!(mail.from()[0].to_string(), "J\u{fc}rgen <j@example.org>");
    assert_eq!(
        (mail.to(), mail.cc(), mail.reply_to()),
        (&parse("To: a@example.org\r\n\r\n").to[..], mail.cc(), mail.reply_to())
    );
    assert_eq!((mail.cc()[0].address(), mail.reply_to()[0].address()), ("c@example.org", "r@example.org"));
    assert_eq!(mail.message_id(), Some("1@example.org"));
    assert_eq!(mail.date(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400)));
    assert_eq!(mail.header("x-folded"), Some("one two"));
    assert_eq!(mail.header("SUBJECT"), mail.subject());
    assert_eq!(mail.header("X-Not-There"), None);
    assert_eq!(mail.headers().next().unwrap().0, "From");
    assert_eq!(mail.text().map(str::trim_end), Some("Gr\u{fc}\u{df}e"));
    assert_eq!(mail.html().map(str::trim_end), Some("<p>Gr\u{fc}\u{df}e</p>"));
}

#[test]
fn attachments() {
    let mail = parse(MIXED);
    let [pdf, png] = mail.attachments() else { panic!("{:?}", mail.attachments()) };
    assert_eq!((pdf.name(), pdf.content_type(), pdf.is_inline()), (Some("\u{fc}ber.pdf"), "application/pdf", false));
    assert_eq!((png.name(), png.content_type(), png.is_inline()), (None, "image/png", true));
    assert_eq!(
        (pdf.bytes().unwrap(), png.bytes().unwrap(), png.content_id()),
        (vec![0, 1, 2], vec![3, 4], Some("logo"))
    );
    let mut out = Vec::new();
    assert_eq!((pdf.write_to(&mut out).unwrap(), &out[..]), (3, &[0, 1, 2][..]));
    let mut begin = [9; 2];
    pdf.reader().read_exact(&mut begin).unwrap();
    assert_eq!(begin, [0, 1]);
}

#[test]
fn text_is_not_made_of_html_nor_html_of_text() {
    let text = parse("Subject: x\r\n\r\nplain\r\n");
    assert_eq!((text.text(), text.html()), (Some("plain\n"), None));
    let html = parse("Content-Type: text/html\r\n\r\n<b>bold</b>\r\n");
    assert_eq!((html.text(), html.html()), (None, Some("<b>bold</b>\n")));
}

#[test]
fn anything_is_a_message() {
    for text in ["", "\r\n", "Subject: x", "just words", "Subject: x\r\n\r\n"] {
        let mail = parse(text);
        assert_eq!((mail.parts().len(), mail.attachments().len(), mail.cut()), (1, 0, &[][..]), "{text:?}");
    }
    assert_eq!(parse("just words").text(), Some("just words"));
    assert_eq!(parse("Subject: x").subject(), Some("x"));
    assert_eq!(parse("Date: Mon, 23 Nov 1900 10:00:00 +0000\r\n\r\n").date(), None);
}

#[test]
fn parts() {
    let mail = parse(MIXED);
    let seen: Vec<_> = mail.parts().iter().map(|part| (part.content_type(), part.depth(), part.parent())).collect();
    let expected = [
        ("multipart/mixed", 0, None),
        ("multipart/alternative", 1, Some(0)),
        ("text/plain", 2, Some(1)),
        ("text/html", 2, Some(1)),
        ("application/pdf", 1, Some(0)),
        ("image/png", 1, Some(0)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(mail.parts()[2].charset(), Some("iso-8859-1"));
    assert_eq!(mail.parts()[2].text().unwrap(), "Gr\u{fc}\u{df}e");
    assert!(mail.parts()[2].is_body() && mail.parts()[1].is_multipart() && !mail.parts()[4].is_body());
    assert_eq!(mail.parts()[4].disposition(), Some("attachment"));
}

#[test]
fn links() {
    let links = |body: &str| parse(format!("Subject: x\r\n\r\n{body}\r\n")).links();
    assert_eq!(links("Go to https://a.example/reset?token=1&b=2."), ["https://a.example/reset?token=1&b=2"]);
    assert_eq!(
        links("(http://a.example), <https://b.example>\r\nhttps://c.example"),
        ["http://a.example", "https://b.example", "https://c.example"]
    );
    assert_eq!(links("http, https://, httphttp://x and http"), Vec::<String>::new());
    let html = parse("Content-Type: text/html\r\n\r\n<a href=\"https://a.example/?a=1&amp;b=2\">x</a>\r\n");
    assert_eq!(html.links(), ["https://a.example/?a=1&b=2"]);
    let both = |text: &str| {
        let html = "<a href='https://html.example/'>go</a>";
        parse(format!(
            "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n\r\n{text}\r\n--x\r\n\
             Content-Type: text/html\r\n\r\n{html}\r\n--x--\r\n"
        ))
    };
    assert_eq!(both("See https://text.example/").links(), ["https://text.example/"]);
    assert_eq!(both("See the HTML").links(), ["https://html.example/"]);
}

#[test]
fn messages_within_messages() {
    let nested = |levels: usize| {
        let mut text = "Content-Type: message/rfc822\r\n\r\n".repeat(levels);
        text += "Subject: within\r\nFrom: a@example.org\r\n\r\nhello\r\n";
        parse(text)
    };
    let one = nested(1);
    let within = one.attachments()[0].message().unwrap().unwrap();
    assert_eq!(
        (within.subject(), within.from()[0].address(), within.text()),
        (Some("within"), "a@example.org", Some("hello\n"))
    );
    assert!(within.parts()[0].message().unwrap().is_none());
    let limit = Limits::default().depth;
    for (levels, is_read) in [(limit, true), (limit + 1, false), (100_000, false)] {
        let mut mail = nested(levels);
        let mut depth = 0;
        let end = loop {
            match mail.parts()[0].message() {
                Ok(Some(within)) => mail = within,
                end => break end,
            }
            depth += 1;
        };
        assert_eq!((depth, matches!(end, Ok(None))), (limit, is_read), "{levels}");
        assert!(is_read || matches!(end, Err(MimeError::TooDeep)));
    }
    // RFC 2046 forbids it, and it is sent.
    let encoded =
        parse("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0KDQp5\r\n");
    let within = encoded.parts()[0].message().unwrap().unwrap();
    assert_eq!((within.subject(), within.text()), (Some("x"), Some("y")));
}

#[test]
fn what_passes_a_limit_is_told() {
    let limits = Limits::default();
    let multiparts = |count: usize| -> String {
        (0..count).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect()
    };
    let parts = |count: usize| {
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned() + &"--b\r\n\r\nx\r\n".repeat(count)
    };
    let boundary =
        |length: usize| format!("Content-Type: multipart/mixed; boundary={0}\r\n\r\n--{0}\r\n", "b".repeat(length));
    let name = |length: usize| format!("Content-Disposition: attachment; filename={}\r\n\r\n", "n".repeat(length));
    let field = |length: usize| format!("X: {}\r\n\r\n", "x".repeat(length - 1));
    for (at, beyond, cut) in [
        (multiparts(limits.depth), multiparts(limits.depth + 1), Cut::Depth),
        (parts(limits.parts - 1), parts(limits.parts), Cut::Parts),
        ("a: b\r\n".repeat(limits.fields), "a: b\r\n".repeat(limits.fields + 1), Cut::Fields),
        (boundary(1000), boundary(1001), Cut::Boundary),
        (name(255), name(256), Cut::Name),
        (field(limits.field), field(limits.field + 1), Cut::Field),
        (field(limits.field), field(limits.field).replace("\r\n\r\n", "\r\n").repeat(5), Cut::Header),
    ] {
        assert_eq!(parse(at).cut(), [], "{cut:?}");
        assert!(parse(beyond).cut().contains(&cut), "{cut:?}");
    }
    let mut small = Limits::default();
    (small.text, small.html) = (3, 4);
    let mixed = Message::from_octets(MIXED, &small);
    assert_eq!((mixed.text(), mixed.html(), mixed.cut()), (Some("Gr"), Some("<p>G"), &[Cut::Text, Cut::Html][..]));
}

#[test]
fn the_header_alone() {
    for (text, expected) in [
        ("From: a\r\nsubject:  =?utf-8?q?Gr=C3=BCn?= \r\n\r\n", Some("Gr\u{fc}n")),
        ("Subject: one\r\n two\r\n\tthree\r\nTo: b\r\n", Some("one two three")),
        ("Subject:\r\n\r\n", Some("")),
        ("From: a\r\n\r\nSubject: in the body\r\n", None),
        ("", None),
    ] {
        assert_eq!(subject(text.as_bytes()).as_deref(), expected);
        assert_eq!(parse(text).subject(), expected);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_read_or_not(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        parse(octets).links();
    }

    #[test]
    fn whatever_is_changed_in_a_message(at in 0..MIXED.len(), octet: u8, cut in 0..MIXED.len()) {
        let mut octets = MIXED.as_bytes().to_vec();
        octets[at] = octet;
        octets.truncate(cut.max(1));
        parse(octets).links();
    }
}
