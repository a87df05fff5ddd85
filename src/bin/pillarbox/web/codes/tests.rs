use super::*;

fn in_text(text: &str) -> Vec<String> {
    find("", Some(text), None)
}

#[test]
fn codes_as_services_send_them() {
    for (text, code) in [
        ("Your code is 482913", "482913"),
        ("Your code is 482913.", "482913"),
        ("Your verification code: 482913", "482913"),
        ("Your login code for Example is 4829", "4829"),
        ("482913 is your Example verification code", "482913"),
        ("Code 482913", "482913"),
        ("Your code:\n\n    482913\n\nIt expires in 10 minutes.", "482913"),
        ("Enter this code to sign in:\n123 456", "123456"),
        ("Your code is 123 456.", "123456"),
        ("Your code is 123\u{a0}456", "123456"),
        ("Your code is 123-456", "123-456"),
        ("Your code is ABC-123", "ABC-123"),
        ("Your code is ABCD-EFGH", "ABCD-EFGH"),
        ("confirmation code: A1B2C3", "A1B2C3"),
        ("Your code is a1b2c3", "a1b2c3"),
        ("Your code is KXWQPZ", "KXWQPZ"),
        ("G-482913 is your Google verification code.", "G-482913"),
        ("Use 482913 to verify your address", "482913"),
        ("Please enter 482913 to log in.", "482913"),
        ("PIN: 0042", "0042"),
        ("Your one-time password is 48291374", "48291374"),
        ("Your OTP is *482913*", "482913"),
        ("Your code is 2024", "2024"),
        ("Your code is \u{661}\u{662}\u{663}\u{664}\u{665}\u{666}", "123456"),
        ("認証コード：１２３４５６", "123456"),
        ("您的验证码是482913，五分钟内有效", "482913"),
        ("인증번호 [482913] 를 입력하세요", "482913"),
        ("Ihr Sicherheitscode lautet 482913.", "482913"),
        ("Dein Bestätigungscode: 482 913", "482913"),
        ("Votre code de vérification est 482913", "482913"),
        ("Tu código de verificación es 482913", "482913"),
        ("Ваш код: 482913", "482913"),
        ("Your code is 4 8 2 9 1 3", "482913"),
        ("Your code is 482\u{200b}913", "482913"),
        ("Hello Bob,\nuse this to sign in\n\n482913\n\nThe team, since 2019", "482913"),
        ("Your OTP for a transaction of Rs. 12500 at Shop is *482913*. Card ending 4321.", "482913"),
        ("482913 is the OTP for your transaction of INR 500.00 on the card ending 4321", "482913"),
        ("Your code for Shop Inc. is 482913.", "482913"),
        ("Your Example code is: 482913", "482913"),
        ("Your one-time passcode (OTP): 482913", "482913"),
        ("[482913] Verification code", "482913"),
        ("482913 – Shop login code", "482913"),
        ("Ihre mTAN: 482913", "482913"),
        ("| Code | 482913 |", "482913"),
        ("Code: `482913`", "482913"),
        ("Doğrulama kodunuz: 482913", "482913"),
        ("Din verifieringskod är 482913", "482913"),
        ("Engangskoden din er 482913", "482913"),
        ("Vahvistuskoodisi on 482913", "482913"),
        ("Váš ověřovací kód je 482913", "482913"),
        ("Az ellenőrző kódja: 482913", "482913"),
        ("Codul dvs. de verificare este 482913", "482913"),
        ("Kode verifikasi Anda adalah 482913", "482913"),
        ("Mã xác minh của bạn là 482913", "482913"),
        ("Ο κωδικός επαλήθευσης είναι 482913", "482913"),
        ("קוד האימות שלך הוא 482913", "482913"),
        ("رمز التحقق الخاص بك هو ٤٨٢٩١٣", "482913"),
        ("482913 هو رمز التحقق الخاص بك", "482913"),
        ("รหัส OTP ของคุณคือ 482913", "482913"),
        ("ワンタイムパスワード：482913", "482913"),
        ("Your code is 123456, valid for 1440 minutes. Order 98765.", "123456"),
    ] {
        assert_eq!(in_text(text), [code], "{text}");
    }
}

