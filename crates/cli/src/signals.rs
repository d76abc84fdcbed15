//! Ctrl-C and TERM: the first asks to stop, the second stops at once.
//!
//! Promise: both signals mean the same, from the moment a command listens. Programs that tasks started
//! end with this process, however it ends (`orchestrator::LocalProcesses`).

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use towpath_app::StopSignals;
use towpath_vocab::{Failure, Remedy};

use crate::exit::Exit;

/// Returns a token that fires at the first signal.
pub(crate) fn listen() -> Result<CancellationToken, Failure> {
    let mut signals = Signals::new()?;
    let cancel = CancellationToken::new();
    let fires = cancel.clone();
    tokio::spawn(async move {
        signals.next().await;
        errln!(
            "\nStopping. No partial result will be visible. Press Ctrl-C again to exit at once."
        );
        fires.cancel();
        signals.next().await;
        std::process::exit(i32::from(Exit::Interrupted.number()));
    });
    Ok(cancel)
}

/// Gives the two tokens of a server: the first signal lets runs end, the second stops them, the third exits
/// at once.
pub(crate) fn listen_to_drain() -> Result<StopSignals, Failure> {
    let mut signals = Signals::new()?;
    let stop = StopSignals::default();
    let fires = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        errln!("\nStopping: nothing new begins. Press Ctrl-C again to stop the runs that go on.");
        fires.drain.cancel();
        signals.next().await;
        errln!("\nStopping the runs. Press Ctrl-C again to exit at once.");
        fires.cancel.cancel();
        signals.next().await;
        std::process::exit(i32::from(Exit::Interrupted.number()));
    });
    Ok(stop)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let unheard = |error: std::io::Error| {
            let message = format!("signals cannot be listened to: {error}");
            Failure::new("R0999", Remedy::Refused, message)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(unheard)?,
            terminate: signal(SignalKind::terminate()).map_err(unheard)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
