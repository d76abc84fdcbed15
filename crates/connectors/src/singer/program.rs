//! One run of a Singer program: its output line by line, what it says on standard error, and how it ends.
//!
//! Promise: the program and all that it starts end with its reader, also when this process is killed. Its
//! output is read only when somebody takes a line, so a slow taker slows the program down. A program that
//! is silent for too long is stopped. What it says is kept in part, without secrets. It does not know what a
//! line means. Read next: `processes/src/tree.rs`, `message.rs`.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use towpath_ports::Redaction;
use towpath_processes::Tree;

use super::error::{Result, SingerError};
use super::settings::{Settings, in_project};

/// Lines of standard error that are kept.
const KEPT_LINES: usize = 10;
/// Bytes of a line of standard error that are kept.
const KEPT_BYTES: usize = 400;
/// How long standard error is read after the end of a program.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A program to start.
pub(super) struct Call<'c> {
    pub(super) settings: &'c Settings,
    pub(super) arguments: Vec<String>,
    pub(super) project: &'c Path,
    pub(super) redaction: Redaction,
    /// The largest line of its output.
    pub(super) most: usize,
    /// A target gets its standard input.
    pub(super) has_input: bool,
}

/// A running program.
pub(super) struct Program {
    name: String,
    child: Child,
    /// How it ended, once that is known.
    exit: Option<ExitStatus>,
    /// Until it has ended.
    tree: Option<Tree>,
    output: BufReader<ChildStdout>,
    /// Of a target, until somebody takes it.
    pub(super) input: Option<ChildStdin>,
    said: Arc<Said>,
    listening: JoinSet<()>,
    timeout: Duration,
    most: usize,
    /// The number of the last line.
    pub(super) line: u64,
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// With a line feed.
    Whole,
    /// With the output, without a line feed.
    Cut,
    /// There is none.
    None,
}

/// What a program says on standard error.
struct Said {
    lines: Mutex<VecDeque<String>>,
    last: Mutex<Instant>,
    redaction: Redaction,
}

impl Said {
    fn new(redaction: Redaction) -> Self {
        Self {
            lines: Mutex::default(),
            last: Mutex::new(Instant::now()),
            redaction,
        }
    }

