//! The one way out to the terminal: what is written to standard output and standard error.
//!
//! Promise: nothing panics because a reader is gone or a disk is full. A reader that is gone (`| head`)
//! ends the output quietly, and the command ends as it would have. Output that cannot be written for
//! another reason is a failure, said once, at the end. It knows no command and no form.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

use crate::exit::Exit;

/// What kept standard output from being written.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// A line on standard output.
macro_rules! say {
    () => { $crate::terminal::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::terminal::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Text on standard output.
macro_rules! put {
    ($($text:tt)*) => { $crate::terminal::out(format_args!($($text)*)) };
}

/// A line on standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::terminal::err(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output, unless that failed before.
pub(crate) fn out(text: Arguments<'_>) {
    // Standard output says of itself whether it could be written.
    let _ = Out.write_fmt(text);
}

/// Writes to standard error. When that cannot be written there is nobody left to tell.
pub(crate) fn err(text: Arguments<'_>) {
    let _ = stderr().lock().write_fmt(text);
}

/// True when nobody reads standard output any more: more of it need not be made.
pub(crate) fn is_closed() -> bool {
    lost().is_some()
}

/// Standard output as a writer that never fails: `end` tells.
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

/// How the program ends, now that everything is written.
pub(crate) fn end(exit: Exit) -> Exit {
    // Cannot fail: see `Out`.
    let _ = Out.flush();
    match lost().as_ref() {
        None => exit,
        Some(error) => unwritten(error, exit),
    }
}

/// How the program ends when its output could not be written.
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
