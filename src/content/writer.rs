//! How content is passed to what stores it.

/// Takes octets of content as they are decoded.
pub(crate) trait ContentWriter {
    fn put(&mut self, octets: &[u8]);
}

impl ContentWriter for Vec<u8> {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}
