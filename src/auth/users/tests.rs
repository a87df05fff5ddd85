use super::*;

/// "password" and "somesalt", from the tests of argon2's reference implementation.
const ARGON2: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn scram() -> String {
    ScramVerifier::derive("pencil", b"saltsaltsalt".to_vec(), 5000).encode()
}

fn is_good(users: &Users, user: &str, password: &str) -> bool {
    match users.password(&Context::of_nobody(), user, password) {
        Ok(identity) => {
            assert_eq!(identity, user);
            true
        }
        Err(AuthFailure::Credentials) => false,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn each_kind_of_secret() {
    let text = format!(
        "\u{feff}# users\r\n\r\n  alice: two words \r\nbob:{}\r\n\t# none\r\ncarol:{ARGON2}\ndave:#1:2\n\
         erin:{{PLAIN}}{{SSHA}}x",
        scram()
    );
    let users = Users::parse(&text).unwrap();
    assert!(is_good(&users, "alice", " two words ") && !is_good(&users, "alice", "two words"));
    assert!(is_good(&users, "bob", "pencil") && !is_good(&users, "bob", "Pencil") && !is_good(&users, "bob", &scram()));
    assert!(is_good(&users, "carol", "password") && !is_good(&users, "carol", ARGON2));
    assert!(is_good(&users, "dave", "#1:2") && is_good(&users, "erin", "{SSHA}x"));
    assert!(!is_good(&users, "Alice", " two words ") && !is_good(&users, "mallory", " two words "));
    assert!(!is_good(&users, "# none", "x") && !is_good(&users, "", ""));
}

#[test]
fn nobody() {
    let users = Users::parse("# nobody\n\n").unwrap();
    assert!(!is_good(&users, "alice", ""));
    assert!(users.scram(&Context::of_nobody(), "alice").unwrap().is_some());
}

#[test]
fn scram_is_offered_while_everybody_can_use_it() {
    let users = Users::new().add("alice", "secret").unwrap().add("bob", &scram()).unwrap();
    assert!(users.mechanisms(&Context::of_nobody()).contains(&Mechanism::ScramSha256));
    let users = users.add("carol", ARGON2).unwrap();
    assert_eq!(users.mechanisms(&Context::of_nobody()), [Mechanism::Plain, Mechanism::Login]);
}

#[test]
fn stored_verifiers_are_handed_out_as_they_are() {
    let users = Users::new().add("bob", &scram()).unwrap();
    assert_eq!(users.scram(&Context::of_nobody(), "bob").unwrap().unwrap().encode(), scram());
}

#[test]
fn names_and_passwords_are_prepared() {
    let users = Users::new().add("\u{2168}", "p\u{ad}w").unwrap();
    assert!(is_good(&users, "IX", "pw"));
    assert!(matches!(users.add("IX", "pw"), Err(EntryError::Duplicate)));
}

/// What a client sees of SCRAM before it has proven anything.
fn shown(users: &Users, user: &str) -> (u32, Vec<u8>) {
    let verifier = users.scram(&Context::of_nobody(), user).unwrap().unwrap();
    (verifier.iterations(), verifier.salt().to_vec())
}

#[test]
fn unknown_names_look_like_known_ones() {
    for secret in ["secret", &scram(), ARGON2] {
        let users = Users::new().add("alice", secret).unwrap();
        let (known, unknown) = (shown(&users, "alice"), shown(&users, "mallory"));
        assert_eq!((known.0, known.1.len()), (unknown.0, unknown.1.len()));
        assert_ne!(known.1, unknown.1);
        // The same each time that one asks.
        assert_eq!(known, shown(&users, "alice"));
        assert_eq!(unknown, shown(&users, "mallory"));
        assert!(!users.scram(&Context::of_nobody(), "mallory").unwrap().unwrap().matches("secret"));
        assert!(!users.scram(&Context::of_nobody(), "mallory").unwrap().unwrap().matches("pencil"));
    }
}

#[test]
fn an_unknown_name_is_checked_against_a_secret_of_somebody() {
    let users = Users::new().add("alice", "secret").unwrap().add("bob", &scram()).unwrap();
    let (set, gate) = (users.current(), Gate::default());
    let mut kinds = [0, 0];
    for number in 0..64 {
        let name = format!("mallory{number}");
        let Found { secret, is_known, .. } = set.find(&name, &gate).unwrap();
        let again = set.find(&name, &gate).unwrap().secret;
        assert!(!is_known && std::ptr::eq(secret.unwrap(), again.unwrap()));
        kinds[usize::from(matches!(secret, Some(Secret::Scram(_))))] += 1;
        // Whoever's secret it is, it opens nothing.
        assert!(!is_good(&users, &name, "secret"));
    }
    // 64 names that all fall to one side: less likely than a fault of the machine.
    assert!(kinds[0] > 0 && kinds[1] > 0);
    let Found { secret, is_known, .. } = set.find("bob", &gate).unwrap();
    assert!(is_known && matches!(secret, Some(Secret::Scram(_))));
}

/// An error and what led to it; neither repeats the other.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        assert!(!text.contains(&error.to_string()), "{text}: {error}");
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[test]
fn errors_and_their_causes_say_each_thing_once() {
    let read = UsersError::Read { path: "/users".into(), source: io::ErrorKind::NotFound.into() };
    assert_eq!(chain(&read), "cannot read /users: entity not found");
    assert_eq!(chain(&AuthFailure::temporary("down")), "credentials cannot be checked now: down");
    let random = ScramVerifierError::Random("broken".into());
    assert_eq!(chain(&random), "the system gives no random numbers: broken");
}

#[test]
fn bad_lines_are_numbered_and_keep_their_secrets() {
    let long_memory = ARGON2.replace("m=256", "m=1048577");
    let cases = [
        ("hunter2", "no colon between user and secret"),
        (":hunter2", "bad user name"),
        ("bob :hunter2", "bad user name"),
        ("b\u{7}b:hunter2", "bad user name"),
        ("\u{ad}:hunter2", "bad user name"),
        ("bob:", "the secret is empty"),
        ("bob:\u{ad}", "the secret is empty"),
        ("bob:{PLAIN}", "the secret is empty"),
        ("alice:hunter2", "this user is there already"),
        ("a\u{ad}lice:hunter2", "this user is there already"),
        (
            "bob:$6$hunter2",
            "the secret looks like a hash of an unknown kind; if it is a password, put {PLAIN} before it",
        ),
        (
            "bob:{SSHA}hunter2",
            "the secret looks like a hash of an unknown kind; if it is a password, put {PLAIN} before it",
        ),
        ("bob:$argon2id$hunter2", "bad argon2 hash"),
        ("bob:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", "bad argon2 hash"),
        (&*format!("bob:{long_memory}"), "bad argon2 hash"),
        (&*format!("bob:{}", ARGON2.replace("m=256,t=2", "m=65536,t=257")), "bad argon2 hash"),
        (&*format!("bob:{}", "\u{fdfa}".repeat(280)), "the secret is longer than 9216 octets"),
        (&*format!("{}:hunter2", "\u{fdfa}".repeat(16)), "bad user name"),
        (
            "bob:SCRAM-SHA-256$hunter2",
            "bad SCRAM verifier: not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey",
        ),
        (&*format!("bob:{}", scram().replace("$5000", "$500")), "bad SCRAM verifier: not 4096 to 10000000 iterations"),
    ];
    for (line, message) in cases {
        let error = Users::parse(&format!("# users\nalice:secret\n{line}\n")).unwrap_err();
        assert_eq!(chain(&error), format!("line 3 of the users: {message}"));
    }
    assert!(argon2(&ARGON2.replace("m=256,t=2", "m=65536,t=256")).is_some());
}

#[test]
fn passwords_that_are_no_hashes() {
    for password in ["$ecret", "$", "$$", "{}", "{a b}c", "a$b$c", "$a b$c"] {
        let users = Users::new().add("bob", password).unwrap();
        assert!(is_good(&users, "bob", password), "{password}");
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    let error = Users::from_file(&path).unwrap_err();
    assert!(matches!(&error, UsersError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound));
    fs::write(&path, b"bob:secret\n").unwrap();
    assert!(is_good(&Users::from_file(&path).unwrap(), "bob", "secret"));
    fs::write(&path, b"bob:\xff\n").unwrap();
    assert!(matches!(Users::from_file(&path), Err(UsersError::Read { .. })));
}

#[test]
fn debug_is_silent() {
    let users = Users::new().add("bob", "hunter2").unwrap();
    assert_eq!(format!("{users:?}"), "Users { len: 1, .. }");
}

#[test]
fn a_gate_lets_in_so_many_at_a_time() {
    let gate = Gate { free: Mutex::new(1), ..Gate::default() };
    let inside = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let _pass = gate.enter().unwrap();
                    assert!(inside.try_lock().is_some_and(|mut count| {
                        *count += 1;
                        true
                    }));
                }
            });
        }
    });
    assert_eq!((*inside.lock(), *gate.free.lock()), (400, 1));
}

