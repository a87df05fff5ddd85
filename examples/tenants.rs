//! Mail of several tenants, each with a database and a quota. What arrives at the same time is stored in one transaction of the
//! database, up to a hundred messages, and answered after its end.
//!
//! `cargo run --example tenants -- 127.0.0.1:8025 tenants 1000000000`
//!
//! A tenant is a domain with a database in that folder: `touch tenants/example.org.db` makes one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::{fs, iter, thread};

use pillarbox::crossbeam_channel::{Receiver, Sender, unbounded};
use pillarbox::{Context, Delivery, Envelope, Listener, Recipient, Reply, Server, Session};
use rusqlite::{Connection, params};

const MAX_BATCH: usize = 100;

type Error = Box<dyn std::error::Error>;

/// A tenant's database, how many octets of mail it holds, and how many it may.
struct Tenant {
    db: Connection,
    used: u64,
    quota: u64,
}

impl Tenant {
    fn open(path: &Path, quota: u64) -> rusqlite::Result<Tenant> {
        let db = Connection::open(path)?;
        // By default a power cut can undo the last transaction, since the removal of its journal may not be on disk yet.
        db.pragma_update(None, "synchronous", "EXTRA")?;
        db.execute("CREATE TABLE IF NOT EXISTS mail (id TEXT, sender TEXT, recipients TEXT, content BLOB)", [])?;
        let used: i64 = db.query_row("SELECT coalesce(sum(length(content)), 0) FROM mail", [], |row| row.get(0))?;
        Ok(Tenant { db, used: used.unsigned_abs(), quota })
    }

    /// Stores messages; the verdicts are true only if this succeeds.
    fn store(&mut self, batch: &[Envelope]) -> Result<Vec<Reply>, Error> {
        let transaction = self.db.transaction()?;
        let mut used = self.used;
        let mut verdicts = Vec::with_capacity(batch.len());
        for mail in batch {
            let octets = mail.content().len();
            if used + octets > self.quota {
                verdicts.push(Reply::new(452, "4.2.2", "over quota, try again later"));
                continue;
            }
            let recipients: Vec<&str> = mail.recipients().iter().map(Recipient::as_str).collect();
            transaction.prepare_cached("INSERT INTO mail VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                mail.id().to_string(),
                mail.mail_from().as_str(),
                recipients.join(" "),
                &*mail.bytes()?
            ])?;
            used += octets;
            verdicts.push(Reply::ok());
        }
        transaction.commit()?;
        self.used = used;
        Ok(verdicts)
    }

    /// Takes what waits, up to a batch, and answers it once it is stored: in any order, since each client has its own answer.
    fn run(mut self, deliveries: &Receiver<Delivery>) {
        while let Ok(first) = deliveries.recv() {
            let batch = iter::once(first).chain(deliveries.try_iter()).take(MAX_BATCH);
            let (mails, answers): (Vec<_>, Vec<_>) = batch.map(Delivery::take).unzip();
            match self.store(&mails) {
                Ok(verdicts) => {
                    answers.into_iter().zip(verdicts).rev().for_each(|(answer, reply)| answer.respond(reply))
                }
                // The answers are dropped: all their clients get 451, and try again.
                Err(e) => eprintln!("cannot store {} messages: {e}", mails.len()),
            }
        }
    }
}

type Queues = Arc<HashMap<String, Sender<Delivery>>>;

fn domain(to: &Recipient) -> String {
    to.domain().unwrap_or_default().to_ascii_lowercase()
}

/// One tenant for each message: its client sends the others' in transactions of their own.
struct OneTenant(Queues);

impl Session for OneTenant {
    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        match context.recipients().first() {
            _ if !self.0.contains_key(&domain(to)) => Err(Reply::new(550, "5.1.2", "no such tenant")),
            Some(first) if domain(first) != domain(to) => Err(Reply::new(452, "4.5.3", "one tenant at a time")),
            _ => Ok(()),
        }
    }
}

/// Starts a thread for each tenant, and one that gives them their messages.
fn serve(address: impl Into<Listener>, folder: &Path, quota: u64) -> Result<Server, Error> {
    let mut queues = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            let tenant = Tenant::open(&path, quota)?;
            // As many as there are connections: each has one message that waits for its answer.
            let (queue, deliveries) = unbounded();
            queues.insert(name.to_ascii_lowercase(), queue);
            thread::spawn(move || tenant.run(&deliveries));
        }
    }
    let queues: Queues = Arc::new(queues);
    let known = queues.clone();
    let (server, deliveries) = Server::builder().session(move |_peer| OneTenant(known.clone())).deliveries(address)?;
    thread::spawn(move || {
        for delivery in &deliveries {
            if let Some(queue) = queues.get(&domain(&delivery.envelope().recipients()[0])) {
                // If the tenant's thread is gone, the delivery is dropped: 451.
                let _ = queue.send(delivery);
            }
        }
    });
    Ok(server)
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, quota] = &arguments[..] else { return Err("usage: tenants ADDRESS FOLDER OCTETS".into()) };
    let server = serve(address.as_str(), Path::new(folder), quota.parse()?)?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use lettre::address::Envelope;
    use lettre::{SmtpTransport, Transport};

    use super::*;

    fn send(server: &Server, to: &[&str], content: &str) -> Result<(), u16> {
        let transport = SmtpTransport::builder_dangerous("127.0.0.1").port(server.local_addr().port()).build();
        let envelope = Envelope::new(None, to.iter().map(|to| to.parse().unwrap()).collect()).unwrap();
        let sent = transport.send_raw(&envelope, content.as_bytes()).map(drop);
        sent.map_err(|e| e.status().map(u16::from).unwrap_or_default())
    }

    #[test]
    fn each_tenant_has_its_own_mail_and_quota() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one.example.db", "two.example.db"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let server = serve("127.0.0.1:0", folder.path(), 1000).unwrap();
        let sent: Vec<Result<(), u16>> = thread::scope(|scope| {
            let senders: Vec<_> = (0..40)
                .map(|n| {
                    let to = if n % 2 == 0 { "a@one.example" } else { "b@TWO.example" };
                    let server = &server;
                    scope.spawn(move || send(server, &[to], &format!("Subject: {n:02}\r\n\r\n{}\r\n", "x".repeat(50))))
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        // Each message has 67 octets.
        assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 28, "{sent:?}");
        assert!(sent.iter().all(|sent| matches!(sent, Ok(()) | Err(452))), "{sent:?}");
        assert_eq!(send(&server, &["a@three.example"], ""), Err(550));
        assert_eq!(send(&server, &["a@one.example", "b@two.example"], ""), Err(452));
        for name in ["one.example.db", "two.example.db"] {
            let tenant = Tenant::open(&folder.path().join(name), 1000).unwrap();
            let stored: i64 = tenant.db.query_row("SELECT count(*) FROM mail", [], |row| row.get(0)).unwrap();
            assert!(stored == 14 && tenant.used <= 1000, "{stored} messages of {} octets", tenant.used);
        }
    }
}
