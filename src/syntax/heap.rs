//! What values take in memory.

/// What an allocation of so many octets takes in memory: the allocator's own word and its rounding come on top, as the
/// GNU C library has them. Small allocations would be undercounted by half without.
pub(crate) fn allocation(octets: usize) -> u64 {
    if octets == 0 { 0 } else { (octets as u64 + 8).next_multiple_of(16).max(32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_rounded_up() {
        assert_eq!([0, 1, 24, 25, 40, 41, 1000].map(allocation), [0, 32, 32, 48, 48, 64, 1008]);
    }
}
