//! The source of a `singer` connection: one run of the tap for one stream.
//!
//! Promise: rows are given while the tap prints them, and at most a few chunks are in memory. The position of
//! a read is the tap's own state, and is given only behind a good end of the tap: what a stopped tap gave is
//! read again. Read next: `feed.rs` (messages), `columns.rs` (types), `position.rs` (what is stored).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use towpath_ports::{
    Assignment, BoxStream, Event, InputVersion, ReadSpec, Reader, RejectedRecord, Rows, Source,
    Split, TableSchema,
};
use towpath_vocab::{Failure, Position, ReadMode, Selection, SplitId};

use super::catalog::Catalog;
use super::columns::{self, SettledColumns, StreamColumns};
use super::config_file::ProgramFiles;
use super::error::{Result, SingerError};
use super::feed::{Ended, Feed, FeedOptions, Piece};
use super::position::{Resume, SPLIT};
use super::settings::StreamOptions;
use super::tap::{Started, StreamCall, Tap};
use crate::files::{ObjectRows, chunk_bytes};

/// Pieces that wait for their reader.
const WAITING: usize = 1;

/// A tap to read from.
#[derive(Clone)]
pub(super) struct SingerSource {
    pub(super) tap: Tap,
}

/// A stream that is about to be read.
struct Opened {
    feed: Feed,
    files: ProgramFiles,
    /// Pieces that were taken to find the types.
    first: VecDeque<Piece>,
}

/// The stream of a read.
fn stream_of(spec: &ReadSpec) -> Result<&str> {
    match &spec.selection {
        Selection::Object(stream) => Ok(stream),
        Selection::Query(_) => Err(SingerError::Query),
    }
}

impl SingerSource {
    /// The name of a stream in places and messages.
    fn object(&self, stream: &str) -> String {
        format!("{}/{stream}", self.tap.settings.connection)
    }

    /// Starts the tap, and reads up to its first records.
    async fn start(
        &self,
        spec: &ReadSpec,
        options: &StreamOptions,
        resume: &Resume,
        catalog: Option<&Catalog>,
    ) -> Result<Opened> {
        let stream = stream_of(spec)?;
        let found = catalog.map(|catalog| catalog.find(&self.tap.settings.connection, stream));
        let found = found.transpose()?;
        let id = found.map_or_else(|| stream.to_owned(), |found| found.id());
        let mut names = found.map(|found| found.names()).unwrap_or_default();
        names.push(stream.to_owned());
        names.extend(options.stream.clone());
        let call = StreamCall {
            stream: &id,
            options,
            state: resume.state.as_deref(),
            is_full: spec.mode == ReadMode::Full,
        };
        let Started { program, files } = self.tap.read(catalog, call).await?;
        let memory = &self.tap.context.memory;
        let mut feed = Feed::new(
            program,
            FeedOptions {
                names,
                object: self.object(stream).into(),
                declared: columns::declared(spec)?,
                chunk_bytes: chunk_bytes(spec.batch_bytes, memory.limit_bytes()),
                batch_rows: spec.batch_rows.max(1) as u64,
                memory: Arc::clone(memory),
                version: resume.activated,
            },
        );
        let mut first = VecDeque::new();
        loop {
            let piece = feed.next().await?;
            let is_emptied = matches!(piece, Piece::Emptied);
            first.push_back(piece);
            if !is_emptied {
                return Ok(Opened { feed, files, first });
            }
        }
    }

    /// The columns of a stream whose tap has given its first records.
    fn settle(
        &self,
        spec: &ReadSpec,
        opened: &Opened,
        catalog: Option<&Catalog>,
    ) -> Result<Option<SettledColumns>> {
        let columns = match (opened.feed.columns(), catalog) {
            (Some(columns), _) => columns.clone(),
            // A tap without records may leave its schema out.
            (None, Some(catalog)) => self.of_catalog(spec, catalog)?,
            // It may give only a state: the table knows its columns.
            (None, None) => match StreamColumns::of_table(spec) {
                Some(columns) => columns,
                None => return Ok(None),
            },
        };
        let first = opened.first.iter().find_map(|piece| match piece {
            Piece::Lines(lines) => Some(lines.bytes.as_slice()),
            _ => None,
        });
        let most = self.tap.settings.max_record_bytes;
        let settled = columns::settle(&columns, first.unwrap_or_default(), spec, most);
        Ok(Some(settled))
    }

    /// The columns that the catalog says.
    fn of_catalog(&self, spec: &ReadSpec, catalog: &Catalog) -> Result<StreamColumns> {
        let stream = stream_of(spec)?;
        let found = catalog.find(&self.tap.settings.connection, stream)?;
        StreamColumns::read(stream, &found.schema(), &columns::declared(spec)?)
    }

