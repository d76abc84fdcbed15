//! The merge of the lakehouse: which incoming rows stay, which rows of the table go, and the files that say so.
//!
//! Promise: incoming rows are in files already; only their keys are in memory, in passes if they are many. Files
//! of the table are chosen by statistics, their keys are looked up, each hit is one bit, and touched files are
//! streamed without the hit rows. Nothing is committed here: the result is `Add`s and removed files, which are
//! audited before one commit. Read next: `keys.rs`, `bitmap.rs`, `commit.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array as _, BooleanArray, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;
use towpath_ports::{BoxStream, Op};

use super::absent::{self, Absent};
use super::bitmap::Bitmap;
use super::candidate::LakeFile;
use super::error::{LakeError, LakeResult};
use super::files::{self, FileWriter, Sizes, lake_file};
use super::keys::{KeyCode, KeySet, Pass};
use super::previous::{self, Previous};
use super::read::{BatchSize, read_ahead, read_files};
use super::storage::Key;
use super::table::Table;
use super::types::describe;

/// What a key costs in memory beside its own bytes.
pub(crate) const KEY_OVERHEAD: u64 = 64;

/// What happens to rows by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    /// Rows with a known key are replaced, others added.
    Merge,
    /// Rows with a known key go, all incoming rows come.
    DeleteInsert,
    /// Only rows with an unknown key come.
    InsertOnly,
}

/// Incoming rows, in files.
pub(crate) struct Incoming {
    pub(crate) adds: Vec<Add>,
    pub(crate) rows: u64,
    /// One `Op` per row, when the rows are changes.
    pub(crate) ops: Option<Vec<u8>>,
    /// About how many bytes the key values have.
    pub(crate) key_bytes: u64,
}

/// Where a merge takes place.
pub(crate) struct MergeContext<'a> {
    pub(crate) table: &'a Arc<Table>,
    /// The columns after the commit.
    pub(crate) schema: &'a SchemaRef,
    /// Key columns, by place in `schema`.
    pub(crate) key: &'a [usize],
    /// Files of the table before.
    pub(crate) files: Vec<LakeFile>,
    /// Columns of the table that do not come, by place in `schema`.
    pub(crate) gone: Vec<usize>,
    /// Every file must be written anew, touched or not.
    pub(crate) rewrite: bool,
    /// What a merge does with rows whose key does not come.
    pub(crate) absent: Option<Absent>,
    /// Columns of which a merge keeps the value before, each with the column that gets it.
    pub(crate) previous: Vec<Previous>,
    pub(crate) sizes: Sizes,
    /// Who writes.
    pub(crate) attempt: &'a str,
}

/// What a merge found and wrote.
#[derive(Default)]
pub(crate) struct Merged {
    /// Files with the incoming rows that stay.
    pub(crate) incoming: Vec<Add>,
    /// Touched files without the rows that go.
    pub(crate) rewritten: Vec<Add>,
    /// Places of the files they take the place of.
    pub(crate) removed: Vec<usize>,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

/// Which incoming rows stay and which table rows go.
struct Decision {
    keep: Option<Bitmap>,
    hits: BTreeMap<usize, Bitmap>,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Merges incoming rows by key. On failure the incoming files are deleted too.
pub(crate) async fn merge(
    place: &MergeContext<'_>,
    keyed: Keyed,
    incoming: Incoming,
) -> LakeResult<Merged> {
    let adds = incoming.adds.clone();
    match merge_files(place, keyed, incoming).await {
        Ok(merged) => Ok(merged),
        Err(error) => {
            files::delete(place.table, &adds).await?;
            Err(error)
        }
    }
}

async fn merge_files(
    place: &MergeContext<'_>,
    keyed: Keyed,
    incoming: Incoming,
) -> LakeResult<Merged> {
    let mut decision = decide(place, keyed, &incoming).await?;
    keeps_values(place, keyed, &decision).await?;
    let marked = match place.absent.filter(|_| keyed == Keyed::Merge) {
        Some(absent) => {
            let (marked, rows) = absent::take(place, absent, &mut decision.hits).await?;
            decision.deleted += rows;
            marked
        }
        None => Vec::new(),
    };
    let (removed, mut rewritten) = match rewrite(place, &decision.hits).await {
        Ok(rewritten) => rewritten,
        Err(error) => {
            files::delete(place.table, &marked).await?;
            return Err(error);
        }
    };
    rewritten.extend(marked);
    let keeps_before = keyed == Keyed::Merge && !place.previous.is_empty();
    let stays = match &decision.keep {
        // Without a hit no row has a value before.
        keep if keeps_before && !decision.hits.is_empty() => {
            previous::fill(place, &incoming, keep.as_ref()).await
        }
        Some(keep) if keep.count() < keep.len() => filter(place, &incoming.adds, keep).await,
        _ => Ok(incoming.adds),
    };
    let incoming = match stays {
        Ok(stays) => stays,
        Err(error) => {
            files::delete(place.table, &rewritten).await?;
            return Err(error);
        }
    };
    let Decision {
        inserted,
        updated,
        deleted,
        ..
    } = decision;
    Ok(Merged {
        incoming,
        rewritten,
        removed,
        inserted,
        updated,
        deleted,
    })
}

impl MergeContext<'_> {
    /// Some columns of files, read ahead.
    pub(crate) fn read(
        &self,
        files: Vec<LakeFile>,
        columns: &SchemaRef,
    ) -> BoxStream<LakeResult<RecordBatch>> {
        let storage = Arc::clone(&self.table.storage);
        read_ahead(read_files(
            storage,
            files,
            Arc::clone(columns),
            BatchSize::default(),
        ))
    }

