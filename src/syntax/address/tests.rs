use std::collections::hash_map::DefaultHasher;

use proptest::prelude::*;

use super::*;

/// What parsing gives, as text, and what is left behind it.
fn reverse(input: &[u8], strict: bool) -> Result<(String, String), AddressError> {
    let (path, rest) = ReversePath::parse(input, strict)?;
    Ok((path.as_str().to_owned(), String::from_utf8_lossy(rest).into_owned()))
}

fn forward(input: &[u8]) -> Result<String, AddressError> {
    ForwardPath::parse(input, false).map(|(path, _)| path.as_str().to_owned())
}

fn mailbox(text: &str) -> Result<Mailbox, AddressError> {
    text.parse()
}

/// By the grammar of RFC 5321.
fn strict_mailbox(text: &str) -> Result<Mailbox, AddressError> {
    match Mailbox::parse(Text(text.as_bytes()), Grammar::Strict, false)? {
        (mailbox, Text([])) => Ok(mailbox),
        _ => Err(AddressError::Trailing),
    }
}

fn hash(of: &Mailbox) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn long_texts_take_linear_time() {
    for (begin, piece, end) in [
        ("<@a", ",@a", ":b@c>"),
        ("<@[192.0.2.1]", ",@[192.0.2.1]", ":b@c>"),
        ("a", ".a", "@b"),
        ("\"", "\\\"", "\"@b"),
        ("a@b", ".b", ""),
        ("a@[x:", "[", "]"),
    ] {
        crate::testing::growth::expect_linear(piece, 5_000, |n| {
            let text = format!("{begin}{}{end}", piece.repeat(n));
            assert!(text.parse::<ReversePath>().is_err());
        });
    }
}

#[test]
fn valid_mailboxes() {
    for text in [
        "a@b",
        "a@b.example",
        "a.b.c@d.example",
        "!#$%&'*+-/=?^_`{|}~@b.example",
        "\"\"@b.example",
        "\"a b\"@b.example",
        "\"a@b\"@c.example",
        "\"a>b\"@c.example",
        "\"a\\\"b\\\\\"@c.example",
        "\"a..b.\"@c.example",
        "a@1.2.3.4",
        "a@x--y.example",
        "a@[192.0.2.1]",
        "a@[192.000.002.001]",
        "a@[IPv6:2001:db8::1]",
        "a@[ipv6:::]",
        "a@[tag:any!thing]",
        // By the grammar, something with the tag "2001".
        "a@[2001:db8::1]",
        "\u{fc}@b\u{fc}cher.example",
        "\"\u{65e5} \u{672c}\"@\u{65e5}\u{672c}",
    ] {
        let parsed = mailbox(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.as_str(), text);
        assert_eq!(format!("{}@{}", parsed.local_part(), parsed.domain()), text);
        assert_eq!(reverse(format!("<{text}> SIZE=1").as_bytes(), true), Ok((text.into(), " SIZE=1".into())));
        assert_eq!(reverse(format!(" \t{text}\tSIZE=1").as_bytes(), false), Ok((text.into(), "\tSIZE=1".into())));
    }
}

