//! Checksums of a data file: one CRC-32 for each block of its bytes, kept in the file's entry of the log.
//!
//! Promise: they are computed from the bytes that are written, not from what is read back; every byte of
//! the file is in one block, its footer and statistics too; a file has at most 1,024 blocks, so the entry
//! stays small. Other Delta readers ignore the tag. It knows no storage. Read next: `verified.rs`.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use crc32fast::Hasher;
use deltalake_core::kernel::Add;

/// The tag of a file's entry that holds its checksums: `BLOCK_BYTES:BASE64`.
pub(crate) const TAG: &str = "towpath.crc32";
/// The size of a block of a small file; blocks of larger files are a power of two times larger.
const BLOCK: u64 = 64 << 10;
/// The most blocks of a file.
const MOST_BLOCKS: usize = 1024;

/// The checksums in the entry of a file.
pub(crate) fn sums_of(add: &Add) -> Option<Arc<str>> {
    let tag = add.tags.as_ref()?.get(TAG)?.as_deref()?;
    Some(Arc::from(tag))
}

/// The checksums of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSums {
    size: u64,
    block: u64,
    sums: Vec<u32>,
}

impl BlockSums {
    /// The size of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// As the text of the tag.
    pub(crate) fn to_tag(&self) -> String {
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        format!("{}:{}", self.block, STANDARD_NO_PAD.encode(bytes))
    }

    /// From the text of the tag of a file of this size; `None` when it is not valid.
    pub(crate) fn of_tag(tag: &str, size: u64) -> Option<Self> {
        let (block, sums) = tag.split_once(':')?;
        let block: u64 = block.parse().ok().filter(|block| *block > 0)?;
        let bytes = STANDARD_NO_PAD.decode(sums).ok()?;
        let (sums, []) = bytes.as_chunks::<4>() else {
            return None;
        };
        let sums: Vec<u32> = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        (sums.len() as u64 == size.div_ceil(block)).then_some(Self { size, block, sums })
    }

    /// The smallest ranges of whole blocks that hold these ranges: sorted, none touches another.
    pub(crate) fn around(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let whole = |range: &Range<u64>| {
            let end = range.end.div_ceil(self.block) * self.block;
            range.start / self.block * self.block..end.min(self.size)
        };
        let mut all: Vec<Range<u64>> = ranges.iter().map(whole).collect();
        all.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for range in all {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The blocks among these bytes, which begin with a block, that are not what was written.
    pub(crate) fn differing(&self, from: u64, bytes: &[u8]) -> Vec<Range<u64>> {
        let first = usize::try_from(from / self.block).unwrap_or(usize::MAX);
        let known = self.sums.iter().skip(first);
        let block = usize::try_from(self.block).unwrap_or(usize::MAX);
        let mut differing = Vec::new();
        for (at, (bytes, known)) in bytes.chunks(block).zip(known).enumerate() {
            if crc32fast::hash(bytes) != *known {
                let start = from + at as u64 * self.block;
                differing.push(start..(start + self.block).min(self.size));
            }
        }
        differing
    }
}

/// The checksums of bytes that come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    size: u64,
    whole: Vec<u32>,
    open: Hasher,
    in_open: u64,
}

impl Summing {
    /// Takes the next bytes.
    pub(crate) fn add(&mut self, bytes: &Bytes) {
        let mut rest = bytes.as_ref();
        self.size += rest.len() as u64;
        while !rest.is_empty() {
            let room = usize::try_from(BLOCK - self.in_open).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.open.update(now);
            self.in_open += now.len() as u64;
            rest = later;
            if self.in_open == BLOCK {
                self.whole.push(std::mem::take(&mut self.open).finalize());
                self.in_open = 0;
            }
        }
    }

    /// The checksums of all of them.
    pub(crate) fn finish(mut self) -> BlockSums {
        if self.in_open > 0 {
            self.whole.push(self.open.finalize());
        }
        let (mut block, mut sums) = (BLOCK, self.whole);
        while sums.len() > MOST_BLOCKS {
            sums = in_pairs(&sums, block, self.size);
            block *= 2;
        }
        BlockSums {
            size: self.size,
            block,
            sums,
        }
    }
}

/// The checksums of blocks of twice the size.
fn in_pairs(sums: &[u32], block: u64, size: u64) -> Vec<u32> {
    let pairs = sums.chunks(2).enumerate();
    pairs
        .map(|(at, pair)| match *pair {
            [first, second] => {
                let begins = (at as u64 * 2 + 1) * block;
                let length = block.min(size.saturating_sub(begins));
                let mut both = Hasher::new_with_initial_len(first, block);
                both.combine(&Hasher::new_with_initial_len(second, length));
                both.finalize()
            }
            _ => pair.first().copied().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn content(size: u64) -> Bytes {
        let mut state = 7_u64;
        let bytes = (0..size).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u8::try_from(state >> 56).unwrap()
        });
        bytes.collect()
    }

    fn sums(content: &Bytes, pieces: usize) -> BlockSums {
        let mut summing = Summing::default();
        for piece in content.chunks(pieces) {
            summing.add(&Bytes::copy_from_slice(piece));
        }
        summing.finish()
    }

    #[test]
    fn one_changed_byte_is_found_in_its_block_and_in_no_other() {
        for size in [1, 65_535, 65_536, 65_537, 300_000] {
            let whole = content(size);
            let sums = sums(&whole, 1_000);
            assert_eq!(BlockSums::of_tag(&sums.to_tag(), size), Some(sums.clone()));
            assert_eq!(sums.differing(0, &whole), []);
            for at in [0, size / 2, size - 1] {
                let mut damaged = whole.to_vec();
                damaged[usize::try_from(at).unwrap()] ^= 4;
                let found = sums.differing(0, &damaged);
                let expected = at / BLOCK * BLOCK..((at / BLOCK + 1) * BLOCK).min(size);
                assert_eq!(found, [expected], "{size} {at}");
            }
        }
    }

    #[test]
    fn a_large_file_has_larger_blocks() {
        let size = BLOCK * 2_500 + 17;
        let whole = content(size);
        let sums = sums(&whole, 5 << 20);
        assert_eq!((sums.block, sums.sums.len()), (BLOCK * 4, 626));
        assert_eq!(sums.differing(0, &whole), []);
        let from = usize::try_from(BLOCK * 8).unwrap();
        assert_eq!(sums.differing(BLOCK * 8, &whole[from..]), []);
        assert_ne!(sums.differing(BLOCK * 8, &whole[from - 1..]), []);
        assert!(sums.to_tag().len() < 6_000);
    }

    #[test]
    fn ranges_become_whole_blocks_once() {
        let sums = sums(&content(300_000), 300_000);
        let ranges = [200_000..200_001, 5..6, 65_530..65_540, 299_999..300_000];
        assert_eq!(
            sums.around(&ranges),
            [0..131_072, 196_608..300_000],
            "{sums:?}"
        );
    }

    #[test]
    fn a_tag_that_does_not_belong_to_the_file_is_not_valid() {
        let tag = sums(&content(70_000), 999).to_tag();
        assert!(BlockSums::of_tag(&tag, 70_000).is_some());
        for (tag, size) in [
            (tag.as_str(), 200_000),
            ("0:", 1),
            ("x", 1),
            ("65536:!", 1),
            ("65536:AAAA", 1),
        ] {
            assert_eq!(BlockSums::of_tag(tag, size), None, "{tag} {size}");
        }
    }
}
