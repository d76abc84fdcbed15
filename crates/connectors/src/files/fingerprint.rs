//! The identity of a set of files: names, sizes and contents; of objects in a bucket their versions.
//!
//! Contents are hashed in blocks on several threads; the fingerprint is the SHA-256 of the list of
//! names, sizes and block hashes. Its form has a version, so that a later form never compares equal.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use towpath_ports::InputVersion;

use super::error::FilesError;
use super::find::InputFile;
use super::pieces::workers;
use super::place::Place;

const BLOCK_BYTES: u64 = 16 << 20;

/// The fingerprint of files in their order.
pub(crate) fn of_files(files: &[InputFile]) -> Result<InputVersion, FilesError> {
    let mut all = Sha256::new();
    all.update(b"towpath files 1\n");
    for file in files {
        if let Some(identity) = file.place.identity() {
            for text in [&file.object, &identity] {
                all.update((text.len() as u64).to_le_bytes());
                all.update(text.as_bytes());
            }
            continue;
        }
        let (size, blocks) = blocks_of(file).map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })?;
        all.update((file.object.len() as u64).to_le_bytes());
        all.update(file.object.as_bytes());
        all.update(size.to_le_bytes());
        for block in blocks {
            all.update(block);
        }
    }
    Ok(InputVersion(format!("sha256:{}", hex(&all.finalize()))))
}

/// The identity of so many bytes of a file, whatever its name.
pub(super) fn of_bytes(file: &File, bytes: u64) -> io::Result<String> {
    let mut all = Sha256::new();
    all.update(b"towpath bytes 1\n");
    all.update(bytes.to_le_bytes());
    for block in hash_blocks(file, bytes)? {
        all.update(block);
    }
    Ok(hex(&all.finalize()))
}

/// Bytes as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

type BlockHash = [u8; 32];

fn blocks_of(file: &InputFile) -> io::Result<(u64, Vec<BlockHash>)> {
    let Place::Local(path) = &file.place else {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    };
    let handle = File::open(path)?;
    let size = handle.metadata()?.len();
    let size = size.min(file.length.unwrap_or(u64::MAX));
    Ok((size, hash_blocks(&handle, size)?))
}

/// The hashes of the blocks of so many bytes.
fn hash_blocks(handle: &File, size: u64) -> io::Result<Vec<BlockHash>> {
    let count = size.div_ceil(BLOCK_BYTES);
    let next = AtomicU64::new(0);
    let work = || -> io::Result<Vec<(u64, BlockHash)>> {
        let mut done = Vec::new();
        let mut buffer = vec![0_u8; 256 << 10];
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= count {
                return Ok(done);
            }
            done.push((
                block,
                hash_block(handle, block * BLOCK_BYTES, size, &mut buffer)?,
            ));
        }
    };
    let threads = workers()
        .min(usize::try_from(count).unwrap_or(usize::MAX))
        .max(1);
    let parts: Vec<io::Result<Vec<(u64, BlockHash)>>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let broken = || Err(io::Error::other("a hashing thread ended early"));
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| broken()))
            .collect()
    });
    let mut blocks = Vec::new();
    for part in parts {
        blocks.extend(part?);
    }
    blocks.sort_unstable();
    Ok(blocks.into_iter().map(|(_, hash)| hash).collect())
}

fn hash_block(file: &File, start: u64, size: u64, buffer: &mut [u8]) -> io::Result<BlockHash> {
    let mut hash = Sha256::new();
    let end = size.min(start + BLOCK_BYTES);
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = match file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(hash.finalize().into())
}
