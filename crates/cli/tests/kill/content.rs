//! The rows of the source in each version, and the rows that each target must have afterwards.
//!
//! A row depends only on its version and its number. A multiset of rows is represented by its size and the
//! sum of a 128-bit hash of every row over all columns, so multisets are added and compared without storing
//! them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The project's id.
pub(crate) const PROJECT: &str = "11111111-2222-4333-8444-555555555555";

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

/// The first moment of 2024.
const FIRST_US: i64 = 1_704_067_200_000_000;

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
        at_us: FIRST_US + ((id * 61 + version) % 31_000_000) as i64 * 1_000_000,
        note: (!id.is_multiple_of(11))
            .then(|| format!("note \"{id}\" of Köln, seen in version {version}")),
    }
}

fn is_bad(id: u64) -> bool {
    id % BAD == 5
}

/// What is said of a row of kind `z`.
const NO_KIND: &str =
    r#"[{"code":"in","column":"kind","value":"z","message":"the rule says one of a, b, c, d"}]"#;

/// How the bad rows of a version are written, each breaking another rule, and what is said of them.
fn bad_record(version: u64, id: u64) -> (String, &'static str) {
    let at = "2024-01-01T00:00:00";
    match id / BAD % 4 {
        0 => (
            format!("{id},z,1.00,{at},kind of version {version}"),
            NO_KIND,
        ),
        1 => (
            format!("{id},a,900000.00,{at},amount of version {version}"),
            r#"[{"code":"max","column":"amount","value":"900000.00","message":"the rule says at most 100000"}]"#,
        ),
        2 => (
            format!("{id},a,much,{at},no number in version {version}"),
            r#"[{"code":"type","column":"amount","value":"much","message":"is not a valid `decimal(12,2)`"}]"#,
        ),
        _ => (
            format!("{id},a,1.00,{at},one cell too many in version {version},x"),
            r#"[{"code":"columns","column":null,"value":null,"message":"the record has 6 fields, the header has 5"}]"#,
        ),
    }
}

/// Columns of a quarantine that differ by nature between two attempts that set the same record aside:
/// when it was, by which run, and the generation that run wrote, a number that runs take whether or not
/// they commit. Everything else of a record follows from the source, however often a process died on
/// the way.
pub(crate) const OF_AN_ATTEMPT: [&str; 3] = ["set_aside_at", "run", "generation"];

/// All other columns of a quarantine.
pub(crate) const SET_ASIDE: [&str; 9] = [
    "id", "status", "task", "object", "line", "ordinal", "form", "record", "reasons",
];

const OBJECT: &str = "data/items.csv";
const TABLE: &str = "_quarantine.raw.items";

/// A record's id in the quarantine: half a hash of where it was meant for, its place and itself.
fn record_id(ordinal: u64, record: &str) -> String {
    let mut hash = Sha256::new();
    let ordinal = ordinal.to_le_bytes();
    let parts: [&[u8]; 7] = [
        PROJECT.as_bytes(),
        b"dev",
        TABLE.as_bytes(),
        OBJECT.as_bytes(),
        &ordinal,
        b"text",
        record.as_bytes(),
    ];
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes = hash.finalize();
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn good_record(item: &Item) -> String {
    let note = item.note.as_ref().map_or_else(String::new, |note| {
        format!("\"{}\"", note.replace('"', "\"\""))
    });
    format!(
        "{},{},{},{},{note}",
        item.id,
        item.kind,
        item.amount(),
        item.at()
    )
}

impl Item {
    fn amount(&self) -> String {
        format!("{}.{:02}", self.cents / 100, self.cents % 100)
    }

    fn at(&self) -> String {
        let seconds = (self.at_us - FIRST_US) / 1_000_000;
        let (day, time) = (seconds / 86_400, seconds % 86_400);
        let (month, day) = month_and_day(day);
        format!(
            "2024-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            time / 3600,
            time / 60 % 60,
            time % 60
        )
    }
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
    /// `SET_ASIDE` of every bad row.
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
    let task = format!("{PROJECT}+dev+kill+extract+{TABLE}");
    let mut put = |record: &str, ordinal: &mut u64| {
        file.write_all(record.as_bytes()).expect("written");
        file.write_all(b"\n").expect("written");
        *ordinal += record.len() as u64 + 1;
    };
    put("id,kind,amount,at,note", &mut ordinal);
    for id in version * SHIFT..version * SHIFT + rows {
        line += 1;
        if is_bad(id) {
            let (record, reasons) = bad_record(version, id);
            made.bad.add(&[
                Some(&record_id(ordinal, &record)),
                Some("held"),
                Some(&task),
                Some(OBJECT),
                Some(&line.to_string()),
                Some(&ordinal.to_string()),
                Some("text"),
                Some(&record),
                Some(reasons),
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

/// Rows of a version whose cursor is that of the last row before them.
const TIES: u64 = 3;

/// Columns of the quarantine of a table that is read by a cursor which differ between attempts: beside
/// the others the row's number, because a row there has no place of its own but within a read, and the
/// id, a hash of that too.
pub(crate) const OF_A_READ: [&str; 5] = ["set_aside_at", "run", "generation", "ordinal", "id"];

/// All other columns of such a quarantine.
pub(crate) const SET_ASIDE_OF_A_TABLE: [&str; 7] = [
    "status", "task", "object", "line", "form", "record", "reasons",
];

/// The rows a table gains with a version; `put` takes each.
pub(crate) fn grow(
    version: u64,
    rows: u64,
    object: &str,
    mut put: impl FnMut([Option<&str>; 5]),
) -> Version {
    let mut made = Version {
        items: Items::default(),
        bad: Rows::default(),
        leaving: Items::default(),
    };
    let task = format!("{PROJECT}+dev+kill+extract+{TABLE}");
    let first = (version - 1) * rows + 1;
    for id in first..first + rows {
        let moment = if id < first + TIES { first - 1 } else { id };
        let item = Item {
            at_us: FIRST_US + moment as i64 * 1_000_000,
            ..item(version, id)
        };
        let kind = if is_bad(id) { "z" } else { item.kind };
        let (id, amount, at) = (id.to_string(), item.amount(), item.at());
        put([
            Some(&id),
            Some(kind),
            Some(&amount),
            Some(&at),
            item.note.as_deref(),
        ]);
        if kind != "z" {
            made.items.add(&item);
            continue;
        }
        let note = item.note.as_ref().map_or_else(
            || "null".to_owned(),
            |note| format!("\"{}\"", note.replace('"', "\\\"")),
        );
        let record =
            format!(r#"{{"id":"{id}","kind":"z","amount":"{amount}","at":"{at}","note":{note}}}"#);
        made.bad.add(&[
            Some("held"),
            Some(&task),
            Some(object),
            None,
            Some("row"),
            Some(&record),
            Some(NO_KIND),
        ]);
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
