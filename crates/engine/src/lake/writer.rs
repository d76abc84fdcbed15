//! `Lake` as a destination: from an intent through written files to a prepared, invisible write.
//!
//! Promise: incoming rows go into data files that no log entry names, so no reader sees them. `prepare` decides
//! what becomes of them. It commits nothing. Read next: `files.rs` (the files), `merge.rs` and `scd2.rs`
//! (keyed writes), `commit.rs` (what makes rows visible).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::TryStreamExt as _;
use towpath_ports::{
    Committed, Destination, OpColumn, Prepared, PreparedStats, Result, StagedFile, WriteRequest,
    Writer,
};
use towpath_vocab::types::DECLARED;
use towpath_vocab::{AbsentRows, SchemaChange, TableName, TaskKey, WriteMode};

use super::absent::Absent;
use super::attempt_marker::AttemptMarker;
use super::bitmap::Bitmap;
use super::blanks;
use super::commit::PreparedWrite;
use super::convert::batch_to_lake;
use super::data_file_error::FileName;
use super::error::{LakeError, LakeResult};
use super::evolve::{EvolvedColumns, evolve};
use super::files::DAYS;
use super::files::{self, FileWriter, lake_file};
use super::masks;
use super::merge::{self, Incoming, Keyed, MergeContext, Merged};
use super::names::word;
use super::open::Lake;
use super::previous;
use super::read::{BatchSize, read_rows};
use super::scd2::{self, Dated, check_table};
use super::table::{Snapshot, Table};
use super::types::lake_schema;

/// How a write changes a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Replace,
    Append,
    Keyed(Keyed),
    History,
}

impl Mode {
    fn of(intent: &WriteRequest) -> LakeResult<Self> {
        Ok(match intent.write.mode {
            WriteMode::Replace => Mode::Replace,
            WriteMode::Append => Mode::Append,
            WriteMode::Merge => Mode::Keyed(Keyed::Merge),
            WriteMode::DeleteInsert => Mode::Keyed(Keyed::DeleteInsert),
            WriteMode::InsertOnly => Mode::Keyed(Keyed::InsertOnly),
            WriteMode::Scd2 => Mode::History,
            WriteMode::Snapshot => Mode::Append,
            WriteMode::Scd1 | WriteMode::Scd3 => {
                return Err(LakeError::Inactive {
                    table: intent.table.to_string(),
                    mode: word(intent.write.mode),
                });
            }
        })
    }
}

/// What a write is about, from begin to commit.
pub(crate) struct Write {
    pub(crate) lake: Lake,
    pub(crate) table: Arc<Table>,
    pub(crate) intent: WriteRequest,
    pub(crate) mode: Mode,
    /// The version it started from.
    pub(crate) base: Option<Snapshot>,
    pub(crate) target: EvolvedColumns,
    /// Names this attempt among others of its generation.
    pub(crate) attempt: String,
    marker: AttemptMarker,
}

impl Write {
    /// Everything this attempt wrote is committed or deleted.
    pub(crate) async fn ended(&self) {
        self.marker.lift().await;
    }

    /// The marker of this attempt.
    pub(crate) fn marker(&self) -> &AttemptMarker {
        &self.marker
    }

    /// False when others may take it for dead and delete its files.
    pub(crate) fn may_commit(&self) -> bool {
        self.marker.is_held()
    }
}

#[async_trait]
impl Destination for Lake {
    /// The years 1 to 9999: readers of Delta agree on no others.
    fn days(&self) -> Option<RangeInclusive<i32>> {
        Some(DAYS)
    }

    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        let table = self.table(table)?;
        match table.now().await? {
            Some(now) => Ok(self.committed(&table, &now, task).await?),
            None => Ok(None),
        }
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        fail::fail_point!("lake::begin");
        Ok(Box::new(LakeWriter::begin(self.clone(), intent).await?))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        Ok(self.table(table)?.now().await?.map(|now| now.schema))
    }
}

struct LakeWriter {
    write: Write,
    files: FileWriter,
    key: Vec<usize>,
    /// Columns of the key whose values must be hashes.
    hashed: Vec<usize>,
    key_bytes: u64,
    ops: Option<Vec<u8>>,
    /// Of a history: what gives the rows their times.
    dated: Option<Dated>,
    /// No row of the source was kept out.
    is_whole: bool,
}