#[test]
fn invalid_mailboxes() {
    use AddressError::*;
    for (text, error) in [
        ("", Empty),
        ("@", LocalPart),
        ("@b.example", LocalPart),
        ("a@", Domain),
        ("a@b@c", Domain),
        ("a@b/c", Domain),
        ("a@b:25", Domain),
        ("a@b,c", Domain),
        ("a@b;c", Domain),
        ("a@b!c", Domain),
        ("a@b%c", Domain),
        ("a@[192.0.2.1]:25", Domain),
        ("a@b\0", Domain),
        ("a@b\r", Domain),
        ("(a)", LocalPart),
        ("a:b", LocalPart),
        ("a,b", LocalPart),
        ("\"a\"b", LocalPart),
        ("\"a\".b@c", LocalPart),
        // Which would be paths out of a folder.
        ("..@c", LocalPart),
        (".@c", LocalPart),
        ("...", LocalPart),
        ("../a@c", LocalPart),
        ("a/../b@c", LocalPart),
        ("/..", LocalPart),
        ("a./..@c", LocalPart),
        ("\"\"", LocalPart),
        ("\"a@b", LocalPart),
        ("\"a\"b@c", LocalPart),
        ("\"a\\", LocalPart),
        ("a\"b@c", LocalPart),
        ("(a)@b", LocalPart),
        ("a@-b", Domain),
        ("a@b-", Domain),
        ("a@b..c", Domain),
        ("a@.b", Domain),
        ("a@b.", Domain),
        ("a@_-", Domain),
        ("a@b_c-.d", Domain),
        ("a@[192.0.2]", Literal),
        ("a@[192.0.2.256]", Literal),
        ("a@[192.0.2.1.1]", Literal),
        ("a@[192.0.2.0001]", Literal),
        ("a@[IPv6:nonsense]", Literal),
        ("a@[IPv6:192.0.2.1]", Literal),
        // "::" for one group, or for none.
        ("a@[IPv6:1:2:3:4:5:6:7::]", Literal),
        ("a@[IPv6:1:2:3::5:6:7:8]", Literal),
        ("a@[IPv6:1:2:3:4:5::192.0.2.1]", Literal),
        ("a@[IPv6:1:2:3:4::5:6:7:8]", Literal),
        ("a@[IPv6:::192.0.2.0001]", Literal),
        ("a@[IPv6:192.0.2.1::]", Literal),
        ("a@[tag:]", Literal),
        ("a@[-:x]", Literal),
        ("a@[:x]", Literal),
        ("a@[192.0.2.1", Literal),
        ("a@[]", Literal),
        ("a\0@b", ControlCharacter),
        ("\"a\rb\"@c", ControlCharacter),
        ("\"a\nb\"@c", ControlCharacter),
        ("\"a\u{7f}\"@c", ControlCharacter),
        ("a\u{85}@b", ControlCharacter),
        ("a@b\u{9b}", ControlCharacter),
    ] {
        assert_eq!(mailbox(text), Err(error), "{}", text.escape_debug());
        assert_eq!(strict_mailbox(text), Err(error), "{}", text.escape_debug());
    }
    for text in ["a b@c", "a b", "a "] {
        assert_eq!(mailbox(text), Err(Trailing), "{text}");
    }
}

#[test]
fn mailboxes_that_only_the_strict_refuse() {
    use AddressError::*;
    let long = "a".repeat(71) + "@b.example";
    for (text, local_part, domain, error) in [
        (".a@b", ".a", "b", LocalPart),
        ("a.@b", "a.", "b", LocalPart),
        ("a..b@c", "a..b", "c", LocalPart),
        ("..a/.b./c..@d", "..a/.b./c..", "d", LocalPart),
        ("a@b_c", "a", "b_c", Domain),
        ("a@_b._c_.d_", "a", "_b._c_.d_", Domain),
        ("root", "root", "", LocalPart),
        (".profile", ".profile", "", LocalPart),
        ("\"a b\"", "\"a b\"", "", LocalPart),
        ("b\u{fc}rger", "b\u{fc}rger", "", LocalPart),
        (&long, &long[..71], "b.example", LocalPartTooLong),
    ] {
        let parsed = mailbox(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((parsed.as_str(), parsed.local_part(), parsed.domain()), (text, local_part, domain));
        assert_eq!(parsed.domain_literal(), None);
        assert_eq!(strict_mailbox(text), Err(error), "{text}");
        let bracketed = format!("<{text}> SIZE=1");
        assert_eq!(reverse(bracketed.as_bytes(), false), Ok((text.into(), " SIZE=1".into())));
        assert_eq!(reverse(bracketed.as_bytes(), true), Err(error), "{text}");
        assert_eq!(forward(format!("{text}\tNOTIFY=NEVER").as_bytes()).as_deref(), Ok(text));
        let path: ForwardPath = text.parse().unwrap();
        assert_eq!(path.domain(), Some(domain).filter(|domain| !domain.is_empty()));
    }
    assert!(mailbox("root").unwrap() != mailbox("root@b").unwrap());
    assert_eq!(mailbox("\"root\"").unwrap(), mailbox("root").unwrap());
}

#[test]
fn octets_that_are_not_utf8() {
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\x80", b"\xf5\x80\x80\x80", b"\xff"] {
        let input = [b"<", bad, b"@b.example>"].concat();
        assert_eq!(reverse(&input, true), Err(AddressError::NotUtf8), "{}", bad.escape_ascii());
        let input = [b"<a@", bad, b".example>"].concat();
        assert_eq!(reverse(&input, true), Err(AddressError::NotUtf8), "{}", bad.escape_ascii());
        let input = [b"<@one,@", bad, b":a@b.example>"].concat();
        assert_eq!(reverse(&input, true), Err(AddressError::NotUtf8), "{}", bad.escape_ascii());
    }
}