    /// A file that is taken out of the table must have been read to its last row.
    pub(crate) fn expect_rows(
        &self,
        key: &Key,
        read: u64,
        expected: Option<u64>,
    ) -> LakeResult<()> {
        match expected.filter(|expected| *expected != read) {
            None => Ok(()),
            Some(expected) => Err(LakeError::Rows {
                address: self.table.storage.address(key),
                read,
                expected,
            }),
        }
    }
}

/// Refuses to replace known rows by rows that lack a column of which they hold a value.
async fn keeps_values(
    place: &MergeContext<'_>,
    keyed: Keyed,
    decision: &Decision,
) -> LakeResult<()> {
    if place.gone.is_empty() || keyed != Keyed::Merge || decision.updated == 0 {
        return Ok(());
    }
    let columns = columns(place.schema, &place.gone)?;
    let mut lost = vec![0_u64; columns.fields().len()];
    for (at, hit_rows) in &decision.hits {
        let Some(file) = place.files.get(*at) else {
            continue;
        };
        let mut batches = place.read(vec![file.clone()], &columns);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let known = hit_rows.filter(first, batch.num_rows(), false);
            first += batch.num_rows();
            let known = filtered(&batch, &known)?;
            for (lost, column) in lost.iter_mut().zip(known.columns()) {
                *lost += (column.len() - column.logical_null_count()) as u64;
            }
        }
        place.expect_rows(&file.key, first as u64, file.rows)?;
    }
    let mut emptied = columns.fields().iter().zip(lost);
    match emptied.find(|(_, lost)| *lost > 0) {
        None => Ok(()),
        Some((field, rows)) => Err(LakeError::Emptied {
            table: place.table.name.to_string(),
            column: field.name().clone(),
            data_type: describe(field),
            rows,
        }),
    }
}

/// Some columns of a table.
pub(crate) fn columns(schema: &Schema, at: &[usize]) -> LakeResult<SchemaRef> {
    let some = schema.project(at).map_err(|source| LakeError::Arrow {
        doing: "choosing columns",
        source,
    })?;
    Ok(Arc::new(some))
}

/// Some rows of a batch.
pub(crate) fn filtered(batch: &RecordBatch, keep: &BooleanArray) -> LakeResult<RecordBatch> {
    filter_record_batch(batch, keep).map_err(|source| LakeError::Arrow {
        doing: "filtering rows",
        source,
    })
}

async fn decide(
    place: &MergeContext<'_>,
    keyed: Keyed,
    incoming: &Incoming,
) -> LakeResult<Decision> {
    let key = columns(place.schema, place.key)?;
    let code = KeyCode::new(&key)?;
    let rows = usize::try_from(incoming.rows).unwrap_or(usize::MAX);
    let keep = match keyed {
        Keyed::InsertOnly => Some(Bitmap::filled(rows, true)),
        Keyed::Merge if incoming.ops.is_some() => Some(Bitmap::filled(rows, false)),
        _ => None,
    };
    let mut decision = Decision {
        keep,
        hits: BTreeMap::new(),
        inserted: 0,
        updated: 0,
        deleted: 0,
    };
    let candidates = narrowed(place, &key, &incoming.adds);
    let needed = incoming.key_bytes + incoming.rows * KEY_OVERHEAD;
    let of = needed.div_ceil(place.sizes.key_bytes()).max(1);
    for number in 0..of {
        let mut keys = KeySet::new(&code, Pass { number, of });
        collect(place, &key, keyed, incoming, &mut keys).await?;
        if keys.entries.is_empty() {
            continue;
        }
        for at in &candidates {
            probe(place, &key, *at, &mut keys, &mut decision.hits).await?;
        }
        decision.fold(keyed, incoming, &keys)?;
    }
    if keyed == Keyed::DeleteInsert {
        decision.inserted = incoming.rows;
        decision.deleted = decision.hits.values().map(|hits| hits.count() as u64).sum();
    }
    if keyed == Keyed::InsertOnly {
        decision.hits.clear();
    }
    Ok(decision)
}

