use super::*;
use crate::http::response::Stored as _;
use std::io::Write;
use std::net::TcpStream;

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
    store.page(None, usize::MAX, &|_| true).iter().map(|message| message.id).collect()
}

/// Whether each is taken.
fn push(store: &MessageStore, sizes: &[usize]) -> Vec<bool> {
    envelopes(sizes).into_iter().map(|mail| store.push(mail).is_ok()).collect()
}

fn store_of(messages: usize, octets: u64, when_full: WhenFull) -> MessageStore {
    MessageStore::new(Room { messages, octets, time: None, when_full })
}

#[test]
fn octets_are_counted_and_given_back() {
    let store = store_of(100, 60_000, WhenFull::Refuse);
    assert_eq!(push(&store, &[10_000, 10_000, 10_000]), [true, true, false]);
    assert_eq!((ids(&store), store.counts().refused), (vec![2, 1], 1));
    assert!(store.delete(2) && !store.delete(2));
    assert_eq!(store.counts().refused, 0);
    assert_eq!(push(&store, &[10_000, 10_000]), [true, false]);
    assert_eq!(ids(&store), [3, 1]);
    assert_eq!(store.delete_where(&|_| true), 2);
    assert_eq!(store.held.load(Ordering::Relaxed), 0);
    assert_eq!(store.counts(), Counts { last_id: 3, ..Counts::default() });
    // One that is too large can be there alone.
    assert_eq!(push(&store, &[100_000, 10]), [true, false]);
    assert_eq!(ids(&store), [4]);
}

#[test]
fn so_many_and_no_more() {
    let store = store_of(2, u64::MAX, WhenFull::Refuse);
    assert_eq!(push(&store, &[1, 1, 1]), [true, true, false]);
    assert_eq!(ids(&store), [2, 1]);
    let refused = store.push(envelopes(&[1]).remove(0)).expect_err("it is full");
    assert_eq!(refused.to_string().trim_end(), "452 4.3.1 The inbox is full");
}

#[test]
fn what_is_deleted_counts_until_nobody_reads_it() {
    let store = store_of(100, 60_000, WhenFull::Refuse);
    assert_eq!(push(&store, &[50_000]), [true]);
    let read = store.get(1).expect("it is there");
    assert!(store.delete(1));
    assert_eq!(push(&store, &[50_000]), [false]);
    drop(read);
    assert_eq!(push(&store, &[50_000]), [true]);
    assert_eq!(ids(&store), [2]);
}

#[test]
fn the_oldest_make_room() {
    let store = store_of(3, 60_000, WhenFull::DropOldest);
    assert_eq!(push(&store, &[1, 1, 1, 1]), [true; 4]);
    assert_eq!((ids(&store), store.counts().dropped), (vec![4, 3, 2], 1));
    assert_eq!(push(&store, &[20_000, 20_000]), [true; 2]);
    assert_eq!((ids(&store), store.counts().dropped), (vec![6], 5));
    // One that is larger than the room is there alone.
    assert_eq!(push(&store, &[100_000]), [true]);
    assert_eq!((ids(&store), store.counts().dropped), (vec![7], 6));
    assert_eq!(push(&store, &[10]), [true]);
    let counts = store.counts();
    assert_eq!((ids(&store), counts.refused, counts.total, counts.unread), (vec![8], 0, 1, 1));
    assert_eq!(store.held.load(Ordering::Relaxed), counts.octets);
}

#[test]
fn readers_of_what_is_gone_cost_the_others_nothing() {
    let store = store_of(3, 40_000_000, WhenFull::DropOldest);
    let mut readers = Vec::new();
    for sent in 1..=8 {
        assert_eq!(push(&store, &[20_000_000]), [true], "{sent}");
        readers.extend(store.get(sent));
        assert_eq!(store.counts().total, 1);
    }
    // 64 MiB of them may be there before the first is cut off.
    let cut: Vec<bool> = readers.iter().map(|message| message.is_cut.load(Ordering::Relaxed)).collect();
    assert_eq!(cut, [true, true, true, false, false, false, false, false]);
    assert!(readers[0].reader().read(&mut [0]).is_err() && readers[7].reader().read(&mut [0]).is_ok());
    // Until they have noticed there is an end.
    assert_eq!(push(&store, &[1]), [false]);
    readers.drain(..3);
    assert_eq!(push(&store, &[1]), [true]);
    readers.clear();
    assert_eq!(store.held.load(Ordering::Relaxed), store.counts().octets);
}