impl LakeWriter {
    async fn begin(lake: Lake, mut intent: WriteRequest) -> LakeResult<Self> {
        let mode = Mode::of(&intent)?;
        let dated = Dated::of(&mut intent)?;
        lake.clear_up().await;
        let table = lake.table(&intent.table)?;
        lake.finish_view(&table).await?;
        let base = table.now().await?;
        if let Some(base) = &base {
            base.check_writable(&table)?;
            check_table(&intent, base)?;
        }
        let mut target = target(&intent, mode, base.as_ref())?;
        let key = key_columns(&intent, mode, &target.schema)?;
        let mut hashed = Vec::new();
        if let Some(base) = &base {
            hashed = masks::check_keys((&table, base), &intent, &key, &mut target).await?;
            blanks::check_keys((&table, base), &intent, &key, &mut target).await?;
        }
        let attempt = uuid::Uuid::new_v4().simple().to_string();
        let from = base.as_ref().map(Snapshot::version);
        let marker = lake.set_marker(&attempt, &table, from).await?;
        let files = FileWriter::new(
            Arc::clone(&table),
            Arc::clone(&target.schema),
            lake.sizes(),
            &attempt,
        )?;
        let write = Write {
            lake,
            table,
            intent,
            mode,
            base,
            target,
            attempt,
            marker,
        };
        Ok(Self {
            write,
            files,
            key,
            hashed,
            key_bytes: 0,
            ops: None,
            dated,
            is_whole: true,
        })
    }

    async fn take(&mut self, batch: &RecordBatch, ops: Option<&OpColumn>) -> LakeResult<()> {
        fail::fail_point!("lake::write");
        if batch.num_columns() != self.rows_schema().fields().len() {
            return Err(LakeError::Misuse(
                "the columns of a batch are not those of its write",
            ));
        }
        let target = &self.write.target;
        let batch = match &self.dated {
            None => batch_to_lake(batch, &target.schema, &target.from)?,
            Some(dated) => batch_to_lake(&dated.dated(batch, ops)?, &target.schema, &target.from)?,
        };
        for at in &self.key {
            let column = batch.column(*at);
            if column.null_count() > 0 {
                let column = self.write.target.schema.field(*at).name().clone();
                return Err(LakeError::NullKey {
                    table: self.write.table.name.to_string(),
                    column,
                });
            }
            self.key_bytes += column.to_data().get_slice_memory_size().unwrap_or(0) as u64;
        }
        masks::check_values(&self.write.intent, target, &self.hashed, &batch)?;
        self.take_ops(batch.num_rows(), ops)?;
        self.files.write(&batch).await
    }

    /// The columns that rows come with.
    fn rows_schema(&self) -> &SchemaRef {
        let written = &self.write.intent.schema;
        self.dated.as_ref().map_or(written, Dated::rows)
    }

    fn take_ops(&mut self, rows: usize, ops: Option<&OpColumn>) -> LakeResult<()> {
        let Some(ops) = ops else {
            if let Some(known) = &mut self.ops {
                known.resize(known.len() + rows, towpath_ports::Op::Insert as u8);
            }
            return Ok(());
        };
        if !matches!(self.write.mode, Mode::History | Mode::Keyed(Keyed::Merge)) {
            return Err(LakeError::Key {
                table: self.write.table.name.to_string(),
                why: "its rows are changes, which only `merge` and `scd2` can apply".to_owned(),
            });
        }
        if ops.len() != rows {
            return Err(LakeError::Misuse("a batch has more rows than ops"));
        }
        let before = usize::try_from(self.files.rows()).unwrap_or(0);
        let known = self
            .ops
            .get_or_insert_with(|| vec![towpath_ports::Op::Insert as u8; before]);
        known.extend_from_slice(ops.values());
        Ok(())
    }

