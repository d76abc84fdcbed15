//! The source of a `rest` connection: reads an endpoint to its end, then gives its rows as files are read.
//!
//! Promise: no row is given before all pages are there, so a read that breaks off gives none; an
//! incremental read goes on at a cursor before which nothing can have changed unseen. Rows, types and
//! rejects are those of a file of JSON lines. Read next: `listing.rs`, `spool.rs`, `files/source.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use towpath_ports::{
    Assignment, BoxStream, ConnectorContext, Event, InputVersion, ReadSpec, Reader, Result, Source,
    Split, TableSchema,
};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, Position, RawRecord, ReadMode, Selection, SplitId, SplitPosition,
};

use super::client::Client;
use super::collect::Collector;
use super::connection::ConnectionOptions;
use super::cursor::{self, Highest, Seen};
use super::endpoint::{Endpoint, of_table};
use super::error::RestError;
use super::listing::{Given, Listing};
use super::path::JsonPath;
use super::scope::Scope;
use super::spool::{RECORDS, Spool};
use crate::files::{FilesSource, Folder};

/// The split whose position says where the next read begins.
const CURSOR: &str = "cursor";

/// An API to read from.
#[derive(Clone)]
pub(super) struct RestSource {
    pub(super) plan: ConnectionPlan,
    pub(super) options: ConnectionOptions,
    pub(super) context: ConnectorContext,
}

/// A read of an endpoint whose records are on disk.
pub(super) struct Fetched {
    pub(super) spool: Arc<Spool>,
    pub(super) records: u64,
    seen: Seen,
    /// The server's time when the first page was asked for.
    begun: Option<DateTime<Utc>>,
    /// Its pages are numbered, so that records move between them.
    shifts: bool,
    /// Records that came on two numbered pages behind each other.
    repeated: u64,
    /// Listings that failed, and why.
    failed: Vec<(Failed, RestError)>,
}

/// A listing that failed, and where it is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    scope: Scope,
    from: Option<String>,
}

/// How a read is made.
#[derive(Default)]
pub(super) struct Extent<'e> {
    /// The cursor of an incremental read: its column, and where it begins.
    pub(super) cursor: Option<(&'e str, Option<&'e str>)>,
    /// No more records than this, about.
    pub(super) limit: Option<u64>,
    /// No more records of each parent than this.
    pub(super) most_parents: Option<usize>,
    /// Listings that may fail without ending the read.
    pub(super) failing: Failing,
}

/// Listings that fail.
#[derive(Default)]
pub(super) struct Failing {
    /// They do not end the read.
    is_allowed: bool,
    /// Those of an earlier run, and where they begin.
    older: HashMap<Scope, Option<String>>,
}

impl RestSource {
    /// The endpoint of a read and those it depends on.
    pub(super) fn chain(&self, spec: &ReadSpec) -> Result<Vec<Endpoint>, RestError> {
        match &spec.selection {
            Selection::Object(table) => self.options.chain(table, &spec.options),
            Selection::Query(_) => Err(RestError::Query),
        }
    }

    /// Reads the records of an endpoint.
    pub(super) async fn fetch(&self, chain: &[Endpoint], extent: Extent<'_>) -> Result<Fetched> {
        let client = Client::open(&self.plan, &self.options, &self.context).await?;
        let (spool, writer) = Spool::new(&self.context.project_dir)?;
        let column = extent.cursor.map(|(column, _)| JsonPath::key(column));
        let keeps_failed = extent.failing.is_allowed;
        let mut collector = Collector::new(writer, column, keeps_failed);
        let listing = Listing {
            client: &client,
            base: &self.options.url,
            chain,
            found: chain.iter().map(|_| OnceLock::new()).collect(),
            cursor: extent.cursor.map(|(_, begin)| begin),
            older: extent.failing.older,
            keeps_failed,
            failed: Mutex::default(),
            limit: extent.limit,
            most_parents: extent.most_parents,
            at_once: self.options.connections,
            begun: OnceLock::new(),
            repeated: AtomicU64::new(0),
        };
        let mut take = |given: Given<'_>| collector.take(given);
        listing.read(&mut take).await?;
        let begun = listing.begun.get().copied().flatten();
        let shifts = chain
            .last()
            .is_some_and(|endpoint| endpoint.paging.is_numbered());
        let failed = std::mem::take(&mut *listing.failed());
        let failed = failed.into_iter().map(|(scope, error)| {
            let older = listing.older.get(&scope).cloned();
            let from = older.unwrap_or_else(|| listing.cursor.flatten().map(str::to_owned));
            (Failed { scope, from }, error)
        });
        let failed = failed.collect();
        collector.writer.finish()?;
        Ok(Fetched {
            spool: Arc::new(spool),
            records: collector.writer.records,
            seen: collector.seen,
            begun,
            shifts,
            repeated: listing.repeated.load(Ordering::Relaxed),
            failed,
        })
    }

