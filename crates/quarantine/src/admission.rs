//! Decides which replayed record of a key is loaded: a pure decision.
//!
//! Promise: no record replaces a newer row. The table may have a row with the key of a record, from a later
//! load that read a corrected row. A record that the last load rejected is as new as anything in the source.
//! An older record is loaded only if its key is not in the table, or if the load's cursor says that the
//! record is newer. Of two records with one key the newest is loaded, also across commits and replays: the
//! one with the greater cursor value, and otherwise the one that was read later. For this, each commit stores
//! the keys that it loaded. `newer_rows.rs` asks the table. Read next: `newer_rows.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use towpath_vocab::Generation;

use crate::records::Record;

/// How the rows of a batch compare with the table, by their positions.
#[derive(Default)]
pub(crate) struct Compared {
    /// Rows for which the table has a newer row.
    pub(crate) older: HashSet<i64>,
    /// Rows that are newer than those of the table, by the cursor.
    pub(crate) newer: HashSet<i64>,
}

/// A key, as a digest.
pub(crate) type KeyDigest = [u8; 16];

/// The location of a record, by which records of one load are ordered: the later one is newer.
type RecordOrder = (String, u64);

/// The keys that were loaded so far, as digests.
#[derive(Clone, Default)]
pub(crate) struct SeenKeys {
    /// By this replay, in all of its commits, from the newest record on.
    now: Arc<Mutex<HashSet<KeyDigest>>>,
    /// By earlier replays of records of the load's last commit.
    before: Arc<Mutex<HashMap<KeyDigest, RecordOrder>>>,
}

impl SeenKeys {
    /// True for a key that is loaded for the first time, and for a row that is newer than that of the table
    /// by the cursor. Any other record of the last load must come after the one that an earlier replay
    /// loaded.
    fn insert(&self, key: KeyDigest, fresh: Option<&Record>, is_newer: bool) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = fresh
            .zip(before.get(&key))
            .is_some_and(|(record, before)| stood(record) <= *before);
        if is_older && !is_newer {
            return false;
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(key) || is_newer
    }

    /// Adds the keys that an earlier replay loaded.
    pub(crate) fn remember(&self, keys: LetIn) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for (object, keys) in keys.0 {
            for (digest, ordinal) in keys {
                let Some(key) = read(&digest) else { continue };
                let new = (object.clone(), ordinal);
                match before.get_mut(&key) {
                    Some(newest) if *newest >= new => {}
                    Some(newest) => *newest = new,
                    None => {
                        before.insert(key, new);
                    }
                }
            }
        }
    }
}

fn stood(record: &Record) -> RecordOrder {
    (record.place.object.clone(), record.place.ordinal)
}

pub(crate) fn digest(key: impl Iterator<Item = Option<String>>) -> KeyDigest {
    let mut hash = Sha256::new();
    for part in key {
        let length = part.as_ref().map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    let mut digest = [0; 16];
    for (to, from) in digest.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    digest
}

/// A digest in the form of the annotations of a commit.
fn written(key: KeyDigest) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

fn read(text: &str) -> Option<KeyDigest> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// The keys of records that a commit loaded and that the load's last commit had rejected: by their object,
/// each with its position there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LetIn(BTreeMap<String, Vec<(String, u64)>>);

impl LetIn {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, key: KeyDigest, record: &Record) {
        let (object, ordinal) = stood(record);
        let keys = self.0.entry(object).or_default();
        keys.push((written(key), ordinal));
    }
}

/// What happened to the records of one commit.
#[derive(Clone, Default)]
pub(crate) struct Admitted {
    /// The ids of records that were left out.
    pub(crate) left_out: BTreeSet<String>,
    /// The keys of records that were loaded.
    pub(crate) let_in: LetIn,
    /// The ids of records that may be newer than those; they wait for the next replay, which can compare
    /// them with the table.
    pub(crate) waiting: BTreeSet<String>,
}

/// Decides about the rows of one commit.
pub(crate) struct Admission {
    records: Arc<Vec<Record>>,
    /// The load's last commit.
    last: Generation,
    /// True if a cursor says which of two rows is newer.
    is_by_cursor: bool,
    seen: SeenKeys,
    /// Keys that earlier batches loaded.
    going_in: HashSet<KeyDigest>,
    admitted: Admitted,
}

impl Admission {
    /// For these records; the ordinal of a row is its position in this list.
    pub(crate) fn new(
        records: Arc<Vec<Record>>,
        last: Generation,
        is_by_cursor: bool,
        seen: SeenKeys,
    ) -> Self {
        Self {
            records,
            last,
            is_by_cursor,
            seen,
            going_in: HashSet::new(),
            admitted: Admitted::default(),
        }
    }

