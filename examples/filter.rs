//! A content filter before Postfix's queue: it refuses messages by their content while their client waits, adds a header to
//! the others, and gives them to the next server. It keeps nothing, so nothing is lost when it is killed.
//!
//! `cargo run --example filter [ADDRESS:PORT [NEXT:PORT]]`
//!
//! In Postfix's main.cf, for the server that the Internet reaches (SMTPD_PROXY_README has more):
//!
//! ```text
//! smtpd_proxy_filter = 127.0.0.1:10025
//! ```
//!
//! In master.cf, the server that takes what comes through the filter:
//!
//! ```text
//! 127.0.0.1:10026 inet n - n - - smtpd
//!   -o smtpd_proxy_filter=
//!   -o smtpd_authorized_xforward_hosts=127.0.0.0/8
//!   -o smtpd_relay_restrictions=permit_mynetworks,reject
//!   -o mynetworks=127.0.0.0/8
//! ```

use pillarbox::handlers::Proxy;
use pillarbox::{
    Context, Delivery, Envelope, Error, Handler, Network, Reply, Response, Server, Session, SessionFactory,
};

/// What no message may contain: the end of the test file that virus scanners know. Its first octet is nowhere else in it.
const SIGNATURE: &[u8] = b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!";

/// Looks for the signature while the content comes, wherever the content is cut.
#[derive(Default)]
struct Scan {
    // How many octets of the signature the content seen so far ends with.
    matched: usize,
}

impl Session for Scan {
    fn data(&mut self, _: &Context) -> Result<(), Reply> {
        self.matched = 0;
        Ok(())
    }

    fn content(&mut self, _: &Context, octets: &[u8]) -> Result<(), Reply> {
        for octet in octets {
            self.matched = match *octet {
                octet if octet == SIGNATURE[self.matched] => self.matched + 1,
                octet => usize::from(octet == SIGNATURE[0]),
            };
            if self.matched == SIGNATURE.len() {
                return Err(Reply::new(554, "5.7.1", "the message contains a virus"));
            }
        }
        Ok(())
    }
}

/// Adds a header, and leaves the rest to the relay: its hooks ask the next server about senders and recipients.
struct Filter(Proxy);

impl Handler for Filter {
    fn process_message(&mut self, mut mail: Envelope) -> Response {
        match mail.prepend_header("X-Filtered", "clean") {
            Ok(()) => self.0.process_message(mail),
            Err(e) => Reply::from(e).into(),
        }
    }

    // The relay sends each message from a thread of its own, and so none waits for another.
    fn process_delivery(&mut self, mut delivery: Delivery) {
        match delivery.envelope_mut().prepend_header("X-Filtered", "clean") {
            Ok(()) => self.0.process_delivery(delivery),
            Err(e) => delivery.respond(Reply::from(e)),
        }
    }

    fn session(&self) -> Option<SessionFactory> {
        self.0.session()
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:10025".to_owned());
    let next = arguments.next().unwrap_or_else(|| "127.0.0.1:10026".to_owned());
    // The next server's log names the client of the first.
    let relay = Proxy::to(next).xforward(true).x_peer(false);
    let server = Server::builder()
        .xforward(Network::loopback())
        .smtputf8(true)
        .session(|_peer| Scan::default())
        .serve(address, Filter(relay))?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}
