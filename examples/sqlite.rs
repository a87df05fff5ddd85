//! Stores each message in a database; the client tries again if that fails.
//!
//! `cargo run --example sqlite [ADDRESS:PORT [FILE]]`

use pillarbox::{Envelope, Reply, Server};
use rusqlite::{Connection, params};

/// One row for each message, in a transaction that is on disk when this returns.
fn store(db: &mut Connection, mail: &Envelope) -> Result<(), Box<dyn std::error::Error>> {
    let recipients: Vec<&str> = mail.recipients().iter().map(|to| to.as_str()).collect();
    db.execute(
        "INSERT INTO mail (id, sender, recipients, content) VALUES (?1, ?2, ?3, ?4)",
        params![mail.id().to_string(), mail.mail_from().as_str(), recipients.join(" "), &*mail.bytes()?],
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "localhost:8025".to_owned());
    let mut db = Connection::open(arguments.next().unwrap_or_else(|| "mail.db".to_owned()))?;
    // By default a power cut can undo the last transaction, since the removal of its journal may not be on disk yet.
    db.pragma_update(None, "synchronous", "EXTRA")?;
    db.execute("CREATE TABLE IF NOT EXISTS mail (id TEXT, sender TEXT, recipients TEXT, content BLOB)", [])?;

    // A connection may be sent to another thread, but not shared: it moves to its consumer thread.
    let server = Server::builder().serve(address, move |mail: Envelope| match store(&mut db, &mail) {
        Ok(()) => Reply::ok(),
        Err(e) => {
            eprintln!("{}: {e}", mail.id());
            Reply::temporary("cannot store it now")
        }
    })?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}
