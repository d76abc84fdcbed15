//! A progress line: one live line on a terminal, one plain line every ten seconds elsewhere.
//!
//! Promise: `--quiet` shows no progress line, and other output appears above the live line. It knows no
//! command; the caller gives the text. Read next: `run_display.rs` (a run), `commands/copy.rs`.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::task::AbortHandle;

use crate::terminal;

/// How often the live line is drawn.
const TICK: Duration = Duration::from_millis(120);
/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(10);

/// Progress of one command.
#[derive(Default)]
pub(crate) struct Live {
    shown: Mutex<Option<Shown>>,
}

enum Shown {
    Bar(ProgressBar),
    Lines(AbortHandle),
}

impl Live {
    /// Shows this text from now on; the function is called each time.
    pub(crate) fn start(&self, text: impl Fn() -> String + Clone + Send + Sync + 'static) {
        if terminal::is_quiet() {
            return;
        }
        let shown = match std::io::stderr().is_terminal() && !terminal::says_json() {
            true => Shown::Bar(bar(text)),
            false => Shown::Lines(tokio::spawn(lines(text)).abort_handle()),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    /// Prints a line above it.
    pub(crate) fn line(&self, text: &str) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match shown.as_ref() {
            Some(Shown::Bar(bar)) => bar.suspend(|| say_line(text)),
            _ => say_line(text),
        }
    }

    /// Removes it.
    pub(crate) fn finish(&self) {
        let shown = self
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match shown {
            Some(Shown::Bar(bar)) => bar.finish_and_clear(),
            Some(Shown::Lines(task)) => task.abort(),
            None => {}
        }
    }
}

/// One line for people, or one JSON line with `--log-format json`.
fn say_line(text: &str) {
    match terminal::says_json() {
        true => tracing::info!("{text}"),
        false => errln!("{text}"),
    }
}

fn bar(text: impl Fn() -> String + Clone + Send + Sync + 'static) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let key = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Writing to the bar's own buffer cannot fail.
        let _ = out.write_str(&terminal::visible(&text()));
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {now}") {
        bar.set_style(style.with_key("now", key));
    }
    bar.enable_steady_tick(TICK);
    bar
}

async fn lines(text: impl Fn() -> String) {
    loop {
        tokio::time::sleep(PLAIN).await;
        say_line(&text());
    }
}
