//! Users, their verifiers, and what it may cost to check them.

#![cfg(feature = "auth")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64, Encoding};
use pillarbox::{AuthFailure, Authenticator, Bearer, Context, Mechanism, ScramVerifier, Server, Users};

use crate::support::client::Client;
#[cfg(all(feature = "cli", unix))]
use crate::support::command;

/// Counts its questions, and lets everybody in.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn ask(&self, name: &str) -> Result<String, AuthFailure> {
        assert!(name.len() <= 512, "{} octets", name.len());
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok("somebody".to_owned())
    }
}

impl Authenticator for Asked {
    fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
        vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::OAuthBearer, Mechanism::XOAuth2]
    }

    fn password(&self, _: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        assert!(password.len() <= 9216, "{} octets", password.len());
        self.ask(user)
    }

    fn scram(&self, _: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        self.ask(user).map(|_| None)
    }

    fn bearer(&self, _: &Context, bearer: &Bearer<'_>) -> Result<String, AuthFailure> {
        self.ask(bearer.user().unwrap_or_default())
    }

    fn authorize(&self, _: &Context, _: &str, acts_as: &str) -> Result<String, AuthFailure> {
        self.ask(acts_as)
    }
}

/// Says the lines of an exchange, and gives the last reply.
fn exchange(server: SocketAddr, mechanism: &str, responses: &[String]) -> String {
    let mut client = Client::ehlo(server);
    let mut said = client.expect(format!("AUTH {mechanism}"), "334");
    for response in responses {
        said = client.say(Base64::encode_string(response.as_bytes()));
    }
    // The reason of OAUTHBEARER and XOAUTH2 comes in a challenge.
    if said.starts_with("334 ey") { client.say("AQ==") } else { said }
}

/// Reported of others that limit what comes and not what is made of it: U+FDFA has three octets, and by SASLprep 33.
#[test]
fn names_and_passwords_are_no_longer_for_being_prepared() {
    let asked = Asked::default();
    let server = Server::builder().authenticator(asked.clone()).inbox("127.0.0.1:0").unwrap();
    let at = server.local_addr();
    let cases = |name: &str, password: &str| {
        [
            ("PLAIN", vec![format!("\0{name}\0{password}")]),
            ("PLAIN", vec![format!("{name}\0bob\0{password}")]),
            ("LOGIN", vec![name.to_owned(), password.to_owned()]),
            ("SCRAM-SHA-256", vec![format!("n,,n={name},r=abc")]),
            ("SCRAM-SHA-256", vec![format!("n,a={name},n=bob,r=abc")]),
            ("OAUTHBEARER", vec![format!("n,a={name},\u{1}auth=Bearer t\u{1}\u{1}")]),
            ("XOAUTH2", vec![format!("user={name}\u{1}auth=Bearer t\u{1}\u{1}")]),
        ]
    };
    let fits = "\u{fdfa}".repeat(15);
    for (mechanism, responses) in cases(&fits, &"\u{fdfa}".repeat(279)) {
        let said = exchange(at, mechanism, &responses);
        assert!(said.starts_with("235") || said.starts_with("334"), "{mechanism}: {said}");
    }
    let before = asked.0.load(Ordering::Relaxed);
    let long_names = ["\u{fdfa}".repeat(170), "\u{fdfa}".repeat(16), "\u{3300}".repeat(170), "a".repeat(513)];
    let long_passwords = ["\u{fdfa}".repeat(3000), "\u{fdfa}".repeat(280)];
    let with_names = long_names.iter().flat_map(|long| cases(long, "x"));
    let with_passwords = long_passwords.iter().flat_map(|long| cases("bob", long).into_iter().take(3));
    // Each is told after a while.
    std::thread::scope(|scope| {
        for (mechanism, responses) in with_names.chain(with_passwords) {
            scope.spawn(move || {
                let said = exchange(at, mechanism, &responses);
                // The same reply to what is too long as it comes, and to what becomes it.
                assert!(said.starts_with("535 5.7.8"), "{mechanism} {responses:?}: {said}");
            });
        }
    });
    // SCRAM has asked for bob before it came to whom he wants to be, or not at all.
    assert_eq!(asked.0.load(Ordering::Relaxed), before);
}