    /// The records of a read as files are read.
    pub(super) fn files(&self, spool: &Spool, table: &str) -> FilesSource {
        FilesSource {
            connection: ConnectionPlan {
                name: self.plan.name.clone(),
                kind: "files".to_owned(),
                writable: false,
                options: BTreeMap::new(),
            },
            folder: Folder::named(
                spool.folder.clone(),
                format!("{}/{table}", self.plan.name),
                spool.folder.clone(),
            ),
            context: self.context.clone(),
        }
    }

    /// What an incremental read must have.
    fn incremental(&self, spec: &ReadSpec, chain: &[Endpoint]) -> Result<CursorPlan, RestError> {
        let table = chain
            .last()
            .map(|endpoint| endpoint.table.clone())
            .unwrap_or_default();
        let wrong = |why: &str| of_table(&table, "params", why);
        let Some(cursor) = spec.cursor.clone() else {
            return Err(wrong("need a `cursor` of the table to read incrementally"));
        };
        if !chain.last().is_some_and(Endpoint::uses_cursor) {
            return Err(wrong(
                "have no `{cursor}`, so every read would read everything: `params: { since: \"{cursor}\" }`",
            ));
        }
        if !spec.may_repeat {
            return Err(RestError::NoKey {
                table,
                column: cursor.column,
            });
        }
        Ok(cursor)
    }

    /// Where the next read begins.
    fn position(
        fetched: &Fetched,
        cursor: &CursorPlan,
        table: &str,
        from: Option<&Position>,
    ) -> Result<Position, RestError> {
        let (table, column) = (table.to_owned(), cursor.column.clone());
        let seen = &fetched.seen;
        if seen.all.missing > 0 {
            let count = seen.all.missing;
            return Err(RestError::NoCursorValue {
                table,
                column,
                count,
            });
        }
        let last = ended(from);
        let mut all = seen.all.clone();
        all.extend(last);
        if all.is_mixed {
            return Err(RestError::MixedCursor { table, column });
        }
        let mut begin = Highest::default();
        begin.extend(last.map(|last| seen.capped(last, fetched.begun)).as_deref());
        // Where numbered pages have shifted, the next read asks again for all that this one asked for.
        if fetched.repeated == 0 {
            begin.extend(seen.safe(fetched.begun, fetched.shifts).as_deref());
        }
        let order = from.and_then(|from| from.mark(&SplitId(CURSOR.to_owned())));
        let order = order.map_or(0, |position| position.order) + 1;
        let failed: Vec<&Failed> = fetched.failed.iter().map(|(failed, _)| failed).collect();
        let same = begin.text.as_deref() == last
            && failed
                .iter()
                .map(|failed| (*failed).clone())
                .eq(failed_before(from));
        if same {
            return Ok(from.cloned().unwrap_or_default());
        }
        let mut resume = json!({ "cursor": begin.text });
        if !failed.is_empty() {
            let failed = failed
                .iter()
                .map(|failed| json!({ "of": failed.scope.stored(), "from": failed.from }));
            resume["failed"] = failed.collect();
        }
        Ok(Position::single(CURSOR, SplitPosition { order, resume }))
    }