#[test]
fn a_gate_keeps_nobody_waiting_for_ever() {
    let gate = Gate { free: Mutex::new(1), patience: Duration::from_millis(1), ..Gate::default() };
    let pass = gate.enter().unwrap();
    assert!(matches!(gate.enter(), Err(AuthFailure::Temporary(_))));
    drop(pass);
    assert!(gate.enter().is_ok());
}

#[test]
fn what_is_made_up_depends_on_the_users_alone() {
    let entries = [("alice", "secret"), ("bob", &*scram()), ("carol", "in clear")];
    let make = |order: [usize; 3]| {
        let add = |users: Users, at: usize| users.add(entries[at].0, entries[at].1).unwrap();
        order.into_iter().fold(Users::new(), add)
    };
    let (users, same) = (make([0, 1, 2]), make([2, 0, 1]));
    let other =
        Users::new().add("alice", "Secret").unwrap().add("bob", &scram()).unwrap().add("carol", "in clear").unwrap();
    for name in ["alice", "mallory", "trent", "victor"] {
        assert_eq!(shown(&users, name), shown(&same, name));
        assert_ne!(shown(&users, name).1, shown(&other, name).1);
    }
    // A user more, and it is another set of users.
    let before = shown(&users, "mallory").1;
    let users = users.add("dave", "x").unwrap();
    assert_ne!(before, shown(&users, "mallory").1);
}

#[test]
fn clones_share_what_replaces_them() {
    let users = Users::new().add("alice", "secret").unwrap();
    let shared = users.clone();
    assert!(is_good(&shared, "alice", "secret"));
    users.replace(Users::new().add("bob", ARGON2).unwrap());
    assert!(is_good(&shared, "bob", "password") && !is_good(&shared, "alice", "secret"));
    assert_eq!(shared.mechanisms(&Context::of_nobody()), CLEAR_TEXT);
    // By itself, and one that was refused adds nothing.
    users.replace(users.clone());
    assert!(users.clone().add("bob", "x").is_err());
    let more = users.add("carol", "c").unwrap();
    assert!(is_good(&more, "carol", "c") && is_good(&shared, "carol", "c") && is_good(&shared, "bob", "password"));
}
