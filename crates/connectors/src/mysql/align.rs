//! Looks a table up and fits the rows' columns to it, by MySQL's type table (`present.rs`).
//!
//! Promise: a value is only stored where MySQL keeps it exactly. A number's column that is too narrow gets a wider
//! type, with everything else that its definition says (`SHOW CREATE TABLE`): MySQL would forget its default, its
//! comment and whether it is required. What it comes to is in `relational/align.rs`. It runs nothing.

use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use towpath_ports::WriteRequest;
use towpath_vocab::{WriteMode, types};

use super::catalog::{self, CatalogTable};
use super::error::{MysqlError, Result};
use super::present::{self, Present, stored_as};
use super::session::Session;
use super::sql::{MysqlDialect, PLACE};
use super::target::{Facts, Target};
use crate::relational::align::{self, Alignment, Fit, NewColumn, Request, TableTypes};
use crate::relational::modes::is_keyed;
use crate::relational::statements::OP;

/// An index of InnoDB holds so many bytes of a row.
const INDEX_BYTES: usize = 3_072;
/// What a number or a date takes of them at most.
const NUMBER_BYTES: usize = 32;
/// Most bytes of a character.
const CHARACTER_BYTES: usize = 4;

/// Whether two names mean one column: MySQL ignores the case.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// How many characters a text, or bytes, may have in each column of a key.
pub(super) fn key_characters(intent: &WriteRequest) -> usize {
    let fields = intent.write.key.iter().filter_map(|name| {
        let found = intent.schema.field_with_name(name);
        found.ok().map(|field| is_long(field.data_type()))
    });
    let (long, short): (Vec<bool>, Vec<bool>) = fields.partition(|is_long| *is_long);
    let room = INDEX_BYTES.saturating_sub(NUMBER_BYTES * short.len());
    room / (CHARACTER_BYTES * long.len().max(1))
}

/// Whether values may have any length.
pub(super) fn is_long(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_long(values),
        other => other.is_string() || other.is_binary() || other.is_null(),
    }
}

/// The type of a column in an index.
fn key_type(data_type: &DataType, characters: usize, facts: &Facts) -> Option<String> {
    match data_type {
        DataType::Dictionary(_, values) => key_type(values, characters, facts),
        other if other.is_binary() => Some(format!("varbinary({characters})")),
        other if is_long(other) => Some(facts.key_text(characters)),
        other => stored_as(other, facts),
    }
}

fn no_type(field: &Field) -> MysqlError {
    MysqlError::NoType {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
    }
}

/// The statement that creates the stage. Its keys have an index from the beginning.
pub(super) fn stage(intent: &WriteRequest, facts: &Facts) -> Result<String> {
    let (fields, write) = (intent.schema.fields(), &intent.write);
    let characters = key_characters(intent);
    let is_key = |field: &Field| is_keyed(write.mode) && write.key.contains(field.name());
    let mut lines = vec![format!("{PLACE} bigint unsigned NOT NULL PRIMARY KEY")];
    let mut keys = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let stored = match is_key(field) {
            true => {
                keys.push(format!("c{at}"));
                key_type(field.data_type(), characters, facts)
            }
            false => stored_as(field.data_type(), facts),
        };
        let stored = stored.ok_or_else(|| no_type(field))?;
        lines.push(format!("c{at} {stored} NULL"));
    }
    if write.mode == WriteMode::Merge {
        lines.push(format!("{OP} tinyint unsigned NOT NULL"));
    }
    if !keys.is_empty() {
        lines.push(format!("KEY (`{}`)", keys.join("`, `")));
    }
    let stage = super::sql::STAGE;
    Ok(format!(
        "CREATE TEMPORARY TABLE {stage} ({}) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
        lines.join(", ")
    ))
}

/// Refuses rows of which two columns would be one in MySQL.
pub(super) fn check_names(schema: &Schema, shown: &str) -> Result<()> {
    let fields = schema.fields();
    for (at, field) in fields.iter().enumerate() {
        let mut earlier = fields.iter().take(at);
        if earlier.any(|other| same(other.name(), field.name())) {
            return Err(MysqlError::SameName {
                object: shown.to_owned(),
                column: field.name().clone(),
            });
        }
    }
    Ok(())
}

