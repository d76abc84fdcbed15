//! A sketch of a set of rows, by which two states of the set are compared.
//!
//! Promise: it has the same size for every set, and the difference of two sketches names each row that only
//! one of the sets has, as long as these are some hundreds (an invertible Bloom lookup table). When they are
//! more, it says so. A row is a number of 60 bits, its print. It asks nothing of a server: `recycled.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Each row is added to so many cells.
const PARTS: i64 = 3;
/// So many cells are in each part.
const CELLS: i64 = 150;
/// Sums are kept below this.
const MODULUS: i64 = 1 << 61;
/// A print is below this.
const PRINTS: i64 = 1 << 60;
/// Two primes: the check of a print is the product of what remains of its halves.
const PRIMES: (i64, i64) = (1_000_000_007, 998_244_353);

/// Rows, the sum of their prints and the sum of their checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cell(i64, i64, i64);

/// Cells by their place; those that no row is in are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sketch(BTreeMap<i64, Cell>);

/// SQL for the cells of a print `h`, as an array.
pub(super) fn cells_of() -> String {
    format!(
        "ARRAY[h % {CELLS}, {CELLS} + (h >> 20) % {CELLS}, {} + (h >> 40) % {CELLS}]",
        2 * CELLS
    )
}

/// SQL for what a cell keeps of its rows: how many, the sum of prints, the sum of checks.
pub(super) fn sums() -> String {
    let (low, high) = PRIMES;
    format!(
        "count(*), (sum(h) % {MODULUS})::int8, (sum((h % {low}) * ((h >> 30) % {high})) % {MODULUS})::int8"
    )
}

fn places(print: i64) -> [i64; PARTS as usize] {
    [
        print % CELLS,
        CELLS + (print >> 20) % CELLS,
        2 * CELLS + (print >> 40) % CELLS,
    ]
}

fn check(print: i64) -> i64 {
    (print % PRIMES.0) * ((print >> 30) % PRIMES.1)
}

impl Cell {
    fn minus(self, other: Self) -> Self {
        Self(
            self.0 - other.0,
            (self.1 - other.1).rem_euclid(MODULUS),
            (self.2 - other.2).rem_euclid(MODULUS),
        )
    }

    fn of(print: i64, rows: i64) -> Self {
        Self::default().minus(Self(-rows, -rows * print, -rows * check(print)))
    }

    /// The print of the only row, when there is one; with 1 or -1.
    fn single(self, place: i64) -> Option<(i64, i64)> {
        let Self(rows @ (1 | -1), prints, _) = self else {
            return None;
        };
        let print = (rows * prints).rem_euclid(MODULUS);
        let is_so =
            print < PRINTS && places(print).contains(&place) && self == Self::of(print, rows);
        is_so.then_some((print, rows))
    }
}

impl Sketch {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the sums of a cell.
    pub(super) fn add(&mut self, place: i64, (rows, prints, checks): (i64, i64, i64)) {
        let cell = self.0.entry(place).or_default();
        *cell = cell.minus(Cell(-rows, -prints, -checks));
    }

    /// The prints that are in `now` and not in this one; `None` when the two differ in too many rows.
    pub(super) fn came(&self, now: &Self) -> Option<Vec<i64>> {
        let mut cells = now.0.clone();
        for (place, then) in &self.0 {
            let cell = cells.entry(*place).or_default();
            *cell = cell.minus(*then);
        }
        let mut came = Vec::new();
        let mut open: Vec<i64> = cells.keys().copied().collect();
        let mut steps = PARTS * CELLS * PARTS;
        while let Some(place) = open.pop() {
            let single = cells.get(&place).and_then(|cell| cell.single(place));
            let Some((print, rows)) = single else {
                continue;
            };
            steps -= 1;
            if steps < 0 {
                return None;
            }
            for place in places(print) {
                let cell = cells.entry(place).or_default();
                *cell = cell.minus(Cell::of(print, rows));
                open.push(place);
            }
            if rows > 0 {
                came.push(print);
            }
        }
        let is_solved = cells.values().all(|cell| *cell == Cell::default());
        is_solved.then_some(came)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn sketch(rows: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        for row in rows {
            let print = (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4).cast_signed();
            for place in places(print) {
                sketch.add(place, (1, print, check(print)));
            }
        }
        sketch
    }

    #[test]
    fn what_came_is_named_whatever_left() {
        let then = sketch(0..50_000);
        assert_eq!(then.came(&then), Some(Vec::new()));
        let fewer = sketch((0..50_000).filter(|row| row % 200 != 7));
        assert_eq!(then.came(&fewer), Some(Vec::new()));
        let others = sketch((0..50_020).filter(|row| row % 300 != 7));
        let came = then.came(&others).unwrap();
        assert_eq!(came.len(), 20);
        let text = serde_json::to_string(&then).unwrap();
        assert!(text.len() < 30_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<Sketch>(&text).unwrap(), then);
    }

    #[test]
    fn too_many_differences_are_not_guessed() {
        let then = sketch(0..50_000);
        let others = sketch((0..50_000).filter(|row| row % 20 != 7));
        assert_eq!(then.came(&others), None);
        assert_eq!(Sketch::default().came(&then), None);
    }
}
