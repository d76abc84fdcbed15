//! A `System` with a simulated clock and seeded random numbers.
//!
//! Promise: within `SimulatedSystem::run`, the clock jumps to the next sleeper only when every task of the
//! runtime is idle and nobody holds the clock. So hours pass in milliseconds, and a seed repeats the same
//! run. It needs a current-thread runtime. It does not know what it simulates.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use towpath_ports::{Clock, System};

/// How often all other tasks may run before the clock may jump.
const PASSES: usize = 16;

/// 2026-01-01T00:00:00Z: where simulated time starts.
const START_US: i64 = 1_767_225_600_000_000;

/// Simulated time and seeded random numbers. Clones share them.
#[derive(Clone)]
pub struct SimulatedSystem {
    shared: Arc<Shared>,
    environment: BTreeMap<String, String>,
    project_dir: PathBuf,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    elapsed_us: u64,
    skew_us: i64,
    chance: u64,
    next: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
    holds: usize,
}

/// Stops the clock until it is dropped.
pub struct Hold {
    shared: Arc<Shared>,
}

impl SimulatedSystem {
    /// A system with a fixed start time and random numbers from `seed`.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            elapsed_us: 0,
            skew_us: 0,
            chance: seed,
            next: 0,
            sleepers: BTreeMap::new(),
            holds: 0,
        };
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::new(inner),
                changed: Notify::new(),
            }),
            environment: BTreeMap::new(),
            project_dir: PathBuf::new(),
        }
    }

    /// The same with a project folder.
    #[must_use]
    pub fn in_dir(mut self, project_dir: impl Into<PathBuf>) -> Self {
        self.project_dir = project_dir.into();
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Stops the clock while something outside the simulation (a thread, a disk) works.
    pub fn hold(&self) -> Hold {
        self.inner().holds += 1;
        Hold {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Advances the time.
    pub fn advance(&self, duration: Duration) {
        let until = self.inner().elapsed_us.saturating_add(micros(duration));
        self.jump(until);
    }

    /// Sets the wall clock forward or back; the monotonic clock does not change.
    pub fn skew(&self, by_us: i64) {
        let mut inner = self.inner();
        inner.skew_us = inner.skew_us.saturating_add(by_us);
    }

    /// Runs `work` to its end while time jumps from sleeper to sleeper.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                () = self.pass() => {}
            }
        }
    }

    /// Lets all tasks run, and then moves the clock once.
    async fn pass(&self) {
        for _ in 0..PASSES {
            tokio::task::yield_now().await;
        }
        let changed = self.shared.changed.notified();
        let next = {
            let inner = self.inner();
            if inner.holds > 0 {
                None
            } else {
                inner.sleepers.keys().next().map(|(at, _)| *at)
            }
        };
        match next {
            Some(at) => self.jump(at),
            None => changed.await,
        }
    }

    fn jump(&self, until_us: u64) {
        let woken = {
            let mut inner = self.inner();
            inner.elapsed_us = inner.elapsed_us.max(until_us);
            let first_later = (inner.elapsed_us.saturating_add(1), 0);
            let later = inner.sleepers.split_off(&first_later);
            std::mem::replace(&mut inner.sleepers, later)
        };
        woken.into_values().for_each(Waker::wake);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.lock().holds -= 1;
        self.shared.changed.notify_one();
    }
}

#[async_trait]
impl Clock for SimulatedSystem {
    fn now_us(&self) -> i64 {
        let inner = self.inner();
        let elapsed = i64::try_from(inner.elapsed_us).unwrap_or(i64::MAX);
        START_US
            .saturating_add(elapsed)
            .saturating_add(inner.skew_us)
    }

    fn monotonic_us(&self) -> u64 {
        self.inner().elapsed_us
    }

    async fn sleep(&self, duration: Duration) {
        let key = {
            let mut inner = self.inner();
            inner.next += 1;
            (
                inner.elapsed_us.saturating_add(micros(duration)),
                inner.next,
            )
        };
        Sleep {
            shared: &self.shared,
            key,
        }
        .await;
    }
}

impl System for SimulatedSystem {
    /// SplitMix64: each state gives one number, and each seed a different sequence.
    fn random(&self) -> u64 {
        let mut inner = self.inner();
        inner.chance = inner.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = inner.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    fn project_dir(&self) -> &PathBuf {
        &self.project_dir
    }
}

struct Sleep<'a> {
    shared: &'a Shared,
    key: (u64, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.shared.lock();
        if inner.elapsed_us >= self.key.0 {
            inner.sleepers.remove(&self.key);
            return Poll::Ready(());
        }
        inner.sleepers.insert(self.key, context.waker().clone());
        drop(inner);
        self.shared.changed.notify_one();
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.shared.lock().sleepers.remove(&self.key);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hours_pass_at_once_and_in_order() {
        let system = SimulatedSystem::new(1);
        let started_us = system.now_us();
        let order = system
            .run(async {
                let late = {
                    let system = system.clone();
                    tokio::spawn(async move {
                        system.sleep(Duration::from_secs(7200)).await;
                        system.monotonic_us()
                    })
                };
                system.sleep(Duration::from_secs(3600)).await;
                (system.monotonic_us(), late.await)
            })
            .await;
        assert_eq!(order.0, 3_600_000_000);
        assert!(matches!(order.1, Ok(7_200_000_000)));
        assert_eq!(system.now_us() - started_us, 7_200_000_000);
    }

    #[tokio::test]
    async fn a_held_clock_stands() {
        let system = SimulatedSystem::new(1);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let seen_us = system
            .run(async {
                let hold = system.hold();
                let thread = std::thread::spawn(move || sender.send(()));
                let outside = async {
                    let _ = receiver.await;
                    let seen_us = system.monotonic_us();
                    drop(hold);
                    seen_us
                };
                let (seen_us, ()) = tokio::join!(outside, system.sleep(Duration::from_secs(1)));
                assert!(thread.join().is_ok());
                seen_us
            })
            .await;
        assert_eq!((seen_us, system.monotonic_us()), (0, 1_000_000));
    }

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let numbers = |seed| {
            let system = SimulatedSystem::new(seed);
            [system.random(), system.random(), system.random()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