#[test]
fn numbers_that_are_no_codes() {
    for text in [
        "Copyright 2024 Example Inc.",
        "Thank you for order 482913",
        "Your order #482913 has shipped",
        "Total: $1299.00, or 1,299.00 EUR",
        "Call us: +1 555 010 0199 or 555-0100",
        "Example Ltd, 12345 Berlin",
        "Postal code: 12345",
        "zip code 94105",
        "Springfield, CA 94105",
        "Your promo code is SAVE20",
        "Use code SPRING25 at the checkout",
        "Enter your code at the checkout, the total for your order is 1299",
        "Your password was reset on 20240115",
        "Code postal : 75008 Paris",
        "Código postal 28013 Madrid",
        "Codice cliente: 123456",
        "Código de pedido: 123456",
        "Почтовый код 101000",
        "Posta kodu: 34000",
        "Your gift card code: ABCD-1234",
        "[2024] Dress code",
        "10115 - postal code",
        "Kundenkode: 123456",
        "Artikelkod 123456",
        "Kod pocztowy 00950",
        "The error code is 5003",
        "color: #482913; code",
        "The code of conduct applies since 2019",
        "The meeting is on 2024-01-15 at 12:30",
        "https://example.org/verify?code=482913",
        "Your code was sent to bob1234@example.org",
        "This code expires in 3600 seconds",
        "Your code is ready",
        "YOUR CODE IS VALID UNTIL MONDAY",
        "Invoice 20240115 confirms your payment",
        "2024",
        "We have 1500 users who verify their address",
        "Your password was changed",
        "Enter the code below",
        "",
    ] {
        assert_eq!(in_text(text), [] as [&str; 0], "{text}");
    }
    // Without a word about codes, a number alone is a number.
    assert!(in_text("482913").is_empty());
}

#[test]
fn codes_in_html() {
    let in_html = |html: &str| find("", None, Some(&Document::of(html)));
    for html in [
        "<p>Your code is <b>482913</b></p>",
        "<p>Your code is</p><h1>482913</h1>",
        "Your code:<div><span>4</span><span>8</span><span>2</span><span>9</span><span>1</span><span>3</span></div>",
        "Your code:<table><tr><td>4</td><td>8</td><td>2</td><td>9</td><td>1</td><td>3</td></tr></table>",
        "<p>Your code</p><div>4</div><div>8</div><div>2</div><div>9</div><div>1</div><div>3</div>",
        "<p>Your code is <span>482</span>&nbsp;<span>913</span></p><style>a{color:#123456}</style>",
        "<p>Your code is &#52;82913</p><a href='https://a.example/?code=999999'>Confirm</a>",
    ] {
        assert_eq!(in_html(html), ["482913"], "{html}");
    }
}

#[test]
fn each_once_and_the_clearest_first() {
    let html = Document::of("<p>Your code is 482913</p>");
    let all = find("482913 is your code", Some("Sign in\n\n777888\n\nYour code: 482913"), Some(&html));
    assert_eq!(all, ["482913", "777888"]);
    let many: String = (1000..2000).map(|n| format!("Your code is {n}1\n")).collect();
    assert_eq!(in_text(&many).len(), MAX_CODES);
}

#[test]
fn a_line_of_digits_takes_no_longer_for_each_octet() {
    for piece in ["1 ", "1234 ", "code ", "A1-", "1\n", "code is 1234 ", "A1B2 ", "for 1234 is "] {
        in_text(&piece.repeat(1024 * 1024 / piece.len()));
    }
}

proptest::proptest! {
    /// Whatever the text is, it is read to its end.
    #[test]
    fn no_text_is_too_odd(pieces in proptest::collection::vec((0..ODD.len(), ".{0,3}"), 0..30)) {
        let text: String = pieces.iter().map(|(at, any)| ODD[*at].to_owned() + any).collect();
        let html = Document::of(&text);
        find(&text, Some(&text), Some(&html));
        super::super::links::Links::of(Some(&text), Some(&html));
        let folded = super::super::text::fold(&text);
        assert_eq!(super::super::text::fold(&folded), folded, "{text:?}");
        let _ = super::super::filter::Filter::search("search", &text);
    }
}

const ODD: &[&str] = &[
    "code",
    " is ",
    "123",
    "4 5 6 7",
    "-",
    "ABC-",
    "\n",
    "\u{a0}",
    "验证码",
    "\u{ad}",
    "\u{661}",
    "é",
    "https://",
    "mailto:",
    "://[",
    "@",
    "<a href='",
    "'>",
    "</a>",
    "<",
    "&amp",
    "<td>",
    "<pre>",
    "from:",
    "\"",
    "ß",
    "İ",
    "Σ",
    "::",
    "tel:",
    "(",
    ".",
    "ŉ",
    "ǰ",
];
