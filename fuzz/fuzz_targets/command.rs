//! Command lines: whatever comes, the parser says yes or no.

#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    pillarbox::internals::parse_command(line);
});
