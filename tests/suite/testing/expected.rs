//! Messages of a real client, taken apart and compared with what a test expects.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Attachment, MultiPart, SinglePart};
use lettre::{Message, SmtpTransport, Transport};
use pillarbox::testing::Expected;
use pillarbox::{Envelope, Inbox, Server};

const PATIENCE: Duration = Duration::from_secs(30);

fn inbox() -> Inbox {
    Server::builder().inbox("127.0.0.1:0").expect("a free port")
}

fn send(inbox: &Inbox, message: &Message) {
    let address = inbox.local_addr();
    let client = SmtpTransport::builder_dangerous(address.ip().to_string()).port(address.port()).build();
    client.send(message).expect("every message is taken");
}

/// Text and HTML with a picture, a file, and letters that are not ASCII wherever they may be.
fn invoice() -> Message {
    let text = "Gr\u{fc}\u{df}e, Bob!\n\nYour invoice is attached.\nhttps://shop.example/invoice/7?a=1&b=2\n";
    let html = "<p>Gr\u{fc}\u{df}e, <b>Bob</b>!</p><img src=\"cid:logo\">";
    let picture = Attachment::new_inline("logo".to_owned()).body(vec![137, 80, 78, 71], "image/png".parse().unwrap());
    let related = MultiPart::related().singlepart(SinglePart::html(html.to_owned())).singlepart(picture);
    let bodies = MultiPart::alternative().singlepart(SinglePart::plain(text.to_owned())).multipart(related);
    let file = Attachment::new("\u{dc}bersicht.pdf".to_owned())
        .body(b"%PDF-1.7\r\n\0\xff".to_vec(), ContentType::parse("application/pdf").unwrap());
    Message::builder()
        .from("J\u{fc}rgen's Shop <shop@example.org>".parse().unwrap())
        .to("Bob <bob@example.org>".parse().unwrap())
        .cc("ann@example.org".parse().unwrap())
        .subject("Invoice n\u{ba} 7 \u{2013} thank you, with a subject that is too long for one line of a header")
        .multipart(MultiPart::mixed().multipart(bodies).singlepart(file))
        .expect("a message")
}

fn received(message: &Message) -> Envelope {
    let inbox = inbox();
    send(&inbox, message);
    inbox.recv_timeout(PATIENCE).expect("it was sent")
}

#[test]
fn a_message_taken_apart() {
    let mail = received(&invoice()).parsed().expect("it has headers");
    assert_eq!(
        mail.subject(),
        Some("Invoice n\u{ba} 7 \u{2013} thank you, with a subject that is too long for one line of a header")
    );
    assert_eq!(mail.from()[0].to_string(), "J\u{fc}rgen's Shop <shop@example.org>");
    assert_eq!((mail.to(), mail.cc()), (&mail.to()[..1], &mail.cc()[..1]));
    assert_eq!((mail.to()[0].name(), mail.to()[0].address()), (Some("Bob"), "bob@example.org"));
    assert_eq!(mail.cc(), ["ann@example.org"]);
    assert!(mail.text().expect("a text").starts_with("Gr\u{fc}\u{df}e, Bob!\n\nYour"));
    assert!(mail.html().expect("HTML").contains("<b>Bob</b>"));
    assert_eq!(mail.links(), ["https://shop.example/invoice/7?a=1&b=2"]);
    let files: Vec<_> = mail.attachments().iter().map(|file| (file.name(), file.content_type())).collect();
    assert!(files.contains(&(Some("\u{dc}bersicht.pdf"), "application/pdf")), "{files:?}");
    let picture = mail.attachments().iter().find(|file| file.content_id() == Some("logo")).expect("the picture");
    assert!(picture.is_inline());
    assert_eq!(picture.bytes().expect("it is in memory"), [137, 80, 78, 71]);
}

#[test]
fn what_is_expected() {
    let mail = received(&invoice());
    Expected::mail()
        .from("shop@example.org")
        .to(["ann@example.org", "bob@example.org"])
        .to_among_others("bob@example.org")
        .header_from("shop@example.org")
        .subject_contains("n\u{ba} 7")
        .header("mime-version", "1.0")
        .text("Gr\u{fc}\u{df}e, Bob!\n\nYour invoice is attached.\nhttps://shop.example/invoice/7?a=1&b=2")
        .text_contains("invoice")
        .html_contains("<b>Bob</b>")
        .nowhere("password")
        .header_to(["bob@EXAMPLE.org"])
        .header_contains("content-type", "multipart/mixed")
        .no_header("Bcc")
        .attachments(["\u{dc}bersicht.pdf", "(no name)"])
        .satisfies("one link", |mail| mail.links().len() == 1)
        .attachment("\u{dc}bersicht.pdf")
        .attachment_with("\u{dc}bersicht.pdf", b"%PDF-1.7\r\n\0\xff")
        .assert(&mail);
}

