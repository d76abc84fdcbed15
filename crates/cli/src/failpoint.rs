//! Enables failpoints from the environment, so that tests can end the process at an exact point of a
//! commit.
//!
//! `TOWPATH_FAILPOINT=lake::before_commit` ends the process there at once, `…=name@3` at the third time.
//! `TOWPATH_TRACE_EDGES=SOCKET` writes the name of each failpoint in `TOWPATH_EDGES=name,name,…` to a Unix
//! socket when the process reaches it. At those in `TOWPATH_WAIT_AT=name,…` it waits, the first time, until
//! the listener has written a byte. `TOWPATH_BREAK=name,…` makes these failpoints return early, which
//! disables what they protect. Only builds with debug assertions have failpoints; a release binary has
//! none.

/// Reads the environment and enables the failpoints that it names.
pub(crate) fn arm() {
    #[cfg(debug_assertions)]
    doors::open();
}

#[cfg(debug_assertions)]
mod doors {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    /// The socket to which passed failpoints are written.
    type Trace = Option<Arc<Mutex<UnixStream>>>;

    pub(super) fn open() {
        let trace = trace();
        let deadly = said("TOWPATH_FAILPOINT").map(|said| match said.split_once('@') {
            Some((name, nth)) => (name.to_owned(), nth.parse().unwrap_or(1)),
            None => (said, 1_u64),
        });
        let mut edges: Vec<String> = match trace {
            Some(_) => list("TOWPATH_EDGES"),
            None => Vec::new(),
        };
        if let Some((name, _)) = &deadly
            && !edges.contains(name)
        {
            edges.push(name.clone());
        }
        for edge in edges {
            let nth = deadly.as_ref().filter(|(name, _)| *name == edge);
            watch(&edge, nth.map(|(_, nth)| *nth), trace.clone());
        }
        for name in list("TOWPATH_BREAK") {
            complain(&name, fail::cfg(name.as_str(), "return"));
        }
    }

    fn watch(edge: &str, deadly: Option<u64>, trace: Trace) {
        let passed = AtomicU64::new(0);
        let waits = list("TOWPATH_WAIT_AT").iter().any(|name| name == edge);
        let line = format!("{edge}\n");
        let armed = fail::cfg_callback(edge, move || {
            if let Some(trace) = &trace {
                let mut socket = trace.lock().unwrap_or_else(PoisonError::into_inner);
                // A test that no longer listens is no reason to stop.
                let _ = socket.write_all(line.as_bytes());
                if waits && passed.load(Ordering::SeqCst) == 0 {
                    let _ = socket.read_exact(&mut [0]);
                }
            }
            if deadly == Some(passed.fetch_add(1, Ordering::SeqCst) + 1) {
                std::process::abort();
            }
        });
        complain(edge, armed);
    }

    fn trace() -> Trace {
        let path = said("TOWPATH_TRACE_EDGES")?;
        match UnixStream::connect(&path) {
            Ok(socket) => Some(Arc::new(Mutex::new(socket))),
            Err(error) => {
                errln!("error: failpoints cannot be written to `{path}`: {error}");
                None
            }
        }
    }

    fn said(variable: &str) -> Option<String> {
        std::env::var(variable).ok().filter(|said| !said.is_empty())
    }

    fn list(variable: &str) -> Vec<String> {
        let said = said(variable).unwrap_or_default();
        said.split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn complain(name: &str, armed: Result<(), String>) {
        if let Err(reason) = armed {
            errln!("error: failpoint `{name}` cannot be armed: {reason}");
        }
    }
}
