//! The state store itself: `ports::StateStore` over one writing thread and a few reading connections.
//!
//! Promise: writes return when they are durable, reads see every write that returned before them and
//! never wait for one. Several processes may open one file. It holds no state of its own but the
//! proof that its workers live. Read next: `runs.rs`, `findings.rs`, `history.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use towpath_ports::{
    NewRun, Opened, Result, RunEvent, RunFilter, RunRecord, RunState, StateStore, TaskRecord,
    Transition,
};
use towpath_vocab::{
    CheckResult, Environment, Generation, PipelineName, RunName, TableFact, TableLineage,
    TableName, TaskId, TaskKey,
};

use crate::error::StateError;
use crate::findings::{self, FACTS, LINEAGE, TOLD};
use crate::liveness::Liveness;
use crate::writer::Writer;
use crate::{history, runs, schema};

/// More idle reading connections than this are closed.
const IDLE_READERS: usize = 4;

/// A state store in a SQLite file.
pub struct SqliteStateStore {
    path: PathBuf,
    // Before `liveness`: a process counts as living until its last change is durable.
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
    liveness: Arc<Liveness>,
}

impl SqliteStateStore {
    /// Opens the state store at `path`, or makes a new one in a folder that exists.
    ///
    /// # Errors
    /// R0801 a newer Towpath wrote it (untouched), R0802 another program's file, R0803 damaged,
    /// R0804 no such folder, R0805 not writable, R0806 disk full.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let connection = schema::open_writer(path).map_err(|error| error.into_failure(path))?;
        let writer = Writer::start(connection, path).map_err(|error| error.into_failure(path))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers: Arc::default(),
            liveness: Arc::new(Liveness::new(path)),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One run, if there is one of that name.
    pub async fn run(
        &self,
        name: &RunName,
        environment: &Environment,
    ) -> Result<Option<RunRecord>> {
        let (name, environment) = (name.clone(), environment.clone());
        self.read(move |connection| history::run_by_name(connection, &name, &environment))
            .await
    }

    /// Sets tasks of a resumed run back to waiting, because their inputs changed; gives the run.
    pub async fn reopen(
        &self,
        name: &RunName,
        environment: &Environment,
        tasks: &[TaskId],
        now_us: i64,
    ) -> Result<RunRecord> {
        let (name, environment, tasks) = (name.clone(), environment.clone(), tasks.to_vec());
        self.writer
            .write(move |connection| runs::reopen(connection, &name, &environment, &tasks, now_us))
            .await
    }

    /// Whether the process behind a run goes on with it, as far as can be told at `now_us`.
    pub async fn is_live(&self, run: &RunRecord, now_us: i64) -> Result<bool> {
        if run.state != RunState::Running || self.liveness.is_dead(&run.worker) {
            return Ok(false);
        }
        let worker = run.worker.clone();
        let expires_us = self
            .read(move |connection| runs::expires_us(connection, &worker))
            .await?;
        Ok(expires_us.is_some_and(|expires_us| expires_us > now_us))
    }

    /// Digests of what was told last about something, over those of the time before.
    pub async fn put_told(
        &self,
        environment: &Environment,
        about: &str,
        digests: &BTreeSet<String>,
    ) -> Result<()> {
        let (environment, about, digests) =
            (environment.clone(), about.to_owned(), digests.clone());
        self.writer
            .write(move |connection| TOLD.put(connection, &environment, &about, &digests))
            .await
    }

    /// Digests of what was told last, by what it was about.
    pub async fn told(&self, environment: &Environment) -> Result<Vec<(String, BTreeSet<String>)>> {
        let environment = environment.clone();
        self.read(move |connection| TOLD.list(connection, &environment))
            .await
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StateError> + Send + 'static,
    {
        let path = self.path.clone();
        let readers = Arc::clone(&self.readers);
        let reading = tokio::task::spawn_blocking(move || {
            let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => schema::open_reader(&path).map_err(|error| error.into_failure(&path))?,
            };
            let found = snapshot(&connection, work).map_err(|error| error.into_failure(&path))?;
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < IDLE_READERS {
                readers.push(connection);
            }
            Ok(found)
        });
        reading
            .await
            .map_err(|_| StateError::Stopped.into_failure(&self.path))?
    }
}

