//! Arms one failpoint from the environment, so that tests can kill the process at a commit edge.
//!
//! `TOWPATH_FAILPOINT=lake::before_commit` ends the process there at once, `…=name@3` the third time.
//! Only in builds with debug assertions; a release binary has no such door.

/// Reads the environment and arms the failpoint it names.
pub(crate) fn arm() {
    #[cfg(debug_assertions)]
    if let Ok(said) = std::env::var("TOWPATH_FAILPOINT") {
        let (name, nth) = match said.split_once('@') {
            Some((name, nth)) => (name.to_owned(), nth.parse().unwrap_or(1)),
            None => (said, 1_u64),
        };
        let passed = std::sync::atomic::AtomicU64::new(0);
        let armed = fail::cfg_callback(name.clone(), move || {
            if passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == nth {
                std::process::abort();
            }
        });
        if let Err(reason) = armed {
            eprintln!("error: failpoint `{name}` cannot be armed: {reason}");
        }
    }
}
