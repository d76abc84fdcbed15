//! The source of a `rest` connection: reads an endpoint to its end, then gives its rows as files are read.
//!
//! Promise: no row is given before all pages are there, so a read that breaks off gives none; an
//! incremental read goes on where the highest cursor was. Rows, types and rejects are those of a file of
//! JSON lines. Read next: `listing.rs`, `spool.rs`, `files/source.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::{Value, json};
use towpath_ports::{
    Assignment, BoxStream, ConnectorContext, Event, InputVersion, ReadSpec, Reader, Result, Source,
    Split, TableSchema,
};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, Mark, Position, RawRecord, ReadMode, Selection, SplitId,
};

use super::client::Client;
use super::cursor::{self, Highest};
use super::endpoint::{ConnectionOptions, Endpoint};
use super::error::RestError;
use super::listing::Listing;
use super::path::JsonPath;
use super::raw::Raw;
use super::spool::{RECORDS, Spool};
use crate::files::{FilesSource, Folder};

/// The split whose mark says where a read ended.
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
    highest: Highest,
}

impl RestSource {
    /// The endpoint of a read and those it depends on.
    pub(super) fn chain(&self, spec: &ReadSpec) -> Result<Vec<Endpoint>, RestError> {
        match &spec.selection {
            Selection::Object(table) => self.options.chain(table, &spec.options),
            Selection::Query(_) => Err(RestError::Query),
        }
    }

    /// Reads all records of a read.
    pub(super) async fn fetch(
        &self,
        chain: &[Endpoint],
        spec: &ReadSpec,
        begin: Option<&str>,
    ) -> Result<Fetched> {
        let client = Client::open(&self.plan, &self.options, &self.context).await?;
        let (spool, mut writer) = Spool::new(&self.context.project_dir)?;
        let mut highest = Highest::default();
        let column = match (&spec.cursor, spec.mode) {
            (Some(cursor), ReadMode::Incremental) => Some(JsonPath::key(&cursor.column)),
            _ => None,
        };
        let listing = Listing {
            client: &client,
            base: &self.options.url,
            chain,
            cursor: begin,
            limit: spec.limit,
            at_once: self.options.connections,
        };
        let mut take = |record: Raw<'_>, line: &[u8]| {
            if let Some(column) = &column {
                highest.take(column.find(record));
            }
            writer.write(line)
        };
        listing.read(&mut take).await?;
        writer.finish()?;
        Ok(Fetched {
            spool: Arc::new(spool),
            records: writer.records,
            highest,
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
        let wrong = |why: &str| RestError::Option {
            place: format!("table `{table}`"),
            option: "params".to_owned(),
            why: why.to_owned(),
        };
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
        &self,
        fetched: &Fetched,
        cursor: &CursorPlan,
        table: &str,
        from: Option<&Position>,
    ) -> Result<Position, RestError> {
        let (table, column) = (table.to_owned(), cursor.column.clone());
        if fetched.highest.missing > 0 {
            let count = fetched.highest.missing;
            return Err(RestError::NoCursorValue {
                table,
                column,
                count,
            });
        }
        let mut highest = fetched.highest.clone();
        let last = ended(from);
        if let Some(last) = last {
            highest.take_text(last.to_owned());
        }
        if highest.is_mixed {
            return Err(RestError::MixedCursor { table, column });
        }
        let order = from.and_then(|from| from.mark(&SplitId(CURSOR.to_owned())));
        let order = order.map_or(0, |mark| mark.order);
        Ok(match highest.text {
            None => from.cloned().unwrap_or_default(),
            Some(text) if Some(text.as_str()) == last => from.cloned().unwrap_or_default(),
            Some(text) => {
                let resume = json!({ "cursor": text });
                Position::single(
                    CURSOR,
                    Mark {
                        order: order + 1,
                        resume,
                    },
                )
            }
        })
    }
}

/// The cursor where the last read ended.
fn ended(from: Option<&Position>) -> Option<&str> {
    let mark = from?.mark(&SplitId(CURSOR.to_owned()))?;
    mark.resume.get("cursor")?.as_str()
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
        let fetched = self.fetch(&chain, spec, begin.as_deref()).await?;
        let position = match &cursor {
            Some(cursor) => self.position(&fetched, cursor, &table, from)?,
            None => Position::default(),
        };
        let inner = self
            .files(&fetched.spool, &table)
            .open(&of_file(spec), None)
            .await?;
        let is_limited = spec.limit.is_some();
        Ok(Box::new(RestReader {
            inner,
            position: if is_limited {
                from.cloned().unwrap_or_default()
            } else {
                position
            },
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
            spool: Arc::new(spool),
        }))
    }
}

/// Rows of a file whose end is a cursor.
struct RestReader {
    inner: Box<dyn Reader>,
    position: Position,
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
        self.inner.notes()
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
