//! A delivery: the rows of a write are sent, and what the API says about each is kept.
//!
//! Promise: the rows, and the token that the end of the delivery will store, are on disk before the first
//! request; each answer is, before the next. So a process that dies loses nothing: `leftover` of the
//! destination names the delivery, and a write with `FINISH_DELIVERY` sends the rows without an answer again,
//! with the same idempotency keys. Requests of several rows that are refused are sent again in halves, until
//! single rows are refused. Deletes come first, then updates, then inserts. Read next: `requests.rs`.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream;
use towpath_ports::{
    Candidate, CandidateRows, Commit, Committed, Prepared, PreparedStats, Receipt, RefusedRows,
    ReservedMemory, Result, WriteRequest,
};
use towpath_vocab::{RawRecord, Reason, RecordLocation, Reject};

use super::super::client::Client;
use super::super::error::{Address, RestError};
use super::destination::RestDestination;
use super::journal::Journal;
use super::options::{Call, Change, SendOptions, Sent};
use super::outbox::{Head, Outbox, OutboxLock, RefusedRecord};
use super::record::Record;
use super::requests::{Piece, RequestMaker, is_gone, is_of_rows};
use super::results::{RowResult, results};
use super::sent_keys::SentKeys;
use crate::stage::Stage;

/// Rows that are ready to be sent.
pub(super) struct PreparedDelivery {
    pub(super) destination: RestDestination,
    pub(super) intent: WriteRequest,
    pub(super) send: SendOptions,
    pub(super) outbox: Outbox,
    /// The files of its rows, and how many they are; `None` for those of an interrupted delivery.
    pub(super) rows: Option<(Stage, [usize; 3])>,
    pub(super) keys: SentKeys,
    /// The columns that identify the rows.
    pub(super) key: Vec<String>,
    pub(super) stats: PreparedStats,
    /// The memory of the keys.
    pub(super) _leases: Vec<ReservedMemory>,
    /// What the commit stores.
    pub(super) end: Option<End>,
}

/// How a delivery ended.
pub(super) enum End {
    /// Every row is taken or refused. Nobody else may send rows until the commit is stored.
    Delivered(Vec<RefusedRecord>, OutboxLock),
    /// Another attempt has done it.
    Adopted(Box<Committed>),
}

impl PreparedDelivery {
    async fn lock(&self) -> Result<OutboxLock, RestError> {
        let outbox = self.outbox.clone();
        let locked = tokio::task::spawn_blocking(move || outbox.lock()).await;
        locked.map_err(|_| RestError::LockLost {
            table: self.intent.table.to_string(),
        })?
    }

    /// The commit of another attempt of this generation, if there is one.
    fn adopted(&self) -> Result<Option<Committed>, RestError> {
        let last = self.outbox.last()?;
        let held = last.as_ref().map_or(0, |last| last.token.generation.0);
        if let Some(committed) = last.filter(|last| last.token.generation >= self.intent.generation)
        {
            return Ok(Some(committed));
        }
        let is_other = self.intent.after.is_some_and(|after| held != after.0);
        match is_other {
            true => Err(self.overtaken()),
            false => Ok(None),
        }
    }

    fn overtaken(&self) -> RestError {
        RestError::OvertakenDelivery {
            table: self.intent.table.to_string(),
        }
    }

    /// The delivery as it is kept; begins it if it is new.
    fn head(&self, commit: &Commit) -> Result<Head, RestError> {
        let unfinished = self.outbox.unfinished()?;
        let Some((stage, [deletes, updates, inserts])) = &self.rows else {
            return unfinished.ok_or_else(|| self.overtaken());
        };
        if unfinished.is_some() {
            return Err(self.overtaken());
        }
        let token = commit
            .clone()
            .into_token(self.intent.task.clone(), self.intent.generation);
        let head = Head {
            token,
            id: uuid::Uuid::new_v4().to_string(),
            size: self.send.size,
            is_batch: self.send.is_batch,
            key: self.intent.write.key.clone(),
            deletes: *deletes,
            updates: *updates,
            inserts: *inserts,
        };
        self.outbox.start(&head, stage.folder())?;
        Ok(head)
    }

