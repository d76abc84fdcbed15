//! Kills a program at a failpoint or at a moment between two of them, and says where it was killed.
//!
//! Promise: before it passes a failpoint, the program writes its name to a socket (`failpoint.rs` of the
//! binary). So a test can choose the phase, and knows exactly which failpoints were passed. It does not
//! know what the program does, or what must hold afterwards. Read next: `crates/cli/tests/kill/main.rs`,
//! which does.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The time limit of a traced program.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// After this time without a message, the test checks whether the program is alive.
const SILENCE: Duration = Duration::from_millis(500);

/// The names in `fail_point!("…")` of all Rust files in a folder, without those of test modules.
///
/// # Errors
/// If a folder cannot be read.
pub fn failpoints(sources: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    gather(sources, &mut found)?;
    Ok(found)
}

fn gather(folder: &Path, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "tests" && name != "testkit" && name != "target" {
                gather(&path, found)?;
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path)?;
            for after in text.split("fail_point!(").skip(1) {
                let quoted = after
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|rest| rest.split_once('"'));
                if let Some((name, _)) = quoted {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    Ok(())
}

/// A failpoint that the program passed.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The failpoint.
    pub edge: String,
    /// When its message came, since the start of the program.
    pub at: Duration,
}

/// A program that sends a message for each failpoint that it passes.
pub struct Traced {
    child: Child,
    lines: Receiver<Passed>,
    passed: Vec<Passed>,
    started: Instant,
}

/// How a traced program ended.
pub struct Ended {
    /// Every failpoint that it passed, in order.
    pub passed: Vec<Passed>,
    /// Its status.
    pub status: ExitStatus,
}

impl Traced {
    /// Starts a program that sends a message for each of the failpoints; `socket` is an unused path. The
    /// command says where its output goes.
    ///
    /// # Errors
    /// If the socket cannot be created or the program cannot be started.
    pub fn start(
        mut command: Command,
        edges: &BTreeSet<String>,
        socket: &Path,
    ) -> std::io::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        let names: Vec<&str> = edges.iter().map(String::as_str).collect();
        command
            .env("TOWPATH_TRACE_EDGES", socket)
            .env("TOWPATH_EDGES", names.join(","));
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn()?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let passed = Passed {
                    edge: line,
                    at: started.elapsed(),
                };
                if sender.send(passed).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            passed: Vec::new(),
            started,
        })
    }

    /// Waits until `edge` was passed `nth` times; false if the program ended before.
    pub fn wait_for(&mut self, edge: &str, nth: usize) -> bool {
        let mut count = self.passed.iter().filter(|p| p.edge == edge).count();
        while count < nth {
            let Some(passed) = self.next() else {
                return false;
            };
            count += usize::from(passed.edge == edge);
            self.passed.push(passed);
        }
        true
    }

    /// Lets it continue for a moment, counted from the last failpoint that was waited for.
    pub fn go_on(&mut self, moment: Duration) {
        let until = Instant::now() + moment;
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(passed) => self.passed.push(passed),
                Err(_) => return,
            }
        }
    }

    /// Ends it by SIGKILL.
    ///
    /// # Errors
    /// If the system does not say how it ended.
    pub fn kill(mut self) -> std::io::Result<Ended> {
        // A program that has already ended cannot be killed.
        let _ = self.child.kill();
        self.finish()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the system does not say how it ended.
    pub fn finish(mut self) -> std::io::Result<Ended> {
        while let Some(passed) = self.next() {
            self.passed.push(passed);
        }
        let status = self.child.wait()?;
        Ok(Ended {
            passed: std::mem::take(&mut self.passed),
            status,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long it has been running.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn next(&mut self) -> Option<Passed> {
        loop {
            match self.lines.recv_timeout(SILENCE) {
                Ok(passed) => return Some(passed),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    // A program that ended before its first message never connects.
                    if !matches!(self.child.try_wait(), Ok(None)) {
                        return None;
                    }
                    if self.age() > LONGEST_RUN {
                        let _ = self.child.kill();
                    }
                }
            }
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
