//! Looks incoming keys up in the table: which of them have a current version, and what it holds.
//!
//! Promise: keys and times of a file are read first; what rows hold only of those whose key comes. The one
//! current version of each key is checked here. Nothing is decided here: see `decide.rs`. Read next:
//! `contents.rs`.

use arrow_array::{Array as _, BooleanArray, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;

use super::contents::Contents;
use super::dated::{RowHistory, said_times, shown, times};
use super::decide::{Current, KeyState, Version};
use crate::lake::bitmap::Bitmap;
use crate::lake::candidate::LakeFile;
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::files;
use crate::lake::keys::KeySet;
use crate::lake::merge::{MergeContext, columns, filtered, name_key};
use crate::lake::row_history_refusal::RowHistoryRefusal;

/// The keys of one pass with what is known of them.
pub(super) struct Probe<'a, 'k> {
    place: &'a MergeContext<'a>,
    history: &'a RowHistory,
    keys: KeySet<'k>,
    /// By key and time.
    versions: Vec<Version>,
    /// Per key.
    known: Vec<KeyState>,
    /// Places of versions, with the hash of a closed version of their key and time.
    recorded: Vec<(usize, u128)>,
    contents: Contents,
    /// Key, `_valid_from`, `_valid_to`, and the column of `valid_from`.
    looked_at: SchemaRef,
    tracked: SchemaRef,
}

/// A row of a file whose contents are wanted.
struct RequestedRow {
    row: usize,
    of: Of,
}

/// Whose contents they are.
enum Of {
    /// The current version of a key.
    Current(usize),
    /// The closed version that was valid at the time of an incoming one, or whose row had that time.
    Recorded(usize),
}

impl<'a, 'k> Probe<'a, 'k> {
    pub(super) fn new(
        place: &'a MergeContext<'a>,
        history: &'a RowHistory,
        keys: KeySet<'k>,
        versions: Vec<Version>,
    ) -> LakeResult<Self> {
        let [from, to, _] = history.own;
        let looked_at = place.key.iter().copied().chain([from, to]);
        let looked_at: Vec<usize> = looked_at.chain(history.said).collect();
        let tracked = columns(place.schema, &history.tracked)?;
        Ok(Self {
            contents: Contents::new(&tracked)?,
            looked_at: columns(place.schema, &looked_at)?,
            tracked,
            known: vec![KeyState::default(); keys.entries.len()],
            recorded: Vec::new(),
            place,
            history,
            keys,
            versions,
        })
    }

    /// Nothing comes, and nothing is to be closed for not coming.
    pub(super) fn is_idle(&self) -> bool {
        self.versions.is_empty() && !self.history.closes_absent
    }

    /// The time of the load.
    pub(super) fn at(&self) -> i64 {
        self.history.at
    }

    pub(super) fn key_state(&self, entry: usize) -> KeyState {
        self.known.get(entry).copied().unwrap_or_default()
    }

    /// The versions of each key.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (usize, &[Version])> {
        let groups = self.versions.chunk_by(|one, next| one.entry == next.entry);
        groups.filter_map(|group| Some((group.first()?.entry, group)))
    }

    /// Looks into one file; gives its current rows whose key does not come, if those are to be closed.
    pub(super) async fn file(&mut self, at: usize) -> LakeResult<Bitmap> {
        let Some(file) = self.place.files.get(at).cloned() else {
            return Ok(Bitmap::filled(0, false));
        };
        let (mut absent, mut wanted) = (Bitmap::filled(0, false), Vec::new());
        let mut batches = self.place.read(vec![file.clone()], &self.looked_at);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            self.batch(&batch, (at, first), &mut absent, &mut wanted)?;
            first += batch.num_rows();
        }
        self.place.expect_rows(&file.key, first as u64, file.rows)?;
        self.read_contents(file, &wanted).await?;
        Ok(absent)
    }

    fn batch(
        &mut self,
        batch: &RecordBatch,
        (file, first): (usize, usize),
        absent: &mut Bitmap,
        wanted: &mut Vec<RequestedRow>,
    ) -> LakeResult<()> {
        absent.grow(batch.num_rows());
        let width = self.place.key.len();
        let (key, own) = batch.columns().split_at_checked(width).unwrap_or_default();
        let [from, to, said @ ..] = own else {
            return Err(LakeError::Misuse("a batch has too few columns"));
        };
        let (from, to) = (times(from)?, times(to)?);
        let said = said.first().map(said_times).transpose()?;
        let said = |row: usize| match &said {
            Some(said) if said.is_valid(row) => said.value(row),
            _ => from.value(row),
        };
        let (known, versions, history) = (&mut self.known, &self.versions, self.history);
        let (mut twice, mut behind) = (None, None);
        self.keys.find(key, |row, entry| {
            let place = first + row;
            match (entry, to.is_null(row)) {
                (Some(entry), true) => {
                    let Some(known) = known.get_mut(entry) else {
                        return;
                    };
                    if known.current.is_some() {
                        twice = Some(row);
                    }
                    known.current = Some(Current {
                        file,
                        row: place,
                        from: from.value(row),
                        said: said(row),
                        print: 0,
                    });
                    let of = Of::Current(entry);
                    wanted.push(RequestedRow { row: place, of });
                }
                (None, true) if history.closes_absent => {
                    if from.value(row) >= history.at {
                        behind = Some(row);
                    }
                    absent.set(place, true);
                }
                (Some(entry), false) if history.by_column() => {
                    if let Some(known) = known.get_mut(entry) {
                        known.last_end = known.last_end.max(Some(to.value(row)));
                    }
                    if history.is_feed {
                        return;
                    }
                    let mut want = |of| wanted.push(RequestedRow { row: place, of });
                    let (from, to) = (from.value(row), to.value(row));
                    between(versions, entry, from, to).for_each(|at| want(Of::Recorded(at)));
                    let said = said(row);
                    let same = between(versions, entry, said, said.saturating_add(1));
                    same.for_each(|at| want(Of::Recorded(at)));
                }
                _ => {}
            }
        })?;
        self.check(batch, twice, behind.map(|row| (row, from.value(row))))
    }

    /// Refuses a key with two current versions, and a row that is gone before its version has begun.
    fn check(
        &self,
        batch: &RecordBatch,
        twice: Option<usize>,
        behind: Option<(usize, i64)>,
    ) -> LakeResult<()> {
        let width = self.place.key.len();
        let table = || self.place.table.name.to_string();
        if let Some(row) = twice {
            let (table, key) = (table(), name_key(batch, row, width));
            return Err(RowHistoryRefusal::TwoCurrent { table, key }.into());
        }
        let at = shown(self.history.at);
        match behind {
            None => Ok(()),
            Some((row, from)) if self.history.by_column() => Err(RowHistoryRefusal::Future {
                table: table(),
                key: name_key(batch, row, width),
                from: shown(from),
                at,
            }
            .into()),
            Some((_, newest)) => Err(RowHistoryRefusal::ClockBehind {
                table: table(),
                at,
                newest: shown(newest),
            }
            .into()),
        }
    }

    async fn read_contents(&mut self, file: LakeFile, wanted: &[RequestedRow]) -> LakeResult<()> {
        if self.tracked.fields().is_empty() {
            // Nothing is compared: all rows of a key are equal.
            let recorded = wanted.iter().filter_map(|wanted| match wanted.of {
                Of::Current(_) => None,
                Of::Recorded(version) => Some((version, 0)),
            });
            self.recorded.extend(recorded);
            return Ok(());
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut batches = self.place.read(vec![file], &self.tracked);
        let mut rest = wanted;
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let end = first + batch.num_rows();
            let here = rest.partition_point(|wanted| wanted.row < end);
            let (now, later) = rest.split_at(here);
            let prints = self.prints(&batch, now.iter().map(|wanted| wanted.row - first))?;
            // Several may want one row.
            let places = now.chunk_by(|one, next| one.row == next.row).zip(prints);
            let places =
                places.flat_map(|(wanted, print)| wanted.iter().map(move |one| (one, print)));
            for (wanted, print) in places {
                match wanted.of {
                    Of::Current(entry) => {
                        let known = self.known.get_mut(entry);
                        if let Some(current) = known.and_then(|known| known.current.as_mut()) {
                            current.print = print;
                        }
                    }
                    Of::Recorded(version) => self.recorded.push((version, print)),
                }
            }
            rest = later;
            first = end;
        }
        Ok(())
    }

    /// Hashes of some rows of a batch, in their order.
    fn prints(
        &self,
        batch: &RecordBatch,
        rows: impl Iterator<Item = usize>,
    ) -> LakeResult<Vec<u128>> {
        let mut keep = vec![false; batch.num_rows()];
        for row in rows {
            if let Some(keep) = keep.get_mut(row) {
                *keep = true;
            }
        }
        if !keep.contains(&true) {
            return Ok(Vec::new());
        }
        let chosen = filtered(batch, &BooleanArray::from(keep))?;
        self.contents.prints(chosen.columns())
    }

    /// Reads what the incoming versions hold, where that is compared with anything.
    pub(super) async fn read_incoming(&mut self, adds: &[Add]) -> LakeResult<()> {
        self.read_versions(adds).await?;
        for (version, print) in std::mem::take(&mut self.recorded) {
            if let Some(version) = self.versions.get_mut(version) {
                version.is_known |= version.print == print;
            }
        }
        Ok(())
    }

    async fn read_versions(&mut self, adds: &[Add]) -> LakeResult<()> {
        let compared = |versions: &[Version]| {
            let entry = versions.first().map_or(usize::MAX, |version| version.entry);
            let known = self.key_state(entry);
            versions.len() > 1 || known.current.is_some() || known.last_end.is_some()
        };
        let mut places: Vec<(u64, usize)> = Vec::new();
        let mut place = 0;
        for (_, versions) in self.by_key() {
            if compared(versions) {
                let rows = versions.iter().zip(place..);
                places.extend(rows.map(|(version, place)| (version.row, place)));
            }
            place += versions.len();
        }
        if places.is_empty() || self.tracked.fields().is_empty() {
            return Ok(());
        }
        places.sort_unstable();
        let files = files::lake_files(self.place.table, adds);
        let mut batches = self.place.read(files, &self.tracked);
        let (mut rest, mut first) = (places.as_slice(), 0);
        while let Some(batch) = batches.try_next().await? {
            let end = first + batch.num_rows() as u64;
            let (now, later) = rest.split_at(rest.partition_point(|(row, _)| *row < end));
            let rows = now.iter().map(|(row, _)| row - first);
            let rows = rows.map(|row| usize::try_from(row).unwrap_or(usize::MAX));
            let prints = self.prints(&batch, rows)?;
            for ((_, place), print) in now.iter().zip(prints) {
                if let Some(version) = self.versions.get_mut(*place) {
                    version.print = print;
                }
            }
            (rest, first) = (later, end);
        }
        Ok(())
    }
}

