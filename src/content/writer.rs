//! How content is fed to what holds it.

/// Takes the octets of content as they are found.
pub(crate) trait ContentWriter {
    fn put(&mut self, octets: &[u8]);
}

impl ContentWriter for Vec<u8> {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}
