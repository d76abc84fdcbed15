//! Rows whose transaction numbers the server is about to give out again.
//!
//! Promise: a row keeps 32 bits of its transaction's number, also when it is frozen. About 2^32
//! transactions later a new row may have the same number. A position therefore keeps a print of each old row
//! whose number comes next, and sketches of the others (`recycled/sketch.rs`), so that none is left out. A
//! print holds a row's place, number and cursor value: another row that is stored there has another one. Old
//! rows that were deleted or updated make nothing unclear. It decides nothing: `cursor/changes.rs`.

mod sketch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use self::sketch::{Sketch, cells_of, sums};
use super::error::{ErrorContext as _, Result};
use super::members::stand_in;
use super::names::quoted;
use super::transactions::{COMPARABLE, Moment, ROUND, Ranges, counted_from, place_among};
use super::types::Column;

/// So many rows are kept one by one.
const MOST_LISTED: usize = 8_000;
/// The first block has so many numbers, each other one four times as many as the one before it.
const FIRST_BLOCK: i64 = 1 << 13;
/// A sum of digests is kept below this.
const DIGESTS: i64 = i64::MAX;

/// The rows that have a number, or one of several, which comes again, as positions up to version 3 have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NumberedRows {
    number: i64,
    /// The last of several numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<i64>,
    rows: i64,
    digest: i64,
}

impl NumberedRows {
    fn of((number, last): (i64, i64), rows: i64, digest: i64) -> Self {
        Self {
            number,
            last: (last > number).then_some(last),
            rows,
            digest,
        }
    }

    fn range(&self) -> (i64, i64) {
        (self.number, self.last.unwrap_or(self.number))
    }
}

/// The rows that have one of several numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    numbers: Ranges,
    sketch: Sketch,
}

/// What is known of numbers that come again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recycled {
    /// Numbers below this one are known.
    until: i64,
    /// Empty since version 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<NumberedRows>,
    /// The type of the cursor column when the prints were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_type: Option<String>,
    /// The numbers that come first, with the prints of the rows that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listed: Vec<(i64, Vec<i64>)>,
    /// The other numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Block>,
    /// The last place of a row in each table, by the table's number. `None` in positions of version 2,
    /// which took no number into the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<BTreeMap<u32, i64>>,
}

/// The rows that are looked at.
pub(super) struct Rows<'a> {
    client: &'a Client,
    source: &'a str,
    /// A row's print in SQL.
    print: String,
    value_type: &'a str,
}

impl<'a> Rows<'a> {
    pub(super) fn new(client: &'a Client, source: &'a str, cursor: &'a Column) -> Self {
        // 60 bits. The cursor value distinguishes a row from one that was stored in its place.
        let value = quoted(&cursor.name);
        let print = format!(
            "('x' || left(md5(concat_ws(' ', tableoid, ctid, xmin, {value}::text)), 15))::bit(60)::int8"
        );
        Self {
            client,
            source,
            print,
            value_type: &cursor.type_name,
        }
    }

    /// SQL for the rows that have a number in these ranges: their number, counted from the first one, as
    /// `x`, the place of its range as `at`, their print as `h`.
    fn within(&self, ranges: &[(i64, i64)], condition: &str) -> String {
        let begin = first_of(ranges);
        format!(
            "(SELECT x, at, h FROM (SELECT {} AS x, {} AS at, {} AS h FROM {} WHERE {HAS_NUMBER} AND ({condition})) n \
             WHERE at % 2 = 1)",
            counted_from(begin),
            place_among(ranges, begin),
            self.print,
            self.source,
        )
    }

    /// True for rows that have a number in these ranges.
    fn have(ranges: &[(i64, i64)]) -> String {
        format!("{} % 2 = 1", place_among(ranges, first_of(ranges)))
    }

    /// True for rows with one of these prints.
    fn are(&self, prints: &[i64]) -> String {
        let prints: Vec<String> = prints.iter().map(ToString::to_string).collect();
        format!("{} = ANY ('{{{}}}'::int8[])", self.print, prints.join(","))
    }
}

/// Rows of transactions long ago, whose numbers the server has given out again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LongAgo {
    /// Numbers that such rows have.
    pub(super) numbers: Ranges,
    /// SQL that is true for these rows.
    is_old: Option<String>,
}

impl LongAgo {
    /// True for rows that are none of these; `None` when there are none.
    pub(super) fn exclude(&self) -> Option<String> {
        let is_old = self.is_old.as_ref()?;
        Some(format!("NOT ({is_old})"))
    }

    /// True for these rows.
    pub(super) fn include(&self) -> &str {
        self.is_old.as_deref().unwrap_or("false")
    }
}

