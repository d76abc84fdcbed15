//! What the source holds in each version, and what every place must hold after it.
//!
//! Rows follow from version and number alone. A multiset of rows is told by its size and the sum of a
//! 128-bit hash of every row over all columns, so multisets are added and compared without being held.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Rows that leave and come with each version.
pub(crate) const SHIFT: u64 = 7;
/// One row in so many is bad.
const BAD: u64 = 97;

/// A multiset of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    pub(crate) sum: u128,
}

impl Rows {
    pub(crate) fn add(&mut self, cells: &[Option<&str>]) {
        let hash = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            for cell in cells {
                match cell {
                    Some(text) => {
                        hasher.write(text.as_bytes());
                        hasher.write_u8(0xff);
                    }
                    None => hasher.write_u8(0xfe),
                }
            }
            hasher.finish()
        };
        self.count += 1;
        self.sum = self
            .sum
            .wrapping_add(u128::from(hash(1)) << 64 | u128::from(hash(2)));
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum.wrapping_add(other.sum),
        }
    }
}

/// Rows of `items` with what a model over them gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Items {
    pub(crate) rows: Rows,
    kinds: BTreeMap<&'static str, (u64, i64)>,
}

impl Items {
    fn add(&mut self, item: &Item) {
        let (id, cents, at) = (
            item.id.to_string(),
            item.cents.to_string(),
            item.at_us.to_string(),
        );
        self.rows.add(&[
            Some(&id),
            Some(item.kind),
            Some(&cents),
            Some(&at),
            item.note.as_deref(),
        ]);
        let kind = self.kinds.entry(item.kind).or_default();
        kind.0 += 1;
        kind.1 += item.cents;
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut kinds = self.kinds.clone();
        for (kind, (count, cents)) in &other.kinds {
            let held = kinds.entry(kind).or_default();
            held.0 += count;
            held.1 += cents;
        }
        Self {
            rows: self.rows.and(other.rows),
            kinds,
        }
    }

    /// Its rows, else those of the model over it.
    pub(crate) fn sent(&self, is_items: bool) -> Rows {
        if is_items { self.rows } else { self.by_kind() }
    }

    /// `select kind, count(*), sum(amount) ... group by kind`.
    pub(crate) fn by_kind(&self) -> Rows {
        let mut rows = Rows::default();
        for (kind, (count, cents)) in &self.kinds {
            rows.add(&[
                Some(kind),
                Some(&count.to_string()),
                Some(&cents.to_string()),
            ]);
        }
        rows
    }
}

struct Item {
    id: u64,
    kind: &'static str,
    cents: i64,
    at_us: i64,
    note: Option<String>,
}

fn item(version: u64, id: u64) -> Item {
    let mixed = id
        .wrapping_mul(2_654_435_761)
        .wrapping_add(version.wrapping_mul(40_503));
    let kinds = ["a", "b", "c", "d"];
    Item {
        id,
        kind: kinds[(mixed >> 7) as usize % 4],
        cents: (mixed % 9_000_000) as i64,
        at_us: 1_704_067_200_000_000 + ((id * 61 + version) % 31_000_000) as i64 * 1_000_000,
        note: (!id.is_multiple_of(11))
            .then(|| format!("note \"{id}\" of Köln, seen in version {version}")),
    }
}

fn is_bad(id: u64) -> bool {
    id % BAD == 5
}

/// How the bad rows of a version are written: each breaks another rule.
fn bad_record(version: u64, id: u64) -> String {
    match id / BAD % 4 {
        0 => format!("{id},z,1.00,2024-01-01T00:00:00,kind of version {version}"),
        1 => format!("{id},a,900000.00,2024-01-01T00:00:00,amount of version {version}"),
        2 => format!("{id},a,much,2024-01-01T00:00:00,no number in version {version}"),
        _ => format!("{id},a,1.00,2024-01-01T00:00:00,one cell too many in version {version},x"),
    }
}

fn good_record(item: &Item) -> String {
    let seconds = item.at_us / 1_000_000 - 1_704_067_200;
    let (day, time) = (seconds / 86_400, seconds % 86_400);
    let (month, day) = month_and_day(day);
    let note = item.note.as_ref().map_or_else(String::new, |note| {
        format!("\"{}\"", note.replace('"', "\"\""))
    });
    format!(
        "{},{},{}.{:02},2024-{month:02}-{day:02}T{:02}:{:02}:{:02},{note}",
        item.id,
        item.kind,
        item.cents / 100,
        item.cents % 100,
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// Of a day in 2024, counted from 0.
fn month_and_day(day: i64) -> (usize, i64) {
    let mut left = day;
    for (month, length) in [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        .into_iter()
        .enumerate()
    {
        if left < length {
            return (month + 1, left + 1);
        }
        left -= length;
    }
    (12, 31)
}

/// One version of the source as it was written.
pub(crate) struct Version {
    pub(crate) items: Items,
    /// `object, line, ordinal, record` of every bad row.
    pub(crate) bad: Rows,
    /// The items that the next version no longer has.
    pub(crate) leaving: Items,
}

/// Writes `items.csv` of a version.
pub(crate) fn write(path: &Path, version: u64, rows: u64) -> Version {
    let mut file = BufWriter::new(std::fs::File::create(path).expect("the source can be written"));
    let mut made = Version {
        items: Items::default(),
        bad: Rows::default(),
        leaving: Items::default(),
    };
    let (mut ordinal, mut line) = (0_u64, 1_u64);
    let mut put = |record: &str, ordinal: &mut u64| {
        file.write_all(record.as_bytes()).expect("written");
        file.write_all(b"\n").expect("written");
        *ordinal += record.len() as u64 + 1;
    };
    put("id,kind,amount,at,note", &mut ordinal);
    for id in version * SHIFT..version * SHIFT + rows {
        line += 1;
        if is_bad(id) {
            let record = bad_record(version, id);
            made.bad.add(&[
                Some("data/items.csv"),
                Some(&line.to_string()),
                Some(&ordinal.to_string()),
                Some(&record),
            ]);
            put(&record, &mut ordinal);
        } else {
            let item = item(version, id);
            made.items.add(&item);
            if id < (version + 1) * SHIFT {
                made.leaving.add(&item);
            }
            put(&good_record(&item), &mut ordinal);
        }
    }
    made
}

/// What must stand where after the present version; `gone` is what a merge keeps of older ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) now: Items,
    pub(crate) all: Items,
    pub(crate) merged: Items,
    gone: Items,
    pub(crate) bad: Rows,
}

impl Expected {
    pub(crate) fn after(&self, version: &Version) -> Self {
        Self {
            now: version.items.clone(),
            all: self.all.and(&version.items),
            merged: self.gone.and(&version.items),
            gone: self.gone.and(&version.leaving),
            bad: self.bad.and(version.bad),
        }
    }
}
