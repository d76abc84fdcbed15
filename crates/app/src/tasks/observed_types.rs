//! The column types that a load had before, for sources whose text does not give types.
//!
//! Promise: a known type stays. The types come from the table itself, under the source's column names; for
//! a masked column they come from the last read. Text that was read with other options is inferred again,
//! and so is a column that never had a value. It does not know how a source uses the types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use sha2::{Digest, Sha256};
use towpath_ports::Destination;
use towpath_vocab::types::{NO_VALUES, SOURCE_NAME, SOURCE_TYPE, WRITTEN_AS};
use towpath_vocab::{
    LoadPlan, OptionValue, Selection, TableFact, is_audit_field, is_written_by_load,
};

use crate::Result;
use crate::facts::external_key;

/// Schema metadata of an observed table: a hash of the options with which it was read.
const READ_BY: &str = "towpath.read_by";

/// The columns of the source in the last read, with their names in the source.
pub(crate) async fn observed(
    destination: &dyn Destination,
    facts: &[(String, TableFact)],
    load: &LoadPlan,
) -> Result<Option<SchemaRef>> {
    let Selection::Object(object) = &load.selection else {
        return Ok(None);
    };
    let key = external_key(&load.connection.name, object);
    let fact = facts.iter().find(|(known, _)| *known == key);
    let last = fact.map(|(_, fact)| Arc::clone(&fact.schema));
    // A table that cannot be read now is replaced, or the load stops later with the reason.
    let table = destination.schema(&load.table.target).await.ok().flatten();
    let read_by = last.as_ref().and_then(|last| last.metadata().get(READ_BY));
    let is_read_anew = read_by.is_some_and(|hash| *hash != options_hash(load));
    let mut fields: Vec<Field> = table
        .iter()
        .flat_map(|table| of_table(table, load))
        .collect();
    for known in last.iter().flat_map(|last| last.fields()) {
        let named = fields.iter().position(|field| field.name() == known.name());
        match named.and_then(|at| fields.get_mut(at)) {
            Some(field) => copy_metadata(field, known),
            None if table.is_some() => fields.push(known.as_ref().clone()),
            None => {}
        }
    }
    fields.retain(|field| {
        let is_open = is_read_anew && *field.data_type() == DataType::Utf8;
        !is_open && !field.metadata().contains_key(NO_VALUES)
    });
    Ok((!fields.is_empty()).then(|| Arc::new(Schema::new(fields))))
}

/// Columns of the table that come directly from the source.
fn of_table<'t>(table: &'t SchemaRef, load: &'t LoadPlan) -> impl Iterator<Item = Field> + 't {
    table.fields().iter().filter_map(|field| {
        let mut plans = load.table.columns.iter();
        let plan = plans.find(|plan| plan.name == *field.name());
        let is_other = plan.is_some_and(|plan| plan.set.is_some() || plan.mask.is_some());
        let is_added = is_written_by_load(&load.table.write, field.name()) || is_audit_field(field);
        if is_other || is_added || field.metadata().contains_key(SOURCE_TYPE) {
            return None;
        }
        let from = plan.and_then(|plan| plan.from.as_ref());
        let name = field
            .metadata()
            .get(SOURCE_NAME)
            .or(from)
            .unwrap_or(field.name());
        Some(Field::new(name, field.data_type().clone(), true))
    })
}

fn copy_metadata(field: &mut Field, known: &Field) {
    let of_reading = [NO_VALUES, WRITTEN_AS].into_iter().filter_map(|key| {
        let value = known.metadata().get(key)?;
        Some((key.to_owned(), value.clone()))
    });
    field.set_metadata(of_reading.collect());
}

/// The columns of a read, with the options with which it was read.
pub(super) fn stamped_schema(schema: &SchemaRef, load: &LoadPlan) -> SchemaRef {
    let metadata = HashMap::from([(READ_BY.to_owned(), options_hash(load))]);
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata))
}

/// A hash of the options with which a source is read.
fn options_hash(load: &LoadPlan) -> String {
    let mut hash = Sha256::new();
    for (name, value) in &load.connection.options {
        if let OptionValue::Plain(value) = value {
            hash.update(format!("{name}={value};"));
        }
    }
    for (name, value) in &load.options {
        hash.update(format!("{name}:{value};"));
    }
    let hash = hash.finalize();
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
