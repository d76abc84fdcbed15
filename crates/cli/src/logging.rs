//! Log lines on standard error: for people, or as JSON with `--log-format json`.
//!
//! Promise: libraries log nothing by default; the failure in the report says what went wrong in them. `-v`
//! logs what happens, with names and numbers; `-vv` logs everything, also from libraries. `TOWPATH_LOG`
//! sets a filter instead. No line shows the password of a URL.

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;
use crate::terminal;

/// Starts the log lines.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = match (verbose, format) {
        (0, LogFormat::Text) => "off,towpath=warn",
        (0, LogFormat::Json) => "off,towpath=info",
        (1, _) => "off,towpath=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("TOWPATH_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::LogLines);
    // A second logger cannot be set; the first stays.
    let _ = match format {
        LogFormat::Text => lines
            .with_target(verbose > 1)
            .with_ansi(terminal::has_colours())
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Mutes one panic: the Delta library aborts a file that cannot be written twice, and the second time
/// panics and catches the panic. The failure in the report says the same. All other panics are printed.
pub(crate) fn mute_caught_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        let is_caught = panic.payload_as_str() == Some("Already shut down")
            && file.contains("object_store")
            && file.ends_with("buffered.rs");
        if !is_caught {
            tell(panic);
        }
    }));
}
