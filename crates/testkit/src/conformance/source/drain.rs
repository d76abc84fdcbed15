//! Reads a source to its end, or to a chosen boundary, and collects the rows.
//!
//! Promise: as in `flow`, rows count only after a boundary or the end; rows behind the last boundary of a
//! dropped read are lost. Read next: `again.rs`.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use towpath_ports::{Assignment, Event, ReadSpec, Reader, Rows, Source};
use towpath_vocab::{Position, SplitId, SplitPosition};

use crate::conformance::lines_of_batch;

/// The result of a read.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) rows: Vec<Rows>,
    /// The positions of the boundaries of each split, in order.
    pub(super) positions: BTreeMap<SplitId, Vec<SplitPosition>>,
    /// The notes of the reader.
    pub(super) notes: Vec<String>,
    /// The position of the next read.
    pub(super) position: Position,
}

impl Taken {
    /// Its rows as sorted lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rows.iter().flat_map(lines_of).collect();
        lines.sort();
        lines
    }
}

/// The lines of rows, with their operation as `op`.
pub(super) fn lines_of(rows: &Rows) -> Vec<String> {
    let lines = lines_of_batch(&rows.batch).into_iter().enumerate();
    let row = |(at, line): (usize, String)| match &rows.ops {
        Some(ops) => format!("{line} op={}", ops.value(at)),
        None => line,
    };
    lines.map(row).collect()
}

pub(super) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

pub(super) async fn open(
    source: &dyn Source,
    spec: &ReadSpec,
    from: Option<&Position>,
) -> Box<dyn Reader> {
    source.open(spec, from).await.unwrap()
}

/// Reads everything. A rejected record, a revoked split or a split that does not end is a failure.
pub(super) async fn all(source: &dyn Source, spec: &ReadSpec, from: Option<&Position>) -> Taken {
    let mut reader = open(source, spec, from).await;
    let tables = reader.tables();
    let mut taken = Taken {
        notes: reader.notes(),
        position: from.cloned().unwrap_or_default(),
        ..Taken::default()
    };
    let mut splits = reader.splits();
    let mut complete = None;
    while let Some(assignment) = splits.next().await {
        assert!(complete.is_none(), "nothing follows Complete");
        let mut split = match assignment.unwrap() {
            Assignment::Assigned(split) => split,
            Assignment::Revoked(id) => panic!("split {id:?} was taken away"),
            Assignment::Complete(position) => {
                complete = Some(position);
                continue;
            }
        };
        let mut ended = false;
        while let Some(event) = split.events.next().await {
            assert!(!ended, "nothing follows the end of split {:?}", split.id);
            match event.unwrap() {
                Event::Rows(rows) => {
                    let table = tables.iter().find(|table| table.table == rows.table);
                    let table =
                        table.unwrap_or_else(|| panic!("`{}` was not announced", rows.table));
                    assert_eq!(
                        rows.batch.schema(),
                        table.schema,
                        "other columns than announced"
                    );
                    assert_eq!(rows.ordinals.len(), rows.len());
                    assert!(rows.ops.as_ref().is_none_or(|ops| ops.len() == rows.len()));
                    taken.rows.push(rows);
                }
                Event::Boundary(position) => {
                    taken.position.advance(&split.id, position.clone());
                    taken
                        .positions
                        .entry(split.id.clone())
                        .or_default()
                        .push(position);
                }
                Event::Rejects(rejects) => panic!("rejected: {rejects:?}"),
                Event::End => ended = true,
                Event::Schema(_) | Event::Truncate(_) | Event::Watermark { .. } => {}
            }
        }
        assert!(ended, "split {:?} stopped without an end", split.id);
    }
    taken.position.merge(complete.expect("no Complete came"));
    reader.committed(&taken.position).await.unwrap();
    taken
}

/// The rows before the `nth` boundary (from 1) of a read that is then dropped, with the position of that
/// boundary. Later rows were read and are lost with the reader.
pub(super) async fn part(
    source: &dyn Source,
    spec: &ReadSpec,
    from: Option<&Position>,
    nth: usize,
) -> Taken {
    let mut reader = open(source, spec, from).await;
    let mut taken = Taken {
        position: from.cloned().unwrap_or_default(),
        ..Taken::default()
    };
    let mut splits = reader.splits();
    let (mut waiting, mut boundaries) = (Vec::new(), 0);
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            match event.unwrap() {
                Event::Rows(_) if boundaries == nth => return taken,
                Event::Rows(rows) => waiting.push(rows),
                Event::Boundary(position) if boundaries < nth => {
                    boundaries += 1;
                    taken.rows.append(&mut waiting);
                    taken.position.advance(&split.id, position);
                }
                _ => {}
            }
        }
    }
    taken
}
