//! A SASL mechanism that this crate does not bring: CRAM-MD5 (RFC 2195), for clients that know nothing better.
//!
//! The password is never sent, but the server has to know it, and MD5 is weak: whoever listens can guess passwords at leisure.
//! Use it only under TLS, or where nobody can listen. `cargo run --example cram_md5 -- 127.0.0.1:8025`, and then
//!
//!     swaks --server 127.0.0.1:8025 --to bob@example.org --auth CRAM-MD5 --auth-user tim --auth-password tanstaaftanstaaf

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use pillarbox::{AuthFailure, Context, Envelope, SaslExchange, SaslMechanism, SaslStep, Server};

/// Users and their passwords.
struct CramMd5 {
    passwords: Arc<HashMap<String, String>>,
}

impl SaslMechanism for CramMd5 {
    fn name(&self) -> &str {
        "CRAM-MD5"
    }

    fn is_clear_text(&self) -> bool {
        false
    }

    fn is_client_first(&self) -> bool {
        false
    }

    fn start(&self, context: &Context) -> Box<dyn SaslExchange> {
        // Section 2: as a message id has it, and never the same again.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let challenge = format!("<{}.{number}.{now}@{}>", std::process::id(), context.hostname());
        Box::new(CramMd5Exchange { passwords: self.passwords.clone(), challenge, is_challenged: false })
    }
}

struct CramMd5Exchange {
    passwords: Arc<HashMap<String, String>>,
    challenge: String,
    is_challenged: bool,
}

impl SaslExchange for CramMd5Exchange {
    fn step(&mut self, _: &Context, response: &[u8]) -> Result<SaslStep, AuthFailure> {
        if self.is_challenged {
            return self.check(response).map(SaslStep::Authenticated);
        }
        self.is_challenged = true;
        Ok(SaslStep::Challenge(self.challenge.clone().into_bytes()))
    }
}

impl CramMd5Exchange {
    /// The user whose response this is.
    fn check(&self, response: &[u8]) -> Result<String, AuthFailure> {
        // A user's name may have a blank in it, the digest has none.
        let response = str::from_utf8(response).map_err(|_| AuthFailure::Malformed)?;
        let (user, digest) = response.rsplit_once(' ').ok_or(AuthFailure::Malformed)?;
        let digest = from_hex(digest).ok_or(AuthFailure::Malformed)?;
        // Unknown names take as long.
        let password = self.passwords.get(user).map_or("", |password| password);
        let mac =
            Hmac::<Md5>::new_from_slice(password.as_bytes()).map_err(|e| AuthFailure::temporary(e.to_string()))?;
        let is_right = mac.chain_update(&self.challenge).verify_slice(&digest).is_ok();
        if is_right && self.passwords.contains_key(user) { Ok(user.to_owned()) } else { Err(AuthFailure::Credentials) }
    }
}

/// The sixteen octets of a digest.
fn from_hex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

fn serve(at: &str, users: &[(&str, &str)]) -> Result<Server, pillarbox::Error> {
    let passwords = users.iter().map(|(user, password)| (user.to_string(), password.to_string())).collect();
    Server::builder().sasl_mechanism(CramMd5 { passwords: Arc::new(passwords) }).require_auth(true).serve(
        at,
        |mail: Envelope| {
            println!("{} from {:?} by {}", mail.id(), mail.identity(), mail.protocol());
        },
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8025".to_owned());
    let server = serve(&address, &[("tim", "tanstaaftanstaaf")])?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    /// Runs a client; `None` if there is none on this machine.
    fn run(command: &mut Command) -> Option<Output> {
        match command.output() {
            Ok(output) => Some(output),
            Err(e) if std::env::var_os("TEST_PILLARBOX_REQUIRE_CLIENTS").is_none() => {
                eprintln!("skipped: {:?}: {e}", command.get_program());
                None
            }
            Err(e) => panic!("{:?}: {e}", command.get_program()),
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        // Section 2.
        let passwords = HashMap::from([("tim".to_owned(), "tanstaaftanstaaf".to_owned())]);
        let challenge = "<1896.697170952@postoffice.reston.mci.net>".to_owned();
        let exchange = CramMd5Exchange { passwords: Arc::new(passwords), challenge, is_challenged: true };
        assert_eq!(exchange.check(b"tim b913a602c7eda7a495b4e6e7334d3890").unwrap(), "tim");
        for (response, is_malformed) in [
            (&b"tim b913a602c7eda7a495b4e6e7334d3891"[..], false),
            (b"tom b913a602c7eda7a495b4e6e7334d3890", false),
            (b"tim +913a602c7eda7a495b4e6e7334d3890", true),
            (b"tim", true),
            (b"\xff b913a602c7eda7a495b4e6e7334d3890", true),
        ] {
            let failure = exchange.check(response).unwrap_err();
            assert_eq!(matches!(failure, AuthFailure::Malformed), is_malformed, "{failure}");
        }
    }

    #[test]
    fn curl_logs_in() {
        let server = serve("127.0.0.1:0", &[("tim", "tanstaaftanstaaf")]).unwrap();
        for (user, is_good) in [("tim:tanstaaftanstaaf", true), ("tim:wrong", false), ("tom:tanstaaftanstaaf", false)] {
            let url = format!("smtp://{}", server.local_addr());
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--login-options", "AUTH=CRAM-MD5", "--user", user, "--mail-from", "a@example.org"]);
            curl.args(["--mail-rcpt", "b@example.org", "-T", "Cargo.toml", &url]);
            let Some(output) = run(&mut curl) else { return };
            assert_eq!(output.status.success(), is_good, "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(server.stats().accepted_messages, 1);
    }

    #[test]
    fn smtplib_and_swaks_log_in() {
        let server = serve("127.0.0.1:0", &[("tim", "tanstaaftanstaaf")]).unwrap();
        let program = "import smtplib, sys\n\
                       client = smtplib.SMTP(sys.argv[1], int(sys.argv[2]))\n\
                       client.ehlo()\n\
                       assert client.esmtp_features['auth'].strip() == 'CRAM-MD5', client.esmtp_features\n\
                       client.login('tim', 'tanstaaftanstaaf')\n\
                       client.sendmail('a@example.org', ['b@example.org'], 'Subject: x\\n\\nx')";
        let address = server.local_addr();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        if let Some(output) = run(Command::new("python3").args(["-c", program, &host, &port])) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(server.stats().accepted_messages, 1);
        }
        let before = server.stats().accepted_messages;
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &host, "--port", &port, "--to", "b@example.org", "--from", "a@example.org"]);
        swaks.args(["--auth", "CRAM-MD5", "--auth-user", "tim", "--auth-password", "tanstaaftanstaaf"]);
        if let Some(output) = run(&mut swaks) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert_eq!(server.stats().accepted_messages, before + 1);
        }
    }
}