/// Numbers that the server has given out again, and that rows of the last read have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) old: LongAgo,
    /// SQL that is true for rows of which it is not known whether they were there.
    pub(super) unclear: Option<String>,
}

/// Rows whose numbers are also those of transactions that may be open.
pub(super) struct Shared<'a> {
    pub(super) numbers: &'a Ranges,
    /// True for those that were given.
    pub(super) given: &'a str,
}

/// What happened to places of rows since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// Tables whose rows are stored anew.
    pub(super) anew: &'a [u32],
    /// A row that is stored after all that were there may have been held back.
    pub(super) held_back: bool,
}

impl Recycled {
    /// Of the numbers after the present one, and of those whose transactions may be open. `None` where the
    /// server has not yet counted so far that one could come again.
    pub(super) async fn of(
        rows: &Rows<'_>,
        moment: &Moment,
        shared: &Shared<'_>,
    ) -> Result<Option<Self>> {
        if moment.next <= COMPARABLE {
            return Ok(None);
        }
        let until = moment.next + COMPARABLE;
        let mut ranges = shared.numbers.as_slice().to_vec();
        ranges.push((moment.next, until - 1));
        let ranges = Ranges::of_ranges(ranges);
        let is_ahead = format!("{} < {COMPARABLE}", counted_from(moment.next));
        let condition = format!("{is_ahead} OR {}", shared.given);
        let (listed, others) = list(rows, &ranges, &condition).await?;
        let blocks = match others {
            Some(from) => blocks(rows, &ranges.since(from), (from, &condition)).await?,
            None => Vec::new(),
        };
        Ok(Some(Self {
            until,
            held: Vec::new(),
            value_type: Some(rows.value_type.to_owned()),
            listed,
            blocks,
            ends: Some(ends(rows).await?),
        }))
    }

    /// Whether every number up to the present one is known.
    pub(super) fn reaches(&self, next: i64) -> bool {
        next <= self.until
    }

    /// Whether the prints of rows are still the same ones.
    pub(super) fn fits(&self, rows: &Rows<'_>) -> bool {
        self.value_type
            .as_ref()
            .is_none_or(|value_type| value_type == rows.value_type)
    }

    /// True for rows that were not there: they are stored after all that were.
    fn came_later(&self, places: Places<'_>) -> String {
        let is_known = places.anew.is_empty() && !places.held_back;
        let Some(ends) = self.ends.as_ref().filter(|_| is_known) else {
            return "false".to_owned();
        };
        let ends = ends.iter();
        let ends: Vec<String> = ends
            .map(|(table, end)| format!(" WHEN {table} THEN {end}"))
            .collect();
        match ends.is_empty() {
            true => "true".to_owned(),
            false => format!("{SPOT} > CASE tableoid{} ELSE -1 END", ends.concat()),
        }
    }