#[test]
fn paths() {
    use AddressError::*;
    for (input, strict, result) in [
        ("<>", true, Ok(("", ""))),
        ("<> SIZE=1", true, Ok(("", " SIZE=1"))),
        ("<a@b>", true, Ok(("a@b", ""))),
        (" <a@b>", true, Err(MissingBracket)),
        (" <a@b>", false, Ok(("a@b", ""))),
        ("a@b", true, Err(MissingBracket)),
        ("a@b", false, Ok(("a@b", ""))),
        ("\"a b\"@c x", false, Ok(("\"a b\"@c", " x"))),
        ("", false, Err(Empty)),
        (" ", false, Err(Empty)),
        (">", false, Err(Empty)),
        ("<", false, Err(Empty)),
        ("< >", false, Err(LocalPart)),
        ("<a@b", false, Err(MissingBracket)),
        ("<b", false, Err(MissingBracket)),
        ("<b", true, Err(MissingBracket)),
        ("<b SIZE=1", false, Err(MissingBracket)),
        ("<b SIZE=1", true, Err(MissingBracket)),
        ("<\"b", false, Err(MissingBracket)),
        ("<(b)@c", true, Err(MissingBracket)),
        ("<a b@c>", false, Err(LocalPart)),
        ("<a b@c>", true, Err(LocalPart)),
        ("<a\0", false, Err(ControlCharacter)),
        ("<root >", false, Err(LocalPart)),
        ("root>", false, Err(Trailing)),
        ("<@one:root>", false, Err(LocalPart)),
        ("<@one_two:a@b>", false, Ok(("a@b", ""))),
        ("<@one_two:a@b>", true, Err(Route)),
        ("a@b>", false, Err(Trailing)),
        ("<a@b>>", false, Err(Trailing)),
        ("<a@b>x", false, Err(Trailing)),
        ("<<a@b>>", false, Err(LocalPart)),
        ("<a@b >", false, Err(MissingBracket)),
        ("< a@b>", false, Err(LocalPart)),
        ("<@one,@two:a@b>", true, Ok(("a@b", ""))),
        ("<@[192.0.2.1]:a@b>", true, Ok(("a@b", ""))),
        ("<@b\u{fc}cher:a@b>", true, Ok(("a@b", ""))),
        ("<@\u{85}:a@b>", true, Err(ControlCharacter)),
        ("<@one a@b>", true, Err(Route)),
        ("<@one,>", true, Err(Route)),
        ("<@one,@:a@b>", true, Err(Domain)),
        ("<@one:a@b", true, Err(MissingBracket)),
        ("<@one,two:a@b>", true, Err(Route)),
        ("<@one:>", true, Err(LocalPart)),
        ("<@:a@b>", true, Err(Domain)),
        ("@one:a@b", false, Err(LocalPart)),
    ] {
        let result = result.map(|(path, rest)| (path.to_owned(), rest.to_owned()));
        assert_eq!(reverse(input.as_bytes(), strict), result, "{input}");
    }
}

#[test]
fn paths_from_text_stand_alone() {
    for text in ["a@b", "<a@b>", "<@one:a@b>"] {
        assert!(text.parse::<ReversePath>().unwrap() == *"a@b" && text.parse::<ForwardPath>().unwrap() == *"a@b");
    }
    assert_eq!(("".parse(), "<>".parse()), (Ok(ReversePath::Null), Ok(ReversePath::Null)));
    for text in [" a@b", "\ta@b", " <a@b>", "a@b ", "<a@b>\t", "<a@b> SIZE=1", " ", "<", ">"] {
        assert!(text.parse::<ReversePath>().is_err() && text.parse::<ForwardPath>().is_err(), "{text:?}");
        assert!(ReversePath::Mailbox(mailbox("a@b").unwrap()) != *text && ForwardPath::Postmaster != *text, "{text:?}");
    }
    assert!(" Postmaster".parse::<ForwardPath>().is_err() && " <>".parse::<ReversePath>().is_err());
}

#[test]
fn postmasters() {
    for input in ["<Postmaster>", "<postmaster>", "Postmaster", "POSTMASTER NOTIFY=NEVER"] {
        assert_eq!(forward(input.as_bytes()).as_deref(), Ok("Postmaster"), "{input}");
    }
    assert_eq!(forward(b"<postmaster@b.example>").as_deref(), Ok("postmaster@b.example"));
    assert!(forward(b"<@one:Postmaster>").is_err());
    assert!(matches!("<Postmasters>".parse(), Ok(ForwardPath::Mailbox(_))));
    assert!(forward(b"<>").is_err() && forward(b"<Postmaster").is_err());
    assert_eq!(reverse(b"<Postmaster>", false), Ok(("Postmaster".into(), String::new())));
    assert!(reverse(b"<Postmaster>", true).is_err());
}

