//! Authentication from both sides: nobody gets in who does not know the password, and no server is believed that does not.

#![no_main]

use arbitrary::Arbitrary;
use pillarbox::internals::{authenticate, log_in};
use pillarbox::{Mechanism, Users};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    mechanism: u8,
    initial: Option<&'a [u8]>,
    messages: Vec<&'a [u8]>,
}

const MECHANISMS: [Mechanism; 6] = [
    Mechanism::Plain,
    Mechanism::Login,
    Mechanism::ScramSha256,
    Mechanism::OAuthBearer,
    Mechanism::XOAuth2,
    Mechanism::External,
];

libfuzzer_sys::fuzz_target!(|input: Input| {
    let mechanism = MECHANISMS[usize::from(input.mechanism) % MECHANISMS.len()];
    // A password that no input will hold.
    let users = Users::new().add("bob", "4b1d9fda2c7e4b5c8f").expect("an entry");
    assert_eq!(authenticate(mechanism, users, input.initial, &input.messages), None);
    let (answers, believes) = log_in(mechanism.name(), &input.messages);
    assert!(answers.len() <= 3);
    if mechanism == Mechanism::ScramSha256 {
        assert!(!believes);
        assert!(!answers.concat().windows(11).any(|part| part == b"open sesame"));
    }
});
