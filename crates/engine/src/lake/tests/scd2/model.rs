//! `write: scd2` with times of the rows beside a model that is a list of spans: random loads, whole and in
//! part, late rows, rows delivered again, deletes, reruns after a write that was given up.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dice, Row, at, by_column, check_invariants, timed, versions};
use crate::lake::tests::{Fixture, data_files, load, prepare, table};

/// A version as the model has it.
#[derive(Clone, Debug)]
struct Span {
    from: i64,
    to: Option<i64>,
    name: &'static str,
    /// The time that its row had.
    said: i64,
}

impl Span {
    fn is_at(&self, time: i64) -> bool {
        self.from <= time && self.to.is_none_or(|end| time < end)
    }
}

type Loaded = (i64, &'static str, i64);

/// The history of all keys.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<i64, Vec<Span>>);

impl Model {
    /// The history after a load, or none when it is refused.
    fn after(&self, list: &[Loaded], now: i64, closes: bool) -> Option<Self> {
        let mut next = self.clone();
        let ids: BTreeSet<i64> = list.iter().map(|row| row.0).collect();
        for id in &ids {
            let rows: BTreeSet<(i64, &'static str)> = list
                .iter()
                .filter(|row| row.0 == *id)
                .map(|row| (row.2, row.1))
                .collect();
            let times: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
            if times.len() < rows.len() {
                return None;
            }
            let spans = next.0.entry(*id).or_default();
            take(spans, &rows.into_iter().collect::<Vec<_>>(), now)?;
        }
        for (id, spans) in &mut next.0 {
            let is_gone = closes && !ids.contains(id);
            let mut open = spans.iter_mut().filter(|span| is_gone && span.to.is_none());
            if let Some(open) = open.next() {
                if open.from >= now {
                    return None;
                }
                open.to = Some(now);
            }
        }
        Some(next)
    }

    fn rows(&self) -> Vec<Row> {
        let spans = self
            .0
            .iter()
            .flat_map(|(id, spans)| spans.iter().map(move |span| (id, span)));
        let mut rows: Vec<Row> = spans
            .map(|(id, span)| {
                let name = Some(span.name.to_owned());
                (*id, name, at(span.from), span.to.map(at))
            })
            .collect();
        rows.sort();
        rows
    }
}

/// The rows of one key, in the order of their times.
fn take(spans: &mut Vec<Span>, rows: &[(i64, &'static str)], now: i64) -> Option<()> {
    let ended = spans.iter().filter_map(|span| span.to).max();
    let began = spans.iter().find(|span| span.to.is_none());
    let began = began.map(|span| span.from.max(span.said));
    for (place, (time, name)) in rows.iter().enumerate() {
        let (time, is_last) = (*time, place + 1 == rows.len());
        let open = spans.iter().position(|span| span.to.is_none());
        let is_known = spans
            .iter()
            .any(|span| span.name == *name && (span.is_at(time) || span.said == time));
        let new = |from| Span {
            from,
            to: None,
            name,
            said: time,
        };
        let is_after_end = ended.is_none_or(|end| time >= end);
        let Some(open) = open else {
            match (is_after_end, is_last) {
                (true, _) => spans.push(new(time)),
                (false, true) => spans.push(new(now)),
                (false, false) if is_known => {}
                (false, false) => return None,
            }
            continue;
        };
        let current = &mut spans[open];
        let is_late = began.is_some_and(|began| time <= began);
        if is_known {
        } else if current.name == *name {
            // It is before the current version, or that was gone and said so itself.
            if time < current.said.min(current.from) {
                if !is_after_end {
                    return None;
                }
                current.from = time;
            }
        } else if !is_late {
            current.to = Some(time);
            spans.push(new(time));
        } else if is_last && time > current.said {
            current.to = Some(now);
            spans.push(new(now));
        } else {
            return None;
        }
    }
    Some(())
}

/// All rows that the source ever showed, and the newest of each key.
#[derive(Default)]
struct Seen {
    log: Vec<Loaded>,
    newest: BTreeMap<i64, Loaded>,
}

fn random_list(dice: &mut Dice, now: i64, closes: bool, seen: &Seen) -> Vec<Loaded> {
    let names = ["a", "b", "c"];
    let mut random = |oldest: u64| {
        let back = i64::try_from(dice.below(oldest)).unwrap();
        let name = names[dice.below(3) as usize];
        (dice.below(4) as i64, name, (now - back).max(1))
    };
    let (one, late) = (random(9), random(60));
    let all = seen.newest.values().copied();
    if closes {
        // All that is there; one row is gone, changed or as before.
        let mut list: Vec<_> = all.filter(|row| row.0 != one.0).collect();
        list.extend([None, Some(one), seen.newest.get(&one.0).copied()][dice.below(3) as usize]);
        return list;
    }
    match dice.below(6) {
        0 => seen.log.clone(),
        1 => {
            let from = dice.below(seen.log.len() as u64 + 1) as usize;
            seen.log[from..].to_vec()
        }
        2 | 3 => vec![late],
        4 => vec![one, (one.0, names[dice.below(3) as usize], one.2 + 1)],
        _ => all.filter(|row| row.0 != one.0).chain([one]).collect(),
    }
}

#[tokio::test]
async fn random_loads_with_times_agree_with_a_model() {
    let (mut taken, mut refused, mut back) = (0, 0, 0);
    for seed in 0..24 {
        let mut dice = Dice(seed * 7_919);
        dice.below(1);
        let f = Fixture::new();
        let mut model = Model::default();
        let mut seen = Seen::default();
        for generation in 1..=14 {
            let now = generation * 10;
            let closes = dice.below(4) == 0;
            let list = random_list(&mut dice, now, closes, &seen);
            let batch: Vec<_> = list.iter().map(|row| (row.0, row.1, Some(row.2))).collect();
            let intent = || by_column(now, closes);
            if dice.below(5) == 0 {
                // A write that is given up leaves nothing behind.
                let files = data_files(&f.lake);
                if let Ok(prepared) = prepare(&f.lake, intent(), vec![(timed(&batch), None)]).await
                {
                    prepared.discard().await.unwrap();
                }
                assert_eq!(data_files(&f.lake), files);
            }
            let done = load(&f.lake, intent(), timed(&batch)).await;
            let what = format!("seed {seed} generation {generation}: {list:?} {closes}\n{model:?}");
            match model.after(&list, now, closes) {
                Some(next) => {
                    done.unwrap_or_else(|failure| panic!("{what}\n{failure:?}"));
                    back += next
                        .0
                        .values()
                        .flatten()
                        .filter(|span| span.said < span.from)
                        .count();
                    model = next;
                    taken += 1;
                    for row in list {
                        seen.log.push(row);
                        let newest = seen.newest.entry(row.0).or_insert(row);
                        if newest.2 <= row.2 {
                            *newest = row;
                        }
                    }
                }
                None => {
                    let failure = done.err().unwrap_or_else(|| panic!("{what}: not refused"));
                    assert!(
                        ["R0441", "R0450", "R0451"].contains(&failure.code.as_str()),
                        "{what}"
                    );
                    refused += 1;
                }
            }
            if f.lake.snapshot(&table()).await.unwrap().is_some() {
                let rows = versions(&f.lake).await;
                check_invariants(&rows);
                assert_eq!(rows, model.rows(), "{what}");
                if dice.below(5) == 0 {
                    f.lake.compact(&table(), "compact").await.unwrap();
                }
            }
        }
    }
    assert!(
        taken > 150 && refused > 10 && back > 0,
        "{taken} {refused} {back}"
    );
}
