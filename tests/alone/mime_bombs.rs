//! Messages made to be expensive: none takes more than its share of time or memory.
//!
//! A program of its own, since it counts what its allocator hands out, and with one test, since it counts its processor time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use pillarbox::mime::{Limits, Message, html_to_text};

/// Counts the octets that are in use, and the most that ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn add(size: usize) {
        let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
        MOST.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: all is left to the system's allocator; what is counted changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1024 * 1024;

/// `head`, so many of what `unit` gives for 0, 1, 2, …, and `tail`, of `size` octets in all.
fn filled(size: usize, head: &str, mut unit: impl FnMut(usize) -> String, tail: &str) -> Vec<u8> {
    let mut text = head.to_owned();
    let mut n = 0;
    while text.len() + tail.len() < size {
        text += &unit(n);
        n += 1;
    }
    (text + tail).into_bytes()
}

fn repeated(size: usize, head: &str, unit: &str, tail: &str) -> Vec<u8> {
    filled(size, head, |_| unit.to_owned(), tail)
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";
const HTML: &str = "Content-Type: text/html\r\n\r\n";
const BASE64: &str = "Content-Transfer-Encoding: base64\r\n\r\n";
const QUOTED: &str = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";

type Bomb = (&'static str, fn(usize) -> Vec<u8>);

const BOMBS: &[Bomb] = &[
    // Reported with this crate: the stack overflowed, or memory and time were quadratic.
    ("messages in messages", |size| repeated(size, "", "Content-Type:message /rfc822\r\n\r\n", "")),
    ("messages in messages, by comments", |size| repeated(size, "", "Content-Type:message(x)/rfc822\r\n\r\n", "")),
    ("a digest", |size| repeated(size, "Content-Type: multipart/digest; boundary=a\r\n\r\n", "--a\r\n\r\n\r\n", "")),
    ("fields", |size| repeated(size, "", "a:\r\n", "")),
    ("multiparts without an end", |size| {
        repeated(size, MIXED, "--a\r\nContent-Type:multipart/x;boundary=zz\r\n\r\n", "")
    }),
    ("parameters", |size| filled(size, "Content-Type: text/plain", |n| format!(";a{n}=x;b{n}*1=x"), "\r\n\r\nx")),
    ("text about messages", |size| repeated(size, "Subject: x\r\n\r\n", "see message/ ", "")),
    // Their relatives.
    ("multiparts in multiparts", |size| {
        filled(size, "", |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"), "")
    }),
    ("multiparts in multiparts with one boundary", |size| {
        repeated(size, "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", "")
    }),
    ("texts", |size| repeated(size, MIXED, "--a\r\n\r\nx\r\n", "")),
    ("HTML texts", |size| repeated(size, MIXED, "--a\r\nContent-Type: text/html\r\n\r\nx\r\n", "")),
    ("delimiters", |size| repeated(size, MIXED, "--a\r\n", "")),
    ("last delimiters", |size| repeated(size, MIXED, "--a--\r\n", "")),
    ("lines like delimiters", |size| repeated(size, MIXED, "--b\r\n", "")),
    ("long lines like delimiters", |size| {
        repeated(size, &format!("{MIXED}--a\r\n"), &format!("--a{}x\r\n", " ".repeat(1000)), "")
    }),
    ("boundaries that begin alike", |size| {
        let nested =
            |n: usize| format!("Content-Type: multipart/x; boundary={0}{n}\r\n\r\n--{0}{n}\r\n", "b".repeat(900));
        let head: String = (0..32).map(nested).collect();
        repeated(size, &head, &format!("--{}\r\n", "b".repeat(900)), "")
    }),
    ("a boundary", |size| {
        let boundary = "b".repeat(size / 2);
        format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n\r\nx").into_bytes()
    }),
    ("a header in one line", |size| repeated(size, "Subject: ", "x", "\r\n\r\n")),
    ("a header folded", |size| repeated(size, "Subject: x\r\n", " x\r\n", "\r\n")),
    ("a header of line ends", |size| repeated(size, "Subject: x\r\n", " \r\n", "\r\n")),
    ("one line without an end", |size| vec![b'x'; size]),
    ("returns", |size| vec![b'\r'; size]),
    ("line ends", |size| vec![b'\n'; size]),
    ("zeros", |size| vec![0; size]),
    ("dashes", |size| repeated(size, &format!("{MIXED}--a\r\n\r\n"), "-", "")),
    ("pieces of a name", |size| {
        filled(size, "Content-Disposition: attachment", |n| format!(";filename*{n}*=%41"), "\r\n\r\n")
    }),
    ("a name many times", |size| repeated(size, "Content-Disposition: attachment", ";filename=x", "\r\n\r\n")),
    ("a long name", |size| repeated(size, "Content-Disposition: attachment;filename*=utf-8''", "%41", "\r\n\r\n")),
    ("semicolons", |size| repeated(size, "Content-Type: text/plain", ";", "\r\n\r\n")),
    ("a parameter in quotes without an end", |size| {
        repeated(size, "Content-Type: text/plain;name=\"", "\\\"", "\r\n\r\n")
    }),
    ("comments in a type", |size| repeated(size, "Content-Type: ", "(", "text/plain\r\n\r\n")),
    ("fields with comments", |size| repeated(size, MIXED, "--a\r\nContent-Type:((((((((text/plain\r\n\r\n", "")),
    ("encoded words", |size| repeated(size, "Subject: ", "=?utf-8?q?=41?= ", "\r\n\r\n")),
    ("encoded words in many charsets", |size| {
        let charsets = ["utf-8", "iso-2022-jp", "gb18030", "big5", "koi8-r", "utf-7", "x-none"];
        filled(size, "Subject: ", |n| format!("=?{}?b?QUJD?= ", charsets[n % charsets.len()]), "\r\n\r\n")
    }),
    ("encoded words without an end", |size| repeated(size, "Subject: ", "=?a?q?", "\r\n\r\n")),
    ("encoded words with an end", |size| repeated(size, "Subject: ", "=?a?q?", "?=\r\n\r\n")),
    ("beginnings of encoded words", |size| repeated(size, "Subject: ", "=?", "\r\n\r\n")),
    ("encoded words in fields", |size| repeated(size, "", "a: =?utf-8?q?=41?=\r\n", "\r\n")),
    ("addresses", |size| repeated(size, "To: ", "a@b,", "\r\n\r\n")),
    ("fields of addresses", |size| repeated(size, "", "To: a@b\r\n", "\r\n")),
    ("groups", |size| repeated(size, "To: ", "a:", "\r\n\r\n")),
    ("groups with members", |size| repeated(size, "To: ", "a:b@c;", "\r\n\r\n")),
    ("comments", |size| repeated(size, "From: ", "(", " a@b\r\n\r\n")),
    ("comments with an end", |size| repeated(size, "From: a@b", "(x)", "\r\n\r\n")),
    ("quotes", |size| repeated(size, "From: ", "\"", "x\r\n\r\n")),
    ("quotes without an end", |size| repeated(size, "From: \"", "\\\"", "x\r\n\r\n")),
    ("brackets", |size| repeated(size, "From: ", "<", "a@b\r\n\r\n")),
    ("routes", |size| repeated(size, "From: <", "@a:", "a@b>\r\n\r\n")),
    ("domain literals", |size| repeated(size, "From: a@", "[", "\r\n\r\n")),
    ("references", |size| repeated(size, "References: ", "<a>", "\r\n\r\n")),
    ("references without brackets", |size| repeated(size, "References: ", "a ", "\r\n\r\n")),
    ("a date", |size| repeated(size, "Date: ", "(", "1 Jan 2026 10:00\r\n\r\n")),
    ("base64", |size| repeated(size, BASE64, "QUJDREVGR0hJSktM\r\n", "")),
    ("padding", |size| repeated(size, BASE64, "QQ==\r\n", "")),
    ("nothing but padding", |size| repeated(size, BASE64, "=", "")),
    ("what is no base64", |size| repeated(size, BASE64, "!", "")),
    ("quoted-printable", |size| repeated(size, QUOTED, "=41", "")),
    ("equals signs", |size| repeated(size, QUOTED, "=", "")),
    ("blanks", |size| repeated(size, QUOTED, " ", "")),
    ("blanks behind an equals sign", |size| repeated(size, QUOTED, "= ", "")),
    ("a text that becomes longer", |size| {
        [b"Content-Type: text/plain; charset=windows-1252\r\n\r\n".to_vec(), vec![0x80; size]].concat()
    }),
    ("a text of no characters", |size| {
        [b"Content-Type: text/plain; charset=utf-8\r\n\r\n".to_vec(), vec![0x80; size]].concat()
    }),
    ("a text that is guessed", |size| [b"\r\n".to_vec(), vec![0x80; size]].concat()),
    ("a text of half a character", |size| [b"\r\n".to_vec(), vec![0xe2; size]].concat()),
    ("escapes", |size| repeated(size, "\r\n", "\x1b$B\x1b(B", "")),
    ("UTF-7", |size| repeated(size, "Content-Type: text/plain; charset=utf-7\r\n\r\n", "+2D3eAA-", "")),
    ("UTF-16", |size| repeated(size, "Content-Type: text/plain; charset=utf-16\r\n\r\n", "a\0", "")),
    ("tags without an end", |size| repeated(size, HTML, "<a", "")),
    ("brackets in HTML", |size| repeated(size, HTML, "<", "")),
    ("tags", |size| repeated(size, HTML, "<b>", "")),
    ("comments in HTML", |size| repeated(size, HTML, "<!--", "")),
    ("comments in HTML with brackets", |size| repeated(size, HTML, "<!--x>", "")),
    ("styles", |size| repeated(size, HTML, "<style>", "")),
    ("ends of styles", |size| repeated(size, HTML, "<style></x", "")),
    ("entities", |size| repeated(size, HTML, "&amp;", "")),
    ("ampersands", |size| repeated(size, HTML, "&", "")),
    ("charsets in HTML", |size| repeated(size, HTML, "<meta charset", "")),
    ("links", |size| repeated(size, "\r\n", "http://a ", "")),
    ("what begins like links", |size| repeated(size, "\r\n", "http", "")),
    ("attachments", |size| repeated(size, MIXED, "--a\r\nContent-Type:a/b\r\n\r\nx\r\n", "")),
];

/// What a program may do with a message.
fn use_up(mail: &Message) {
    mail.links();
    mail.references();
    html_to_text(mail.html().unwrap_or_default());
    for part in mail.parts() {
        part.write_to(&mut std::io::sink()).expect("it is in memory");
    }
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it is known");
    let of = |seconds: i64, micros: i64| Duration::from_micros((seconds * 1_000_000 + micros) as u64);
    of(usage.user_time().tv_sec(), usage.user_time().tv_usec())
        + of(usage.system_time().tv_sec(), usage.system_time().tv_usec())
}

/// The processor's time for a message, and the most memory.
fn cost(octets: &[u8]) -> (Duration, usize) {
    let message = octets.to_vec();
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let begun = processor_time();
    let mail = Message::from_octets(message, &Limits::default());
    // The message itself, which it keeps, was counted before.
    let most = MOST.load(Ordering::Relaxed) - before + octets.len();
    use_up(&mail);
    drop(mail);
    (processor_time() - begun, most)
}

/// Four times the octets take at most six times as long, but for what is too short to be measured.
fn is_linear(one: Duration, four: Duration) -> bool {
    four <= 6 * one + Duration::from_millis(20)
}

#[test]
fn time_and_memory_are_linear() {
    let _turn = crate::turn();
    let unit =
        std::env::var("BOMBS_MIB").ok().and_then(|size| size.parse().ok()).map_or(MIB / 16, |size: usize| size * MIB);
    // A thread of a server has a small stack.
    let measure = move || {
        let mut wrong = Vec::new();
        for (name, bomb) in BOMBS {
            let (small, large) = (bomb(unit), bomb(4 * unit));
            let ((mut one, _), (mut four, memory)) = (cost(&small), cost(&large));
            // The machine may have been busy: the least of some times counts.
            for _ in 0..4 {
                if is_linear(one, four) {
                    break;
                }
                (one, four) = (one.min(cost(&small).0), four.min(cost(&large).0));
            }
            if std::env::var_os("BOMBS_SHOW").is_some() {
                println!("{name}: {one:?} {four:?}, {:.1} times the memory", memory as f64 / (4 * unit) as f64);
            }
            if !is_linear(one, four) {
                wrong.push(format!("{name}: {one:?}, and {four:?} for four times the octets"));
            }
            if memory > 4 * 4 * unit + 32 * MIB {
                wrong.push(format!("{name}: {memory} octets of memory for {}", 4 * unit));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(measure).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    a_message_on_disk_stays_there();
}

/// What is on disk is read through a buffer, and so are its attachments, also when the envelope is gone.
fn a_message_on_disk_stays_there() {
    const LINE: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n";
    let head = format!("{MIXED}--a\r\n\r\nhello\r\n--a\r\nContent-Type: a/b\r\n{BASE64}");
    let message = repeated(8 * MIB, &head, LINE, "--a--\r\n");
    let inbox =
        pillarbox::Server::builder().memory_budget(0).spool_threshold(0).inbox("127.0.0.1:0").expect("a free port");
    let mut client = std::net::TcpStream::connect(inbox.local_addr()).expect("it listens");
    let command = format!("HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT {} LAST\r\n", message.len());
    std::io::Write::write_all(&mut client, command.as_bytes()).expect("it reads");
    std::io::Write::write_all(&mut client, &message).expect("it reads");
    let envelope = inbox.recv_timeout(Duration::from_secs(60)).expect("it was sent");
    let len = message.len();
    drop(message);

    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mail = envelope.parsed().expect("the disk can be read");
    drop(envelope);
    let [file] = mail.attachments() else { panic!("one file") };
    let decoded = file.write_to(&mut std::io::sink()).expect("the disk can be read");
    let taken = MOST.load(Ordering::Relaxed) - before;
    assert_eq!((mail.text(), mail.cut()), (Some("hello"), &[][..]));
    assert!(decoded as usize > len / 2 && file.encoded_len() as usize > len - 1000, "{decoded} octets of {len}");
    assert!(taken < MIB, "{taken} octets of memory");
}