/// A user whose name no client could give, and a password that none could send, are mistakes of the file.
#[test]
fn users_too_long_to_log_in_are_refused() {
    assert!(Users::new().add(&"\u{fdfa}".repeat(16), "x").is_err());
    assert!(Users::new().add(&"a".repeat(513), "x").is_err());
    assert!(Users::new().add("bob", &"\u{fdfa}".repeat(280)).is_err());
    assert!(Users::new().add(&"a".repeat(512), &"x".repeat(9216)).is_ok());
}

/// What a client is shown of a name: salt and iterations.
fn shown(server: SocketAddr, name: &str) -> String {
    let mut client = Client::ehlo(server);
    let first = Base64::encode_string(format!("n,,n={name},r=abc").as_bytes());
    let challenge = client.expect(format!("AUTH SCRAM-SHA-256 {first}"), "334 ");
    let challenge = Base64::decode_vec(challenge[4..].trim_end()).unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    challenge.split_once(",s=").unwrap().1.to_owned()
}

fn verifier(iterations: u32, salt: u8) -> String {
    ScramVerifier::new(iterations, [salt; 16], [salt; 32], [1; 32]).unwrap().encode()
}

/// Of a file of SCRAM verifiers on two servers: known names had the same salt on both and after a restart, unknown ones
/// did not, which told them apart.
#[test]
fn unknown_names_have_the_same_salts_on_each_server_with_the_same_users() {
    let text = format!("alice:{}\nbob:{}\ncarol:in clear\n", verifier(5000, 1), verifier(20_000, 2));
    let names = ["alice", "bob", "carol", "mallory", "trent", "victor", "walter"];
    let serve = |users| Server::builder().authenticator(users).inbox("127.0.0.1:0").unwrap();
    let all = |server: SocketAddr| names.map(|name| shown(server, name));
    let one = serve(Users::parse(&text).unwrap());
    let seen = all(one.local_addr());
    assert_eq!(seen, all(one.local_addr()));
    // The same users in another order.
    let lines: Vec<&str> = text.lines().rev().collect();
    assert_eq!(seen, all(serve(Users::parse(&lines.join("\n")).unwrap()).local_addr()));
    // Others.
    let other = all(serve(Users::parse(&text.replace("in clear", "In clear")).unwrap()).local_addr());
    assert_eq!(seen[..2], other[..2]);
    assert!(seen[2..].iter().zip(&other[2..]).all(|(one, other)| one != other));
    // All look alike: the length of a salt of 16 octets, and iterations that somebody has.
    for name in &seen {
        let (salt, iterations) = name.split_once(",i=").unwrap();
        assert_eq!(Base64::decode_vec(salt).unwrap().len(), 16);
        assert!(["4096", "5000", "20000"].contains(&iterations), "{name}");
    }
    assert_eq!(seen.iter().collect::<std::collections::HashSet<_>>().len(), seen.len());
}

/// The same with a restart in between.
#[cfg(all(feature = "cli", unix))]
#[test]
fn unknown_names_have_the_same_salts_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    std::fs::write(&file, format!("alice:{}\n", verifier(5000, 1))).unwrap();
    let all = || {
        let server = command::Running::start(&["-n", "-c", "Sink", "--users", file.to_str().unwrap(), "127.0.0.1:0"]);
        ["alice", "mallory", "trent"].map(|name| shown(server.address(), name))
    };
    let before = all();
    assert_eq!(before, all());
    assert!(before.iter().all(|seen| seen.ends_with(",i=5000")));
}

/// An authenticator of one's own can do the same.
#[test]
fn verifiers_can_be_made_up() {
    struct Directory(&'static [u8]);
    impl Authenticator for Directory {
        fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
            vec![Mechanism::ScramSha256]
        }

        fn scram(&self, _: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
            ScramVerifier::made_up(user, self.0, 10_000).map(Some).map_err(AuthFailure::temporary)
        }
    }
    let seen = |key| {
        let server = Server::builder().authenticator(Directory(key)).inbox("127.0.0.1:0").unwrap();
        shown(server.local_addr(), "mallory")
    };
    assert_eq!(seen(b"one key"), seen(b"one key"));
    assert_ne!(seen(b"one key"), seen(b"another key"));
}

