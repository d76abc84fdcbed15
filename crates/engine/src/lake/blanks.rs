//! Keys of `char(n)` columns, which earlier versions loaded with the blanks that fill them up.
//!
//! Promise: values without these blanks are never written by key beside the same values with them. If a
//! column of a table has no such value, the metadata of the column say so, so its rows are read only once for this. Which
//! source cuts blanks is in `connectors/postgres/types.rs`. It does not know whether a mask was added or
//! removed: `masks.rs` comes first. Read next: `writer.rs`, `evolve.rs` (when the metadata are removed).

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_schema::{Field, Schema};
use futures::TryStreamExt as _;
use towpath_ports::WriteRequest;
use towpath_vocab::types::{BLANKS, BLANKS_CUT, MASKED};

use super::error::{LakeError, LakeResult};
use super::evolve::EvolvedColumns;
use super::read::{BatchSize, read_ahead, read_files};
use super::table::{Snapshot, Table};

/// Refuses a write by `key` (places in the target's columns) into a table that holds values with blanks.
pub(crate) async fn check_keys(
    (table, base): (&Arc<Table>, &Snapshot),
    intent: &WriteRequest,
    key: &[usize],
    target: &mut EvolvedColumns,
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
            // A hash does not show whether the value had blanks.
            false => has_rows(table, base).then_some(None),
        };
        if let Some(length) = with_blanks {
            return Err(LakeError::KeyBlanks {
                table: intent.table.to_string(),
                column: field.name().clone(),
                length,
            });
        }
        set_metadata(target, *at, BLANKS, word);
    }
    Ok(())
}

/// The metadata of a table whose rows are all replaced by the incoming ones.
pub(crate) fn replace_all(mut target: EvolvedColumns, incoming: &Schema) -> EvolvedColumns {
    for at in 0..target.from.len() {
        let from = target.from.get(at).copied().flatten();
        let Some(field) = from.and_then(|from| incoming.fields().get(from)) else {
            continue;
        };
        for key in [BLANKS, MASKED] {
            let present = target.schema.field(at).metadata().get(key);
            if let Some(word) = field
                .metadata()
                .get(key)
                .filter(|word| present != Some(*word))
            {
                set_metadata(&mut target, at, key, word);
            }
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
    let has_blanks = |value: &str| value.ends_with(' ');
    let value = first_value(table, base, field, has_blanks).await?;
    Ok(value.map(|value| Some(value.chars().count())))
}

/// The first value of a text column that is `wanted`.
pub(super) async fn first_value(
    table: &Arc<Table>,
    base: &Snapshot,
    field: &Field,
    wanted: fn(&str) -> bool,
) -> LakeResult<Option<String>> {
    let column = Arc::new(Schema::new(vec![field.clone()]));
    let storage = Arc::clone(&table.storage);
    let files = base.files(table);
    let mut batches = read_ahead(read_files(storage, files, column, BatchSize::default()));
    while let Some(batch) = batches.try_next().await? {
        let values = batch.column(0).as_string_opt::<i32>();
        let mut values = values.iter().flat_map(|values| values.iter().flatten());
        if let Some(value) = values.find(|value| wanted(value)) {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}

pub(super) fn has_rows(table: &Table, base: &Snapshot) -> bool {
    let files = base.files(table);
    files.iter().any(|file| file.rows != Some(0))
}

/// Marks a column: this is true of all its rows.
pub(super) fn set_metadata(target: &mut EvolvedColumns, at: usize, key: &str, word: &str) {
    let fields = target.schema.fields().iter().enumerate();
    let marked = fields.map(|(place, field)| {
        let mut metadata = field.metadata().clone();
        if place == at {
            metadata.insert(key.to_owned(), word.to_owned());
        }
        field.as_ref().clone().with_metadata(metadata)
    });
    target.schema = Arc::new(Schema::new(marked.collect::<Vec<_>>()));
    target.changed = true;
}