    /// Whether listings may fail alone, and those that did.
    fn failing(
        spec: &ReadSpec,
        chain: &[Endpoint],
        from: Option<&Position>,
    ) -> Result<Failing, RestError> {
        let endpoint = chain.last().filter(|endpoint| endpoint.keeps_failed);
        let (Some(endpoint), None) = (endpoint, spec.limit) else {
            return Ok(Failing::default());
        };
        if spec.mode != ReadMode::Incremental {
            let why = "needs a `cursor`: another read has no place to keep what failed";
            return Err(of_table(&endpoint.table, "failed_listings", why));
        }
        let older = failed_before(from).map(|failed| (failed.scope, failed.from));
        Ok(Failing {
            is_allowed: true,
            older: older.collect(),
        })
    }

    /// True when nothing says which columns the table has.
    fn has_no_columns(spec: &ReadSpec) -> bool {
        let is_empty = |schema: &Option<arrow_schema::SchemaRef>| {
            schema
                .as_ref()
                .is_none_or(|schema| schema.fields().is_empty())
        };
        let is_declared = spec
            .declared
            .iter()
            .any(|column| column.data_type.is_some());
        is_empty(&spec.known) && is_empty(&spec.observed) && !is_declared
    }
}

/// The cursor where the last read ended. Where it lies in the future, records before it were not asked
/// for, nobody knows which: the read begins anew.
fn ended(from: Option<&Position>) -> Option<&str> {
    stored(from).filter(|last| !cursor::is_ahead(last, Utc::now()))
}

/// The cursor of a position.
fn stored(from: Option<&Position>) -> Option<&str> {
    let position = from?.mark(&SplitId(CURSOR.to_owned()))?;
    position.resume.get("cursor")?.as_str()
}

/// The listings that failed in the last read.
fn failed_before(from: Option<&Position>) -> impl Iterator<Item = Failed> {
    let position = from.and_then(|from| from.mark(&SplitId(CURSOR.to_owned())));
    let failed = position.and_then(|position| position.resume.get("failed")?.as_array());
    failed.into_iter().flatten().filter_map(|failed| {
        let from = failed.get("from")?.as_str();
        let from = from.filter(|from| !cursor::is_ahead(from, Utc::now()));
        Some(Failed {
            scope: Scope::read(failed.get("of")?)?,
            from: from.map(str::to_owned),
        })
    })
}

/// What a run says of a read.
fn notes(
    table: &str,
    fetched: &Fetched,
    cursor: Option<&CursorPlan>,
    from: Option<&Position>,
) -> Vec<String> {
    let ahead = cursor
        .and(stored(from))
        .filter(|last| cursor::is_ahead(last, Utc::now()));
    let ahead = ahead.map(|last| {
        format!("the cursor of `{table}` was at `{last}`, which is in the future: all records were asked for again")
    });
    let failed = note_of_failed(table, &fetched.failed);
    let shifted = note_of_shifted(table, fetched.repeated, cursor.is_some());
    ahead.into_iter().chain(failed).chain(shifted).collect()
}

/// What a run says of numbered pages whose records moved while they were read.
fn note_of_shifted(table: &str, repeated: u64, is_incremental: bool) -> Option<String> {
    let next = match is_incremental {
        true => "the next run asks for the same records again",
        false => "a `paginate` by cursor, link or last record does not have this gap",
    };
    (repeated > 0).then(|| {
        format!(
            "records of `{table}` that came on two numbered pages: {repeated}: the data changed while it was read, and other records may be missing; {next}"
        )
    })
}

/// What a run says of listings that failed.
fn note_of_failed(table: &str, failed: &[(Failed, RestError)]) -> Option<String> {
    const SHOWN: usize = 3;
    let shown = failed.iter().take(SHOWN);
    let shown = shown.map(|(_, error)| format!("{error} ({})", error.code()));
    let shown = shown.collect::<Vec<_>>().join("; ");
    let more = match failed.len() {
        0 => return None,
        count if count > SHOWN => format!("; and {} more", count - SHOWN),
        _ => String::new(),
    };
    let count = failed.len();
    Some(format!(
        "listings of `{table}` that failed and that the next run asks for again: {count}: {shown}{more}"
    ))
}

