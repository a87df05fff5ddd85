//! Refuses recipients as they are named, with a session for each connection.
//!
//! `cargo run --example local_domains [ADDRESS:PORT]`

use pillarbox::{Context, Envelope, Error, Recipient, Reply, Server, Session};

/// Accepts mail for one domain, and passes the number of refusals to the handler.
#[derive(Default)]
struct Local {
    refused: u32,
}

/// What the handler gets.
struct Refused(u32);

impl Session for Local {
    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        let is_local = to.domain().is_none_or(|domain| domain.eq_ignore_ascii_case("example.org"));
        if !is_local {
            self.refused += 1;
            return Err(Reply::new(550, "5.7.1", "relaying denied"));
        }
        context.values().insert(Refused(self.refused));
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8025".to_owned());
    let handler = |mail: Envelope| {
        let refused = mail.values().take::<Refused>().map_or(0, |refused| refused.0);
        println!("{} for {} recipients, {refused} refused", mail.id(), mail.recipients().len());
    };
    let server = Server::builder().session(|_peer| Local::default()).serve(address, handler)?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}
