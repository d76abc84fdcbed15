//! A write to a target: rows wait in a file until the commit sends them.
//!
//! Promise: a target is started by the commit alone, so nothing is sent before it. Sent rows count as
//! delivered only when the target has given back the state behind them and has ended well. If this process
//! dies between the two, the next attempt sends the same rows again: at least once. It does not know what a
//! target does with its records. Read next: `delivered.rs`, `target_schema.rs`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use towpath_ports::{
    Candidate, CandidateRows, Commit, Committed, Op, OpColumn, Prepared, PreparedStats, Receipt,
    Result, StagedFile, WriteRequest, Writer,
};

use super::config_file::{ProgramFiles, ResolvedConfig};
use super::error::SingerError;
use super::program::{Call, LineEnd, Program};
use super::target::SingerTarget;
use super::target_candidate::SentRows;
use super::target_schema::{NoRecord, RecordWriter, schema_message};
use crate::stage::private;

/// The file of the records.
const RECORDS: &str = "records.jsonl";
/// The file of the records of deleted rows.
const DELETED: &str = "deleted.jsonl";
/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;

/// A write in progress.
pub(super) struct TargetWriter {
    target: SingerTarget,
    intent: WriteRequest,
    files: ProgramFiles,
    records: RecordWriter,
    file: BufWriter<File>,
    deleted: BufWriter<File>,
    marks_deletes: bool,
    stats: PreparedStats,
    /// The moment that rows are marked with.
    moment: Arc<str>,
}

impl TargetWriter {
    pub(super) fn begin(target: SingerTarget, intent: WriteRequest) -> Result<Self, SingerError> {
        let files = ProgramFiles::new(&target.settings, &target.context.project_dir)?;
        let file = |name| private(&files.path(name)).map_err(|error| files.failed(error));
        let (records, deleted) = (file(RECORDS)?, file(DELETED)?);
        let own = intent
            .write
            .options
            .get("deleted_rows")
            .and_then(Value::as_str);
        let marks_deletes = own.map_or(target.settings.marks_deletes, |own| own == "mark");
        let moment = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        Ok(Self {
            records: RecordWriter::new(intent.table.table(), &intent.schema),
            marks_deletes,
            target,
            intent,
            files,
            file: BufWriter::with_capacity(256 << 10, records),
            deleted: BufWriter::new(deleted),
            stats: PreparedStats::default(),
            moment: moment.into(),
        })
    }

    fn add(&mut self, batch: &RecordBatch, ops: Option<&OpColumn>) -> Result<(), SingerError> {
        let table = self.intent.table.to_string();
        let is_deleted = |row: usize| {
            let op = ops.and_then(|ops| Op::from_byte(ops.value(row)));
            op == Some(Op::Delete)
        };
        let deleted = (0..batch.num_rows()).filter(|row| is_deleted(*row)).count() as u64;
        if deleted > 0 && !self.marks_deletes {
            return Err(SingerError::Deletes {
                table,
                rows: deleted,
            });
        }
        let (mut out, mut gone) = (Vec::new(), Vec::new());
        let moment = |row: usize| is_deleted(row).then_some(self.moment.as_ref());
        let written = self.records.write(batch, moment, (&mut out, &mut gone));
        written.map_err(|error| match error {
            NoRecord::NotFinite(column) => SingerError::NotFinite { table, column },
            NoRecord::Arrow(why) => SingerError::Schema { stream: table, why },
        })?;
        let count = batch.num_rows() as u64;
        self.stats.rows_in += count;
        self.stats.inserted += count - deleted;
        self.stats.deleted += deleted;
        self.stats.bytes += (out.len() + gone.len()) as u64;
        let written = self.file.write_all(&out);
        let written = written.and_then(|()| self.deleted.write_all(&gone));
        written.map_err(|error| self.files.failed(error))
    }
}