/// What is to be done to a table that may or may not exist, and what was found of it. `primary` becomes the
/// primary key of a new one.
pub(super) async fn align(
    session: &mut Session,
    (target, facts): (&Target, &Facts),
    intent: &WriteRequest,
    primary: &[String],
) -> Result<(Alignment, Option<CatalogTable>)> {
    let found = catalog::exact(session, target, facts).await?;
    let mut present = None;
    if let Some(found) = &found {
        found.must_have_transactions()?;
        let mut columns = present::columns(session, found).await?;
        if columns.is_empty() {
            return Err(catalog::being_changed(&target.table));
        }
        let is_narrow = |column: &Present| {
            let mut fields = intent.schema.fields().iter();
            let field = fields.find(|field| same(field.name(), &column.name));
            field.is_some_and(|field| {
                let data_type = field.data_type();
                column.takes(data_type, "s.c", facts).is_none()
                    && column.wider(data_type, facts).is_some()
            })
        };
        if columns.iter().any(is_narrow) {
            present::ask_for_definitions(session, found, &mut columns).await?;
        }
        present = Some(columns);
    }
    let types = MysqlTypes {
        facts,
        characters: key_characters(intent),
        primary,
    };
    let (table, shown) = (target.sql(), target.shown(&facts.own));
    let request = Request {
        dialect: &MysqlDialect,
        table: &table,
        shown: &shown,
        schema: &intent.schema,
        change: intent.write.schema_change,
        primary,
    };
    let mut alignment = align::align(&types, &request, present.as_deref()).await?;
    if alignment.created {
        for statement in &mut alignment.statements {
            statement.push_str(&format!(
                " ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {}",
                facts.collation
            ));
        }
    }
    types.finish(&mut alignment, &intent.schema, present.as_deref());
    Ok((alignment, found))
}

/// MySQL's type table.
struct MysqlTypes<'a> {
    facts: &'a Facts,
    characters: usize,
    primary: &'a [String],
}

impl MysqlTypes<'_> {
    /// How each value comes into its column of the table.
    fn finish(&self, alignment: &mut Alignment, schema: &Schema, present: Option<&[Present]>) {
        for aligned in &mut alignment.columns {
            let mut found = present.unwrap_or_default().iter();
            let column = found.find(|column| column.name == aligned.name);
            let Ok(field) = schema.field_with_name(&aligned.incoming) else {
                continue;
            };
            let Some(column) = column else {
                // A new column, in the collation of this server.
                aligned.equates = is_long(field.data_type()) && !self.facts.compares_blanks();
                continue;
            };
            let way = column.takes(field.data_type(), &aligned.staged, self.facts);
            let way = way.unwrap_or_default();
            if let Some(value) = way.value {
                aligned.value = value;
            }
            let declared = align::PresentColumn::type_name(column).to_owned();
            aligned.changed = way.changed.map(|changed| (changed, declared));
        }
    }
}

#[async_trait]
impl TableTypes for MysqlTypes<'_> {
    type Error = MysqlError;
    type Present = Present;

    fn same(&self, one: &str, other: &str) -> bool {
        same(one, other)
    }

    fn fit(&self, field: &Field, present: &Present) -> Result<Fit> {
        if stored_as(field.data_type(), self.facts).is_none() {
            return Err(no_type(field));
        }
        let data_type = field.data_type();
        if present.takes(data_type, "s.c", self.facts).is_some() {
            return Ok(Fit::Plain);
        }
        let wider = present.wider(data_type, self.facts);
        Ok(match wider.filter(|_| present.can_widen()) {
            Some(wider) => Fit::Widen(wider),
            None => Fit::No(types::name(data_type)),
        })
    }

    async fn new_column(&self, field: &Field) -> Result<NewColumn> {
        let data_type = match self.primary.contains(field.name()) {
            true => key_type(field.data_type(), self.characters, self.facts),
            false => stored_as(field.data_type(), self.facts),
        };
        Ok(NewColumn {
            data_type: data_type.ok_or_else(|| no_type(field))?,
            cast: false,
        })
    }

    fn changed(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn widen(&self, table: &str, column: &str, present: &Present, wider: &str) -> String {
        present.widened(table, column, wider)
    }
}
