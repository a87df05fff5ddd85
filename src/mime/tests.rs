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
    Message::parse(text.as_ref()).unwrap()
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
    assert_eq!((pdf.bytes(), png.bytes(), png.content_id()), (&[0, 1, 2][..], &[3, 4][..], Some("logo")));
}

#[test]
fn text_is_not_made_of_html_nor_html_of_text() {
    let text = parse("Subject: x\r\n\r\nplain\r\n");
    assert_eq!((text.text(), text.html()), (Some("plain\n"), None));
    let html = parse("Content-Type: text/html\r\n\r\n<b>bold</b>\r\n");
    assert_eq!((html.text(), html.html()), (None, Some("<b>bold</b>\n")));
}

#[test]
fn what_is_no_message() {
    assert!(matches!(Message::parse(b""), Err(MimeError::NotAMessage)));
    assert_eq!(parse("Subject: x\r\n\r\n").subject(), Some("x"));
    assert_eq!(parse("Date: Mon, 23 Nov 1900 10:00:00 +0000\r\n\r\n").date(), None);
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
        text += "Subject: within\r\n\r\nhello\r\n";
        Message::parse(text.as_bytes())
    };
    let one = nested(1).unwrap();
    assert!(String::from_utf8_lossy(one.attachments()[0].bytes()).contains("within"));
    assert!(nested(MAX_NESTED).is_ok());
    assert!(matches!(nested(100_000), Err(MimeError::TooDeep)));
    let digests = "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n".repeat(100_000);
    assert!(matches!(Message::parse(digests.as_bytes()), Err(MimeError::TooDeep)));
}

#[test]
fn hostile_structures_end() {
    let multiparts: String =
        (0..20_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    assert!(Message::parse(multiparts.as_bytes()).is_ok());
    let mut parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    parts += &"--b\r\n\r\nx\r\n".repeat(100_000);
    assert!(Message::parse(parts.as_bytes()).is_ok());
    let headers = "A: =?utf-8?q?=41?=\r\n".repeat(50_000);
    assert_eq!(parse(headers + "\r\n").headers().count(), 50_000);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_read_or_not(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok(mail) = Message::parse(&octets) {
            mail.links();
        }
    }

    #[test]
    fn whatever_is_changed_in_a_message(at in 0..MIXED.len(), octet: u8, cut in 0..MIXED.len()) {
        let mut octets = MIXED.as_bytes().to_vec();
        octets[at] = octet;
        octets.truncate(cut.max(1));
        if let Ok(mail) = Message::parse(&octets) {
            mail.links();
        }
    }
}