    /// What happened to the rows so far.
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// Which rows belong to records that the load's last commit rejected.
    pub(crate) fn fresh(&self, ordinals: &[u64]) -> Vec<bool> {
        let is_fresh = |record: &Record| record.generation == self.last;
        let records = ordinals.iter().map(|ordinal| self.record(*ordinal));
        records.map(|found| found.is_some_and(is_fresh)).collect()
    }

    fn record(&self, ordinal: u64) -> Option<&Record> {
        self.records.get(usize::try_from(ordinal).ok()?)
    }

    /// Which rows are loaded; records what happens to the others. `key` returns the key of a row by its
    /// position.
    pub(crate) fn judge(
        &mut self,
        ordinals: &[u64],
        newest_first: &[i64],
        compared: &Compared,
        key: impl Fn(usize) -> KeyDigest,
    ) -> Vec<bool> {
        let mut here = HashSet::new();
        let mut keep = vec![false; ordinals.len()];
        for place in newest_first {
            let row = usize::try_from(*place).unwrap_or(usize::MAX);
            let (Some(keep), Some(ordinal)) = (keep.get_mut(row), ordinals.get(row)) else {
                continue;
            };
            let (key, record) = (key(row), self.record(*ordinal).cloned());
            let fresh = record.as_ref();
            let fresh = fresh.filter(|record| record.generation == self.last);
            let is_older = compared.older.contains(place);
            let is_going_in = self.going_in.contains(&key);
            *keep = !is_older
                && !is_going_in
                && !here.contains(&key)
                && self.seen.insert(key, fresh, compared.newer.contains(place));
            if *keep {
                here.insert(key);
                if let Some(fresh) = fresh {
                    self.admitted.let_in.add(key, fresh);
                }
            } else if let Some(record) = record {
                // A row of an earlier batch is loaded, and its cursor value is not known here.
                let may_be_newer = self.is_by_cursor && !is_older && is_going_in;
                let to = match may_be_newer {
                    true => &mut self.admitted.waiting,
                    false => &mut self.admitted.left_out,
                };
                to.insert(record.id);
            }
        }
        self.going_in.extend(here);
        keep
    }
}

#[cfg(test)]
mod tests {
    use towpath_vocab::{RawRecord, RecordLocation};

    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.to_owned(),
            raw: RawRecord::Row("{}".to_owned()),
            place: RecordLocation {
                object: "x".to_owned(),
                line: None,
                ordinal: 0,
            },
            generation: Generation(1),
        }
    }

    fn admission(ids: &[&str], is_by_cursor: bool, seen: &SeenKeys) -> Admission {
        let records = Arc::new(ids.iter().map(|id| record(id)).collect());
        Admission::new(records, Generation(1), is_by_cursor, seen.clone())
    }

    /// Judges rows with these keys, in the order of their places.
    fn judge(
        admission: &mut Admission,
        first: u64,
        keys: &[&str],
        compared: &Compared,
    ) -> Vec<bool> {
        let ordinals: Vec<u64> = (first..).take(keys.len()).collect();
        let places: Vec<i64> = (0..).take(keys.len()).collect();
        admission.judge(&ordinals, &places, compared, |row| {
            digest(keys.get(row).map(|key| Some((*key).to_owned())).into_iter())
        })
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn of_one_key_the_newest_goes_in_however_many_commits_lie_between() {
        let (seen, same) = (SeenKeys::default(), Compared::default());
        let mut first = admission(&["new 1", "new 2", "none"], false, &seen);
        let keep = judge(&mut first, 0, &["1", "2", ""], &same);
        assert_eq!((keep, first.admitted().left_out.len()), (vec![true; 3], 0));
        let mut second = admission(&["old 2", "new 3", "old 3"], false, &seen);
        let keep = judge(&mut second, 0, &["2", "3", "3"], &same);
        assert_eq!(keep, [false, true, false]);
        assert_eq!(second.admitted().left_out, ids(&["old 2", "old 3"]));
        // A later replay knows these keys from the annotations of their commits.
        let later = SeenKeys::default();
        later.remember(second.admitted().let_in.clone());
        let mut third = admission(&["old 3"], false, &later);
        assert_eq!(judge(&mut third, 0, &["3"], &same), [false]);
    }

    #[test]
    fn what_the_table_says_decides_and_what_it_cannot_say_yet_waits() {
        let seen = SeenKeys::default();
        let mut one = admission(&["a", "b", "c", "a again", "b again"], true, &seen);
        let compared = Compared {
            older: HashSet::from([1]),
            newer: HashSet::new(),
        };
        assert_eq!(
            judge(&mut one, 0, &["a", "b", "c"], &compared),
            [true, false, true]
        );
        assert_eq!(one.admitted().left_out, ids(&["b"]));
        let same = Compared::default();
        assert_eq!(judge(&mut one, 3, &["a", "b"], &same), [false, true]);
        assert_eq!(one.admitted().waiting, ids(&["a again"]));
    }
}
