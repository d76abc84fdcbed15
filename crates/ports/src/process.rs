//! The interface to run a program for a `command` step.
//!
//! Promise: the whole tree of processes ends with the attempt, also when its future is dropped. It does
//! not know what the program reads or writes. Implemented in `orchestrator/src/process.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Redaction, Result};

/// A program to run. Its variables may contain secrets, so it is never shown.
#[derive(Clone)]
pub struct ProcessSpec {
    /// The program and its arguments; there is no shell.
    pub argv: Vec<String>,
    /// Working folder.
    pub directory: PathBuf,
    /// Variables in addition to those of this process.
    pub env: BTreeMap<String, String>,
    /// The time after which the whole tree of processes is stopped.
    pub timeout: Option<Duration>,
    /// The log file for its output.
    pub log: PathBuf,
    /// The values that are removed from its output before it is stored.
    pub redaction: Redaction,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessExit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Stopped by its timeout.
    TimedOut,
    /// Stopped by the user.
    Cancelled,
}

/// Runs programs.
#[async_trait]
pub trait ProcessRunner: Send + Sync {
    /// Runs one program to its end. If the future is dropped, the whole tree of processes is killed.
    async fn run(&self, spec: ProcessSpec) -> Result<ProcessExit>;
}
