//! The source of a `rest` connection: reads an endpoint to its end, then gives its rows as files are read.
//!
//! Promise: no row is given before all pages are there, so a read that breaks off gives none; an
//! incremental read goes on at a cursor before which nothing can have changed unseen. Rows, types and
//! rejects are those of a file of JSON lines. Read next: `listing.rs`, `spool.rs`, `files/source.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use towpath_ports::{
    Assignment, BoxStream, ConnectorContext, Event, InputVersion, ReadSpec, Reader, RejectedRecord,
    Result, Source, Split, TableSchema,
};
use towpath_vocab::{ConnectionPlan, CursorPlan, Position, RawRecord, ReadMode, Selection};

use super::client::Client;
use super::collect::Collector;
use super::connection::ConnectionOptions;
use super::cursor::Seen;
use super::endpoint::{Endpoint, of_table};
use super::error::RestError;
use super::listing::{Listing, ListingEvent};
use super::parents::Kept;
use super::path::JsonPath;
use super::resume::{Begin, Ended, Failed, Resume};
use super::scope::Scope;
use super::spool::{RECORDS, Spool};
use crate::files::{FilesSource, Folder, Root};

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
    ended: Ended,
    /// Why listings failed.
    errors: Vec<RestError>,
}

/// How a read is made.
#[derive(Default)]
pub(super) struct ReadScope<'e> {
    /// The cursor of an incremental read: its column, and where listings begin.
    pub(super) cursor: Option<(&'e str, &'e Begin)>,
    /// No more records than this, about.
    pub(super) limit: Option<u64>,
    /// No more records of each parent than this.
    pub(super) most_parents: Option<usize>,
    /// Listings that fail do not end the read.
    pub(super) keeps_failed: bool,
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
    pub(super) async fn fetch(&self, chain: &[Endpoint], extent: ReadScope<'_>) -> Result<Fetched> {
        let client = Client::open(&self.plan, &self.options, &self.context).await?;
        let (spool, writer) = Spool::new(&self.context.project_dir)?;
        let column = extent.cursor.map(|(column, _)| JsonPath::key(column));
        let keeps_failed = extent.keeps_failed;
        let begin = extent.cursor.map(|(_, begin)| begin);
        // A listing that failed before may be gone in the middle.
        let keeps_apart = keeps_failed || begin.is_some_and(|begin| !begin.failed.is_empty());
        let epoch = chain.last().and_then(|endpoint| endpoint.epoch);
        let seen = Seen::new(Utc::now(), epoch);
        let mut collector = Collector::new(writer, column, seen, keeps_apart, chain.len() > 1);
        let listing = Listing {
            client: &client,
            base: &self.options.url,
            chain,
            found: chain.iter().map(|_| OnceLock::new()).collect(),
            columns: chain.iter().map(|_| OnceLock::new()).collect(),
            begin,
            keeps_failed,
            failed: Mutex::default(),
            complete: Mutex::default(),
            limit: extent.limit,
            most_parents: extent.most_parents,
            at_once: self.options.connections,
            begun: OnceLock::new(),
            repeated: AtomicU64::new(0),
            kept: Kept::default(),
        };
        let mut take = |given: ListingEvent<'_>| collector.take(given);
        listing.read(&mut take).await?;
        let begun = listing.begun.get().copied().flatten();
        let shifts = chain
            .last()
            .is_some_and(|endpoint| endpoint.paging.is_numbered());
        let from = |scope: &Scope| begin.and_then(|begin| begin.of(scope)).map(str::to_owned);
        let failed = std::mem::take(&mut *listing.failed()).into_iter();
        let failed = failed.map(|(scope, error)| {
            let from = from(&scope);
            (Failed { scope, from }, error)
        });
        let (failed, errors) = failed.unzip();
        let complete = listing.complete.into_inner();
        let complete = complete.unwrap_or_else(PoisonError::into_inner).into_iter();
        let mut each = collector.each.take().unwrap_or_default();
        let mut own = |number| {
            let seen = each.remove(&number);
            seen.unwrap_or_else(|| collector.seen.apart())
        };
        let read = complete.map(|(number, key)| (key, own(number)));
        let read = read.collect();
        collector.writer.finish()?;
        Ok(Fetched {
            spool: Arc::new(spool),
            records: collector.writer.records,
            ended: Ended {
                seen: collector.seen,
                begun,
                shifts,
                repeated: listing.repeated.load(Ordering::Relaxed),
                read,
                failed,
            },
            errors,
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
            root: Root::Folder(Folder::named(
                spool.folder.clone(),
                format!("{}/{table}", self.plan.name),
                spool.folder.clone(),
            )),
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

    /// Whether listings may fail alone.
    fn keeps_failed(spec: &ReadSpec, endpoint: &Endpoint) -> Result<bool, RestError> {
        if !endpoint.keeps_failed || spec.limit.is_some() {
            return Ok(false);
        }
        if spec.mode != ReadMode::Incremental {
            let why = "needs a `cursor`: another read has no place to keep what failed";
            return Err(of_table(&endpoint.table, "failed_listings", why));
        }
        Ok(true)
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

/// What a run says of a read.
fn notes(table: &str, fetched: &Fetched, resume: &Resume, is_incremental: bool) -> Vec<String> {
    let ahead = resume.ahead.as_deref().map(|last| {
        format!("the cursor of `{table}` was at `{last}`, which is in the future: all records were asked for again")
    });
    let failed = note_of_failed(table, &fetched.errors);
    let shifted = note_of_shifted(table, fetched.ended.repeated, is_incremental);
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
fn note_of_failed(table: &str, failed: &[RestError]) -> Option<String> {
    const SHOWN: usize = 3;
    let shown = failed.iter().take(SHOWN);
    let shown = shown.map(|error| format!("{error} ({})", error.code()));
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
    ReadSpec {
        selection: Selection::Object(RECORDS.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        options: BTreeMap::from([("format".to_owned(), Value::from("jsonl"))]),
        ..spec.clone()
    }
}

#[async_trait]
impl Source for RestSource {
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let chain = self.chain(spec)?;
        let Some(endpoint) = chain.last() else {
            return Err(RestError::Query.into());
        };
        let table = endpoint.table.clone();
        let cursor = match spec.mode {
            ReadMode::Incremental => Some(self.incremental(spec, &chain)?),
            _ => None,
        };
        let resume = Resume::read(from.filter(|_| cursor.is_some()), endpoint)?;
        let mut begin = match &cursor {
            Some(cursor) => resume.begin(endpoint, cursor)?,
            None => Begin::default(),
        };
        if spec.limit.is_some() {
            // A part of the records moves nothing.
            begin.failed.clear();
        }
        let extent = ReadScope {
            cursor: cursor
                .as_ref()
                .map(|cursor| (cursor.column.as_str(), &begin)),
            limit: spec.limit,
            most_parents: None,
            keeps_failed: Self::keeps_failed(spec, endpoint)?,
        };
        let fetched = self.fetch(&chain, extent).await?;
        let position = match &cursor {
            // A part of the records says nothing about where the next read begins.
            _ if spec.limit.is_some() => from.cloned().unwrap_or_default(),
            Some(cursor) => resume.next(&fetched.ended, endpoint, &cursor.column, from)?,
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
            notes: notes(&table, &fetched, &resume, cursor.is_some()),
            spool: fetched.spool,
        }))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        let (spool, mut writer) = Spool::new(&self.context.project_dir)?;
        for record in &records {
            if let RawRecord::Text(text) = &record.raw {
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
