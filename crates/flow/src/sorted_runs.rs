//! Finds repeated hashes among any number of keys: sorts them in memory, and above a limit on disk.
//!
//! Promise: every hash that was added twice is returned once, in order. Each key takes eight bytes on disk,
//! and the memory is bounded. It knows hashes only, not keys. Read next: `unique.rs`, `repeats.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use towpath_ports::Result;

use crate::spill::{SpillFolder, failed};

const HASH_BYTES: usize = 8;
/// The least number of hashes that are read from a run at once.
const LEAST_READ: usize = 64;

/// Collects hashes, and sorts them.
pub(crate) struct HashSortedRuns {
    most: usize,
    hashes: Vec<u64>,
    spill: SpillFolder,
    file: Option<File>,
    /// The number of hashes in each sorted run of the file, in order.
    runs: Vec<u64>,
    count: u64,
}

impl HashSortedRuns {
    /// With this many bytes of memory.
    pub(crate) fn new(most_bytes: u64, spill: SpillFolder) -> Self {
        // Half of it, because a growing list is in memory twice for a moment.
        let most = usize::try_from(most_bytes).unwrap_or(usize::MAX) / (2 * HASH_BYTES);
        Self {
            most: most.max(LEAST_READ),
            hashes: Vec::new(),
            spill,
            file: None,
            runs: Vec::new(),
            count: 0,
        }
    }

    /// The number of added hashes.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds hashes.
    pub(crate) fn extend(&mut self, hashes: impl Iterator<Item = u64>) -> Result<()> {
        let before = self.hashes.len();
        self.hashes.extend(hashes);
        self.count += (self.hashes.len() - before) as u64;
        match self.hashes.len() >= self.most {
            true => self.spill(),
            false => Ok(()),
        }
    }

    fn spill(&mut self) -> Result<()> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        self.hashes.sort_unstable();
        let bytes: Vec<u8> = self.hashes.iter().flat_map(|h| h.to_le_bytes()).collect();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.spill.file()?),
        };
        file.write_all(&bytes)
            .map_err(|error| failed("hashes of keys", &error))?;
        self.runs.push(self.hashes.len() as u64);
        self.hashes.clear();
        Ok(())
    }

    /// Calls `found` with each hash that was added more than once, in order.
    pub(crate) fn repeats(mut self, mut found: impl FnMut(u64)) -> Result<()> {
        let mut repeats = Repeats::default();
        if self.file.is_none() {
            self.hashes.sort_unstable();
            self.hashes
                .iter()
                .for_each(|hash| repeats.next(*hash, &mut found));
            return Ok(());
        }
        self.spill()?;
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let at_once = (self.most / self.runs.len().max(1)).max(LEAST_READ);
        let mut runs = Vec::with_capacity(self.runs.len());
        let mut offset = 0;
        for length in &self.runs {
            runs.push(SortedRun {
                offset,
                left: *length,
                read: VecDeque::new(),
            });
            offset += length * HASH_BYTES as u64;
        }
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            heap.extend(
                run.next(&mut file, at_once)?
                    .map(|hash| Reverse((hash, at))),
            );
        }
        while let Some(Reverse((hash, at))) = heap.pop() {
            repeats.next(hash, &mut found);
            if let Some(run) = runs.get_mut(at) {
                heap.extend(
                    run.next(&mut file, at_once)?
                        .map(|hash| Reverse((hash, at))),
                );
            }
        }
        Ok(())
    }
}

/// Finds repeats in a sorted sequence.
#[derive(Default)]
struct Repeats {
    last: Option<u64>,
    is_told: bool,
}

impl Repeats {
    fn next(&mut self, hash: u64, found: &mut impl FnMut(u64)) {
        if self.last != Some(hash) {
            self.last = Some(hash);
            self.is_told = false;
        } else if !self.is_told {
            self.is_told = true;
            found(hash);
        }
    }
}

/// A sorted run of the file.
struct SortedRun {
    offset: u64,
    left: u64,
    read: VecDeque<u64>,
}

impl SortedRun {
    fn next(&mut self, file: &mut File, at_once: usize) -> Result<Option<u64>> {
        if self.read.is_empty() && self.left > 0 {
            let count = self.left.min(at_once as u64);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * HASH_BYTES];
            file.seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|error| failed("hashes of keys", &error))?;
            let hashes = bytes.chunks_exact(HASH_BYTES);
            self.read
                .extend(hashes.map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes)));
            self.offset += bytes.len() as u64;
            self.left -= count;
        }
        Ok(self.read.pop_front())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn repeats_are_found_in_memory_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        for most_bytes in [1, 4_096, 1 << 30] {
            let mut runs = HashSortedRuns::new(most_bytes, SpillFolder::new(folder.path()));
            for start in (0..10_000u64).step_by(100) {
                let mixed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                runs.extend((start..start + 100).map(mixed)).unwrap();
                if start == 5_000 {
                    runs.extend([mixed(3), mixed(9_999), mixed(3)].into_iter())
                        .unwrap();
                }
            }
            assert_eq!(runs.count(), 10_003);
            let mut found = Vec::new();
            runs.repeats(|hash| found.push(hash)).unwrap();
            let mut expected = [3u64, 9_999].map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            expected.sort_unstable();
            assert_eq!(found, expected, "{most_bytes} bytes");
        }
    }
}
