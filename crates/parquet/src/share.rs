//! Shares independent work between threads.
//!
//! Promise: results are in the order of the parts, and all threads have ended when it returns. Read next:
//! `writer.rs`.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

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

/// Does `each` for all parts on up to so many threads; whoever is free takes the next part.
///
/// # Errors
/// The first failure of a part; a part that panics.
pub(crate) fn share<P: Send, T: Send>(
    parts: Vec<P>,
    threads: usize,
    each: impl Fn(P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let others = threads.min(parts.len()).saturating_sub(1);
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
        let others: Vec<ScopedJoinHandle<'_, _>> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            let theirs = other.join().unwrap_or_else(|_| {
                Err(ParquetError::General(
                    "a thread that encodes a column panicked".to_owned(),
                ))
            });
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
    fn a_failure_of_any_part_fails_all() {
        let failed = share((0..100).collect(), 3, |part: u32| match part {
            70 => Err(ParquetError::General("70".to_owned())),
            _ => Ok(part),
        });
        assert!(failed.unwrap_err().to_string().contains("70"));
    }
}