/// Reads in one transaction, so that all statements see the same state.
fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let transaction = connection.unchecked_transaction()?;
    let found = work(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

#[async_trait]
impl StateStore for SqliteStateStore {
    async fn open_run(&self, run: NewRun) -> Result<Opened> {
        let worker = run.worker.clone();
        let fresh = self
            .liveness
            .claim(&worker)
            .map_err(|error| error.into_failure(&self.path))?;
        let liveness = Arc::clone(&self.liveness);
        let opening = self
            .writer
            .write(move |connection| runs::open(connection, &run, &liveness))
            .await;
        let opened = match opening {
            Ok(opening) => {
                if let Some(dead) = opening.dead_worker {
                    self.liveness.forget(&dead);
                }
                Ok(opening.opened)
            }
            Err(failure) => Err(failure),
        };
        if fresh && !matches!(opened, Ok(Opened::New(_) | Opened::Resumed(_))) {
            self.liveness.release(&worker);
        }
        opened
    }

    async fn transition(&self, transition: Transition) -> Result<bool> {
        self.transition_all(vec![transition]).await
    }

    async fn transition_all(&self, transitions: Vec<Transition>) -> Result<bool> {
        self.writer
            .write(move |connection| runs::transition_all(connection, &transitions))
            .await
    }

    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        now_us: i64,
    ) -> Result<()> {
        let (run, environment) = (run.clone(), environment.clone());
        let liveness = Arc::clone(&self.liveness);
        let done = self
            .writer
            .write(move |connection| {
                runs::close(connection, &run, &environment, state, now_us, &liveness)
            })
            .await?;
        if let Some(worker) = done {
            self.liveness.release(&worker);
        }
        Ok(())
    }

    async fn renew(&self, worker: &str, now_us: i64) -> Result<bool> {
        let worker = worker.to_owned();
        self.writer
            .write(move |connection| runs::renew(connection, &worker, now_us))
            .await
    }

    async fn append_event(
        &self,
        run: &RunName,
        environment: &Environment,
        event: RunEvent,
    ) -> Result<()> {
        let (run, environment) = (run.clone(), environment.clone());
        self.writer
            .write(move |connection| runs::append_event(connection, &run, &environment, &event))
            .await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>> {
        self.read(move |connection| history::runs(connection, &filter))
            .await
    }

    async fn events(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
    ) -> Result<Vec<RunEvent>> {
        let (run, environment) = (run.clone(), environment.clone());
        self.read(move |connection| history::events(connection, &run, &environment, after_seq))
            .await
    }

    async fn last_success(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        task: &TaskId,
    ) -> Result<Option<(RunName, TaskRecord)>> {
        let (environment, pipeline, task) = (environment.clone(), pipeline.clone(), task.clone());
        self.read(move |connection| {
            history::last_success(connection, &environment, &pipeline, &task)
        })
        .await
    }

    async fn generation(&self, task: &TaskKey) -> Result<Option<(RunName, Generation)>> {
        let task = task.clone();
        self.read(move |connection| findings::generation(connection, &task))
            .await
    }

    async fn reserve_generation(
        &self,
        task: &TaskKey,
        run: &RunName,
        generation: Generation,
    ) -> Result<()> {
        let (task, run) = (task.clone(), run.clone());
        self.writer
            .write(move |connection| {
                findings::reserve_generation(connection, &task, &run, generation)
            })
            .await
    }

    async fn put_fact(
        &self,
        environment: &Environment,
        table: &str,
        fact: &TableFact,
    ) -> Result<()> {
        let (environment, table, fact) = (environment.clone(), table.to_owned(), fact.clone());
        self.writer
            .write(move |connection| FACTS.put(connection, &environment, &table, &fact))
            .await
    }

    async fn facts(&self, environment: &Environment) -> Result<Vec<(String, TableFact)>> {
        let environment = environment.clone();
        self.read(move |connection| FACTS.list(connection, &environment))
            .await
    }

    async fn put_checks(
        &self,
        run: &RunName,
        environment: &Environment,
        now_us: i64,
        results: &[CheckResult],
    ) -> Result<()> {
        let (run, environment, results) = (run.clone(), environment.clone(), results.to_vec());
        self.writer
            .write(move |connection| {
                findings::put_checks(connection, &run, &environment, now_us, &results)
            })
            .await
    }

    async fn checks(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        limit: u64,
    ) -> Result<Vec<(RunName, i64, CheckResult)>> {
        let (environment, table) = (environment.clone(), table.cloned());
        self.read(move |connection| {
            findings::checks(connection, &environment, table.as_ref(), limit)
        })
        .await
    }

    async fn put_lineage(
        &self,
        environment: &Environment,
        table: &TableName,
        lineage: &TableLineage,
    ) -> Result<()> {
        let (environment, table, lineage) =
            (environment.clone(), table.to_string(), lineage.clone());
        self.writer
            .write(move |connection| LINEAGE.put(connection, &environment, &table, &lineage))
            .await
    }

    async fn lineage(&self, environment: &Environment) -> Result<Vec<(TableName, TableLineage)>> {
        let environment = environment.clone();
        self.read(move |connection| {
            let all = LINEAGE.list::<TableLineage>(connection, &environment)?;
            all.into_iter()
                .map(|(name, lineage)| Ok((findings::table_name(&name)?, lineage)))
                .collect()
        })
        .await
    }
}