#[test]
fn lengths() {
    use AddressError::*;
    let local = |n: usize| format!("{}@b", "a".repeat(n));
    assert!(strict_mailbox(&local(64)).is_ok());
    assert_eq!(strict_mailbox(&local(65)), Err(LocalPartTooLong));
    // In octets, not characters.
    assert_eq!(strict_mailbox(&format!("{}@b", "\u{fc}".repeat(33))), Err(LocalPartTooLong));
    assert_eq!(mailbox(&local(256)).unwrap().local_part().len(), 256);
    assert_eq!(mailbox(&local(257)), Err(LocalPartTooLong));
    assert_eq!(mailbox(&"a".repeat(100_000)), Err(LocalPartTooLong));
    // A path holds two less than its brackets.
    assert!(reverse(format!("<{}>", local(252)).as_bytes(), false).is_ok());
    assert_eq!(reverse(format!("<{}>", local(253)).as_bytes(), false), Err(PathTooLong));
    assert!(mailbox(&format!("a@{}", "d".repeat(63))).is_ok());
    assert_eq!(mailbox(&format!("a@{}", "d".repeat(64))), Err(DomainTooLong));
    let domain = |n: usize| format!("{}.{}.{}.{}", "d".repeat(63), "d".repeat(63), "d".repeat(63), "d".repeat(n));
    assert!(mailbox(&format!("a@{}", domain(63))).is_ok());
    assert_eq!(mailbox(&format!("a@{}.d", domain(63))), Err(DomainTooLong));
    assert!(reverse(format!("<aa@{}>", domain(59)).as_bytes(), true).is_ok());
    assert_eq!(reverse(format!("<aa@{}>", domain(60)).as_bytes(), true), Err(PathTooLong));
    // Without brackets no longer than fits between them.
    assert!(reverse(format!("aa@{}", domain(59)).as_bytes(), false).is_ok());
    assert_eq!(reverse(format!("aa@{}", domain(60)).as_bytes(), false), Err(PathTooLong));
    assert_eq!(reverse(format!("<@{0},@{0}:a@b>", "r".repeat(63)).as_bytes(), true).map(|p| p.0), Ok("a@b".into()));
    // Its tag, colon and brackets make 255 octets.
    assert!(mailbox(&format!("a@[x:{}]", "y".repeat(251))).is_ok());
    assert_eq!(mailbox(&format!("a@[x:{}]", "y".repeat(252))), Err(DomainTooLong));
    assert_eq!(reverse(format!("<@{}:a@b>", domain(60)).as_bytes(), true), Err(PathTooLong));
}

#[test]
fn literals() {
    let literal = |text: &str| mailbox(&format!("a@{text}")).unwrap().domain_literal();
    assert_eq!(literal("[192.0.2.1]"), Some(AddressLiteral::V4([192, 0, 2, 1].into())));
    for (text, address) in [
        ("::1", "::1"),
        ("1:2:3:4:5:6::", "1:2:3:4:5:6:0:0"),
        ("1:2:3:4::192.0.2.1", "1:2:3:4:0:0:c000:201"),
        ("1:2:3:4:5:6:192.000.002.001", "1:2:3:4:5:6:c000:201"),
        ("::ffff:192.000.002.001", "::ffff:192.0.2.1"),
    ] {
        let address = AddressLiteral::V6(address.parse().unwrap());
        assert_eq!(literal(&format!("[IPv6:{text}]")), Some(address), "{text}");
    }
    let general = AddressLiteral::General { tag: "x-tag".into(), content: "a=b".into() };
    assert_eq!(literal("[x-tag:a=b]"), Some(general));
    assert_eq!(literal("b.example"), None);
}

