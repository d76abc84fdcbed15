//! Keeps the history of a table (`write: scd2`): which rows are new versions, which versions they close.
//!
//! Promise: after a commit each key has at most one current version, versions of a key do not overlap, and
//! of a version that was there before nothing changes but its end, or an earlier begin. Incoming rows are already in files, as in
//! `merge.rs`: keys are looked up in passes that fit into memory, contents are compared by a hash of 128
//! bits, and only files with a version that is closed are written anew. Read next: `scd2/decide.rs` (what
//! becomes of one key), `scd2/apply.rs` (the files that say so).

mod apply;
mod contents;
mod dated;
mod decide;
mod edits;
mod feed;
mod probe;

use std::collections::BTreeMap;

use arrow_schema::{DataType, Schema, SchemaRef};
use futures::TryStreamExt as _;
use towpath_ports::Op;

use self::apply::{incoming_files, rewritten_files};
use self::dated::RowHistory;
pub(crate) use self::dated::{Dated, check_table};
use self::decide::{KeyState, Outcome, Version, VersionConflict, Why, judge};
use self::edits::{Edits, RowPlace};
use self::feed::judge_feed;
use self::probe::{Probe, check_clock, has_current};
use super::bitmap::Bitmap;
use super::error::{LakeError, LakeResult};
use super::files;
use super::keys::{KeyCode, KeySet, Pass};
use super::merge::{Incoming, MergeContext, Merged, columns, name_key, narrowed};
use super::row_history_refusal::RowHistoryRefusal;

/// What an incoming key costs in memory beside its own bytes: its entry, its version, what the table holds.
const KEY_OVERHEAD: u64 = 192;
/// What a version that ends at a time of its own costs besides.
const EDIT_OVERHEAD: u64 = 96;