    /// What the API has and has refused after a delivery.
    fn fold(&mut self, head: &Head, journal: &Journal) -> Result<Vec<RefusedRecord>, RestError> {
        let mut refused = Vec::new();
        for change in Change::ALL {
            for (row, record) in self.outbox.rows(change)?.enumerate() {
                let record = record?;
                match (journal.is_taken(change, row), change) {
                    (true, Change::Delete) => self.keys.remove(record.key),
                    (true, _) => self.keys.add(record.key),
                    (false, _) if journal.is_refused(change, row) => {
                        refused.push(RefusedRecord { change, record });
                    }
                    // What is ignored now stays as it is.
                    (false, _) if *self.send.of(change) == Sent::Ignored => {}
                    (false, _) => return Err(self.overtaken()),
                }
            }
        }
        self.stats = PreparedStats {
            rows_in: head.rows(),
            inserted: journal.taken(Change::Insert),
            updated: journal.taken(Change::Update),
            deleted: journal.taken(Change::Delete),
            ..self.stats
        };
        Ok(refused)
    }
}

#[async_trait]
impl Prepared for PreparedDelivery {
    fn stats(&self) -> PreparedStats {
        self.stats
    }

    async fn candidate(&self, _: CandidateRows) -> Result<Candidate> {
        Err(RestError::NoCandidate {
            table: self.intent.table.to_string(),
        }
        .into())
    }

    async fn deliver(&mut self, commit: &Commit, refused: &mut dyn RefusedRows) -> Result<()> {
        let lock = self.lock().await?;
        if let Some(committed) = self.adopted()? {
            self.end = Some(End::Adopted(Box::new(committed)));
            return Ok(());
        }
        let head = self.head(commit)?;
        // Requests that come again have the same rows.
        (self.send.size, self.send.is_batch) = (head.size, head.is_batch);
        self.key.clone_from(&head.key);
        fail::fail_point!("rest::delivery_stands");
        refused.begins(head.rows());
        let RestDestination {
            plan,
            options,
            context,
        } = &self.destination;
        let sending = Sending {
            client: Client::open(plan, options, context).await?,
            maker: RequestMaker {
                table: self.intent.table.table(),
                base: &options.url,
                send: &self.send,
                key: &self.key,
                delivery: &head.id,
                is_resumed: self.rows.is_none(),
            },
            intent: &self.intent,
            outbox: &self.outbox,
            journal: Mutex::new(self.outbox.journal(&head)?),
        };
        for change in Change::ALL {
            sending
                .all(change, (&head, options.connections), refused)
                .await?;
        }
        let journal = sending.journal.into_inner();
        let journal = journal.unwrap_or_else(PoisonError::into_inner);
        let refused = self.fold(&head, &journal)?;
        self.end = Some(End::Delivered(refused, lock));
        Ok(())
    }