#[test]
fn equality_is_about_meaning() {
    for (a, b, same) in [
        ("a@B.example", "a@b.EXAMPLE", true),
        ("A@b", "a@b", false),
        ("\"a\"@b", "a@b", true),
        ("\"\\a\"@b", "a@b", true),
        ("\"a b\"@b", "\"a\\ b\"@B", true),
        ("a@b", "a@c", false),
    ] {
        let (one, two) = (mailbox(a).unwrap(), mailbox(b).unwrap());
        assert_eq!(one == two, same, "{a} {b}");
        assert!(!same || hash(&one) == hash(&two));
        assert_eq!((one == *b, *b == one, one == b, b == one), (same, same, same, same));
        assert_eq!((ReversePath::Mailbox(one.clone()) == *b, ForwardPath::Mailbox(one) == *b), (same, same));
    }
    assert!(mailbox("a@b").unwrap() != *"nonsense");
    assert!(ReversePath::Null == *"" && ReversePath::Null == *"<>" && ReversePath::Null != *"a@b");
    assert!(ForwardPath::Postmaster == *"postMASTER" && ForwardPath::Postmaster != *"");
    assert_eq!(mailbox("\"a\\\"b\"@c").unwrap().unquoted_local_part(), "a\"b");
}

#[test]
fn names_for_helo() {
    for good in ["a", "client.example", "[192.0.2.1]", "[IPv6:::1]", "1.2.3.4"] {
        assert!(is_helo_name(good.as_bytes()), "{good}");
    }
    for bad in ["", "a_b", "a b", "-a", "a.", "[192.0.2.1", "[x]", "a]", "b\u{fc}cher.example"] {
        assert!(!is_helo_name(bad.as_bytes()), "{bad}");
    }
}

/// A mailbox as the grammar makes them.
fn valid() -> impl Strategy<Value = String> {
    let atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~\u{e4}\u{65e5}-]{1,8}";
    let dot_string = prop::collection::vec(atom, 1..4).prop_map(|atoms| atoms.join("."));
    let quoted = "([ !#-\\[\\]-~\u{e4}]|\\\\[ -~]){0,12}".prop_map(|inner| format!("\"{inner}\""));
    let label = "[a-z0-9\u{fc}]([a-z0-9-]{0,6}[a-z0-9])?";
    let domain = prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let literal = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| format!("[{ip}]")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[IPv6:{ip}]")),
    ];
    (prop_oneof![dot_string, quoted], prop_oneof![3 => domain, 1 => literal])
        .prop_map(|(local, domain)| format!("{local}@{domain}"))
        .prop_filter("within the limits", |text| text.find('@').is_some_and(|at| at <= 64))
        .prop_filter("quoted ones as well", |text| text.rfind('@').is_some_and(|at| at <= 64))
}

proptest! {
    #[test]
    fn valid_mailboxes_stay_as_they_were_sent(text in valid()) {
        let bracketed = format!("<{text}> SIZE=1");
        prop_assert_eq!(reverse(bracketed.as_bytes(), true), Ok((text.clone(), " SIZE=1".to_owned())));
        let bare = format!("{text} SIZE=1");
        prop_assert_eq!(reverse(bare.as_bytes(), false), Ok((text.clone(), " SIZE=1".to_owned())));
        prop_assert!(mailbox(&text).unwrap() == *text.as_str());
    }

    #[test]
    fn what_is_accepted_is_accepted_again(input in "[<>@:,.\"\\\\ a-c\u{fc}\u{85}\\[\\]0-9-]{0,24}", strict in any::<bool>()) {
        if let Ok((path, _)) = ReversePath::parse(input.as_bytes(), strict) {
            let again = format!("<{path}>");
            prop_assert_eq!(ReversePath::parse(again.as_bytes(), strict).map(|p| p.0.to_string()), Ok(path.to_string()));
        }
        if let Ok((path, _)) = ForwardPath::parse(input.as_bytes(), strict) {
            let again = format!("<{path}>");
            prop_assert_eq!(ForwardPath::parse(again.as_bytes(), strict).map(|p| p.0.to_string()), Ok(path.to_string()));
        }
    }

    // Of few letters, so that many pairs mean the same.
    #[test]
    fn equal_mailboxes_have_equal_hashes(
        a in "([ab]|\"(\\\\?[ab]){1,2}\")@[aA]",
        b in "([ab]|\"(\\\\?[ab]){1,2}\")@[aA]",
    ) {
        let meaning = |text: &str| text.replace(['"', '\\'], "").replace('A', "a");
        let (one, two) = (mailbox(&a).unwrap(), mailbox(&b).unwrap());
        prop_assert_eq!(one == two, meaning(&a) == meaning(&b));
        prop_assert_eq!(hash(&one) == hash(&two), one == two);
    }

    #[test]
    fn no_octets_panic(input in prop::collection::vec(any::<u8>(), 0..80), strict in any::<bool>()) {
        let _ = ReversePath::parse(&input, strict);
        let _ = ForwardPath::parse(&input, strict);
        let _ = is_helo_name(&input);
    }
}