    fn is_heard(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago it said something.
    fn silence(&self) -> Duration {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed()
    }

    fn add(&self, program: &str, line: &[u8], is_cut: bool) {
        let clean = match is_cut {
            true => self.redaction.apply_to_head(line),
            false => self.redaction.apply(line),
        };
        let text = String::from_utf8_lossy(&clean).trim_end().to_owned();
        if text.is_empty() {
            return;
        }
        tracing::debug!(program, "{text}");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    fn last_words(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// Takes what a program says until it ends.
async fn listen(mut from: ChildStderr, program: String, said: Arc<Said>) {
    let (mut chunk, mut line, mut is_cut) = (vec![0_u8; 8192], Vec::new(), false);
    loop {
        let read = match from.read(&mut chunk).await {
            Ok(read) if read > 0 => read,
            _ => break,
        };
        said.is_heard();
        for byte in chunk.get(..read).unwrap_or_default() {
            match byte {
                b'\n' => {
                    said.add(&program, &line, is_cut);
                    line.clear();
                    is_cut = false;
                }
                _ if line.len() < KEPT_BYTES => line.push(*byte),
                _ => is_cut = true,
            }
        }
    }
    said.add(&program, &line, is_cut);
}

impl Program {
    /// Starts a program.
    pub(super) async fn start(call: Call<'_>) -> Result<Self> {
        let settings = call.settings;
        let name = settings.program();
        let not_started = |source| SingerError::NotStarted {
            program: name.clone(),
            source,
        };
        let tree = Tree::start().await.map_err(not_started)?;
        let program = settings.argv.first().map(String::as_str);
        let program = in_project(call.project, program.unwrap_or_default());
        let input = match call.has_input {
            true => Stdio::piped(),
            false => Stdio::null(),
        };
        let child = Command::new(&program)
            .args(settings.argv.iter().skip(1))
            .args(&call.arguments)
            .current_dir(call.project)
            .process_group(tree.id())
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SingerError::NotFound {
                program: program.display().to_string(),
            },
            _ => not_started(source),
        })?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (output, errors) =
            pipes.ok_or_else(|| not_started(std::io::Error::other("it has no output")))?;
        let said = Arc::new(Said::new(call.redaction));
        let mut listening = JoinSet::new();
        listening.spawn(listen(errors, name.clone(), Arc::clone(&said)));
        Ok(Self {
            input: child.stdin.take(),
            name,
            child,
            exit: None,
            tree: Some(tree),
            output: BufReader::with_capacity(64 << 10, output),
            said,
            listening,
            timeout: settings.timeout,
            most: call.most,
            line: 0,
        })
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the next line, without its end, into `line`.
    pub(super) async fn next_line(&mut self, line: &mut Vec<u8>) -> Result<LineEnd> {
        line.clear();
        self.line += 1;
        loop {
            let (name, most, number) = (&self.name, self.most, self.line);
            let filled = filled(
                &mut self.output,
                (&mut self.child, &mut self.exit),
                &self.said,
                self.timeout,
            );
            let filled = filled.await;
            let bytes = match filled {
                Some(Ok(bytes)) => bytes,
                Some(Err(source)) => {
                    let program = name.clone();
                    return Err(SingerError::Pipe { program, source });
                }
                None => return Err(self.is_silent()),
            };
            if bytes.is_empty() {
                return Ok(match line.is_empty() {
                    true => LineEnd::None,
                    false => LineEnd::Cut,
                });
            }
            let end = memchr::memchr(b'\n', bytes);
            let taken = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            if line.len() + taken.len() > most {
                return Err(SingerError::TooLong {
                    program: name.clone(),
                    line: number,
                    most,
                });
            }
            line.extend_from_slice(taken);
            let used = taken.len() + usize::from(end.is_some());
            self.output.consume(used);
            if end.is_some() {
                return Ok(LineEnd::Whole);
            }
        }
    }

    fn is_silent(&self) -> SingerError {
        SingerError::Silent {
            program: self.name.clone(),
            timeout: self.timeout,
            said: self.said.last_words(),
        }
    }

    /// Says that the program works: it has taken input.
    pub(super) fn heard(&self) -> impl Fn() + use<> {
        let said = Arc::clone(&self.said);
        move || said.is_heard()
    }

    /// What it said last, when it has said all.
    pub(super) async fn last_words(&mut self) -> Vec<String> {
        // Something that it started may still have the pipe.
        let _ = tokio::time::timeout(LAST_WORDS, self.listening.join_next()).await;
        self.said.last_words()
    }

    /// Waits for its end, which must be a good one, and stops what it has started.
    pub(super) async fn ended(&mut self) -> Result<()> {
        let status = match self.exit {
            Some(status) => status,
            None => {
                let waited = tokio::time::timeout(self.timeout, self.child.wait()).await;
                let waited = waited.map_err(|_| self.is_silent())?;
                waited.map_err(|source| self.broken_pipe(source))?
            }
        };
        let said = self.last_words().await;
        if let Some(tree) = self.tree.take() {
            tree.kill()
                .await
                .map_err(|source| self.broken_pipe(source))?;
        }
        match how(status) {
            None => Ok(()),
            Some(how) => Err(SingerError::Ended {
                program: self.name.clone(),
                how,
                said,
            }),
        }
    }

    fn broken_pipe(&self, source: std::io::Error) -> SingerError {
        SingerError::Pipe {
            program: self.name.clone(),
            source,
        }
    }
}

/// The bytes that are there; `None` when there were none for too long.
async fn filled<'o>(
    output: &'o mut BufReader<ChildStdout>,
    (child, exit): (&mut Child, &mut Option<ExitStatus>),
    said: &Said,
    timeout: Duration,
) -> Option<std::io::Result<&'o [u8]>> {
    said.is_heard();
    let is_filled = loop {
        let left = timeout.saturating_sub(said.silence());
        if left.is_zero() {
            return None;
        }
        if exit.is_some() {
            // What it has started may keep the pipe open: only what is there already is read.
            let filled = tokio::time::timeout(LAST_WORDS, output.fill_buf()).await;
            match filled {
                Ok(filled) => break filled.map(|_| ()),
                Err(_) => return Some(Ok(&[])),
            }
        }
        tokio::select! {
            biased;
            filled = output.fill_buf() => break filled.map(|_| ()),
            status = child.wait() => match status {
                Ok(status) => *exit = Some(status),
                Err(source) => return Some(Err(source)),
            },
            () = tokio::time::sleep(left) => {}
        }
    };
    match is_filled {
        Ok(()) => Some(Ok(output.buffer())),
        Err(source) => Some(Err(source)),
    }
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
