//! Messages taken apart: time and memory stay in proportion to the octets, whatever they are.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pillarbox::mime::{Limits, Message, html_to_text};

/// Counts the octets that are in use, and the most that ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator; what is counted changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Beside what is in proportion to the octets; the text's and the lines' buffers are some.
const MEMORY: usize = 1024 * 1024;

/// The least of a few times, since other programs run beside this one; sanitizers make it slow.
fn time(octets: &[u8], limits: &Limits) -> Duration {
    let once = || {
        let begun = Instant::now();
        Message::from_octets(octets, limits);
        begun.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&repeated, octets)) = input.split_first() else { return };
    let limits = Limits::default();

    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mail = Message::from_octets(octets, &limits);
    let taken = MOST.load(Ordering::Relaxed) - before;
    // A part of the fewest octets, `--a` and two line ends, takes some hundred; the limits bound their number.
    assert!(taken <= 100 * octets.len() + MEMORY, "{taken} octets of memory for {}", octets.len());

    let mut cut = mail.cut().to_vec();
    cut.sort_by_key(|cut| cut.to_string());
    cut.dedup();
    assert_eq!(cut.len(), mail.cut().len());
    mail.links();
    html_to_text(mail.html().unwrap_or_default());
    for (at, part) in mail.parts().iter().enumerate() {
        assert!(part.parent().is_none_or(|parent| parent < at && mail.parts()[parent].is_multipart()));
        assert!(part.name().is_none_or(|name| !name.contains(['/', '\\', '\r', '\n', '\0'])));
        assert!(part.encoded_len() <= octets.len() as u64);
        let whole = part.bytes().expect("it is in memory");
        let mut pieces = Vec::new();
        let mut reader = part.reader();
        let mut piece = [0; 7];
        while let Ok(read @ 1..) = reader.read(&mut piece) {
            pieces.extend_from_slice(&piece[..read]);
        }
        assert_eq!(whole, pieces);
        let _ = part.message();
    }

    // What repeats itself finds what is not linear.
    let many = |times: usize| octets.repeat((usize::from(repeated) * 16 + 256) * times / (octets.len() + 1) + times);
    let (one, four) = (many(1), many(4));
    let (least, most) = (time(&one, &limits), time(&four, &limits));
    assert!(most <= 12 * least + Duration::from_millis(200), "{least:?} and {most:?} for four times the octets");
});