pub(crate) async fn collect(
    place: &MergeContext<'_>,
    key: &SchemaRef,
    keyed: Keyed,
    incoming: &Incoming,
    keys: &mut KeySet<'_>,
) -> LakeResult<()> {
    let unique = keyed != Keyed::DeleteInsert && incoming.ops.is_none();
    let mut batches = place.read(files::lake_files(place.table, &incoming.adds), key);
    let mut first = 0;
    while let Some(batch) = batches.try_next().await? {
        if let Some(at) = keys.add(batch.columns(), first, unique)? {
            return Err(LakeError::DuplicateKey {
                table: place.table.name.to_string(),
                key: name_key(&batch, at, key.fields().len()),
            });
        }
        first += batch.num_rows() as u64;
    }
    Ok(())
}

/// A key in words; the first columns of a batch are its parts.
pub(crate) fn name_key(batch: &RecordBatch, row: usize, width: usize) -> String {
    let schema = batch.schema();
    let parts = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .take(width)
        .map(|(field, column)| {
            let value = array_value_to_string(column, row).unwrap_or_default();
            format!(
                "`{} = {}`",
                field.name(),
                value.chars().take(100).collect::<String>()
            )
        });
    parts.collect::<Vec<_>>().join(", ")
}

async fn probe(
    place: &MergeContext<'_>,
    key: &SchemaRef,
    at: usize,
    keys: &mut KeySet<'_>,
    hits: &mut BTreeMap<usize, Bitmap>,
) -> LakeResult<()> {
    let Some(file) = place.files.get(at) else {
        return Ok(());
    };
    let mut batches = place.read(vec![file.clone()], key);
    // Marks of earlier passes are added to.
    let mut bits = hits.remove(&at).unwrap_or_else(|| Bitmap::filled(0, false));
    let mut first = 0;
    while let Some(batch) = batches.try_next().await? {
        let end = first + batch.num_rows();
        bits.grow(end.saturating_sub(bits.len()));
        keys.probe(batch.columns(), |row| {
            bits.set(first + row, true);
        })?;
        first = end;
    }
    place.expect_rows(&file.key, first as u64, file.rows)?;
    if bits.count() > 0 {
        hits.insert(at, bits);
    }
    Ok(())
}

impl Decision {
    /// Takes over what one pass found out.
    fn fold(&mut self, keyed: Keyed, incoming: &Incoming, keys: &KeySet<'_>) -> LakeResult<()> {
        for entry in &keys.entries {
            let last = usize::try_from(entry.last).unwrap_or(usize::MAX);
            match keyed {
                Keyed::DeleteInsert => {}
                Keyed::InsertOnly if entry.matched => {
                    if let Some(keep) = &mut self.keep {
                        keep.set(last, false);
                    }
                }
                Keyed::InsertOnly => self.inserted += 1,
                Keyed::Merge => {
                    let op = match &incoming.ops {
                        Some(ops) => ops
                            .get(last)
                            .and_then(|byte| Op::from_byte(*byte))
                            .ok_or(LakeError::Misuse("a row has no operation"))?,
                        None => Op::Update,
                    };
                    if op == Op::Delete {
                        self.deleted += u64::from(entry.matched);
                        continue;
                    }
                    if let Some(keep) = &mut self.keep {
                        keep.set(last, true);
                    }
                    *(if entry.matched {
                        &mut self.updated
                    } else {
                        &mut self.inserted
                    }) += 1;
                }
            }
        }
        Ok(())
    }
}

/// Streams touched files without their hit rows; gives the places of the files that go.
pub(crate) async fn rewrite(
    place: &MergeContext<'_>,
    hits: &BTreeMap<usize, Bitmap>,
) -> LakeResult<(Vec<usize>, Vec<Add>)> {
    let mut writer = FileWriter::new(
        Arc::clone(place.table),
        Arc::clone(place.schema),
        place.sizes,
        place.attempt,
    )?;
    let mut removed = Vec::new();
    for (at, file) in place.files.iter().enumerate() {
        let hit_rows = hits.get(&at);
        if hit_rows.is_none() && !place.rewrite {
            continue;
        }
        removed.push(at);
        if let Err(error) = copy(place, file, hit_rows, &mut writer).await {
            writer.abort().await?;
            return Err(error);
        }
    }
    Ok((removed, writer.close().await?))
}