/// Of 40 logins by PLAIN against verifiers of 2,000,000 iterations: all were computed at once, and nothing else was.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn costly_verifiers_are_checked_one_a_processor_at_a_time() {
    use std::sync::atomic::AtomicBool;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    // Fewer iterations, so that it ends soon in a build that is not optimized.
    std::fs::write(&file, format!("alice:{}\nbob:{}\n", verifier(20_000, 1), verifier(20_000, 2))).unwrap();
    let server = command::Running::start(&["-n", "-c", "Sink", "--users", file.to_str().unwrap(), "127.0.0.1:0"]);
    let (address, process) = (server.address(), server.process.0.id());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let logins = 4 * processors + 4;
    let running = || {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.filter(|stat| stat.contains("(pillarbox-") && stat.contains(") R ")).count()
    };
    let is_done = AtomicBool::new(false);
    let mut seen = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                seen.push(running());
            }
            seen
        });
        let clients: Vec<_> = (0..logins)
            .map(|number| {
                scope.spawn(move || {
                    // Known, known by another name, and not known at all.
                    let name = ["alice", "bob", "mallory"][number % 3];
                    let plain = Base64::encode_string(format!("\0{name}\0wrong").as_bytes());
                    Client::ehlo(address).expect(format!("AUTH PLAIN {plain}"), "535 5.7.8");
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    // Now and then one that reads or writes is seen as well.
    seen.sort_unstable();
    let usual = seen[seen.len() / 2];
    assert!(usual <= processors, "{usual} of {logins} at once on {processors} processors");
    assert!(seen[seen.len() - 1] >= 1, "nothing was seen");
}

/// Of verifiers that no login would ever end with: they are refused when they are read.
#[test]
fn absurd_costs_are_refused_when_they_are_read() {
    let scram = verifier(10_000_000, 1);
    assert!(Users::new().add("bob", &scram).is_ok());
    for iterations in ["10000001", "4294967295", "4294967296", "99999999999999999999", "4095", "0", "-1"] {
        assert!(
            Users::new().add("bob", &scram.replace("$10000000:", &format!("${iterations}:"))).is_err(),
            "{iterations}"
        );
    }
    let argon2 =
        |cost: &str| format!("$argon2id$v=19${cost},p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
    for cost in ["m=65536,t=3", "m=1048576,t=16", "m=256,t=65536"] {
        assert!(Users::new().add("bob", &argon2(cost)).is_ok(), "{cost}");
    }
    for cost in ["m=1048577,t=1", "m=1048576,t=17", "m=256,t=65537", "m=8,t=4294967295"] {
        assert!(Users::new().add("bob", &argon2(cost)).is_err(), "{cost}");
    }
}

/// Reported by those who print errors with their causes: "line 2: no colon…: no colon…".
#[test]
fn errors_do_not_repeat_their_causes() {
    fn assert_said_once(error: &dyn Error) {
        let mut said = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            assert!(!said.iter().any(|above| above.contains(&text)), "{said:?} {text}");
            said.push(text);
            cause = error.source();
        }
        assert!(said.len() > 1, "{said:?} has no cause");
    }
    assert_said_once(&Users::parse("bob").unwrap_err());
    assert_said_once(&Users::parse("bob:SCRAM-SHA-256$x").unwrap_err());
    assert_said_once(&Users::from_file("/there/is/no/such/file").unwrap_err());
    assert_said_once(&Users::new().add("bob", "SCRAM-SHA-256$x").unwrap_err());
    assert_said_once(&AuthFailure::temporary("the directory is down"));
    #[cfg(feature = "tls")]
    assert_said_once(&pillarbox::Tls::from_pem(b"", b"-----BEGIN PRIVATE KEY-----").unwrap_err());
}

/// The command shows both.
#[cfg(all(feature = "cli", unix))]
#[test]
fn the_command_says_what_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    std::fs::write(&file, "alice:secret\nbob:SCRAM-SHA-256$x\n").unwrap();
    let refused = command::command(&["-n", "--users", file.to_str().unwrap(), "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    let end = ": line 2 of the users: bad SCRAM verifier: not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey\n";
    assert!(refused.status.code() == Some(1) && said.ends_with(end), "{said}");
}
