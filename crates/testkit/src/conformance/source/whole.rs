//! Conformance cases about one read from start to end: each row once, ordinals, boundaries, projection,
//! limit.
//!
//! Every source passes them. They know no system: that is `SourceUnderTest`. Read next: `drain.rs`,
//! `again.rs`.

use std::collections::BTreeSet;

use towpath_ports::{ReadSpec, RejectedRecord, row_as_json};
use towpath_vocab::{Position, RawRecord, ReadMode};

use super::SourceUnderTest;
use super::drain::{all, lines_of, open, sorted};
use crate::conformance::lines_of_batch;

/// Each row comes once, for any number of parallel splits and any size of batches.
pub async fn a_read_gives_each_row_once(under: &dyn SourceUnderTest) {
    let expected = sorted(under.expected());
    assert!(expected.len() > 500, "too few rows to tell batches apart");
    for mode in under.reads() {
        for (parallel, batch_rows) in [(1, 100), (4, 37), (2, 100_000)] {
            let spec = ReadSpec {
                parallel,
                batch_rows,
                ..under.spec(mode)
            };
            let source = under.source();
            let bounded = open(source.as_ref(), &spec, None).await.bounded();
            assert_eq!(bounded, !under.is_endless());
            let taken = all(source.as_ref(), &spec, None).await;
            assert_eq!(taken.lines(), expected, "{mode:?}, {parallel} at once");
        }
    }
}

fn id_of(json: &str) -> String {
    let object: serde_json::Value = serde_json::from_str(json).unwrap();
    object["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {json}"))
        .to_owned()
}

/// No two rows of an object share an ordinal; for an ordinal the source returns the record of that row. A
/// record that is text parses as that row again.
pub async fn ordinals_are_unique_and_find_their_record(under: &dyn SourceUnderTest) {
    for mode in under.reads() {
        let (source, spec) = (under.source(), under.spec(mode));
        let taken = all(source.as_ref(), &spec, None).await;
        let mut seen = BTreeSet::new();
        let (mut texts, mut again) = (Vec::new(), Vec::new());
        for rows in &taken.rows {
            for (row, ordinal) in rows.ordinals.values().iter().enumerate() {
                let place = rows.origin.place(*ordinal);
                assert!(!place.object.is_empty(), "a row of nothing");
                assert!(
                    seen.insert((place.object, *ordinal)),
                    "{mode:?}: two rows with ordinal {ordinal}"
                );
                match rows.origin.raw(*ordinal) {
                    RawRecord::Row(json) => {
                        assert_eq!(id_of(&json), id_of(&row_as_json(&rows.batch, row)));
                    }
                    raw @ RawRecord::Text(_) => {
                        texts.push(RejectedRecord {
                            place: rows.origin.place(*ordinal),
                            raw,
                        });
                        again.push(lines_of(rows)[row].clone());
                    }
                }
            }
        }
        assert_eq!(seen.len(), under.expected().len());
        if texts.is_empty() {
            continue;
        }
        let mut reader = source.replay(&spec, texts).await.unwrap();
        let mut replayed = Vec::new();
        let mut splits = reader.splits();
        use futures::StreamExt as _;
        while let Some(assignment) = splits.next().await {
            let towpath_ports::Assignment::Assigned(mut split) = assignment.unwrap() else {
                continue;
            };
            while let Some(event) = split.events.next().await {
                match event.unwrap() {
                    towpath_ports::Event::Rows(rows) => replayed.extend(lines_of(&rows)),
                    towpath_ports::Event::Rejects(rejects) => panic!("rejected: {rejects:?}"),
                    _ => {}
                }
            }
        }
        assert_eq!(sorted(replayed), sorted(again), "{mode:?}");
    }
}

/// Positions of a split never go back, and a position is the same after it was stored.
pub async fn boundaries_only_move_forward_and_survive_being_stored(under: &dyn SourceUnderTest) {
    for mode in under.reads() {
        let taken = all(under.source().as_ref(), &under.spec(mode), None).await;
        for (split, positions) in &taken.positions {
            let orders: Vec<u64> = positions.iter().map(|position| position.order).collect();
            assert!(orders.is_sorted(), "{mode:?}, {split:?}: {orders:?}");
        }
        let stored = serde_json::to_string(&taken.position).unwrap();
        let read: Position = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, taken.position, "{mode:?}: {stored}");
        let must_have_one = under.is_endless() || mode != ReadMode::Full;
        assert!(
            !must_have_one || !read.is_empty(),
            "{mode:?} keeps no position"
        );
    }
}

/// The requested columns are there with all of their values; there may be more.
pub async fn a_projection_gives_what_is_asked(under: &dyn SourceUnderTest) {
    let ids = |lines: Vec<String>| {
        let id = |line: String| {
            line.split(' ')
                .find(|part| part.starts_with("id="))
                .map(str::to_owned)
        };
        sorted(lines.into_iter().filter_map(id).collect())
    };
    let expected = ids(under.expected());
    for mode in under.reads() {
        let spec = ReadSpec {
            projection: Some(vec!["id".to_owned()]),
            ..under.spec(mode)
        };
        let taken = all(under.source().as_ref(), &spec, None).await;
        let lines = taken
            .rows
            .iter()
            .flat_map(|rows| lines_of_batch(&rows.batch));
        assert_eq!(ids(lines.collect()), expected, "{mode:?}");
    }
}

/// A limit returns approximately this many rows: enough, but far from all.
pub async fn a_limit_stops_early(under: &dyn SourceUnderTest) {
    let expected: BTreeSet<String> = under.expected().into_iter().collect();
    for mode in under.reads() {
        let spec = ReadSpec {
            limit: Some(20),
            ..under.spec(mode)
        };
        let lines = all(under.source().as_ref(), &spec, None).await.lines();
        assert!(
            lines.len() >= 20 && lines.len() < expected.len() / 2,
            "{mode:?}: {}",
            lines.len()
        );
        assert!(lines.iter().all(|line| expected.contains(line)), "{mode:?}");
    }
}