    async fn finish(self) -> LakeResult<PreparedWrite> {
        let asked = AbsentRows::of(&self.write.intent.write).filter(|_| self.is_whole);
        let absent = asked.map(|rows| Absent::of(rows, &self.write.target.schema));
        let absent = absent.transpose()?;
        let previous = previous::of(&self.write.intent.write, &self.write.target.schema)?;
        let rows = self.files.rows();
        let adds = self.files.close().await?;
        let incoming = Incoming {
            adds,
            rows,
            ops: self.ops,
            key_bytes: self.key_bytes,
        };
        let write = self.write;
        let files = write
            .base
            .as_ref()
            .map(|base| base.files(&write.table))
            .unwrap_or_default();
        let place = MergeContext {
            table: &write.table,
            schema: &write.target.schema,
            key: &self.key,
            files,
            gone: (0..write.target.from.len())
                .filter(|at| write.target.from.get(*at).is_some_and(Option::is_none))
                .collect(),
            rewrite: write.target.rewrite,
            absent,
            previous,
            sizes: write.lake.sizes(),
            attempt: &write.attempt,
        };
        let dated = self.dated.as_ref();
        let merged = merged(&place, &write, dated, self.is_whole, incoming).await?;
        let stats = stats(&write, rows, &merged);
        fail::fail_point!("lake::prepared");
        Ok(PreparedWrite {
            write,
            merged,
            stats,
        })
    }
}

/// Joins incoming rows with those of the table; on failure the incoming files are deleted.
async fn merged(
    place: &MergeContext<'_>,
    write: &Write,
    dated: Option<&Dated>,
    is_whole: bool,
    incoming: Incoming,
) -> LakeResult<Merged> {
    let rows = incoming.rows;
    let added = |incoming: Incoming| Merged {
        incoming: incoming.adds,
        inserted: rows,
        ..Merged::default()
    };
    match write.mode {
        Mode::Keyed(keyed) => merge::merge(place, keyed, incoming).await,
        Mode::History => {
            let dated = dated.ok_or(LakeError::Misuse("a history has no times"))?;
            let history =
                dated.history(&write.target, place.key, (is_whole, incoming.ops.is_some()))?;
            scd2::keep_history(place, &history, incoming).await
        }
        Mode::Append => {
            let snapshots = dated.and_then(|dated| dated.snapshots(&write.target));
            let rewritten = match scd2::check_snapshots(place, snapshots).await {
                Ok(()) if place.rewrite => merge::rewrite(place, &BTreeMap::new()).await,
                checked => checked.map(|()| (Vec::new(), Vec::new())),
            };
            match rewritten {
                Ok((removed, rewritten)) => Ok(Merged {
                    rewritten,
                    removed,
                    ..added(incoming)
                }),
                Err(error) => {
                    files::delete(&write.table, &incoming.adds).await?;
                    Err(error)
                }
            }
        }
        Mode::Replace => {
            let before = place.files.iter().map(|file| file.rows);
            Ok(Merged {
                removed: (0..place.files.len()).collect(),
                deleted: before.sum::<Option<u64>>().unwrap_or(0),
                ..added(incoming)
            })
        }
    }
}

fn stats(write: &Write, rows_in: u64, merged: &Merged) -> PreparedStats {
    let kept = write
        .base
        .as_ref()
        .map(|base| base.files(&write.table))
        .unwrap_or_default();
    let removed = Bitmap::at(kept.len(), &merged.removed);
    let kept = kept
        .iter()
        .enumerate()
        .filter(|(at, _)| !removed.get(*at))
        .map(|(_, file)| file.rows);
    let new: Vec<_> = merged
        .incoming
        .iter()
        .chain(&merged.rewritten)
        .map(|add| lake_file(&write.table, add))
        .collect();
    PreparedStats {
        rows_in,
        inserted: merged.inserted,
        updated: merged.updated,
        deleted: merged.deleted,
        rows_after: kept.chain(new.iter().map(|file| file.rows)).sum(),
        bytes: new.iter().map(|file| file.bytes).sum(),
    }
}

