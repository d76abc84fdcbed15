//! Damages bytes for tests of decoders, the same way in every run.
//!
//! Promise: equal seeds give equal damage. It knows no format. Read next: `postgres/damage_tests.rs`,
//! `mysql/damage_tests.rs`.
#![allow(clippy::indexing_slicing, reason = "tests")]

/// A small generator of numbers.
pub(crate) struct Dice(u64);

impl Dice {
    /// From a seed above 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `most`, which is above 0.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap_or_default()
    }

    /// The bytes with one to three flaws: a flipped bit, an extreme byte, a changed length, a part that is
    /// missing, doubled or in another place.
    pub(crate) fn damaged(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return bytes;
            }
            let at = self.below(bytes.len());
            let count = self.below(16).min(bytes.len() - at);
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0xFF, 0x7F, 0x80, 200][self.below(5)],
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..at + count)),
                4 => {
                    let part = bytes[at..at + count].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => {
                    let from = self.below(bytes.len());
                    let count = count.min(bytes.len() - from);
                    bytes.copy_within(from..from + count, at);
                }
            }
        }
        bytes
    }
}