async fn copy(
    place: &MergeContext<'_>,
    file: &LakeFile,
    hit_rows: Option<&Bitmap>,
    writer: &mut FileWriter,
) -> LakeResult<()> {
    if hit_rows.is_some_and(|hit_rows| hit_rows.count() == hit_rows.len()) {
        return Ok(());
    }
    let none = Bitmap::filled(0, false);
    let read = stream(
        place,
        vec![file.clone()],
        hit_rows.unwrap_or(&none),
        true,
        writer,
    )
    .await?;
    place.expect_rows(&file.key, read, file.rows)
}

/// Writes the rows of files whose bit is set, or is not set with `negate`; bits behind the end are not
/// set. Gives how many rows were read.
async fn stream(
    place: &MergeContext<'_>,
    files: Vec<LakeFile>,
    bits: &Bitmap,
    negate: bool,
    writer: &mut FileWriter,
) -> LakeResult<u64> {
    let mut batches = place.read(files, place.schema);
    let mut first = 0;
    while let Some(batch) = batches.try_next().await? {
        let filter = bits.filter(first, batch.num_rows(), negate);
        first += batch.num_rows();
        let kept = match filter.true_count() {
            0 => continue,
            all if all == batch.num_rows() => batch,
            _ => filtered(&batch, &filter)?,
        };
        writer.write(&kept).await?;
    }
    Ok(first as u64)
}

/// Writes incoming files anew with only the rows that stay, and deletes the old ones.
async fn filter(place: &MergeContext<'_>, adds: &[Add], keep: &Bitmap) -> LakeResult<Vec<Add>> {
    let mut writer = FileWriter::new(
        Arc::clone(place.table),
        Arc::clone(place.schema),
        place.sizes,
        place.attempt,
    )?;
    let written = stream(
        place,
        files::lake_files(place.table, adds),
        keep,
        false,
        &mut writer,
    )
    .await
    .and_then(|read| place.expect_rows(&place.table.prefix, read, Some(keep.len() as u64)));
    if let Err(error) = written {
        writer.abort().await?;
        return Err(error);
    }
    let kept = writer.close().await?;
    files::delete(place.table, adds).await?;
    Ok(kept)
}

/// Places of the files that can hold an incoming key, as far as statistics of the log can tell.
pub(crate) fn narrowed(place: &MergeContext<'_>, key: &Schema, incoming: &[Add]) -> Vec<usize> {
    let incoming: Vec<LakeFile> = incoming
        .iter()
        .map(|add| lake_file(place.table, add))
        .collect();
    let ranges: Vec<Option<Range>> = key
        .fields()
        .iter()
        .map(|field| {
            if !sorts_exactly(field.data_type()) {
                return None;
            }
            let ranges = incoming
                .iter()
                .map(|file| Range::of(file, field.name()))
                .collect::<Option<Vec<_>>>()?;
            ranges.into_iter().reduce(Range::join)
        })
        .collect();
    let may_hold = |file: &LakeFile| {
        key.fields().iter().zip(&ranges).all(|(field, range)| {
            match (range, Range::of(file, field.name())) {
                (Some(range), Some(present)) => range.meets(&present),
                _ => true,
            }
        })
    };
    place
        .files
        .iter()
        .enumerate()
        .filter(|(_, file)| may_hold(file))
        .map(|(at, _)| at)
        .collect()
}

fn sorts_exactly(data_type: &arrow_schema::DataType) -> bool {
    data_type.is_integer() || *data_type == arrow_schema::DataType::Utf8
}

/// Smallest and largest value of a column in a file.
enum Range {
    Numbers(i64, i64),
    Texts(String, String),
}

impl Range {
    fn of(file: &LakeFile, column: &str) -> Option<Self> {
        let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
        let (low, high) = (
            stats.get("minValues")?.get(column)?,
            stats.get("maxValues")?.get(column)?,
        );
        match (low.as_i64(), high.as_i64()) {
            (Some(low), Some(high)) => Some(Self::Numbers(low, high)),
            _ => Some(Self::Texts(
                low.as_str()?.to_owned(),
                high.as_str()?.to_owned(),
            )),
        }
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Numbers(a, b), Self::Numbers(c, d)) => Self::Numbers(a.min(c), b.max(d)),
            (Self::Texts(a, b), Self::Texts(c, d)) => Self::Texts(a.min(c), b.max(d)),
            // Never of one column; the widest range is always right.
            _ => Self::Numbers(i64::MIN, i64::MAX),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Numbers(a, b), Self::Numbers(c, d)) => a <= d && c <= b,
            (Self::Texts(a, b), Self::Texts(c, d)) => a <= d && c <= b,
            _ => true,
        }
    }
}