    /// Which rows with numbers below `next` are old ones.
    pub(super) async fn again(
        &self,
        rows: &Rows<'_>,
        (next, places): (i64, Places<'_>),
    ) -> Result<Again> {
        let came_later = self.came_later(places);
        let mut found = RecycledRanges::default();
        self.compare_held(rows, (next, &came_later), &mut found)
            .await?;
        self.compare_listed(rows, (next, places), &mut found);
        self.compare_blocks(rows, (next, &came_later), &mut found)
            .await?;
        let any = |clauses: &[String]| (!clauses.is_empty()).then(|| clauses.join(" OR "));
        Ok(Again {
            unclear: any(&found.unclear),
            old: LongAgo {
                is_old: any(&found.old),
                numbers: Ranges::of_ranges(found.numbers),
            },
        })
    }

    /// The numbers of an older version's position: one of a row that is gone is unclear.
    async fn compare_held(
        &self,
        rows: &Rows<'_>,
        (next, came_later): (i64, &str),
        found: &mut RecycledRanges,
    ) -> Result<()> {
        let came = |held: &&NumberedRows| held.number < next;
        let came: Vec<NumberedRows> = self.held.iter().filter(came).copied().collect();
        let ranges: Vec<(i64, i64)> = came.iter().map(NumberedRows::range).collect();
        let place = match self.ends {
            Some(_) => NUMBERED_PLACE,
            None => PLACE,
        };
        let then = format!("NOT ({came_later})");
        let now = in_ranges(rows, &ranges, (place, &then)).await?;
        let (old, unclear): (Vec<NumberedRows>, Vec<NumberedRows>) =
            now.into_iter().partition(|now| came.contains(now));
        let ranges = |held: &[NumberedRows]| -> Vec<(i64, i64)> {
            let begun = |held: &NumberedRows| (held.number, held.range().1.min(next - 1));
            held.iter().map(begun).collect()
        };
        let (old, unclear) = (ranges(&old), ranges(&unclear));
        found.add_old(&old, &then);
        found.add_unclear(&unclear, &then);
        Ok(())
    }

    /// The numbers that came first: each row is known.
    fn compare_listed(
        &self,
        rows: &Rows<'_>,
        (next, places): (i64, Places<'_>),
        found: &mut RecycledRanges,
    ) {
        let came = self.listed.iter().filter(|(number, _)| *number < next);
        let (numbers, prints): (Vec<i64>, Vec<&[i64]>) = came
            .map(|(number, prints)| (*number, prints.as_slice()))
            .unzip();
        let ranges = Ranges::of_numbers(&numbers);
        let listed = rows.are(&prints.concat());
        found.add_old(ranges.as_slice(), &listed);
        if !places.anew.is_empty() {
            // Their old rows have other prints now.
            let moved = stand_in(places.anew);
            found.add_unclear(ranges.as_slice(), &format!("{moved} AND NOT ({listed})"));
        }
    }

    /// The other numbers: the rows that came are known, unless too many left or came.
    async fn compare_blocks(
        &self,
        rows: &Rows<'_>,
        (next, came_later): (i64, &str),
        found: &mut RecycledRanges,
    ) -> Result<()> {
        let begun = |block: &&Block| first_of(block.numbers.as_slice()) < next;
        let then: Vec<&Block> = self.blocks.iter().filter(begun).collect();
        let numbers: Vec<Ranges> = then.iter().map(|block| block.numbers.clone()).collect();
        let was_there = format!("NOT ({came_later})");
        let now = sketches(rows, &numbers, &was_there).await?;
        for (then, now) in then.into_iter().zip(now) {
            let numbers = then.numbers.before(next);
            match then.sketch.came(&now.sketch) {
                Some(came) if came.is_empty() => found.add_old(numbers.as_slice(), &was_there),
                Some(came) => {
                    let old = format!("{was_there} AND NOT ({})", rows.are(&came));
                    found.add_old(numbers.as_slice(), &old);
                }
                None => found.add_unclear(numbers.as_slice(), &was_there),
            }
        }
        Ok(())
    }
}

/// What became of numbers that came again.
#[derive(Default)]
struct RecycledRanges {
    numbers: Vec<(i64, i64)>,
    old: Vec<String>,
    unclear: Vec<String>,
}

impl RecycledRanges {
    fn add_old(&mut self, ranges: &[(i64, i64)], condition: &str) {
        if !ranges.is_empty() {
            self.numbers.extend(ranges);
            self.old
                .push(format!("({} AND {condition})", Rows::have(ranges)));
        }
    }

    fn add_unclear(&mut self, ranges: &[(i64, i64)], condition: &str) {
        if !ranges.is_empty() {
            self.unclear
                .push(format!("({} AND {condition})", Rows::have(ranges)));
        }
    }
}

/// True for rows with any number from `since` to before `next`.
pub(super) fn is_between(since: i64, next: i64) -> String {
    format!("{} < {}", counted_from(since), (next - since).min(ROUND))
}

const ASKING: &str = "asking for rows of very old transactions";
/// Part of the digest of a row's place.
const PLACE: &str = "('x' || left(md5(tableoid::text || ctid::text), 8))::bit(32)::int8";
/// The same with the row's number: another row may be stored there later.
const NUMBERED_PLACE: &str =
    "('x' || left(md5(tableoid::text || ctid::text || xmin::text), 8))::bit(32)::int8";
/// A row's place as a number that grows with it.
const SPOT: &str = "((ctid::text::point)[0]::int8 * 65536 + (ctid::text::point)[1]::int8)";
/// 0 to 2 are no transactions of their own.
const HAS_NUMBER: &str = "xmin::text::int8 > 2";

fn first_of(ranges: &[(i64, i64)]) -> i64 {
    ranges.first().map_or(0, |(begin, _)| *begin)
}

/// The first numbers, with the prints of their rows, and the number from which on they are left out.
async fn list(
    rows: &Rows<'_>,
    ranges: &Ranges,
    condition: &str,
) -> Result<(Vec<(i64, Vec<i64>)>, Option<i64>)> {
    let sql = format!(
        "SELECT x, h FROM {} r ORDER BY x LIMIT {}",
        rows.within(ranges.as_slice(), condition),
        MOST_LISTED + 1
    );
    let answer = rows.client.query(&sql, &[]).await.doing(ASKING)?;
    let begin = first_of(ranges.as_slice());
    let mut listed: Vec<(i64, Vec<i64>)> = Vec::new();
    for row in &answer {
        let (number, print) = (begin + row.get::<_, i64>(0), row.get(1));
        match listed.last_mut() {
            Some((last, prints)) if *last == number => prints.push(print),
            _ => listed.push((number, vec![print])),
        }
    }
    // There may be more rows of the last number.
    let left_out = match answer.len() > MOST_LISTED {
        true => listed.pop().map(|(number, _)| number),
        false => None,
    };
    Ok((listed, left_out))
}

/// The numbers from `from` on, in blocks. One look at the table, whose memory does not grow with it.
async fn blocks(
    rows: &Rows<'_>,
    ranges: &Ranges,
    (from, condition): (i64, &str),
) -> Result<Vec<Block>> {
    let mut parts = Vec::new();
    let (mut begin, mut size) = (from, FIRST_BLOCK);
    while !ranges.since(begin).is_empty() {
        parts.push(ranges.since(begin).before(begin + size));
        begin += size;
        size *= 4;
    }
    parts.retain(|part| !part.is_empty());
    let blocks = sketches(rows, &parts, condition).await?;
    let has_rows = |block: &Block| !block.sketch.is_empty();
    Ok(blocks.into_iter().filter(has_rows).collect())
}

/// What rows have these numbers, which are in order and apart. The numbers end with those that rows have.
async fn sketches(rows: &Rows<'_>, parts: &[Ranges], condition: &str) -> Result<Vec<Block>> {
    let of = |numbers: &Ranges| Block {
        numbers: numbers.clone(),
        sketch: Sketch::default(),
    };
    let mut blocks: Vec<Block> = parts.iter().map(of).collect();
    let ranges: Vec<(i64, i64)> = parts.iter().flat_map(Ranges::as_slice).copied().collect();
    if ranges.is_empty() {
        return Ok(blocks);
    }
    let owners = parts.iter().enumerate();
    let owners: Vec<usize> = owners
        .flat_map(|(at, part)| part.as_slice().iter().map(move |_| at))
        .collect();
    // OFFSET 0: a print is made once a row.
    let sql = format!(
        "SELECT at, cell, {}, min(x), max(x) FROM (SELECT x, at, h FROM {} r OFFSET 0) s \
         CROSS JOIN LATERAL unnest({}) AS cell GROUP BY at, cell",
        sums(),
        rows.within(&ranges, condition),
        cells_of(),
    );
    let answer = rows.client.query(&sql, &[]).await.doing(ASKING)?;
    let begin = first_of(&ranges);
    let mut ends: Vec<Option<(i64, i64)>> = vec![None; blocks.len()];
    for row in &answer {
        let at = usize::try_from(row.get::<_, i32>(0)).unwrap_or_default() / 2;
        let owner = owners.get(at).copied().unwrap_or_default();
        let (Some(block), Some(end)) = (blocks.get_mut(owner), ends.get_mut(owner)) else {
            continue;
        };
        block
            .sketch
            .add(row.get(1), (row.get(2), row.get(3), row.get(4)));
        let (first, last) = (begin + row.get::<_, i64>(5), begin + row.get::<_, i64>(6));
        let known = end.unwrap_or((first, last));
        *end = Some((known.0.min(first), known.1.max(last)));
    }
    for (block, end) in blocks.iter_mut().zip(ends) {
        if let Some((first, last)) = end {
            block.numbers = block.numbers.since(first).before(last + 1);
        }
    }
    Ok(blocks)
}

/// The last place of a row in each table.
async fn ends(rows: &Rows<'_>) -> Result<BTreeMap<u32, i64>> {
    let sql = format!(
        "SELECT tableoid, max({SPOT}) FROM {} GROUP BY tableoid",
        rows.source
    );
    let rows = rows.client.query(&sql, &[]).await.doing(ASKING)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The rows that have numbers in these ranges, which are in order and apart.
async fn in_ranges(
    rows: &Rows<'_>,
    ranges: &[(i64, i64)],
    (place, among): (&str, &str),
) -> Result<Vec<NumberedRows>> {
    let Some((begin, _)) = ranges.first() else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT place, count(*), (sum(h) % {DIGESTS})::int8 FROM (SELECT {} AS place, {place} AS h FROM {} \
         WHERE {HAS_NUMBER} AND {among}) d WHERE place % 2 = 1 GROUP BY place ORDER BY place",
        place_among(ranges, *begin),
        rows.source
    );
    let rows = rows.client.query(&sql, &[]).await.doing(ASKING)?;
    let held = |row: &tokio_postgres::Row| {
        let place = usize::try_from(row.get::<_, i32>(0)).ok()? / 2;
        Some(NumberedRows::of(
            *ranges.get(place)?,
            row.get(1),
            row.get(2),
        ))
    };
    Ok(rows.iter().filter_map(held).collect())
}