#[async_trait]
impl Writer for TargetWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        Ok(self.add(&batch, ops.as_ref())?)
    }

    async fn add_files(&mut self, _: Vec<StagedFile>) -> Result<()> {
        Err(SingerError::Broken {
            stream: self.intent.table.to_string(),
        }
        .into())
    }

    async fn prepare(mut self: Box<Self>) -> Result<Box<dyn Prepared>> {
        let flushed = self.file.flush();
        let flushed = flushed.and_then(|()| self.deleted.flush());
        flushed.map_err(|error| self.files.failed(error))?;
        let Self {
            target,
            intent,
            files,
            marks_deletes,
            stats,
            records,
            ..
        } = *self;
        Ok(Box::new(PreparedDelivery {
            target,
            intent,
            files,
            marks_deletes,
            stats,
            head: records.head(),
        }))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Rows that only have to be sent.
struct PreparedDelivery {
    target: SingerTarget,
    intent: WriteRequest,
    files: ProgramFiles,
    marks_deletes: bool,
    stats: PreparedStats,
    /// The bytes of a line before its record.
    head: usize,
}

impl PreparedDelivery {
    /// The state behind all records.
    fn state(&self) -> Value {
        json!({ "towpath": {
            "task": self.intent.task.app_id(),
            "generation": self.intent.generation.0,
            "rows": self.stats.rows_in,
        } })
    }

    /// Sends the rows, and waits until the target has confirmed them.
    async fn deliver(&self) -> Result<(), SingerError> {
        let settings = &self.target.settings;
        let secrets = self.target.context.secrets.as_ref();
        let config = ResolvedConfig::read(settings, secrets).await?;
        let call = Call {
            settings,
            arguments: self.files.config(&config)?,
            project: &self.target.context.project_dir,
            redaction: config.redaction.clone(),
            most: settings.max_record_bytes,
            has_input: true,
        };
        let mut program = Program::start(call).await?;
        let schema = schema_message(
            self.intent.table.table(),
            &self.intent.schema,
            &self.intent.write.key,
            self.marks_deletes,
        );
        let state = json!({ "type": "STATE", "value": self.state() });
        let sending = Sending {
            records: [self.files.path(RECORDS), self.files.path(DELETED)],
            head: format!("{schema}\n"),
            tail: format!("{state}\n"),
        };
        let input = program.input.take();
        let heard = program.heard();
        let wanted = self.state();
        let (sent, is_confirmed) = {
            let sending = sending.send(input, heard);
            let answers = answers(&mut program, &wanted);
            tokio::pin!(sending, answers);
            let mut sent = None;
            let confirmed = loop {
                tokio::select! {
                    result = &mut sending, if sent.is_none() => sent = Some(result),
                    // Who does not read any more is not waited for: the program ends with this.
                    confirmed = &mut answers => break confirmed,
                }
            };
            (sent, confirmed?)
        };
        if let Some(Err(error)) = sent
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(self.files.failed(error));
        }
        match is_confirmed {
            true => Ok(()),
            false => Err(SingerError::NotConfirmed {
                program: settings.program(),
                table: self.intent.table.to_string(),
                said: program.last_words().await,
            }),
        }
    }

    /// Another attempt of this generation, or another process.
    fn overtaken(&self, last: Option<Committed>) -> Result<Option<Receipt>, SingerError> {
        let held = last.as_ref().map(|last| last.token.generation);
        if let Some(committed) = last.filter(|last| last.token.generation >= self.intent.generation)
        {
            return Ok(Some(Receipt {
                committed,
                adopted: true,
            }));
        }
        let expected = self.intent.after;
        let is_other = expected.is_some_and(|after| held.map_or(0, |held| held.0) != after.0);
        match is_other {
            true => Err(SingerError::Overtaken {
                table: self.intent.table.to_string(),
            }),
            false => Ok(None),
        }
    }
}

/// Reads what a target gives back, to its good end; whether it was the state that is wanted.
async fn answers(program: &mut Program, wanted: &Value) -> Result<bool, SingerError> {
    let (mut line, mut is_confirmed) = (Vec::new(), false);
    while program.next_line(&mut line).await? != LineEnd::None {
        let value: Option<Value> = serde_json::from_slice(&line).ok();
        is_confirmed |= value.is_some_and(|value| value == *wanted);
    }
    program.ended().await.map(|()| is_confirmed)
}

/// What goes to the standard input of a target.
struct Sending {
    records: [PathBuf; 2],
    head: String,
    tail: String,
}

impl Sending {
    async fn send(
        self,
        input: Option<tokio::process::ChildStdin>,
        heard: impl Fn(),
    ) -> std::io::Result<()> {
        let Some(mut input) = input else {
            return Err(std::io::Error::other("the target has no input"));
        };
        input.write_all(self.head.as_bytes()).await?;
        let mut piece = vec![0_u8; PIECE];
        for records in &self.records {
            let mut records = tokio::fs::File::open(records).await?;
            loop {
                let read = records.read(&mut piece).await?;
                let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                input.write_all(bytes).await?;
                heard();
            }
        }
        input.write_all(self.tail.as_bytes()).await?;
        input.shutdown().await
    }
}

#[async_trait]
impl Prepared for PreparedDelivery {
    fn stats(&self) -> PreparedStats {
        self.stats
    }

    async fn candidate(&self, _: CandidateRows) -> Result<Candidate> {
        let sent = SentRows {
            path: self.files.path(RECORDS),
            table: self.intent.table.clone(),
            schema: Arc::clone(&self.intent.schema),
            head: self.head,
            memory: Arc::clone(&self.target.context.memory),
        };
        Ok(sent.candidate())
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        let delivered = self.target.delivered();
        let task = self.intent.task.clone();
        let (own, of_task) = (delivered.clone(), task.clone());
        let locked = tokio::task::spawn_blocking(move || own.lock(&of_task)).await;
        let _lock = locked.map_err(|_| SingerError::Broken {
            stream: self.intent.table.to_string(),
        })??;
        if let Some(receipt) = self.overtaken(delivered.last(&task)?)? {
            return Ok(receipt);
        }
        self.deliver().await?;
        fail::fail_point!("singer::delivered");
        let generation = self.intent.generation;
        let committed = Committed {
            token: commit.into_token(task, generation),
            version: format!("delivery {generation}"),
            stats: self.stats,
        };
        delivered.put(&committed)?;
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
