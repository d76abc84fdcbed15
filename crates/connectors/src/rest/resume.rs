//! Where an incremental read begins, and where the next one will.
//!
//! Promise: a listing is asked from a cursor only when the last read gave all of its records up to there;
//! any other one is asked without a cursor. Times of a clock that all listings share have one begin;
//! numbers, texts and numbered pages have one for each listing. Listings that failed stay until they were
//! read, whether or not a parent gives them. What is stored and cannot be read is an error. Read next:
//! `cursor.rs` for what is safe, `source.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use towpath_vocab::{CursorPlan, Position, SplitId, SplitPosition};

use super::cursor::{self, Epoch, Highest, Seen};
use super::endpoint::{Endpoint, of_table};
use super::error::{RestError, Result};
use super::scope::{ListingKey, Scope};

/// The split whose position says where the next read begins.
const CURSOR: &str = "cursor";

/// Of so many listings is remembered that they were read.
pub(super) const MOST_LISTINGS: usize = 100_000;

/// A listing that failed, and where it is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) scope: Scope,
    pub(super) from: Option<String>,
}

/// Listings, and a cursor of each.
type Cursors = HashMap<ListingKey, Option<String>>;

/// What the last read left.
#[derive(Default)]
pub(super) struct Resume {
    /// Its highest safe cursor.
    last: Option<String>,
    /// Listings that were read, with the cursor of each if they have one of their own; nothing when an
    /// earlier version did not store them.
    read: Option<Cursors>,
    pub(super) failed: Vec<Failed>,
    /// A cursor that lay in the future. Records before it were not asked for, nobody knows which: what
    /// had it begins anew.
    pub(super) ahead: Option<String>,
}

/// Where the listings of a read begin.
#[derive(Default)]
pub(super) struct Begin {
    /// Each listing has its own.
    is_each: bool,
    /// Where the only listing begins.
    all: Option<String>,
    each: Cursors,
    /// Listings of earlier reads that failed.
    pub(super) failed: Vec<Failed>,
}

/// How a read ended.
pub(super) struct Ended {
    pub(super) seen: Seen,
    /// The server's time when the first page was asked for.
    pub(super) begun: Option<DateTime<Utc>>,
    /// Its pages are numbered, so that records move between them.
    pub(super) shifts: bool,
    /// Records that came on two numbered pages behind each other: others may have come on none.
    pub(super) repeated: u64,
    /// Listings that were read.
    pub(super) read: Vec<(ListingKey, Seen)>,
    pub(super) failed: Vec<Failed>,
}

impl Ended {
    /// Where what saw these values may begin next. Where numbered pages have shifted, the next read asks
    /// again for all that this one asked for.
    fn safe(&self, seen: &Seen) -> Option<String> {
        match self.repeated {
            0 => seen.safe(self.begun, self.shifts),
            _ => None,
        }
    }
}

impl Begin {
    /// Where a listing begins.
    pub(super) fn of(&self, scope: &Scope) -> Option<&str> {
        if !self.is_each {
            return self.all.as_deref();
        }
        self.each.get(&scope.key())?.as_deref()
    }
}

