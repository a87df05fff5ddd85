//! Header fields that were put before content, without moving any of it.

use std::sync::Arc;

use crate::syntax::heap::allocation;

/// Header fields before content, each with its CRLF.
#[derive(Clone, Default, Debug)]
pub(crate) struct Head {
    // Put there last and read first is the last of them.
    fields: Vec<Arc<[u8]>>,
    octets: u64,
}

impl Head {
    /// Puts a field before the others.
    pub fn push(&mut self, field: &[u8]) {
        self.octets += field.len() as u64;
        self.fields.push(field.into());
    }

    pub fn len(&self) -> u64 {
        self.octets
    }

    /// What they take in memory.
    pub fn memory_octets(&self) -> u64 {
        let list = allocation(size_of::<Head>()) + allocation(self.fields.capacity() * size_of::<Arc<[u8]>>());
        list + self.fields.iter().map(|field| allocation(field.len())).sum::<u64>()
    }

    /// What is to be read, from its end to its beginning.
    pub fn fields(&self) -> &[Arc<[u8]>] {
        &self.fields
    }
}
