//! Log lines on standard error, for people on a terminal, as JSON elsewhere.
//!
//! What a library says about a failure that the report names anyway is left out.

/// Log lines on standard error: warnings, more with `-v`; JSON when it is no terminal.
pub(crate) fn start(verbose: u8) {
    use std::io::IsTerminal;
    let level = match verbose {
        // A library warns of what it works around, with a back trace; what fails is in the report.
        0 => "error,towpath=warn",
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

/// A Delta file that cannot be written is given up twice by its library; the second time panics, is
/// caught there, and says nothing that the failure in the report does not say. Any other panic is told.
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