#[test]
fn each_wish_can_be_disappointed() {
    let mail = received(&invoice());
    let any = Expected::mail;
    let disappointed = [
        (any().from("x@example.org"), "sender\n    expected: \"x@example.org\"\n         got: \"shop@example.org\""),
        (any().to(["bob@example.org"]), "got: \"ann@example.org, bob@example.org\""),
        (any().to(["bob@example.org", "bob@example.org"]), "recipients"),
        (any().to_among_others("eve@example.org"), "recipients, among them"),
        (any().header_from("x@example.org"), "got: \"J\u{fc}rgen's Shop <shop@example.org>\""),
        (any().subject("Invoice"), "subject\n    expected: \"Invoice\"\n         got: \"Invoice n\u{ba} 7"),
        (any().subject_contains("Reminder"), "subject, somewhere"),
        (any().header("X-Spam", "no"), "header X-Spam\n    expected: \"no\"\n         got: nothing"),
        (any().text("Gr\u{fc}\u{df}e, Bob!\n\nNo invoice."), "text, line 3\n    expected: \"No invoice.\""),
        (any().text_contains("refund"), "text, somewhere"),
        (any().html_contains("<script>"), "HTML, somewhere"),
        (any().nowhere("Bob"), "text, nowhere"),
        (any().attachment("x.pdf"), "\u{dc}bersicht.pdf"),
        (any().attachment_with("\u{dc}bersicht.pdf", b"%PDF"), "12 octets: %PDF-1.7"),
        (any().no_attachments(), "got: \"2, "),
        (any().header_to(["ann@example.org"]), "header To\n    expected: \"ann@example.org\"\n         got: \"bob@"),
        (any().header_to(["BOB@example.org"]), "header To"),
        (any().header_contains("Content-Type", "text/plain"), "header Content-Type, somewhere"),
        (any().header_contains("X-Spam", "no"), "got: nothing"),
        (any().no_header("Cc"), "header Cc\n    expected: nothing\n         got: \"ann@example.org\""),
        (
            any().attachments(["(no name)"]),
            "attachments\n    expected: \"(no name)\"\n         got: \"(no name), \u{dc}ber",
        ),
        (any().satisfies("two links", |mail| mail.links().len() == 2), "message\n    expected: \"two links\""),
    ];
    for (expected, told) in disappointed {
        let mismatch = expected.check(&mail).expect_err(told).to_string();
        assert!(mismatch.contains(told), "{mismatch}");
    }
}

#[test]
fn what_is_not_there_is_not_empty() {
    let bare = Message::builder().from("a@example.org".parse().unwrap()).to("b@example.org".parse().unwrap());
    let mail = received(&bare.body(String::new()).expect("a message"));
    let any = Expected::mail;
    for (expected, told) in [
        (any().subject(""), "subject\n    expected: \"\"\n         got: nothing"),
        (any().subject_contains("x"), "subject, somewhere\n    expected: \"x\"\n         got: nothing"),
        (any().attachments(["x"]), "attachments\n    expected: \"x\"\n         got: nothing"),
    ] {
        let mismatch = expected.check(&mail).expect_err(told).to_string();
        assert!(mismatch.contains(told), "{mismatch}");
    }
    any().attachments(Vec::<String>::new()).no_attachments().assert(&mail);
}

#[test]
fn an_envelope_is_compared_whatever_is_in_it() {
    let inbox = inbox();
    let mut client = std::net::TcpStream::connect(inbox.local_addr()).expect("the server listens");
    let lines = "HELO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@Example.org>\r\nDATA\r\nno header\r\n.\r\n";
    std::io::Write::write_all(&mut client, lines.as_bytes()).expect("the server reads");
    let mail = inbox.recv_timeout(PATIENCE).expect("it was sent");
    Expected::mail().from("a@EXAMPLE.org").to(["b@example.ORG"]).to_among_others("b@example.org").assert(&mail);
    let mismatch = Expected::mail().from("x@example.org").subject("x").check(&mail).expect_err("neither").to_string();
    for part in ["\n  sender\n", "\n  subject\n    expected: \"x\"\n         got: nothing"] {
        assert!(mismatch.contains(part), "{mismatch}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mail = received(&invoice());
    let expected = Expected::mail().from("x@example.org").subject("x").text("x");
    let panic =
        std::panic::catch_unwind(AssertUnwindSafe(|| expected.assert(&mail))).expect_err("three things are wrong");
    let told = panic.downcast_ref::<String>().expect("a text");
    for what in ["sender", "subject", "text, line 1"] {
        assert!(told.contains(&format!("\n  {what}\n")), "{told}");
    }
}

#[test]
fn the_one_that_is_expected_is_picked() {
    let inbox = inbox();
    let message = |subject: &str| {
        let to = Message::builder().from("a@example.org".parse().unwrap()).to("b@example.org".parse().unwrap());
        to.subject(subject).body(String::new()).expect("a message")
    };
    send(&inbox, &message("first"));
    send(&inbox, &message("second"));
    let second = Expected::mail().subject("second").no_attachments();
    let mail = inbox.recv_expected(&second, PATIENCE).expect("it was sent");
    second.assert(&mail);
    assert_eq!(inbox.len(), 1);

    send(&inbox, &message("third"));
    let wanted = Expected::mail().from("x@example.org").subject("third");
    let error = inbox.recv_expected(&wanted, Duration::ZERO).expect_err("none is of x").to_string();
    let told =
        "nearest comes the one from <a@example.org> to <b@example.org>, Subject: third\n  sender\n    expected: \"x@";
    assert!(error.contains(told), "{error}");
    assert!(!error.contains("expected: \"third\""), "{error}");
    assert_eq!(inbox.len(), 2);
}