/// Which incoming rows stay and which rows of the table are closed.
struct VersionChanges {
    keep: Bitmap,
    /// Incoming versions that another one of the same load ends.
    ended: Bitmap,
    /// Closed rows of the table, by file; a file with none of them has one that begins earlier.
    closed: BTreeMap<usize, Bitmap>,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Adds the incoming versions to the history. On failure the incoming files are deleted too.
pub(crate) async fn keep_history(
    place: &MergeContext<'_>,
    history: &RowHistory,
    incoming: Incoming,
) -> LakeResult<Merged> {
    let adds = incoming.adds.clone();
    match add_versions(place, history, incoming).await {
        Ok(merged) => Ok(merged),
        Err(error) => {
            files::delete(place.table, &adds).await?;
            Err(error)
        }
    }
}

/// Refuses a snapshot whose time is not after that of every other.
pub(crate) async fn check_snapshots(
    place: &MergeContext<'_>,
    snapshots: Option<(usize, i64)>,
) -> LakeResult<()> {
    match snapshots {
        None => Ok(()),
        Some((column, at)) => check_clock(place, at, &[column]).await,
    }
}

async fn add_versions(
    place: &MergeContext<'_>,
    history: &RowHistory,
    incoming: Incoming,
) -> LakeResult<Merged> {
    let mut edits = Edits::new(place);
    let merged = write_versions(place, history, incoming, &mut edits).await;
    match edits.delete().await {
        Ok(()) => merged,
        Err(error) => {
            let merged = merged?;
            files::delete(place.table, &merged.rewritten).await?;
            files::delete(place.table, &merged.incoming).await?;
            Err(error)
        }
    }
}

async fn write_versions(
    place: &MergeContext<'_>,
    history: &RowHistory,
    incoming: Incoming,
    edits: &mut Edits<'_>,
) -> LakeResult<Merged> {
    let found = find(place, history, &incoming, edits).await?;
    let is_edited = found.ended.count() > 0 || edits.has_incoming();
    let mut edits = edits.reader();
    let (removed, rewritten) = rewritten_files(place, history, &found.closed, &mut edits).await?;
    let keep = &found.keep;
    let kept = match keep.count() == keep.len() && !is_edited {
        true => Ok(incoming.adds.clone()),
        false => {
            let rows = (keep, &found.ended);
            incoming_files(place, history, &incoming, rows, &mut edits).await
        }
    };
    let kept = match kept {
        Ok(kept) => kept,
        Err(error) => {
            files::delete(place.table, &rewritten).await?;
            return Err(error);
        }
    };
    Ok(Merged {
        incoming: kept,
        rewritten,
        removed,
        inserted: found.inserted,
        updated: found.updated,
        deleted: found.deleted,
    })
}

/// Looks every incoming key up, in as many passes as memory asks for.
async fn find(
    place: &MergeContext<'_>,
    history: &RowHistory,
    incoming: &Incoming,
    edits: &mut Edits<'_>,
) -> LakeResult<VersionChanges> {
    if !history.by_column() {
        let [from, to, _] = history.own;
        check_clock(place, history.at, &[from, to]).await?;
    }
    let key = columns(place.schema, place.key)?;
    let code = KeyCode::new(&key)?;
    let rows = usize::try_from(incoming.rows).unwrap_or(usize::MAX);
    let mut found = VersionChanges {
        keep: Bitmap::filled(rows, false),
        ended: Bitmap::filled(rows, false),
        closed: BTreeMap::new(),
        inserted: 0,
        updated: 0,
        deleted: 0,
    };
    let candidates = candidates(place, history, &key, incoming);
    let overhead = match history.by_column() {
        true => KEY_OVERHEAD + EDIT_OVERHEAD,
        false => KEY_OVERHEAD,
    };
    let needed = incoming.key_bytes + incoming.rows * overhead;
    let of = needed.div_ceil(place.sizes.key_bytes()).max(1);
    for number in 0..of {
        let keys = KeySet::new(&code, Pass { number, of });
        let (keys, versions) = collect(place, history, &key, incoming, keys).await?;
        let mut probe = Probe::new(place, history, keys, versions)?;
        if probe.is_idle() {
            continue;
        }
        for at in &candidates {
            let absent = probe.file(*at).await?;
            if absent.count() > 0 {
                found.deleted += absent.count() as u64;
                found.touched(place, *at).join(&absent);
            }
        }
        probe.read_incoming(&incoming.adds).await?;
        take_over(place, history, (&mut found, edits), incoming, &probe).await?;
        if number + 1 < of {
            edits.end_pass().await?;
        }
    }
    Ok(found)
}

/// Places of the files that must be looked into.
fn candidates(
    place: &MergeContext<'_>,
    history: &RowHistory,
    key: &Schema,
    incoming: &Incoming,
) -> Vec<usize> {
    let mut near = vec![false; place.files.len()];
    for at in narrowed(place, key, &incoming.adds) {
        if let Some(near) = near.get_mut(at) {
            *near = true;
        }
    }
    let files = place.files.iter().zip(near).enumerate();
    files
        .filter(|(_, (file, is_near))| match has_current(file) {
            true => history.closes_absent || *is_near,
            // What was closed matters only where rows say themselves when they were valid.
            false => history.by_column() && *is_near,
        })
        .map(|(at, _)| at)
        .collect()
}

/// The keys of one pass and the versions that come, by key and time.
async fn collect<'k>(
    place: &MergeContext<'_>,
    history: &RowHistory,
    key: &SchemaRef,
    incoming: &Incoming,
    mut keys: KeySet<'k>,
) -> LakeResult<(KeySet<'k>, Vec<Version>)> {
    let [from, ..] = history.own;
    let wanted: Vec<usize> = place.key.iter().copied().chain([from]).collect();
    let wanted = columns(place.schema, &wanted)?;
    let unique = !history.by_column() && incoming.ops.is_none();
    let mut versions = Vec::new();
    let mut batches = place.read(files::lake_files(place.table, &incoming.adds), &wanted);
    let mut first = 0;
    while let Some(batch) = batches.try_next().await? {
        let (parts, time) = dated::apart(&batch, key.fields().len())?;
        if let Some(at) = keys.add(parts, first, unique)? {
            return Err(LakeError::DuplicateKey {
                table: place.table.name.to_string(),
                key: name_key(&batch, at, key.fields().len()),
            });
        }
        if history.by_column() {
            let times = dated::times(time)?;
            keys.find(parts, |row, entry| {
                versions.extend(entry.map(|entry| {
                    let from = times.value(row);
                    Version::new(entry, first + row as u64, from)
                }));
            })?;
        }
        first += batch.num_rows() as u64;
    }
    if !history.by_column() {
        // The changes of a feed have one instant: of one key the last one counts.
        let entries = keys.entries.iter().enumerate();
        versions.extend(entries.map(|(entry, known)| Version::new(entry, known.last, history.at)));
    }
    if let Some(ops) = &incoming.ops {
        for version in &mut versions {
            version.is_delete = op(ops, version.row)? == Op::Delete;
        }
    }
    let time = |version: &Version| if history.is_feed { 0 } else { version.from };
    versions.sort_unstable_by_key(|version| (version.entry, time(version), version.row));
    Ok((keys, versions))
}

