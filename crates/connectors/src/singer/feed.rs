//! The messages of a tap as pieces of one table: records in chunks, a table that was emptied, the end.
//!
//! Promise: every record of the stream is in exactly one chunk, in the order of the tap; a record before its
//! schema, a schema that changes between records, an output that ends in the middle of a line and a tap that
//! does not end well are failures. The state that the end gives covers only records before it. Records of
//! other streams, and members that no column takes, are counted. It keeps one chunk in memory. Read next:
//! `message.rs`, `source.rs`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use towpath_ports::Memory;

use super::columns::{Declared, StreamColumns};
use super::error::{Result, SingerError};
use super::message::{self, Message};
use super::program::{LineEnd, Program};
use crate::files::{ObjectLines, members};

/// Records of the first chunk: enough to see how times are written.
const FIRST_ROWS: u64 = 1_000;
/// Names of members that notes list.
const SHOWN: usize = 8;
/// Names that are counted one by one.
const MOST_NAMES: usize = 1_000;

/// A part of what a tap gives.
pub(super) enum Piece {
    Lines(ObjectLines),
    /// What was given before does not count any more.
    Emptied,
    End(Ended),
}

/// How a read ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The last state, as text.
    pub(super) state: Option<String>,
    /// Records behind it.
    pub(super) behind_state: u64,
    /// The version whose records are valid.
    pub(super) version: Option<i64>,
    pub(super) notes: Vec<String>,
}

/// What is read of a tap.
pub(super) struct FeedOptions {
    /// The names that messages may give the stream.
    pub(super) names: Vec<String>,
    /// The stream as people know it: `CONNECTION/STREAM`.
    pub(super) object: Arc<str>,
    pub(super) declared: Declared,
    pub(super) chunk_bytes: usize,
    pub(super) batch_rows: u64,
    pub(super) memory: Arc<dyn Memory>,
    /// The version that was valid after the last read.
    pub(super) version: Option<i64>,
}

/// The version of the records that a stream gives.
#[derive(Debug, Default)]
struct Versions {
    /// The one that is valid.
    active: Option<i64>,
    /// The one of records that were given and do not count before it is activated.
    given: Option<i64>,
    /// Records of before were dropped for it.
    has_emptied: bool,
}

/// Reads the messages of a tap.
pub(super) struct Feed {
    program: Program,
    options: FeedOptions,
    columns: Option<StreamColumns>,
    names: HashSet<String>,
    line: Vec<u8>,
    chunk: Vec<u8>,
    chunk_rows: u64,
    /// Records and bytes before the chunk.
    before: (u64, u64),
    versions: Versions,
    /// A piece that comes behind the present chunk.
    next: Option<Piece>,
    state: Option<String>,
    behind_state: u64,
    /// Records of other streams.
    others: BTreeMap<String, u64>,
    /// Members that no column takes.
    left_out: BTreeMap<String, u64>,
}