#[test]
fn what_is_old_goes() {
    let time = Some(Duration::from_secs(3600));
    let store = MessageStore::new(Room { time, ..Room::default() });
    push(&store, &[1, 1]);
    store.expire();
    assert_eq!(ids(&store), [2, 1]);
    let gone = store.kept.lock().expire(&store.room, SystemTime::now() + Duration::from_secs(3700));
    assert_eq!((gone.len(), ids(&store).len(), store.counts().dropped), (2, 0, 2));
}

#[test]
fn recipients_and_conversations_count() {
    let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut client = TcpStream::connect(inbox.local_addr()).expect("the inbox listens");
    let many = format!("RCPT TO:<{}@b.example>\r\n", "a".repeat(60)).repeat(500);
    client.write_all(format!("HELO a\r\nMAIL FROM:<>\r\n{many}BDAT 1 LAST\r\nx").as_bytes()).expect("it reads");
    let mail = inbox.recv_timeout(PATIENCE).expect("it comes");
    let store = store_of(100, u64::MAX, WhenFull::Refuse);
    let size = mail.memory_octets();
    store.push(mail).expect("there is room");
    let held = store.held.load(Ordering::Relaxed);
    // 500 of some 180 octets each, their line in the search, and 64 KiB of what was said.
    assert!((100_000..400_000).contains(&size) && (size + 30_000..size + 150_000).contains(&held), "{size} {held}");
    assert_eq!(inbox.server().stats().memory_octets, 0, "it counts here");
}

#[test]
fn pages_from_both_ends() {
    let store = store_of(10_000, u64::MAX, WhenFull::Refuse);
    push(&store, &vec![1; 600]);
    store.delete(300);
    let even = |message: &StoredMessage| message.id.is_multiple_of(2);
    let numbers = |found: Vec<Shared>| found.iter().map(|message| message.id).collect::<Vec<_>>();
    assert_eq!(numbers(store.page(None, 3, &even)), [600, 598, 596]);
    assert_eq!(numbers(store.page(Some(304), 3, &even)), [302, 298, 296]);
    assert_eq!(numbers(store.page(Some(3), 3, &|_| true)), [2, 1]);
    assert_eq!(store.page(None, usize::MAX, &|_| true).len(), 599);
    assert_eq!(numbers(store.behind(298, 2, &even)), [302, 304]);
    assert_eq!(numbers(store.behind(599, 2, &|_| true)), [600]);
    assert!(store.behind(600, 2, &|_| true).is_empty() && store.page(Some(1), 2, &|_| true).is_empty());
    assert_eq!(store.latest(&|message| message.id < 10).map(|message| message.id), Some(9));
    assert_eq!(store.latest(&|_| true).map(|message| message.id), Some(600));
    assert_eq!((store.delete_where(&even), store.counts().total), (299, 300));
    // A filter may look at the store.
    assert_eq!(store.page(None, 1, &|message| store.get(message.id).is_some()).len(), 1);
}

#[test]
fn changes_are_told_in_order() {
    let store = store_of(2, u64::MAX, WhenFull::DropOldest);
    let start = store.last_change();
    push(&store, &[1, 1]);
    assert!(store.set_read(1, true) && store.set_read(1, true) && !store.set_read(9, true));
    assert_eq!(store.counts().unread, 1);
    assert!(store.set_read(1, false) && store.get(1).is_some_and(|message| !message.is_read()));
    push(&store, &[1]);
    store.delete(3);
    use Change::{Arrived, Deleted, Read, Unread};
    let all = [Arrived(1), Arrived(2), Read(1), Unread(1), Deleted(1), Arrived(3), Deleted(3)];
    let Changes { last, all: told } = store.changes(start, 100);
    assert_eq!((last, told.as_deref()), (start + 7, Some(&all[..])));
    let Changes { last, all: told } = store.changes(start + 2, 2);
    assert_eq!((last, told.as_deref()), (start + 4, Some(&all[2..4])));
    let lost = store.changes(start - 1, 2);
    assert!(lost.last == start + 7 && lost.all.is_none());
    assert_eq!(store.wait_change(start, Instant::now() + PATIENCE), start + 7);
    assert_eq!(store.wait_change(start + 7, Instant::now()), start + 7);
}