/// A read of the records of an API, as one of a file.
pub(super) fn of_file(spec: &ReadSpec) -> ReadSpec {
    let text = |value: &str| Value::from(value);
    ReadSpec {
        selection: Selection::Object(RECORDS.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        options: BTreeMap::from([
            ("format".to_owned(), text("jsonl")),
            ("missing_columns".to_owned(), text("null")),
        ]),
        ..spec.clone()
    }
}

#[async_trait]
impl Source for RestSource {
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let chain = self.chain(spec)?;
        let table = chain
            .last()
            .map(|endpoint| endpoint.table.clone())
            .unwrap_or_default();
        let cursor = match spec.mode {
            ReadMode::Incremental => Some(self.incremental(spec, &chain)?),
            _ => None,
        };
        let begin = match (&cursor, ended(from)) {
            (Some(cursor), Some(last)) => {
                let mixed = || RestError::MixedCursor {
                    table: table.clone(),
                    column: cursor.column.clone(),
                };
                Some(cursor::before(last, cursor.lookback).ok_or_else(mixed)?)
            }
            _ => None,
        };
        let extent = Extent {
            cursor: cursor
                .as_ref()
                .map(|cursor| (cursor.column.as_str(), begin.as_deref())),
            limit: spec.limit,
            most_parents: None,
            failing: Self::failing(spec, &chain, from)?,
        };
        let fetched = self.fetch(&chain, extent).await?;
        let position = match &cursor {
            // A part of the records says nothing about where the next read begins.
            _ if spec.limit.is_some() => from.cloned().unwrap_or_default(),
            Some(cursor) => Self::position(&fetched, cursor, &table, from)?,
            None => Position::default(),
        };
        if fetched.records == 0 && Self::has_no_columns(spec) {
            return Ok(Box::new(NothingYet { table }));
        }
        let inner = self
            .files(&fetched.spool, &table)
            .open(&of_file(spec), None)
            .await?;
        Ok(Box::new(RestReader {
            inner,
            position,
            notes: notes(&table, &fetched, cursor.as_ref(), from),
            spool: fetched.spool,
        }))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(&self, spec: &ReadSpec, records: Vec<RawRecord>) -> Result<Box<dyn Reader>> {
        let (spool, mut writer) = Spool::new(&self.context.project_dir)?;
        for record in &records {
            if let RawRecord::Text(text) = record {
                let line = text.replace(['\n', '\r'], " ");
                writer.write(line.as_bytes())?;
                writer.write(b"\n")?;
            }
        }
        writer.finish()?;
        let inner = self
            .files(&spool, &spec.table.to_string())
            .replay(&of_file(spec), records)
            .await?;
        Ok(Box::new(RestReader {
            inner,
            position: Position::default(),
            notes: Vec::new(),
            spool: Arc::new(spool),
        }))
    }
}

/// A read of an endpoint that has no record, and never had one: nobody knows its columns.
struct NothingYet {
    table: String,
}

#[async_trait]
impl Reader for NothingYet {
    fn tables(&self) -> Vec<TableSchema> {
        Vec::new()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        Box::pin(stream::iter([Ok(
            Assignment::Complete(Position::default()),
        )]))
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        vec![format!(
            "`{}` has no records yet, and its columns are not known; declare `columns` to have an empty table",
            self.table
        )]
    }
}

/// Rows of a file whose end is a cursor.
struct RestReader {
    inner: Box<dyn Reader>,
    position: Position,
    notes: Vec<String>,
    spool: Arc<Spool>,
}

#[async_trait]
impl Reader for RestReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.inner.tables()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let (position, spool) = (self.position.clone(), Arc::clone(&self.spool));
        let splits = self.inner.splits().map(move |assignment| {
            Ok(match assignment? {
                Assignment::Assigned(split) => Assignment::Assigned(whole(split, &spool)),
                Assignment::Complete(_) => Assignment::Complete(position.clone()),
                revoked => revoked,
            })
        });
        Box::pin(splits)
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.inner.notes();
        notes.extend(self.notes.iter().cloned());
        notes
    }
}

/// A split that is done as a whole, and keeps its file until then.
fn whole(split: Split, spool: &Arc<Spool>) -> Split {
    let spool = Arc::clone(spool);
    let events = split.events.filter(move |event| {
        let _kept = &spool;
        let is_place = matches!(event, Ok(Event::Boundary(_)));
        std::future::ready(!is_place)
    });
    Split {
        id: split.id,
        events: Box::pin(events),
    }
}