    /// The columns of a stream without its records: what the catalog says, or else what the tap says first.
    pub(super) async fn look(
        &self,
        spec: &ReadSpec,
        catalog: Option<&Catalog>,
    ) -> Result<Option<SettledColumns>> {
        if let Some(catalog) = catalog {
            let columns = self.of_catalog(spec, catalog)?;
            let most = self.tap.settings.max_record_bytes;
            return Ok(Some(columns::settle(&columns, b"", spec, most)));
        }
        let options = StreamOptions::default();
        let resume = Resume::default();
        let opened = self.start(spec, &options, &resume, None).await?;
        self.settle(spec, &opened, None)
    }

    async fn opened(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let stream = stream_of(spec)?;
        let options = StreamOptions::read(stream, &spec.options, &self.tap.settings)?;
        let is_incremental = spec.mode == ReadMode::Incremental;
        if is_incremental && !spec.may_repeat && !options.never_repeats {
            return Err(SingerError::NoKey {
                stream: self.object(stream),
            });
        }
        let resume = Resume::read(&self.object(stream), from.filter(|_| is_incremental))?;
        let catalog = self.tap.catalog().await?;
        let opened = self
            .start(spec, &options, &resume, catalog.as_ref())
            .await?;
        let settled = self.settle(spec, &opened, catalog.as_ref())?;
        let Some(SettledColumns { columns, notes }) = settled else {
            return Ok(Box::new(NothingYet {
                note: format!("{} gave neither a schema nor a record", self.object(stream)),
            }));
        };
        let unsupported = catalog
            .as_ref()
            .and_then(|catalog| catalog.find(&self.tap.settings.connection, stream).ok())
            .map(|found| found.unsupported())
            .unwrap_or_default();
        let unsupported = (!unsupported.is_empty()).then(|| {
            let names = unsupported.join("`, `");
            format!(
                "the tap does not support `{names}` of {}",
                self.object(stream)
            )
        });
        Ok(Box::new(SingerReader {
            spec: spec.clone(),
            object: self.object(stream),
            rows: ObjectRows::new(columns),
            opened: Some(opened),
            resume: is_incremental.then_some(resume),
            needs_state: is_incremental && !spec.may_repeat,
            notes: Arc::new(Mutex::new(notes.into_iter().chain(unsupported).collect())),
        }))
    }
}

#[async_trait]
impl Source for SingerSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> towpath_ports::Result<Box<dyn Reader>> {
        Ok(self.opened(spec, from).await?)
    }

    async fn version(&self, _: &ReadSpec) -> towpath_ports::Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> towpath_ports::Result<Box<dyn Reader>> {
        let catalog = self.tap.catalog().await?;
        let settled = self.look(spec, catalog.as_ref()).await?;
        let settled = settled.ok_or_else(|| SingerError::Schema {
            stream: spec.table.to_string(),
            why: "is not known: the tap gave none".to_owned(),
        })?;
        ObjectRows::new(settled.columns)
            .replay(records)
            .map_err(Failure::from)
    }
}

/// A stream of which nothing is known.
struct NothingYet {
    note: String,
}

#[async_trait]
impl Reader for NothingYet {
    fn tables(&self) -> Vec<TableSchema> {
        Vec::new()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<towpath_ports::Result<Assignment>> {
        Box::pin(stream::iter([Ok(
            Assignment::Complete(Position::default()),
        )]))
    }

    async fn committed(&mut self, _: &Position) -> towpath_ports::Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        vec![self.note.clone()]
    }
}

/// An open stream.
struct SingerReader {
    spec: ReadSpec,
    object: String,
    rows: ObjectRows,
    opened: Option<Opened>,
    /// Where an incremental read began.
    resume: Option<Resume>,
    /// Records behind the last state would come twice.
    needs_state: bool,
    notes: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Reader for SingerReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.spec.table.clone(),
            schema: Arc::clone(self.rows.schema()),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<towpath_ports::Result<Assignment>> {
        let split = self.opened.take().map(|opened| {
            Ok(Assignment::Assigned(Split {
                id: SplitId(SPLIT.to_owned()),
                events: self.events(opened),
            }))
        });
        let complete = Ok(Assignment::Complete(Position::default()));
        Box::pin(stream::iter(split.into_iter().chain([complete])))
    }

    async fn committed(&mut self, _: &Position) -> towpath_ports::Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.clone()
    }
}

