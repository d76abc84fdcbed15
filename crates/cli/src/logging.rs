//! Log lines on standard error, for people on a terminal, as JSON elsewhere.

/// Log lines on standard error: warnings, more with `-v`; JSON when it is no terminal.
pub(crate) fn start(verbose: u8) {
    use std::io::IsTerminal;
    let level = match verbose {
        0 => "warn",
        1 => "info,towpath=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("TOWPATH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second logger cannot be set; the first stays.
    let _ = match std::io::stderr().is_terminal() {
        true => lines.with_target(false).try_init(),
        false => lines.json().try_init(),
    };
}