    async fn commit(mut self: Box<Self>, commit: Commit) -> Result<Receipt> {
        let (refused, _lock) = match self.end.take() {
            Some(End::Delivered(refused, lock)) => (refused, lock),
            Some(End::Adopted(committed)) => {
                return Ok(Receipt {
                    committed: *committed,
                    adopted: true,
                });
            }
            None => return Err(self.overtaken().into()),
        };
        let generation = self.intent.generation;
        let committed = Committed {
            token: commit.into_token(self.intent.task.clone(), generation),
            version: format!("delivery {generation}"),
            stats: self.stats,
        };
        self.outbox
            .finish(&committed, (&self.key, &self.keys), &refused)?;
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Sends the rows of a delivery.
struct Sending<'s> {
    client: Client,
    maker: RequestMaker<'s>,
    intent: &'s WriteRequest,
    outbox: &'s Outbox,
    journal: Mutex<Journal>,
}

/// Rows that are next to each other.
struct Rows {
    first: usize,
    records: Arc<[Record]>,
}

impl Rows {
    fn of(&self, rows: &Range<usize>) -> &[Record] {
        let range = rows.start - self.first..rows.end - self.first;
        self.records.get(range).unwrap_or_default()
    }
}

/// Rows that were refused.
struct RefusedPiece {
    rows: Vec<Reject>,
    /// How many of them are as they were when they were refused before.
    again: u64,
}

/// What became of a request.
enum Outcome {
    Taken,
    Refused(Reason),
    Each(Address, Vec<RowResult>),
}

/// Divides rows into those of one request each.
struct Pieces<I> {
    rows: I,
    size: usize,
    next: usize,
}

impl<I: Iterator<Item = Result<Record, RestError>>> Iterator for Pieces<I> {
    type Item = Result<Rows, RestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let records: Result<Arc<[Record]>, RestError> =
            self.rows.by_ref().take(self.size).collect();
        let first = self.next;
        match records {
            Ok(records) if records.is_empty() => None,
            Ok(records) => {
                self.next += records.len();
                Some(Ok(Rows { first, records }))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Sending<'_> {
    fn journal<T>(&self, act: impl FnOnce(&mut Journal) -> T) -> T {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut journal)
    }

    fn kept(&self, kept: std::io::Result<()>) -> Result<(), RestError> {
        kept.map_err(|source| RestError::KeptRows {
            folder: ".towpath/rest-writes".to_owned(),
            source,
        })
    }

    /// Sends all rows of a change that are not settled yet.
    async fn all(
        &self,
        change: Change,
        (head, at_once): (&Head, usize),
        refused: &mut dyn RefusedRows,
    ) -> Result<()> {
        if head.count(change) == 0 || *self.maker.send.of(change) == Sent::Ignored {
            return Ok(());
        }
        let call = self.maker.send.call(change);
        let call = call.ok_or_else(|| RestError::NoRequest {
            table: self.intent.table.to_string(),
            change: change.word(),
        })?;
        let pieces = Pieces {
            rows: self.outbox.rows(change)?,
            size: match call.path.is_of_one_row() {
                true => 1,
                false => head.size,
            },
            next: 0,
        };
        let settled = stream::iter(pieces)
            .map(|piece| async move { self.settle(change, call, &piece?).await })
            .buffer_unordered(at_once.max(1));
        futures::pin_mut!(settled);
        while let Some(rejects) = settled.next().await {
            let RefusedPiece { rows, again } = rejects?;
            if !rows.is_empty() {
                refused.refuse(rows, again).await?;
            }
        }
        Ok(())
    }

    /// Sends rows until each is taken or refused; returns those that are refused.
    async fn settle(
        &self,
        change: Change,
        call: &Call,
        rows: &Rows,
    ) -> Result<RefusedPiece, RestError> {
        let mut rejects = self.without_request(change, call, rows)?;
        let all = rows.first..rows.first + rows.records.len();
        let mut open = vec![all];
        while let Some(range) = open.pop() {
            let settled = range.clone();
            let settled = self.journal(|journal| {
                settled
                    .filter(|row| journal.is_settled(change, *row))
                    .count()
            });
            if settled == range.len() {
                continue;
            }
            if settled > 0 || self.journal(|journal| journal.is_divided(change, &range)) {
                open.extend(halves(&range));
                continue;
            }
            match self.send(change, call, (&range, rows.of(&range))).await? {
                Outcome::Taken => {
                    let kept = self.journal(|journal| {
                        journal.answered(change, &range, (Vec::new(), Vec::new()))
                    });
                    self.kept(kept)?;
                }
                Outcome::Refused(reason) if range.len() == 1 => {
                    self.refused(change, range.start)?;
                    rejects.extend(rows.of(&range).first().map(|row| self.reject(row, reason)));
                }
                Outcome::Refused(_) => {
                    let kept = self.journal(|journal| journal.divide(change, &range));
                    self.kept(kept)?;
                    open.extend(halves(&range));
                }
                Outcome::Each(request, results) => {
                    rejects.extend(self.each(
                        change,
                        (&range, rows.of(&range)),
                        (request, results),
                    )?);
                }
            }
            fail::fail_point!("rest::journaled");
        }
        let all = (rows.first..).zip(rows.records.iter());
        let again = all.filter(|(_, record)| record.again);
        let again = self.journal(|journal| {
            again
                .filter(|(row, _)| journal.is_refused(change, *row))
                .count()
        });
        Ok(RefusedPiece {
            rows: rejects,
            again: again as u64,
        })
    }

    /// Refuses the rows of which no request can be made.
    fn without_request(
        &self,
        change: Change,
        call: &Call,
        rows: &Rows,
    ) -> Result<Vec<Reject>, RestError> {
        let mut rejects = Vec::new();
        for (row, record) in (rows.first..).zip(rows.records.iter()) {
            let Some((column, why)) = RequestMaker::unsendable((change, call), record) else {
                continue;
            };
            let reason = Reason {
                code: "request".to_owned(),
                column: Some(column),
                value: None,
                message: why.to_owned(),
            };
            self.refused(change, row)?;
            rejects.push(self.reject(record, reason));
        }
        Ok(rejects)
    }

    /// Keeps that a row was refused.
    fn refused(&self, change: Change, row: usize) -> Result<(), RestError> {
        let kept = self
            .journal(|journal| journal.answered(change, &(row..row + 1), (vec![row], Vec::new())));
        self.kept(kept)
    }

    fn reject(&self, record: &Record, reason: Reason) -> Reject {
        Reject {
            table: self.intent.table.clone(),
            place: RecordLocation {
                object: self.intent.table.to_string(),
                line: None,
                ordinal: record.number(self.maker.key),
            },
            raw: RawRecord::Row(record.json.clone()),
            reasons: vec![reason],
        }
    }

    /// Sends one request.
    async fn send(
        &self,
        change: Change,
        call: &Call,
        (range, records): (&Range<usize>, &[Record]),
    ) -> Result<Outcome, RestError> {
        let piece = Piece {
            change,
            rows: range.clone(),
            records,
            refused_before: self.journal(|journal| journal.refused_before(change, range)),
        };
        let request = self.maker.request(call, &piece)?;
        fail::fail_point!("rest::before_request");
        let answer = match self.client.ask(&request).await {
            Ok(answer) => answer,
            Err(error) if is_gone(&error, change, call) => return Ok(Outcome::Taken),
            Err(RestError::Refused {
                request,
                status,
                answer,
                ..
            }) if is_of_rows(status, call) => {
                return Ok(Outcome::Refused(refusal(&request, status, &answer)));
            }
            Err(error) => return Err(error),
        };
        fail::fail_point!("rest::answered");
        let path = self.maker.send.results.as_ref();
        let path = path.filter(|_| self.maker.send.is_list(call));
        let results = results(&answer, path, records.len());
        let request = Address::new(request.method.as_str(), &request.url);
        match results {
            Ok(None) => Ok(Outcome::Taken),
            Ok(Some(results)) => Ok(Outcome::Each(request, results)),
            Err(why) => Err(RestError::NoResults { request, why }),
        }
    }

    /// Keeps what an answer says about each row.
    fn each(
        &self,
        change: Change,
        (range, records): (&Range<usize>, &[Record]),
        (request, results): (Address, Vec<RowResult>),
    ) -> Result<Vec<Reject>, RestError> {
        let (mut rejects, mut not_now) = (Vec::new(), None);
        let (mut refused, mut open) = (Vec::new(), Vec::new());
        for ((row, record), result) in range.clone().zip(records).zip(results) {
            match result {
                RowResult::Taken => {}
                RowResult::Refused(status, said) => {
                    let said = self.client.excerpt(said.as_bytes());
                    refused.push(row);
                    rejects.push(self.reject(record, refusal(&request, status, &said)));
                }
                RowResult::NotNow(status) => {
                    open.push(row);
                    not_now = Some(status);
                }
            }
        }
        // One line for one answer: a row of it is never sent under another key.
        let kept = self.journal(|journal| journal.answered(change, range, (refused, open)));
        self.kept(kept)?;
        match not_now {
            Some(status) => Err(RestError::NotNow { request, status }),
            None => Ok(rejects),
        }
    }
}

/// The two halves, the first one on top.
fn halves(range: &Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle]
}

fn refusal(request: &Address, status: u16, said: &str) -> Reason {
    let said = match said.is_empty() {
        true => String::new(),
        false => format!(": {said}"),
    };
    Reason {
        code: format!("status_{status}"),
        column: None,
        value: None,
        message: format!("{request} was refused with status {status}{said}"),
    }
}