/// What the pieces of a tap become.
struct Events {
    rows: ObjectRows,
    pieces: mpsc::Receiver<Result<Piece>>,
    /// Reads the tap; ends with this.
    _reading: JoinSet<()>,
    /// Events of the last piece.
    waiting: Box<dyn Iterator<Item = Event> + Send>,
    end: EndOfRead,
    left: Option<u64>,
    is_over: bool,
}

/// What is said at the end of a read.
struct EndOfRead {
    spec: ReadSpec,
    object: String,
    resume: Option<Resume>,
    needs_state: bool,
    notes: Arc<Mutex<Vec<String>>>,
}

impl SingerReader {
    fn events(&self, opened: Opened) -> BoxStream<towpath_ports::Result<Event>> {
        let (to, pieces) = mpsc::channel(WAITING);
        let mut reading = JoinSet::new();
        reading.spawn(read(opened, to));
        let events = Events {
            rows: self.rows.clone(),
            pieces,
            _reading: reading,
            waiting: Box::new(std::iter::empty()),
            end: EndOfRead {
                spec: self.spec.clone(),
                object: self.object.clone(),
                resume: self.resume.clone(),
                needs_state: self.needs_state,
                notes: Arc::clone(&self.notes),
            },
            left: self.spec.limit,
            is_over: false,
        };
        Box::pin(stream::unfold(events, |mut events| async move {
            let next = events.next().await.transpose()?;
            Some((next.map_err(Failure::from), events))
        }))
    }
}

/// Gives the pieces of a tap while somebody takes them.
async fn read(opened: Opened, to: mpsc::Sender<Result<Piece>>) {
    let Opened {
        mut feed,
        // They are there until the tap has ended.
        files: _files,
        first,
    } = opened;
    for piece in first {
        let is_end = matches!(piece, Piece::End(_));
        if to.send(Ok(piece)).await.is_err() || is_end {
            return;
        }
    }
    loop {
        let piece = feed.next().await;
        let goes_on = matches!(piece, Ok(Piece::Lines(_) | Piece::Emptied));
        if to.send(piece).await.is_err() || !goes_on {
            return;
        }
    }
}

impl Events {
    /// The next event; none behind the end.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Ok(self.within_limit(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let broken = || SingerError::Broken {
                stream: self.end.object.clone(),
            };
            let piece = match self.pieces.recv().await.ok_or_else(broken)? {
                Ok(piece) => piece,
                Err(error) => {
                    self.is_over = true;
                    return Err(error);
                }
            };
            self.waiting = match piece {
                Piece::Emptied => {
                    let emptied = Event::Truncate(self.end.spec.table.clone());
                    Box::new(std::iter::once(emptied))
                }
                Piece::Lines(lines) => {
                    let rows = self.rows.clone();
                    let parsed = tokio::task::spawn_blocking(move || rows.read(lines)).await;
                    let events = parsed.map_err(|_| broken())?;
                    Box::new(events.map_err(|error| SingerError::Port(error.into()))?)
                }
                Piece::End(ended) => {
                    self.is_over = true;
                    Box::new(self.end.events(ended)?.into_iter())
                }
            };
        }
    }

    /// An event cut at the limit of rows, behind which the read ends.
    fn within_limit(&mut self, event: Event) -> Option<Event> {
        let (Some(left), Event::Rows(rows)) = (&mut self.left, &event) else {
            return Some(event);
        };
        let count = rows.len() as u64;
        if count < *left {
            *left -= count;
            return Some(event);
        }
        let kept = usize::try_from(std::mem::take(left)).unwrap_or(usize::MAX);
        // The tap is not asked for more.
        self.is_over = true;
        self.waiting = Box::new(std::iter::once(Event::End));
        match event {
            Event::Rows(rows) => Some(Event::Rows(head_of(rows, kept))),
            other => Some(other),
        }
    }
}

fn head_of(rows: Rows, count: usize) -> Rows {
    Rows {
        batch: rows.batch.slice(0, count),
        ordinals: rows.ordinals.slice(0, count),
        ops: rows.ops.map(|ops| ops.slice(0, count)),
        ..rows
    }
}

impl EndOfRead {
    /// The last events.
    fn events(&self, ended: Ended) -> Result<Vec<Event>> {
        if self.needs_state && ended.behind_state > 0 {
            return Err(SingerError::AfterState {
                stream: self.object.clone(),
                count: ended.behind_state,
            });
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.extend(ended.notes);
        let mut events = Vec::new();
        if let Some(resume) = &self.resume {
            if ended.state.is_none() && resume.state.is_none() {
                notes.push(format!(
                    "the tap gave no state for {}: the next run reads everything again",
                    self.object
                ));
            }
            let next = resume.next(ended.state, ended.version);
            events.push(Event::Boundary(next));
        }
        events.push(Event::End);
        Ok(events)
    }
}
