//! One run of a program: its output into a file, what it says on standard error, and how it ends.
//!
//! Promise: the program and all that it starts end with the future that runs it, also when this process is
//! killed. A program that prints nothing for too long is stopped. What it says on standard error is in the
//! log and, the end of it, in the failure, without secrets. Read next: `processes/src/tree.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use towpath_ports::Redaction;
use towpath_processes::Tree;

use super::error::{ProgramError, Result};

/// Lines of standard error that are kept.
const KEPT_LINES: usize = 10;
/// Bytes of a line of standard error that are kept.
const KEPT_BYTES: usize = 400;
/// How long the pipes are read after the end of a program: what it has printed is in them, and something that it
/// started may still have them.
const AFTER_END: Duration = Duration::from_secs(2);

/// A program to run.
pub(super) struct Call<'c> {
    /// Its name in messages.
    pub(super) program: String,
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) directory: &'c Path,
    pub(super) redaction: Redaction,
    pub(super) timeout: Duration,
    /// The file that its output becomes.
    pub(super) output: std::fs::File,
}

/// What a program says on standard error.
struct Said {
    program: String,
    redaction: Redaction,
    lines: VecDeque<String>,
    line: Vec<u8>,
    is_cut: bool,
}

impl Said {
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < KEPT_BYTES => self.line.push(*byte),
                _ => self.is_cut = true,
            }
        }
    }

    fn end_line(&mut self) {
        let clean = match self.is_cut {
            true => self.redaction.apply_to_head(&self.line),
            false => self.redaction.apply(&self.line),
        };
        self.line.clear();
        self.is_cut = false;
        let text = String::from_utf8_lossy(&clean).trim_end().to_owned();
        if text.is_empty() {
            return;
        }
        tracing::info!(program = self.program, "{text}");
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }

    fn last_words(mut self) -> Vec<String> {
        self.end_line();
        self.lines.into()
    }
}

/// How the output of a program ended.
enum End {
    Exit(ExitStatus),
    /// The program has ended, and something that it has started may still print.
    Open(ExitStatus),
    Silent,
}

/// Runs a program to its end. Gives what it said last.
pub(super) async fn run(call: Call<'_>) -> Result<Vec<String>> {
    let not_started = |why: String| ProgramError::NotStarted {
        program: call.program.clone(),
        why,
    };
    let tree = Tree::start()
        .await
        .map_err(|error| not_started(error.to_string()))?;
    let mut child = spawn(&call, &tree).map_err(|error| not_started(error.to_string()))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(not_started("it has no output".to_owned()));
    };
    let mut said = Said {
        program: call.program.clone(),
        redaction: call.redaction.clone(),
        lines: VecDeque::new(),
        line: Vec::new(),
        is_cut: false,
    };
    let file = tokio::fs::File::from_std(call.output);
    let ended = copy(&mut child, (out, err), file, &mut said, call.timeout).await;
    let killed = tree.kill().await;
    let (program, said) = (call.program, said.last_words());
    let spool = |source| ProgramError::Spool {
        program: program.clone(),
        source,
    };
    let end = ended.map_err(spool)?;
    killed.map_err(spool)?;
    match end {
        End::Silent => Err(ProgramError::Silent {
            program,
            timeout: call.timeout,
            said,
        }),
        End::Open(status) if how(status).is_none() => Err(ProgramError::Ended {
            program,
            how: "ended, and a program that it had started still had its standard output: not all rows may have come".to_owned(),
            said,
        }),
        End::Exit(status) | End::Open(status) => match how(status) {
            None => Ok(said),
            Some(how) => Err(ProgramError::Ended { program, how, said }),
        },
    }
}

fn spawn(call: &Call<'_>, tree: &Tree) -> std::io::Result<Child> {
    let program = call.argv.first().map(String::as_str).unwrap_or_default();
    let path = Path::new(program);
    let program = match path.components().count() > 1 && path.is_relative() {
        true => call.directory.join(path),
        false => path.to_path_buf(),
    };
    Command::new(program)
        .args(call.argv.iter().skip(1))
        .env_remove("TOWPATH_CURSOR")
        .envs(&call.env)
        .current_dir(call.directory)
        .process_group(tree.id())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Copies output into a file until the program has ended and its pipes are empty.
async fn copy(
    child: &mut Child,
    (mut out, mut err): (ChildStdout, ChildStderr),
    mut file: tokio::fs::File,
    said: &mut Said,
    timeout: Duration,
) -> std::io::Result<End> {
    let (mut printed, mut heard) = (vec![0_u8; 64 << 10], vec![0_u8; 8 << 10]);
    let (mut has_out, mut has_err) = (true, true);
    let mut exit = None;
    // One moment for all that comes after the end of the program.
    let mut until = None;
    while has_out || has_err || exit.is_none() {
        let patience = until.unwrap_or_else(|| tokio::time::Instant::now() + timeout);
        if until.is_some_and(|until| until <= tokio::time::Instant::now()) {
            break;
        }
        tokio::select! {
            biased;
            read = out.read(&mut printed), if has_out => match read? {
                0 => has_out = false,
                read => file.write_all(printed.get(..read).unwrap_or_default()).await?,
            },
            read = err.read(&mut heard), if has_err => match read? {
                0 => has_err = false,
                read => said.hear(heard.get(..read).unwrap_or_default()),
            },
            status = child.wait(), if exit.is_none() => {
                exit = Some(status?);
                until = Some(tokio::time::Instant::now() + AFTER_END);
            }
            () = tokio::time::sleep_until(patience) => match exit {
                Some(_) => break,
                None => return Ok(End::Silent),
            },
        }
    }
    file.flush().await?;
    // What was flushed is in the file, but the last write may still be on its way.
    file.sync_data().await?;
    Ok(match exit {
        Some(status) if has_out => End::Open(status),
        Some(status) => End::Exit(status),
        None => End::Silent,
    })
}

/// How a program ended that did not end well.
fn how(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("ended with exit code {code}")),
        (None, Some(signal)) => Some(format!("was killed by signal {signal}")),
        (None, None) => Some("ended in an unknown way".to_owned()),
    }
}