/// The columns after the write.
fn target(
    intent: &WriteRequest,
    mode: Mode,
    base: Option<&Snapshot>,
) -> LakeResult<EvolvedColumns> {
    let name = intent.table.to_string();
    let incoming = lake_schema(&name, &intent.schema)?;
    let Some(base) = base else {
        return Ok(EvolvedColumns::fresh(incoming, true));
    };
    match (mode, intent.write.schema_change) {
        (Mode::Replace, SchemaChange::Evolve) => {
            let changed = incoming != base.schema;
            Ok(EvolvedColumns::fresh(incoming, changed))
        }
        (Mode::Replace, SchemaChange::Ignore) => known_columns(&name, &incoming, &base.schema),
        (_, change) => {
            let incoming = with_declared(&incoming, &intent.schema);
            let target = evolve(&name, &base.schema, &incoming, change)?;
            Ok(match mode {
                Mode::Replace => blanks::replace_all(target, &incoming),
                Mode::Append | Mode::Keyed(_) | Mode::History => target,
            })
        }
    }
}

/// The columns; the metadata name those whose type the project declares.
fn with_declared(incoming: &Schema, asked: &Schema) -> Schema {
    let fields = incoming.fields().iter().zip(asked.fields());
    let marked = fields.map(|(field, asked)| {
        let mut metadata = field.metadata().clone();
        let declared = asked.metadata().get(DECLARED);
        metadata.extend(declared.map(|word| (DECLARED.to_owned(), word.clone())));
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new(marked.collect::<Vec<_>>())
}

/// A replacement that leaves new columns out.
fn known_columns(table: &str, incoming: &Schema, old: &Schema) -> LakeResult<EvolvedColumns> {
    let known = |name: &str| {
        old.fields()
            .iter()
            .any(|field| field.name().to_lowercase() == name.to_lowercase())
    };
    let kept: Vec<usize> = (0..incoming.fields().len())
        .filter(|at| known(incoming.field(*at).name()))
        .collect();
    if kept.is_empty() {
        return Err(LakeError::SchemaChanged {
            table: table.to_owned(),
            change: "the new rows have none of its columns".to_owned(),
        });
    }
    let schema = Schema::new(
        kept.iter()
            .map(|at| incoming.field(*at).clone())
            .collect::<Vec<_>>(),
    );
    let changed = &schema != old;
    Ok(EvolvedColumns {
        schema: Arc::new(schema),
        from: kept.into_iter().map(Some).collect(),
        changed,
        rewrite: false,
    })
}

fn key_columns(intent: &WriteRequest, mode: Mode, schema: &Schema) -> LakeResult<Vec<usize>> {
    let (Mode::Keyed(_) | Mode::History) = mode else {
        return Ok(Vec::new());
    };
    let wrong = |why: String| LakeError::Key {
        table: intent.table.to_string(),
        why,
    };
    if intent.write.key.is_empty() {
        return Err(wrong(format!("`{}` needs a key", word(intent.write.mode))));
    }
    let find = |name: &String| {
        let same = schema.index_of(name).ok();
        same.or_else(|| {
            schema
                .fields()
                .iter()
                .position(|field| field.name().to_lowercase() == name.to_lowercase())
        })
    };
    intent
        .write
        .key
        .iter()
        .map(|name| find(name).ok_or_else(|| wrong(format!("it has no key column `{name}`"))))
        .collect()
}

#[async_trait]
impl Writer for LakeWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        Ok(self.take(&batch, ops.as_ref()).await?)
    }

    async fn add_files(&mut self, staged: Vec<StagedFile>) -> Result<()> {
        for file in staged {
            let schema = Arc::clone(self.rows_schema());
            let staged =
                tokio::fs::File::open(&file.path)
                    .await
                    .map_err(|source| LakeError::Io {
                        doing: "opening",
                        path: file.path.clone().into(),
                        source,
                    })?;
            let name = FileName {
                address: file.path,
                version: None,
            };
            let mut batches = read_rows(staged, name, schema, BatchSize::default()).await?;
            while let Some(batch) = batches.try_next().await? {
                self.take(&batch, None).await?;
            }
        }
        Ok(())
    }

    fn rows_are_missing(&mut self) {
        self.is_whole = false;
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Box::pin(self.finish()).await?))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.files.abort().await?;
        self.write.ended().await;
        Ok(())
    }
}
