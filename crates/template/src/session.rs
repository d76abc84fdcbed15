//! The state of one rendering: the caller's values, the recorded arguments of functions, and the answers so
//! far.
//!
//! Questions are answered by position. Rendering is repeatable: it stops at a question without an answer,
//! the caller answers it, and the next rendering reaches one question more. So the template engine needs no
//! borrowed answerer, and each question is asked once. Read next: `render.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};
use towpath_vocab::{TableName, WarehouseAnswer, WarehouseQuestion};

use crate::bounds::{MOST_BYTES, MOST_STEPS, too_many_steps};
use crate::problem::Raised;
use crate::reference::{EnvVar, Reference, Vars};

/// The largest depth of macro calls.
const DEEPEST: usize = 64;

/// Why the template is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To find what it refers to; nothing is resolved.
    Scan,
    /// To get its SQL.
    Render,
}

/// The caller's values.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) execute: bool,
    pub(crate) incremental: bool,
    pub(crate) full_refresh: bool,
    pub(crate) this: TableName,
    pub(crate) target: String,
    pub(crate) schema: String,
    pub(crate) vars: Vars,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) relations: BTreeMap<String, TableName>,
    pub(crate) ephemerals: Vec<String>,
    pub(crate) macros: Vec<String>,
}

/// What the template did during the rendering.
#[derive(Debug, Default)]
pub(crate) struct RenderTrace {
    pub(crate) references: Vec<Reference>,
    pub(crate) config: Map<String, Json>,
    pub(crate) vars: Vec<String>,
    pub(crate) env_vars: Vec<EnvVar>,
    pub(crate) introspective: bool,
    pub(crate) incremental: bool,
    /// Ephemeral models referred to, in order of first use.
    pub(crate) inlined: Vec<String>,
    /// The argument of `return`, until the macro's caller gets it.
    pub(crate) returned: Option<Value>,
    pub(crate) raised: Option<Raised>,
    pub(crate) open: Option<WarehouseQuestion>,
    asked: usize,
    depth: usize,
    /// Steps that macros took.
    steps: u64,
    /// Bytes that were written.
    written: usize,
}

/// One rendering.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    answers: Vec<WarehouseAnswer>,
    seen: Mutex<RenderTrace>,
}

impl Session {
    pub(crate) fn new(settings: Settings, answers: Vec<WarehouseAnswer>) -> Self {
        Self {
            settings,
            answers,
            seen: Mutex::new(RenderTrace::default()),
        }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, RenderTrace> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the recorded trace, and leaves an empty one.
    pub(crate) fn take_seen(&self) -> RenderTrace {
        std::mem::take(&mut *self.seen())
    }

    /// Stops rendering with a mistake; the engine adds the position.
    pub(crate) fn raise(&self, raised: Raised) -> Error {
        let error = Error::new(ErrorKind::InvalidOperation, raised.message.clone());
        self.seen().raised = Some(raised);
        error
    }

    /// Asks about the warehouse. During a scan nothing is known and nothing is asked.
    pub(crate) fn ask(
        &self,
        question: WarehouseQuestion,
    ) -> Result<Option<WarehouseAnswer>, Error> {
        let mut seen = self.seen();
        seen.introspective = true;
        if self.settings.mode == Mode::Scan {
            return Ok(None);
        }
        let position = seen.asked;
        seen.asked += 1;
        match self.answers.get(position) {
            Some(answer) => Ok(Some(answer.clone())),
            None => {
                seen.open = Some(question);
                Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "an answer is needed first",
                ))
            }
        }
    }

    /// Counts the steps a macro took.
    pub(crate) fn step(&self, steps: u64) -> Result<(), Error> {
        let total = {
            let mut seen = self.seen();
            seen.steps = seen.steps.saturating_add(steps);
            seen.steps
        };
        if total > MOST_STEPS {
            return Err(self.raise(too_many_steps()));
        }
        Ok(())
    }

    /// Counts bytes of output; `Err` if they are too many.
    pub(crate) fn write(&self, bytes: usize) -> Result<(), ()> {
        let mut seen = self.seen();
        seen.written = seen.written.saturating_add(bytes);
        if seen.written > MOST_BYTES.saturating_mul(4) {
            return Err(());
        }
        Ok(())
    }

    /// Enters a macro; the caller leaves it again.
    pub(crate) fn enter(&self, name: &str) -> Result<(), Error> {
        let deep = {
            let mut seen = self.seen();
            seen.depth += 1;
            seen.depth > DEEPEST
        };
        if deep {
            let raised = Raised::new(
                "M0326",
                format!("macros call each other more than {DEEPEST} levels deep, the last one is `{name}`"),
            )
            .help("a macro that calls itself needs a case in which it stops");
            return Err(self.raise(raised));
        }
        Ok(())
    }

    pub(crate) fn leave(&self) {
        let mut seen = self.seen();
        seen.depth = seen.depth.saturating_sub(1);
    }
}