fn op(ops: &[u8], row: u64) -> LakeResult<Op> {
    usize::try_from(row)
        .ok()
        .and_then(|row| ops.get(row))
        .and_then(|byte| Op::from_byte(*byte))
        .ok_or(LakeError::Misuse("a row has no operation"))
}

/// Takes over what becomes of the keys of one pass.
async fn take_over(
    place: &MergeContext<'_>,
    history: &RowHistory,
    (found, edits): (&mut VersionChanges, &mut Edits<'_>),
    incoming: &Incoming,
    probe: &Probe<'_, '_>,
) -> LakeResult<()> {
    for (entry, versions) in probe.by_key() {
        let (known, at) = (probe.key_state(entry), probe.at());
        let judged = match history.is_feed && history.by_column() {
            true => judge_feed(known, versions, at),
            false => judge(known, versions, at),
        };
        let outcome = match judged {
            Ok(outcome) => outcome,
            Err(misfit) => return Err(refused(place, history, incoming, misfit).await?),
        };
        found.take(place, edits, (known, at), &outcome);
    }
    Ok(())
}

impl VersionChanges {
    fn take(
        &mut self,
        place: &MergeContext<'_>,
        edits: &mut Edits<'_>,
        (known, at): (KeyState, i64),
        outcome: &Outcome,
    ) {
        let row = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        for opened in &outcome.opened {
            let row = row(opened.row);
            self.keep.set(row, true);
            if let Some(until) = opened.until {
                set_bit(&mut self.ended, row);
                edits.end(RowPlace::incoming(row), until);
            }
            if let Some(from) = opened.from {
                edits.begin(RowPlace::incoming(row), from);
            }
        }
        if let Some(current) = known.current {
            let row = RowPlace::at(current.file, current.row);
            if let Some(end) = outcome.closed_at {
                set_bit(self.touched(place, current.file), current.row);
                // A time only where it is not that of the load.
                if end != at {
                    edits.end(row, end);
                }
            }
            if let Some(from) = outcome.begins_at {
                self.touched(place, current.file);
                edits.begin(row, from);
            }
        }
        let opened = outcome.opened.len() as u64;
        let is_new = u64::from(known.current.is_none() && opened > 0);
        self.inserted += is_new;
        self.updated += opened - is_new;
        self.deleted += u64::from(outcome.ends);
    }

    /// The closed rows of a file of the table, which is written anew.
    fn touched(&mut self, place: &MergeContext<'_>, file: usize) -> &mut Bitmap {
        let known = place.files.get(file).and_then(|file| file.rows);
        let size = usize::try_from(known.unwrap_or(0)).unwrap_or(0);
        let none = || Bitmap::filled(size, false);
        self.closed.entry(file).or_insert_with(none)
    }
}

/// Sets a bit, which may lie behind the end.
fn set_bit(bits: &mut Bitmap, at: usize) {
    bits.grow((at + 1).saturating_sub(bits.len()));
    bits.set(at, true);
}

/// The error about a version that does not fit, with its key in words.
async fn refused(
    place: &MergeContext<'_>,
    history: &RowHistory,
    incoming: &Incoming,
    misfit: VersionConflict,
) -> LakeResult<LakeError> {
    let wanted = columns(place.schema, place.key)?;
    let mut batches = place.read(files::lake_files(place.table, &incoming.adds), &wanted);
    let mut first = 0;
    let mut key = String::new();
    while let Some(batch) = batches.try_next().await? {
        let end = first + batch.num_rows() as u64;
        if misfit.row < end {
            let row = usize::try_from(misfit.row - first).unwrap_or(0);
            key = name_key(&batch, row, place.key.len());
            break;
        }
        first = end;
    }
    let table = place.table.name.to_string();
    let said = history.said.map(|at| place.schema.field(at).data_type());
    let is_date = said == Some(&DataType::Date32);
    let at = dated::shown(misfit.from);
    Ok(match misfit.why {
        Why::Twice => RowHistoryRefusal::SameTime {
            table,
            key,
            at,
            is_date,
        },
        Why::Late(since) => RowHistoryRefusal::Late {
            table,
            key,
            at,
            since: dated::shown(since),
            is_date: is_date && since == misfit.from,
        },
        Why::Future => RowHistoryRefusal::Future {
            table,
            key,
            from: at,
            at: dated::shown(history.at),
        },
        Why::Clock(since) => RowHistoryRefusal::ClockBehind {
            table,
            at: dated::shown(history.at),
            newest: dated::shown(since),
        },
    }
    .into())
}
