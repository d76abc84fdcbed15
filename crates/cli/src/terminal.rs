//! The only access to the terminal: everything on standard output and standard error is written here.
//!
//! Promise: no character of data is obeyed by the terminal; rows as CSV, which programs read, are left as they
//! are. Nothing panics because a reader is gone or a disk is full. If the reader is gone (`| head`),
//! the output ends silently and the command keeps its exit code. If output cannot be written for another
//! reason, the failure is reported once, at the end. It knows no command and no format.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{ErrorKind, IsTerminal as _, Write, stderr, stdout};
use std::sync::{Mutex, OnceLock, PoisonError};

use towpath_vocab::passwords::without_passwords;

use crate::exit::Exit;

/// How much output the user wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputSettings {
    /// `-v`, counted.
    pub(crate) verbose: u8,
    /// `--quiet`.
    pub(crate) quiet: bool,
    /// `--log-format json`.
    pub(crate) json: bool,
}

/// Set once, when the program starts.
static OUTPUT_SETTINGS: OnceLock<OutputSettings> = OnceLock::new();

/// Sets how much is printed; only the first call has an effect.
pub(crate) fn set(output_settings: OutputSettings) {
    let _ = OUTPUT_SETTINGS.set(output_settings);
}

fn output_settings() -> OutputSettings {
    OUTPUT_SETTINGS.get().copied().unwrap_or_default()
}

/// True with `-v`.
pub(crate) fn is_verbose() -> bool {
    output_settings().verbose > 0
}

/// True with `--quiet`: only failures are printed.
pub(crate) fn is_quiet() -> bool {
    output_settings().quiet
}

/// True with `--log-format json`.
pub(crate) fn says_json() -> bool {
    output_settings().json
}

/// True if standard error shows colours: it is a terminal, and `NO_COLOR` is not set.
pub(crate) fn has_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !refused
}

/// Why standard output could not be written.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// A line on standard output.
macro_rules! outln {
    () => { $crate::terminal::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::terminal::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Text on standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::terminal::out(format_args!($($text)*)) };
}

/// A line on standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::terminal::err(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes text for people, or JSON, to standard output, unless an earlier write failed.
pub(crate) fn out(text: Arguments<'_>) {
    // `Out` records whether standard output could be written.
    let _ = Out.write_all(visible(&text.to_string()).as_bytes());
}

/// Writes to standard error, without passwords. A failure is ignored, because it could not be reported.
pub(crate) fn err(text: Arguments<'_>) {
    let text = text.to_string();
    let _ = stderr()
        .lock()
        .write_all(visible(&without_passwords(&text)).as_bytes());
}

/// Text without characters that a terminal would obey: values of tables, names of files and messages of systems
/// come from others. They are written as in JSON, `\u001b`, so JSON stays what it is.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_obeyed(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Standard error for log lines, which libraries write too: each line is written at once.
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        stderr()
            .lock()
            .write_all(without_passwords(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().lock().flush()
    }
}

/// True if nobody reads standard output any more, so a command can stop producing output.
pub(crate) fn is_closed() -> bool {
    lost().is_some()
}

/// Standard output as a writer that never fails; `end` reports a failure.
pub(crate) struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !is_closed() {
            keep(stdout().lock().write_all(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if !is_closed() {
            keep(stdout().lock().flush());
        }
        Ok(())
    }
}

/// The exit of the program after all output was written.
pub(crate) fn end(exit: Exit) -> Exit {
    // Cannot fail: see `Out`.
    let _ = Out.flush();
    match lost().as_ref() {
        None => exit,
        Some(error) => unwritten(error, exit),
    }
}

/// The exit of the program if its output could not be written.
pub(crate) fn unwritten(error: &std::io::Error, exit: Exit) -> Exit {
    if error.kind() == ErrorKind::BrokenPipe {
        return exit;
    }
    err(format_args!(
        "error[R0995]: the output cannot be written: {error}\n"
    ));
    match exit {
        Exit::Done => Exit::Failed,
        failed => failed,
    }
}

fn keep(written: std::io::Result<()>) {
    if let Err(error) = written {
        *lost() = Some(error);
    }
}

fn lost() -> std::sync::MutexGuard<'static, Option<std::io::Error>> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner)
}
