//! Shares independent work between threads.
//!
//! Promise: results are in the order of the parts, and all threads have ended when it returns. Read next:
//! `writer.rs`.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, ScopedJoinHandle};

use parquet::errors::ParquetError;

type Result<T> = std::result::Result<T, ParquetError>;

/// More threads than this gain little: the largest column is encoded by one.
const MOST_THREADS: usize = 4;

/// The threads that encode at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MOST_THREADS)
}

/// Threads that help a writer now, in this process.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// The right to start helping threads. Many tables that are written at once share the processor.
struct Helpers(usize);

impl Helpers {
    /// At most so many, and no more than leave each thread of this process's writers a processor.
    fn take(wanted: usize) -> Self {
        let most = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut granted = 0;
        // Never fails: the closure always returns a value.
        let _ = HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
            granted = wanted.min(most.saturating_sub(busy));
            Some(busy + granted)
        });
        Self(granted)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        HELPERS.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Does `each` for all parts on up to so many threads; whoever is free takes the next part. Where the system gives
/// no thread, fewer do it.
///
/// # Errors
/// The first failure of a part.
///
/// # Panics
/// When a part does.
pub(crate) fn share<P: Send, T: Send>(
    parts: Vec<P>,
    threads: usize,
    each: impl Fn(P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let helpers = Helpers::take(threads.min(parts.len()).saturating_sub(1));
    let queue = Mutex::new(parts.into_iter().enumerate());
    let work = || -> Result<Vec<(usize, T)>> {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, part)) = next else {
                return Ok(done);
            };
            done.push((at, each(part)?));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<ScopedJoinHandle<'_, _>> = (0..helpers.0)
            .map_while(|_| Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut all = work();
        for other in others {
            let theirs = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            all = all.and_then(|mut all| {
                all.extend(theirs?);
                Ok(all)
            });
        }
        all
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test panics")]

    use super::*;

    #[test]
    fn results_are_in_order_for_any_number_of_threads() {
        for threads in 1..6 {
            let doubled = share((0..100).collect(), threads, |part: u32| Ok(part * 2)).unwrap();
            assert_eq!(doubled, (0..100).map(|part| part * 2).collect::<Vec<_>>());
        }
        assert!(share(Vec::<u32>::new(), 4, Ok).unwrap().is_empty());
    }

    #[test]
    #[should_panic(expected = "part 70")]
    fn a_panic_of_any_part_is_not_swallowed() {
        let _ = share((0..100).collect(), 3, |part: u32| match part {
            70 => panic!("part 70"),
            _ => Ok(part),
        });
    }

    #[test]
    fn helpers_are_given_back() {
        let most = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        for _ in 0..3 {
            assert!(Helpers::take(1_000).0 <= most);
        }
        assert_eq!(Helpers::take(0).0, 0);
    }

    #[test]
    fn a_failure_of_any_part_fails_all() {
        let failed = share((0..100).collect(), 3, |part: u32| match part {
            70 => Err(ParquetError::General("70".to_owned())),
            _ => Ok(part),
        });
        assert!(failed.unwrap_err().to_string().contains("70"));
    }
}
