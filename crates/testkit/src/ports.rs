//! TCP ports on 127.0.0.1 for servers that take a number, not a socket.
//!
//! Promise: as long as a [`Port`] lives, no other one of this user has its number, in this process or another, and
//! by default the system does not give it to a client: it lies below the range that clients get. It does not know
//! who listens there.
//! Read next: `postgres.rs`.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the first number that Linux gives to clients (32768).
const NUMBERS: RangeInclusive<u16> = 20_000..=31_999;

/// Where this process looks next: later than where it looked last.
static TRIES: AtomicU32 = AtomicU32::new(0);

/// A port that nobody else takes while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked. The system gives the lock back when this process ends, however it ends.
    _claim: File,
}

impl Port {
    /// A port that nothing listens on.
    ///
    /// # Errors
    /// If the files of claims cannot be made, or all ports are taken.
    pub fn free() -> std::io::Result<Self> {
        let folder = folder()?;
        let numbers = u32::from(NUMBERS.end() - NUMBERS.start()) + 1;
        let first = std::process::id().wrapping_mul(61);
        for _ in 0..numbers {
            let offset = first.wrapping_add(TRIES.fetch_add(1, Ordering::Relaxed)) % numbers;
            let number = NUMBERS.start() + u16::try_from(offset).unwrap_or_default();
            let path = folder.join(number.to_string());
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let Ok(claim) = options.open(&path) else {
                continue;
            };
            if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self {
                    number,
                    _claim: claim,
                });
            }
        }
        Err(std::io::Error::other(format!(
            "all ports from {} to {} are taken",
            NUMBERS.start(),
            NUMBERS.end()
        )))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The folder of this user's claims.
fn folder() -> std::io::Result<PathBuf> {
    let user = std::fs::metadata("/proc/self")?.uid();
    let folder = std::env::temp_dir().join(format!("towpath-test-ports-{user}"));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::File;

    use super::{Port, folder};

    #[test]
    fn no_two_ports_have_one_number() {
        let ports: Vec<Port> = (0..200).map(|_| Port::free().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 200);
    }

    #[test]
    fn a_port_is_taken_until_it_is_dropped() {
        let port = Port::free().unwrap();
        let path = folder().unwrap().join(port.number().to_string());
        let other = File::open(path).unwrap();
        assert!(other.try_lock().is_err());
        drop(port);
        assert!(other.try_lock().is_ok());
    }
}
