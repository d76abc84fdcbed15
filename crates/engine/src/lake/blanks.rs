//! Keys of `char(n)` columns, which earlier versions loaded with the blanks that fill them up.
//!
//! Promise: values without these blanks are never written by key beside the same values with them. A table
//! whose column has no such value is marked, so that it is looked at once only. Which source cuts blanks is
//! in `connectors/postgres/types.rs`. Read next: `writer.rs`, `evolve.rs` (when the mark is lost).

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_schema::{Field, Schema};
use futures::TryStreamExt as _;
use towpath_ports::Intent;
use towpath_vocab::types::{BLANKS, BLANKS_CUT};

use super::error::{LakeError, LakeResult};
use super::evolve::Target;
use super::read::{BatchSize, read_ahead, read_files};
use super::table::{Snapshot, Table};

/// Refuses a write by `key` (places in the target's columns) into a table that holds values with blanks.
pub(crate) async fn check_keys(
    (table, base): (&Arc<Table>, &Snapshot),
    intent: &Intent,
    key: &[usize],
    target: &mut Target,
) -> LakeResult<()> {
    for at in key {
        let incoming = target.from.get(*at).copied().flatten();
        let incoming = incoming.and_then(|from| intent.schema.fields().get(from));
        let Some(word) = incoming.and_then(|field| field.metadata().get(BLANKS)) else {
            continue;
        };
        let field = target.schema.field(*at);
        if field.metadata().get(BLANKS) == Some(word) {
            continue;
        }
        let with_blanks = match word == BLANKS_CUT {
            true => first_with_blanks(table, base, field).await?,
            // What was masked does not show its blanks.
            false => has_rows(table, base).then_some(None),
        };
        if let Some(length) = with_blanks {
            return Err(LakeError::KeyBlanks {
                table: intent.table.to_string(),
                column: field.name().clone(),
                length,
            });
        }
        mark(target, *at, word);
    }
    Ok(())
}

/// All rows are replaced by those that come.
pub(crate) fn replace_all(mut target: Target, incoming: &Schema) -> Target {
    for at in 0..target.from.len() {
        let from = target.from.get(at).copied().flatten();
        let field = from.and_then(|from| incoming.fields().get(from));
        let word = field.and_then(|field| field.metadata().get(BLANKS));
        if let Some(word) =
            word.filter(|word| target.schema.field(at).metadata().get(BLANKS) != Some(*word))
        {
            mark(&mut target, at, word);
        }
    }
    target
}

/// The length of a value that ends in a blank, if the table has one.
async fn first_with_blanks(
    table: &Arc<Table>,
    base: &Snapshot,
    field: &Field,
) -> LakeResult<Option<Option<usize>>> {
    let column = Arc::new(Schema::new(vec![field.clone()]));
    let storage = Arc::clone(&table.storage);
    let files = base.files(table);
    let mut batches = read_ahead(read_files(storage, files, column, BatchSize::default()));
    while let Some(batch) = batches.try_next().await? {
        if let Some(length) = length_with_blanks(&batch) {
            return Ok(Some(Some(length)));
        }
    }
    Ok(None)
}

fn length_with_blanks(batch: &RecordBatch) -> Option<usize> {
    let values = batch.column(0).as_string_opt::<i32>()?;
    let mut values = values.iter().flatten();
    let value = values.find(|value| value.ends_with(' '))?;
    Some(value.chars().count())
}

fn has_rows(table: &Table, base: &Snapshot) -> bool {
    let files = base.files(table);
    files.iter().any(|file| file.rows != Some(0))
}

/// All rows of the column are as its source gives them now.
fn mark(target: &mut Target, at: usize, word: &str) {
    let fields = target.schema.fields().iter().enumerate();
    let marked = fields.map(|(place, field)| {
        let mut metadata = field.metadata().clone();
        if place == at {
            metadata.insert(BLANKS.to_owned(), word.to_owned());
        }
        field.as_ref().clone().with_metadata(metadata)
    });
    target.schema = Arc::new(Schema::new(marked.collect::<Vec<_>>()));
    target.changed = true;
}
