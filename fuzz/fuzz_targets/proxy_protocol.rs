//! PROXY headers: what is complete is so without what follows it, and at no earlier octet.

#![no_main]

use pillarbox::internals::parse_proxy_header;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Some(length) = parse_proxy_header(octets) {
        assert!(length <= octets.len());
        assert_eq!(parse_proxy_header(&octets[..length]), Some(length));
        assert_eq!(parse_proxy_header(&octets[..length - 1]), None);
    }
});
