//! What PostgreSQL does for one write (`relational/writer.rs`): rows by COPY into a temporary table, locks,
//! and the COMMIT.
//!
//! Promise: a dropped writer cuts its connection, so that the server forgets everything. One copy of a candidate
//! runs at a time. Read next: `apply.rs`, `task_lock.rs`, `definition.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::SinkExt as _;
use tokio::sync::Mutex;
use tokio_postgres::CopyInSink;
use towpath_ports::{Memory, PreparedStats, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::Failure;

use super::align::align;
use super::apply::{
    check_values, lock_table, own_rows, refuse_cascades, truncate_and_insert, wide_columns,
};
use super::candidate::PostgresCandidate;
use super::catalog::look_up;
use super::definition;
use super::encode::{Encoded, write_header, write_trailer};
use super::error::{ErrorContext as _, PgError, Result};
use super::new_table::NewTable;
use super::session::Session;
use super::settings::Settings;
use super::sql::{STAGE, Writing};
use super::states;
use super::task_lock;
use crate::relational;
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::effects::Effects;
use crate::relational::fault::Fault;
use crate::relational::modes::primary_key;
use crate::relational::writer::TableWrite;

/// Copy data is sent in pieces of about this size.
const PIECE_BYTES: usize = 128 << 10;

/// What is to be written, and how.
pub(super) struct Job {
    pub(super) intent: WriteRequest,
    /// How the table looked when it was decided what to write.
    pub(super) before: Option<StateBeforeWrite>,
    pub(super) truncate: bool,
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

/// A write on its way.
pub(super) struct PostgresWrite {
    writing: Writing,
    job: Job,
    /// The table itself, where it did not exist.
    new_table: Option<NewTable>,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    buffer: BytesMut,
    bytes: u64,
    /// Some rows delete others.
    deletes: bool,
    /// No other session can write the table.
    locked: bool,
    /// The new table has its name.
    is_named: AtomicBool,
    /// The number of the table that the rows were fitted to; 0 where there was none.
    number: AtomicU32,
    /// Whoever reads a candidate holds it; the commit waits for it.
    turn: Arc<Mutex<()>>,
}

impl PostgresWrite {
    pub(super) fn new(writing: Writing, job: Job, new_table: Option<NewTable>) -> Self {
        // Dropping the writer cuts the connection: the server forgets everything.
        writing.session.set_copying(true);
        Self {
            writing,
            new_table,
            is_named: AtomicBool::new(false),
            copy: None,
            buffer: BytesMut::new(),
            bytes: 0,
            deletes: false,
            locked: false,
            number: AtomicU32::new(0),
            turn: Arc::new(Mutex::new(())),
            job,
        }
    }

    fn doing(&self) -> String {
        format!("writing `{}`", self.writing.relation)
    }

    /// Where rows are copied to.
    fn stage_sql(&self) -> String {
        self.new_table
            .as_ref()
            .map_or_else(|| STAGE.to_owned(), NewTable::sql)
    }

    async fn send(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let doing = self.doing();
        if self.copy.is_none() {
            let sql = format!("COPY {} FROM STDIN (FORMAT binary)", self.stage_sql());
            let copy = self.writing.client().copy_in(&sql).await.doing(&doing)?;
            self.copy = Some(Box::pin(copy));
        }
        let Some(copy) = self.copy.as_mut() else {
            return Ok(());
        };
        let piece = self.buffer.split().freeze();
        self.bytes += piece.len() as u64;
        if copy.send(piece).await.is_err() {
            // The server has given up; its reason comes with the end of the copy.
            let answer = copy.as_mut().finish().await.doing(&doing);
            return answer.and(Err(PgError::Lost { doing }));
        }
        Ok(())
    }

    /// Looks at the table as it is now.
    async fn align(&self) -> Result<Alignment> {
        let (client, relation) = (self.writing.client(), &self.writing.relation);
        let found = look_up(client, relation).await?;
        let number = found.as_ref().map_or(0, |found| found.oid);
        self.number.store(number, Ordering::Relaxed);
        let (schema, primary) = (&self.job.intent.schema, primary_key(&self.job.intent));
        let change = self.job.intent.write.schema_change;
        let found_table = found.as_ref();
        let fits = (change, [].as_slice());
        let mut alignment = align(client, relation, found_table, schema, fits, primary).await?;
        let wide = wide_columns(client, relation, &alignment).await?;
        if !wide.is_empty() {
            let widens = (change, wide.as_slice());
            alignment = align(client, relation, found_table, schema, widens, primary).await?;
        }
        if let Some(found) = &found {
            let effects = Effects::of(&self.job.intent, &alignment, self.deletes);
            refuse_cascades(client, found, &effects).await?;
        }
        Ok(alignment)
    }
}

#[async_trait]
impl TableWrite for PostgresWrite {
    const PREPARED: &'static str = "postgres::prepared";
    const BEFORE_COMMIT: &'static str = "postgres::before_commit";
    const AFTER_COMMIT: &'static str = "postgres::after_commit";
    type Error = PgError;
    type Session = Writing;
    type Candidate = PostgresCandidate;

    fn session(&self) -> &Writing {
        &self.writing
    }

    fn intent(&self) -> &WriteRequest {
        &self.job.intent
    }

    fn state_before(&self) -> Option<&StateBeforeWrite> {
        self.job.before.as_ref()
    }

    fn table(&self) -> String {
        self.writing.relation.sql()
    }

    fn own_rows(&self, alignment: &Alignment) -> String {
        own_rows(&self.writing.relation, alignment)
    }

    fn shown(&self) -> String {
        self.writing.relation.to_string()
    }

    async fn stage(
        &mut self,
        batch: RecordBatch,
        ops: Option<UInt8Array>,
        before: u64,
    ) -> Result<()> {
        fail::fail_point!("postgres::write");
        self.deletes |= ops.as_ref().is_some_and(|ops| ops.values().contains(&2));
        if self.copy.is_none() && self.buffer.is_empty() {
            write_header(&mut self.buffer);
        }
        let encoded = Encoded::of(&batch, ops, before)?;
        for row in 0..encoded.rows() {
            encoded.write_row(row, &mut self.buffer)?;
            if self.buffer.len() >= PIECE_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn end_stage(&mut self, rows: u64) -> Result<u64> {
        if rows > 0 || self.copy.is_some() {
            write_trailer(&mut self.buffer);
            self.send().await?;
        }
        if let Some(mut copy) = self.copy.take() {
            let copied = copy.as_mut().finish().await.doing(&self.doing())?;
            if copied != rows {
                return Err(Fault::Swallowed {
                    table: self.shown(),
                    doing: "insert",
                    asked: rows,
                    done: copied,
                }
                .into());
            }
        }
        let sql = format!("ANALYZE {}", self.stage_sql());
        let analyzed = self.writing.client().batch_execute(&sql).await;
        analyzed.doing("looking at the stage")?;
        Ok(self.bytes)
    }

    async fn lock_task(&self, session: &Writing) -> Result<()> {
        task_lock::lock(session.client(), &self.job.intent.task.app_id()).await
    }

    async fn locked_state(&self) -> Result<Option<TableState>> {
        let (client, relation) = (self.writing.client(), &self.writing.relation);
        let table = relation.to_string();
        let was_there = self
            .state_before()
            .is_some_and(|before| before.table.is_some());
        if !lock_table(client, relation).await? && was_there {
            return Err(match look_up(client, relation).await? {
                None => Fault::Moved { table }.into(),
                Some(_) => PgError::Unlocked { table },
            });
        }
        let left = relational::commits::state(&self.writing, &self.job.intent.task).await?;
        states::state(client, relation, left.as_ref()).await
    }

    async fn fit(&self) -> Result<Alignment> {
        let alignment = self.align().await?;
        if alignment.statements.is_empty() {
            return Ok(alignment);
        }
        let (client, relation) = (self.writing.client(), &self.writing.relation);
        // Several tasks may meet a table or a schema that is not there yet: one of them makes it, the
        // others wait for that one's end and look again.
        definition::lock(client, &relation.to_string()).await?;
        let alignment = self.align().await?;
        if let Some(new_table) = self.new_table.as_ref().filter(|_| alignment.created) {
            new_table.rename(client, relation).await?;
            self.is_named.store(true, Ordering::Relaxed);
            return Ok(alignment);
        }
        if alignment.created {
            definition::ensure_schema(client, &relation.schema).await?;
        }
        for statement in &alignment.statements {
            let doing = format!("fitting `{relation}` to the rows");
            let done = client.batch_execute(statement).await;
            done.map_err(|error| PgError::about_table(&error, &doing, relation))?;
        }
        Ok(alignment)
    }

    async fn check_values(&mut self, alignment: &Alignment) -> Result<()> {
        let relation = &self.writing.relation;
        self.locked = lock_table(self.writing.client(), relation).await?;
        if !alignment.created {
            let now = look_up(self.writing.client(), relation).await?;
            let number = self.number.load(Ordering::Relaxed);
            let Some(now) = now.filter(|now| now.oid == number) else {
                let table = relation.to_string();
                return Err(Fault::Dropped { table }.into());
            };
            // From here to the end of the transaction nobody defines a foreign key, where it is locked.
            let effects = Effects::of(&self.job.intent, alignment, self.deletes);
            refuse_cascades(self.writing.client(), &now, &effects).await?;
        }
        check_values(self.writing.client(), relation, alignment).await
    }

    fn applies_late(&self, alignment: &Alignment) -> bool {
        match alignment.created {
            true => self.new_table.is_some(),
            false => self.job.truncate,
        }
    }

    async fn begin_commit(&self, audited: bool, late: Option<&Apply<'_, Writing>>) -> Result<()> {
        let turn = self.turn.lock().await;
        drop(turn);
        // The audit read inside this transaction, which has kept other writers out of the table
        // since before the first row was applied: what was judged is what readers will see. Only
        // where this user may not lock the table can others have written it meanwhile.
        if audited && !self.locked {
            return Err(PgError::Unlocked {
                table: self.shown(),
            });
        }
        // The rows of a new table are in it.
        let is_new = self.is_named.load(Ordering::Relaxed);
        if let Some(apply) = late.filter(|_| !is_new) {
            truncate_and_insert(apply).await?;
        }
        match &self.new_table {
            Some(new_table) => new_table.close(self.writing.client(), is_new).await,
            None => Ok(()),
        }
    }

    async fn left(
        &self,
        before: &StateBeforeWrite,
        stats: &PreparedStats,
    ) -> Result<Option<TableState>> {
        let how = (self.job.intent.write.mode, stats);
        states::leaves(&self.writing, before, how).await
    }

    async fn end(&self) -> Result<()> {
        let doing = format!("committing `{}`", self.writing.relation);
        let ended = self.writing.client().batch_execute("COMMIT").await;
        self.writing.session.set_copying(false);
        ended.doing(&doing)
    }

    async fn another_session(&self) -> std::result::Result<Option<Writing>, Failure> {
        let session = Session::open(&self.job.settings).await?;
        let Writing {
            relation, commits, ..
        } = &self.writing;
        session.begin_write(&relation.schema).await?;
        Ok(Some(Writing {
            session: Arc::new(session),
            relation: relation.clone(),
            commits: commits.clone(),
        }))
    }

    fn candidate(&self) -> PostgresCandidate {
        PostgresCandidate {
            session: Arc::clone(&self.writing.session),
            turn: Arc::clone(&self.turn),
            relation: self.writing.relation.clone(),
            memory: Arc::clone(&self.job.memory),
        }
    }
}