impl Resume {
    /// Reads what the last read left for this endpoint.
    pub(super) fn read(from: Option<&Position>, endpoint: &Endpoint) -> Result<Self> {
        let Some(stored) = resume_of(from) else {
            return Ok(Self::default());
        };
        let wrong = |what: &'static str| RestError::StoredPosition {
            table: endpoint.table.clone(),
            what,
        };
        let text = |value: &Value| match value {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.clone())),
            _ => None,
        };
        let cursor = |value: Option<&Value>| {
            let cursor = value.map_or(Some(None), text);
            cursor.ok_or_else(|| wrong("its cursor is not a text"))
        };
        let listings = |read: &Value| {
            let read = read.as_object()?.iter();
            let read = read.map(|(key, value)| Some((ListingKey(key.clone()), text(value)?)));
            read.collect::<Option<Cursors>>()
        };
        let read = stored
            .get("read")
            .map(|read| listings(read).ok_or_else(|| wrong("its listings are not texts")));
        let failed = match stored.get("failed") {
            None => Vec::new(),
            Some(Value::Array(failed)) => failed.clone(),
            Some(_) => return Err(wrong("its failed listings are not a list")),
        };
        let failed = failed.iter().map(|failed| {
            let scope = failed
                .get("of")
                .and_then(|of| Scope::read(of, failed.get("include"), endpoint));
            let scope = scope.ok_or_else(|| {
                wrong("a listing that failed does not have the values that the endpoint needs now")
            })?;
            let from = cursor(failed.get("from"))?;
            Ok(Failed { scope, from })
        });
        let mut resume = Self {
            last: cursor(stored.get("cursor"))?,
            read: read.transpose()?,
            failed: failed.collect::<Result<_>>()?,
            ahead: None,
        };
        resume.leave_the_future(Utc::now(), endpoint.epoch);
        Ok(resume)
    }

    /// Forgets the cursors that lie in the future.
    fn leave_the_future(&mut self, now: DateTime<Utc>, epoch: Option<Epoch>) {
        let failed = self.failed.iter_mut().map(|failed| &mut failed.from);
        let read = self.read.iter_mut().flat_map(HashMap::values_mut);
        for cursor in std::iter::once(&mut self.last).chain(read).chain(failed) {
            if let Some(ahead) = cursor.take_if(|text| cursor::is_ahead(text, now, epoch)) {
                self.ahead.get_or_insert(ahead);
            }
        }
    }

    /// Where the next read of it begins.
    pub(super) fn begin(&self, endpoint: &Endpoint, plan: &CursorPlan) -> Result<Begin> {
        let before = |cursor: &String| {
            let before = cursor::before(cursor, plan.lookback, endpoint.epoch);
            before.ok_or_else(|| RestError::MixedCursor {
                table: endpoint.table.clone(),
                column: plan.column.clone(),
            })
        };
        let last = self.last.as_ref().map(before).transpose()?;
        let is_one = has_one_begin(
            self.last.as_deref(),
            endpoint,
            endpoint.paging.is_numbered(),
        );
        let mut each = Cursors::new();
        for (key, own) in self.read.iter().flatten() {
            let from = match is_one {
                true => last.clone(),
                false => own.as_ref().map(before).transpose()?,
            };
            each.insert(key.clone(), from);
        }
        let mut failed = self.failed.clone();
        for one in &mut failed {
            // Before listings were stored, their cursor may have been that of another one.
            one.from = one.from.take().filter(|_| self.read.is_some());
            let from = one.from.clone();
            let known = each.entry(one.scope.key()).or_insert_with(|| from.clone());
            if *known != from {
                *known = None;
            }
        }
        // What depended on another table has had other cursors.
        let was_one = self.read.is_none() && self.failed.is_empty();
        Ok(Begin {
            is_each: endpoint.parent().is_some(),
            all: last.filter(|_| was_one),
            each,
            failed,
        })
    }

    /// Where the next read begins after one that ended so.
    pub(super) fn next(
        &self,
        ended: &Ended,
        endpoint: &Endpoint,
        column: &str,
        from: Option<&Position>,
    ) -> Result<Position> {
        let (table, column) = (endpoint.table.clone(), column.to_owned());
        let seen = &ended.seen;
        if seen.all.missing > 0 {
            let count = seen.all.missing;
            return Err(RestError::NoCursorValue {
                table,
                column,
                count,
            });
        }
        let mixed = || RestError::MixedCursor {
            table: table.clone(),
            column: column.clone(),
        };
        let last = self.last.as_deref();
        let mut all = seen.all.clone();
        all.extend(last);
        if all.is_mixed {
            return Err(mixed());
        }
        if let (Some(epoch), Some(highest)) = (endpoint.epoch, &all.text)
            && !epoch.fits(highest)
        {
            let why = format!("does not fit `{column}`, which has the value `{highest}`");
            return Err(of_table(&table, "cursor_epoch", why));
        }
        let mut begin = Highest::default();
        begin.extend(last.map(|last| seen.capped(last, ended.begun)).as_deref());
        begin.extend(ended.safe(seen).as_deref());
        let mut resume = json!({ "cursor": begin.text });
        if endpoint.parent().is_some() {
            let is_one = has_one_begin(begin.text.as_deref(), endpoint, ended.shifts);
            resume["read"] = self.listings(ended, is_one).ok_or_else(mixed)?;
        }
        if !ended.failed.is_empty() {
            resume["failed"] = stored(&ended.failed);
        }
        let before = resume_of(from).cloned();
        if before.unwrap_or_else(|| json!({ "cursor": null })) == resume {
            return Ok(from.cloned().unwrap_or_default());
        }
        let order = from.and_then(|from| from.get(&SplitId(CURSOR.to_owned())));
        let order = order.map_or(0, |position| position.order) + 1;
        Ok(Position::single(CURSOR, SplitPosition { order, resume }))
    }

    /// The listings that were read, with the cursor of each unless all have one.
    fn listings(&self, ended: &Ended, is_one: bool) -> Option<Value> {
        let keys = |failed: &[Failed]| failed.iter().map(|one| one.scope.key()).collect();
        let (failed, before): (HashSet<_>, HashSet<_>) = (keys(&ended.failed), keys(&self.failed));
        let mut listings = BTreeMap::<&ListingKey, Option<String>>::new();
        for (key, seen) in &ended.read {
            let mut own = Highest::default();
            if !is_one {
                let known = self.read.as_ref().filter(|_| !before.contains(key));
                let known = known.and_then(|read| read.get(key)?.as_deref());
                own.extend(known.map(|last| seen.capped(last, ended.begun)).as_deref());
                own.extend(ended.safe(seen).as_deref());
            }
            if own.is_mixed {
                return None;
            }
            let known = listings.entry(key).or_insert_with(|| own.text.clone());
            if *known != own.text {
                *known = None;
            }
        }
        let listings = listings
            .into_iter()
            .filter(|(key, _)| !failed.contains(key));
        let listings = listings.map(|(key, own)| (key.0.clone(), Value::from(own)));
        Some(listings.collect::<Map<_, _>>().into())
    }
}

fn stored(failed: &[Failed]) -> Value {
    let stored = failed.iter().map(|failed| {
        let (of, include) = failed.scope.stored();
        let order = (failed.scope.key(), include.to_string());
        let stored = json!({ "of": of, "include": include, "from": failed.from });
        (order, stored)
    });
    let stored: BTreeMap<_, Value> = stored.collect();
    stored.into_values().collect()
}

/// What is stored of the last read.
fn resume_of(from: Option<&Position>) -> Option<&Value> {
    let position = from?.get(&SplitId(CURSOR.to_owned()))?;
    Some(&position.resume)
}

/// True when all listings may begin at the same value: they share a clock, and no page moves.
fn has_one_begin(last: Option<&str>, endpoint: &Endpoint, shifts: bool) -> bool {
    last.is_some_and(|last| cursor::is_time(last, endpoint.epoch)) && !shifts
}