/// The places of a key's versions from a time up to another one.
fn between(versions: &[Version], entry: usize, from: i64, to: i64) -> std::ops::Range<usize> {
    let before = |time: i64| versions.partition_point(|v| (v.entry, v.from) < (entry, time));
    before(from)..before(to)
}

/// False when the log says that every row of a file is closed.
pub(super) fn has_current(file: &LakeFile) -> bool {
    let Some(stats) = stats(file) else {
        return true;
    };
    let open = stats
        .get("nullCount")
        .and_then(|of| of.get(towpath_vocab::VALID_TO));
    open.and_then(serde_json::Value::as_u64) != Some(0)
}

fn stats(file: &LakeFile) -> Option<serde_json::Value> {
    serde_json::from_str(file.stats.as_deref()?).ok()
}

/// Refuses a load whose time is not after every time of the table: versions would overlap, snapshots mix.
pub(super) async fn check_clock(
    place: &MergeContext<'_>,
    at: i64,
    columns_of_times: &[usize],
) -> LakeResult<()> {
    let times_only = columns(place.schema, columns_of_times)?;
    for file in &place.files {
        if is_older(file, at, &times_only) {
            continue;
        }
        let mut batches = place.read(vec![file.clone()], &times_only);
        while let Some(batch) = batches.try_next().await? {
            let mut newest = None;
            for column in batch.columns() {
                newest = newest.max(times(column)?.iter().flatten().max());
            }
            if let Some(newest) = newest.filter(|newest| *newest >= at) {
                return Err(RowHistoryRefusal::ClockBehind {
                    table: place.table.name.to_string(),
                    at: shown(at),
                    newest: shown(newest),
                }
                .into());
            }
        }
    }
    Ok(())
}

/// True when the log says that all times of a file are before this one. It keeps them to the millisecond.
fn is_older(file: &LakeFile, at: i64, times_only: &Schema) -> bool {
    const MILLISECOND: i64 = 1_000;
    let Some(stats) = stats(file) else {
        return false;
    };
    let rows = stats.get("numRecords").and_then(serde_json::Value::as_u64);
    times_only.fields().iter().all(|field| {
        let column = field.name();
        let of = |group: &str| stats.get(group).and_then(|of| of.get(column)).cloned();
        let nulls = of("nullCount").and_then(|nulls| nulls.as_u64());
        if nulls.is_some() && nulls == rows {
            return true;
        }
        let highest = of("maxValues");
        let highest = highest.as_ref().and_then(serde_json::Value::as_str);
        let highest = highest.and_then(|text| text.parse::<chrono::DateTime<chrono::Utc>>().ok());
        highest.is_some_and(|time| time.timestamp_micros().saturating_add(MILLISECOND) < at)
    })
}
