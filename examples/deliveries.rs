//! Your own loop over the channel that messages come out of.
//!
//! `cargo run --example deliveries [ADDRESS:PORT]`

use pillarbox::{Error, Reply, Server};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8025".to_owned());
    let (server, deliveries) = Server::builder().deliveries(address)?;
    eprintln!("listening on {}", server.local_addr());
    for delivery in &deliveries {
        let mail = delivery.envelope();
        println!("{}: {} octets from <{}>", mail.id(), mail.content().len(), mail.mail_from());
        // If it were dropped unanswered, the client would get a 451.
        if mail.content().is_empty() {
            delivery.respond(Reply::permanent("there is nothing in it"));
        } else {
            delivery.accept();
        }
    }
    Ok(())
}
