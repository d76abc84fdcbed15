//! Conformance cases about the reads after the first: only new rows, and resuming a read that was
//! dropped.
//!
//! Every source passes them. A position is stored and read back between the reads, as by another process.
//! Read next: `drain.rs`.

use towpath_ports::{ReadSpec, Source};
use towpath_vocab::{Position, ReadMode};

use super::SourceUnderTest;
use super::drain::{all, part, sorted};

/// A position after it was stored and read by another process.
fn stored(position: &Position) -> Position {
    serde_json::from_str(&serde_json::to_string(position).unwrap()).unwrap()
}

/// Those of the new rows that an incremental read returns.
fn found(under: &dyn SourceUnderTest, new: &[String]) -> Vec<String> {
    let found = new.iter().filter(|line| under.is_found_later(line));
    found.cloned().collect()
}

/// A read from the end of the last one returns no row twice and misses none; a bounded full read returns
/// everything again.
pub async fn reading_again_gives_only_what_is_new(under: &dyn SourceUnderTest) {
    let reads = under.reads();
    let specs: Vec<ReadSpec> = reads.iter().map(|mode| under.spec(*mode)).collect();
    let mut positions = Vec::new();
    for (mode, spec) in reads.iter().zip(&specs) {
        let first = all(under.source().as_ref(), spec, None).await;
        let from = stored(&first.position);
        let again = all(under.source().as_ref(), spec, Some(&from)).await;
        if *mode == ReadMode::Full && !under.is_endless() {
            assert_eq!(again.lines(), first.lines(), "{mode:?} starts over");
        } else {
            assert_eq!(again.lines(), Vec::<String>::new(), "{mode:?} repeats");
        }
        positions.push(stored(&again.position));
    }
    let Some(new) = under.grow().await else {
        assert!(under.is_endless(), "only a fake never grows");
        return;
    };
    for ((mode, spec), from) in reads.iter().zip(&specs).zip(&positions) {
        let next = all(under.source().as_ref(), spec, Some(from)).await;
        let expected = match mode {
            ReadMode::Full => under.expected(),
            _ => found(under, &new),
        };
        if *mode != ReadMode::Full && expected.len() < new.len() {
            assert!(
                !next.notes.is_empty(),
                "{mode:?} passes over rows without a word"
            );
        }
        assert_eq!(next.lines(), sorted(expected), "{mode:?}");
        for (split, position) in from.splits() {
            let now = next.position.get(split);
            assert!(
                now.is_some_and(|now| now.order >= position.order),
                "{mode:?} went back"
            );
        }
        if *mode == ReadMode::Incremental {
            let from = stored(&next.position);
            let last = all(under.source().as_ref(), spec, Some(&from)).await;
            assert_eq!(
                last.lines(),
                Vec::<String>::new(),
                "{mode:?} repeats what was new"
            );
        }
    }
}

/// Rows before the last boundary, and rows of the read that was reopened there, are all rows, each once. If
/// there was no boundary yet, the reopened read returns everything.
pub async fn a_reader_dropped_half_way_loses_and_doubles_nothing(under: &dyn SourceUnderTest) {
    for mode in under.reads() {
        let spec = under.spec(mode);
        let starts_over = mode == ReadMode::Full && !under.is_endless();
        for nth in [0, 1, 2, 3, 40] {
            let source = under.source();
            let taken = part(source.as_ref(), &spec, None, nth).await;
            let from = stored(&taken.position);
            let rest = all(under.source().as_ref(), &spec, Some(&from)).await;
            let mut lines = rest.lines();
            if !starts_over {
                lines.extend(taken.lines());
            }
            assert_eq!(
                sorted(lines),
                sorted(under.expected()),
                "{mode:?}, boundary {nth}"
            );
        }
        if mode == ReadMode::Incremental {
            dropped_behind_a_first_read(under, under.source().as_ref(), &spec).await;
        }
    }
}

async fn dropped_behind_a_first_read(
    under: &dyn SourceUnderTest,
    source: &dyn Source,
    spec: &ReadSpec,
) {
    let first = stored(&all(source, spec, None).await.position);
    let Some(new) = under.grow().await else {
        return;
    };
    let taken = part(source, spec, Some(&first), 0).await;
    assert!(taken.rows.is_empty());
    let rest = all(
        under.source().as_ref(),
        spec,
        Some(&stored(&taken.position)),
    )
    .await;
    assert_eq!(rest.lines(), sorted(found(under, &new)));
}

/// A source with versions returns the same one until something changes.
pub async fn a_version_is_equal_until_something_changes(under: &dyn SourceUnderTest) {
    for mode in under.reads() {
        let spec = under.spec(mode);
        let first = under.source().version(&spec).await.unwrap();
        assert_eq!(
            under.source().version(&spec).await.unwrap(),
            first,
            "{mode:?}"
        );
        if under.grow().await.is_some() && first.is_some() {
            let then = under.source().version(&spec).await.unwrap();
            assert!(
                then.is_some() && then != first,
                "{mode:?} does not see a change"
            );
        }
    }
}