impl Feed {
    pub(super) fn new(program: Program, options: FeedOptions) -> Self {
        Self {
            versions: Versions {
                active: options.version,
                ..Versions::default()
            },
            program,
            options,
            columns: None,
            names: HashSet::new(),
            line: Vec::new(),
            chunk: Vec::new(),
            chunk_rows: 0,
            before: (0, 0),
            next: None,
            state: None,
            behind_state: 0,
            others: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// The columns of the stream, if its schema has come.
    pub(super) fn columns(&self) -> Option<&StreamColumns> {
        self.columns.as_ref()
    }

    /// The next piece; nothing comes behind the end.
    pub(super) async fn next(&mut self) -> Result<Piece> {
        if let Some(next) = self.next.take() {
            return Ok(next);
        }
        loop {
            let mut line = std::mem::take(&mut self.line);
            let end = self.program.next_line(&mut line).await?;
            let taken = match end {
                LineEnd::None => None,
                _ => Some(self.take(&line, end).await),
            };
            self.line = line;
            match taken.transpose()? {
                None => break,
                Some(true) => return self.cut().await,
                Some(false) => {}
            }
        }
        self.wait_for_end().await?;
        let end = Piece::End(self.ended()?);
        if self.chunk.is_empty() {
            return Ok(end);
        }
        self.next = Some(end);
        self.cut().await
    }

    /// Takes a line; true if the chunk is to be given now.
    async fn take(&mut self, line: &[u8], end: LineEnd) -> Result<bool> {
        if line.trim_ascii().is_empty() {
            return Ok(false);
        }
        let number = self.program.line;
        match message::read(line) {
            Ok(Message::Record {
                stream,
                record,
                version,
            }) => self.record(&stream, record, version),
            Ok(Message::Schema { stream, schema }) => self.schema(&stream, schema).map(|()| false),
            Ok(Message::State(state)) => {
                self.state = Some(String::from_utf8_lossy(state).into_owned());
                self.behind_state = 0;
                Ok(false)
            }
            Ok(Message::ActivateVersion { stream, version }) => match self.is_mine(&stream) {
                true => self.activate(version),
                false => Ok(false),
            },
            Err(_) if end == LineEnd::Cut => {
                self.wait_for_end().await?;
                Err(SingerError::HalfLine {
                    program: self.program.name().to_owned(),
                    line: number,
                    said: self.program.last_words().await,
                })
            }
            Err(flaw) => Err(SingerError::NotSinger {
                program: self.program.name().to_owned(),
                line: number,
                what: flaw.words(),
                said: self.program.last_words().await,
            }),
        }
    }

    fn is_mine(&self, stream: &str) -> bool {
        self.options.names.iter().any(|name| name == stream)
    }

    fn schema(&mut self, stream: &str, schema: &[u8]) -> Result<()> {
        if !self.is_mine(stream) {
            count(&mut self.others, stream, 0);
            return Ok(());
        }
        let columns = StreamColumns::read(stream, schema, &self.options.declared)?;
        let has_records = self.before.0 + self.chunk_rows > 0;
        if let Some(before) = self.columns.as_ref().filter(|_| has_records)
            && let Some(what) = before.difference(&columns)
        {
            return Err(SingerError::SchemaChanged {
                stream: stream.to_owned(),
                what,
            });
        }
        self.names = columns.names();
        self.columns = Some(columns);
        Ok(())
    }

    fn record(&mut self, stream: &str, record: &[u8], version: Option<i64>) -> Result<bool> {
        if !self.is_mine(stream) {
            count(&mut self.others, stream, 1);
            return Ok(false);
        }
        if self.columns.is_none() {
            return Err(SingerError::NoSchema {
                program: self.program.name().to_owned(),
                stream: stream.to_owned(),
                line: self.program.line,
            });
        }
        let is_emptied = match version {
            Some(version) => self.is_new_version(version)?,
            None => false,
        };
        for (name, value) in members(record).into_iter().flatten() {
            if !self.names.contains(name.as_ref()) && value.raw().is_some() {
                count(&mut self.left_out, &name, 1);
            }
        }
        if is_emptied {
            // What the chunk holds is of the version before.
            self.before.0 += self.chunk_rows;
            self.before.1 += self.chunk.len() as u64;
            self.chunk.clear();
            self.chunk_rows = 0;
            self.next = Some(Piece::Emptied);
        }
        self.chunk.extend_from_slice(record);
        self.chunk.push(b'\n');
        self.chunk_rows += 1;
        self.behind_state += 1;
        if is_emptied {
            return Ok(true);
        }
        let most = match self.before.0 {
            0 => FIRST_ROWS.min(self.options.batch_rows),
            _ => self.options.batch_rows,
        };
        Ok(self.chunk_rows >= most || self.chunk.len() >= self.options.chunk_bytes)
    }

    /// Takes the version of a record; true if what was given before it does not count.
    fn is_new_version(&mut self, version: i64) -> Result<bool> {
        let present = self.versions.given.or(self.versions.active);
        self.is_not_older(version, present)?;
        if present == Some(version) {
            return Ok(false);
        }
        self.versions.given = Some(version);
        self.versions.has_emptied |= present.is_some();
        Ok(present.is_some())
    }

    /// Versions only grow: an older one would replace rows that are valid.
    fn is_not_older(&self, version: i64, present: Option<i64>) -> Result<()> {
        match present.is_some_and(|present| version < present) {
            true => Err(SingerError::OldVersion {
                stream: self.options.object.to_string(),
                version,
            }),
            false => Ok(()),
        }
    }

    /// Takes the version that is valid from here on; true if what was given before does not count.
    fn activate(&mut self, version: i64) -> Result<bool> {
        let present = self.versions.given.or(self.versions.active);
        self.is_not_older(version, present)?;
        self.versions.active = Some(version);
        self.versions.given = None;
        if present.is_none_or(|present| present == version) {
            return Ok(false);
        }
        self.chunk.clear();
        self.chunk_rows = 0;
        self.next = Some(Piece::Emptied);
        Ok(true)
    }

    /// What stands in front: that the table was emptied, or the chunk.
    async fn cut(&mut self) -> Result<Piece> {
        if matches!(self.next, Some(Piece::Emptied)) {
            self.next = None;
            return Ok(Piece::Emptied);
        }
        let bytes = std::mem::take(&mut self.chunk);
        let most = self.options.memory.limit_bytes() / 8;
        // The text, and about twice as much for the columns made of it.
        let wanted = (3 * bytes.len() as u64).min(most).max(1);
        let holder = format!("a read of {}", self.options.object);
        let lease = self.options.memory.lease(&holder, wanted).await;
        let (first, offset) = self.before;
        self.before = (first + self.chunk_rows, offset + bytes.len() as u64);
        self.chunk_rows = 0;
        Ok(Piece::Lines(ObjectLines {
            object: Arc::clone(&self.options.object),
            bytes,
            offset,
            first: first + 1,
            lease: lease.map_err(SingerError::Port)?,
        }))
    }

    /// What the end says, before it is known whether it is a good one.
    fn ended(&mut self) -> Result<Ended> {
        if self.columns.is_none() && !self.others.is_empty() {
            // One stream was asked for: what came under other names would be lost.
            return Err(SingerError::OtherNames {
                stream: self.options.object.to_string(),
                names: self.others.keys().take(SHOWN).cloned().collect(),
            });
        }
        let versions = &self.versions;
        if versions.given.is_some() && versions.has_emptied {
            return Err(SingerError::NotActivated {
                program: self.program.name().to_owned(),
                stream: self.options.object.to_string(),
            });
        }
        Ok(Ended {
            state: self.state.take(),
            behind_state: self.behind_state,
            version: versions.given.or(versions.active),
            notes: self.notes(),
        })
    }

    async fn wait_for_end(&mut self) -> Result<()> {
        self.program.ended().await
    }

    /// What was counted and left out.
    fn notes(&self) -> Vec<String> {
        let object = &self.options.object;
        let listed = |counts: &BTreeMap<String, u64>| {
            let counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
            let shown = counts.iter().take(SHOWN);
            let shown = shown.map(|(name, count)| format!("`{name}` ({count})"));
            let more = match counts.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more}", shown.collect::<Vec<_>>().join(", "))
        };
        let others = self.others.values().any(|count| *count > 0).then(|| {
            let others = listed(&self.others);
            format!("records of other streams than {object} were left out: {others}")
        });
        let left_out = (!self.left_out.is_empty()).then(|| {
            let left_out = listed(&self.left_out);
            format!(
                "values of {object} that its schema does not name were left out: {left_out}; declare their types under `columns` to read them"
            )
        });
        others.into_iter().chain(left_out).collect()
    }
}

/// Counts something by its name; names beyond many are one.
fn count(counts: &mut BTreeMap<String, u64>, name: &str, more: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count += more;
        return;
    }
    let name = match counts.len() < MOST_NAMES {
        true => name,
        false => "others",
    };
    *counts.entry(name.to_owned()).or_default() += more;
}
