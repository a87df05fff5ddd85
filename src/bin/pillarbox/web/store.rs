//! The messages, and waiting for the next.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use pillarbox::{Envelope, Reply};

use super::summary::Summary;
use crate::http::response::Stored;

/// How many messages there can be.
const MAX_MESSAGES: usize = 10_000;

/// In octets, of all messages with what is known of them: recipients, conversation, what is searched. One that is larger can
/// be there alone.
const MAX_OCTETS: u64 = 256 * 1024 * 1024;

/// In octets, what a message takes beside what is counted: the list's own part, what the allocator rounds up.
const OVERHEAD: u64 = 512;

/// In octets, what a message counts for whose content is on disk, beside its size: it takes a file descriptor.
const ON_DISK: u64 = 64 * 1024;

/// A message that is kept.
pub struct StoredMessage {
    /// Counted from 1.
    pub id: u64,
    pub envelope: Envelope,
    pub summary: Summary,
    cost: u64,
    held: Arc<AtomicU64>,
}

impl Stored for StoredMessage {
    fn octets(&self) -> u64 {
        self.envelope.content().len()
    }

    fn reader(&self) -> Box<dyn Read + '_> {
        Box::new(self.envelope.content().reader())
    }
}

/// It counts until nobody looks at it any more, which may be long after it was deleted.
impl Drop for StoredMessage {
    fn drop(&mut self) {
        self.held.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// The messages. When there is no room further ones are refused until some are deleted: what was accepted stays.
pub struct MessageStore {
    max_messages: usize,
    max_octets: u64,
    // Of all messages that are still there.
    held: Arc<AtomicU64>,
    kept: Mutex<Kept>,
    arrived: Condvar,
}

impl Default for MessageStore {
    fn default() -> MessageStore {
        MessageStore::new(MAX_MESSAGES, MAX_OCTETS)
    }
}

type Shared = Arc<StoredMessage>;

#[derive(Default)]
struct Kept {
    // By growing id.
    messages: VecDeque<Shared>,
    last: u64,
    // Since there was room.
    refused: u64,
}

impl MessageStore {
    fn new(max_messages: usize, max_octets: u64) -> MessageStore {
        MessageStore { max_messages, max_octets, held: Arc::default(), kept: Mutex::default(), arrived: Condvar::new() }
    }

    /// # Errors
    /// If there is no room: what its client is told, which may try again.
    pub fn push(&self, mut envelope: Envelope) -> Result<(), Reply> {
        let summary = Summary::of(&envelope);
        let content = envelope.content();
        let on_disk = if content.memory_octets() == 0 && !content.is_empty() { content.len() + ON_DISK } else { 0 };
        let cost = OVERHEAD + envelope.memory_octets() + on_disk + summary.len() as u64;
        let mut kept = self.kept.lock();
        let held = self.held.load(Ordering::Relaxed);
        if kept.messages.len() >= self.max_messages || (held > 0 && held + cost > self.max_octets) {
            kept.refused += 1;
            return Err(Reply::new(452, "4.3.1", "The inbox is full"));
        }
        kept.last += 1;
        let id = kept.last;
        // From here on it counts here.
        envelope.leave_budgets();
        self.held.fetch_add(cost, Ordering::Relaxed);
        kept.messages.push_back(StoredMessage { id, envelope, summary, cost, held: self.held.clone() }.into());
        drop(kept);
        self.arrived.notify_all();
        Ok(())
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Shared> {
        self.kept.lock().messages.iter().rev().cloned().collect()
    }

    pub fn get(&self, id: u64) -> Option<Shared> {
        let kept = self.kept.lock();
        kept.position(id).map(|at| kept.messages[at].clone())
    }

    /// Whether it was there.
    pub fn delete(&self, id: u64) -> bool {
        let mut kept = self.kept.lock();
        let removed = kept.position(id).and_then(|at| kept.messages.remove(at));
        if removed.is_some() {
            kept.refused = 0;
        }
        removed.is_some()
    }

    pub fn clear(&self) {
        let mut kept = self.kept.lock();
        let messages = std::mem::take(&mut kept.messages);
        kept.refused = 0;
        drop(kept);
        drop(messages);
    }

    /// How many messages were refused for want of room, since the last was deleted.
    pub fn refused(&self) -> u64 {
        self.kept.lock().refused
    }

    /// The id of the last message that came, or 0.
    pub fn last(&self) -> u64 {
        self.kept.lock().last
    }

    /// The oldest message with a greater id; waits for it if there is none.
    pub fn next(&self, after: u64, deadline: Instant) -> Option<Shared> {
        let mut kept = self.kept.lock();
        loop {
            let at = kept.messages.partition_point(|message| message.id <= after);
            if let Some(message) = kept.messages.get(at) {
                return Some(message.clone());
            }
            if self.arrived.wait_until(&mut kept, deadline).timed_out() {
                return None;
            }
        }
    }
}

impl Kept {
    fn position(&self, id: u64) -> Option<usize> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpStream;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Messages of about so many octets.
    fn envelopes(sizes: &[usize]) -> Vec<Envelope> {
        let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0").expect("a free port");
        let mut client = TcpStream::connect(inbox.local_addr()).expect("the inbox listens");
        for size in sizes {
            let message = format!("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT {size} LAST\r\n{}", "x".repeat(*size));
            client.write_all(format!("HELO a\r\n{message}").as_bytes()).expect("the inbox reads");
        }
        inbox.recv_n(sizes.len(), PATIENCE).expect("they come")
    }

    fn ids(store: &MessageStore) -> Vec<u64> {
        store.all().iter().map(|message| message.id).collect()
    }

    /// Whether each is taken.
    fn push(store: &MessageStore, sizes: &[usize]) -> Vec<bool> {
        envelopes(sizes).into_iter().map(|mail| store.push(mail).is_ok()).collect()
    }

    #[test]
    fn octets_are_counted_and_given_back() {
        let store = MessageStore::new(100, 60_000);
        assert_eq!(push(&store, &[10_000, 10_000, 10_000]), [true, true, false]);
        assert_eq!((ids(&store), store.refused()), (vec![2, 1], 1));
        assert!(store.delete(2) && !store.delete(2));
        assert_eq!(store.refused(), 0);
        assert_eq!(push(&store, &[10_000, 10_000]), [true, false]);
        assert_eq!(ids(&store), [3, 1]);
        store.clear();
        assert_eq!(store.held.load(Ordering::Relaxed), 0);
        assert_eq!(store.refused(), 0);
        // One that is too large can be there alone.
        assert_eq!(push(&store, &[100_000, 10]), [true, false]);
        assert_eq!(ids(&store), [4]);
    }

    #[test]
    fn so_many_and_no_more() {
        let store = MessageStore::new(2, u64::MAX);
        assert_eq!(push(&store, &[1, 1, 1]), [true, true, false]);
        assert_eq!(ids(&store), [2, 1]);
        let refused = store.push(envelopes(&[1]).remove(0)).expect_err("it is full");
        assert_eq!(refused.to_string().trim_end(), "452 4.3.1 The inbox is full");
    }

    #[test]
    fn what_is_deleted_counts_until_nobody_reads_it() {
        let store = MessageStore::new(100, 60_000);
        assert_eq!(push(&store, &[50_000]), [true]);
        let read = store.get(1).expect("it is there");
        assert!(store.delete(1));
        assert_eq!(push(&store, &[50_000]), [false]);
        drop(read);
        assert_eq!(push(&store, &[50_000]), [true]);
        assert_eq!(ids(&store), [2]);
    }

    #[test]
    fn recipients_and_conversations_count() {
        let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0").expect("a free port");
        let mut client = TcpStream::connect(inbox.local_addr()).expect("the inbox listens");
        let many = format!("RCPT TO:<{}@b.example>\r\n", "a".repeat(60)).repeat(500);
        client.write_all(format!("HELO a\r\nMAIL FROM:<>\r\n{many}BDAT 1 LAST\r\nx").as_bytes()).expect("it reads");
        let mail = inbox.recv_timeout(PATIENCE).expect("it comes");
        let store = MessageStore::new(100, u64::MAX);
        let size = mail.memory_octets();
        store.push(mail).expect("there is room");
        let held = store.held.load(Ordering::Relaxed);
        // 500 of some 180 octets each, their line in the search, and 64 KiB of what was said.
        assert!((100_000..400_000).contains(&size) && (size + 30_000..size + 150_000).contains(&held), "{size} {held}");
        assert_eq!(inbox.server().stats().memory_octets, 0, "it counts here");
    }

    #[test]
    fn the_next_is_the_oldest_of_those_behind() {
        let store = MessageStore::default();
        assert!(store.next(0, Instant::now()).is_none());
        push(&store, &[1, 1, 1]);
        store.delete(2);
        let next = |after| store.next(after, Instant::now()).map(|message| message.id);
        assert_eq!([next(0), next(1), next(2), next(3)], [Some(1), Some(3), Some(3), None]);
    }
}
