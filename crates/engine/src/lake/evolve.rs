//! Joins the columns of a table with incoming ones: they fit, are added, are widened, or are refused.
//!
//! Promise: no value changes. Delta cannot widen a column without rewriting its files, unless readers know a
//! feature that most do not have; so a wider type rewrites the files in the same commit
//! (`EvolvedColumns::rewrite`), and so does a new member of a struct. It reads no rows. Read next: `writer.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use towpath_vocab::SchemaChange;
use towpath_vocab::types::{AUDIT, BLANKS, DECLARED, MASKED, SOURCE_TYPE};

use super::error::{LakeError, LakeResult};
use super::types::describe;

/// The columns a table will have, and how incoming rows become rows of it.
#[derive(Clone, Debug)]
pub(crate) struct EvolvedColumns {
    /// The columns after the commit.
    pub(crate) schema: SchemaRef,
    /// Per column the incoming column it is filled from.
    pub(crate) from: Vec<Option<usize>>,
    /// The table's columns change.
    pub(crate) changed: bool,
    /// Files of the table hold a narrower type and must be written anew.
    pub(crate) rewrite: bool,
}

impl EvolvedColumns {
    /// A table made of exactly these columns.
    pub(crate) fn fresh(schema: SchemaRef, changed: bool) -> Self {
        let from = (0..schema.fields().len()).map(Some).collect();
        Self {
            schema,
            from,
            changed,
            rewrite: false,
        }
    }
}

/// Joins the columns of a table with those that come in (already in lakehouse types).
pub(crate) fn evolve(
    table: &str,
    old: &Schema,
    new: &Schema,
    change: SchemaChange,
) -> LakeResult<EvolvedColumns> {
    let mut incoming: HashMap<String, usize> = new
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| (field.name().to_lowercase(), index))
        .collect();
    let mut target = EvolvedColumns {
        schema: Arc::new(Schema::empty()),
        from: Vec::new(),
        changed: false,
        rewrite: false,
    };
    let mut fields = Vec::with_capacity(old.fields().len());
    for field in old.fields() {
        let Some(index) = incoming.remove(&field.name().to_lowercase()) else {
            if change == SchemaChange::Fail {
                return Err(changed(
                    table,
                    format!("the new rows do not have the column `{}`", field.name()),
                ));
            }
            fields.push(Arc::clone(field));
            target.from.push(None);
            continue;
        };
        let joined = join_field(table, field, new.field(index))?;
        let widened = joined.data_type() != field.data_type();
        // A column that says `time` keeps saying so only while nothing else comes in.
        if widened || joined.metadata().get(SOURCE_TYPE) != field.metadata().get(SOURCE_TYPE) {
            if change != SchemaChange::Evolve {
                return Err(changed(
                    table,
                    format!(
                        "column `{}` is `{}` and the new rows have `{}`",
                        field.name(),
                        describe(field),
                        describe(new.field(index))
                    ),
                ));
            }
            target.rewrite |= widened;
        }
        target.changed |= &joined != field.as_ref();
        fields.push(Arc::new(joined));
        target.from.push(Some(index));
    }
    let mut added: Vec<usize> = incoming.into_values().collect();
    added.sort_unstable();
    for index in added {
        match change {
            SchemaChange::Fail => {
                return Err(changed(
                    table,
                    format!("column `{}` is new", new.field(index).name()),
                ));
            }
            SchemaChange::Ignore => {}
            SchemaChange::Evolve | SchemaChange::AddColumns => {
                fields.push(Arc::new(new.field(index).clone()));
                target.from.push(Some(index));
                target.changed = true;
            }
        }
    }
    let fields: Vec<Field> = fields.iter().map(|field| stored(field)).collect();
    target.schema = Arc::new(Schema::new(fields));
    Ok(target)
}

/// A field as a table stores it: who chose its type is not part of it.
fn stored(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(DECLARED);
    field.clone().with_metadata(metadata)
}

fn changed(table: &str, change: String) -> LakeError {
    LakeError::SchemaChanged {
        table: table.to_owned(),
        change,
    }
}

fn join_field(table: &str, old: &Field, new: &Field) -> LakeResult<Field> {
    let (old_word, new_word) = (
        old.metadata().get(SOURCE_TYPE),
        new.metadata().get(SOURCE_TYPE),
    );
    if is_null(new_word) {
        return Ok(old.clone());
    }
    if is_null(old_word) {
        return Ok(stored(new).with_name(old.name()));
    }
    let declared = new.metadata().contains_key(DECLARED);
    let joined = join(old.data_type(), new.data_type())
        .or_else(|| declared.then(|| restated(old, new)).flatten());
    let Some(data_type) = joined else {
        return Err(LakeError::TypeConflict {
            table: table.to_owned(),
            column: old.name().clone(),
            old: describe(old),
            new: describe(new),
        });
    };
    let mut metadata = old.metadata().clone();
    if old_word.is_some() && old_word != new_word {
        metadata.remove(SOURCE_TYPE);
    }
    // These are stored only if they are true of all rows.
    for key in [BLANKS, MASKED] {
        if metadata.get(key) != new.metadata().get(key) {
            metadata.remove(key);
        }
    }
    // Whether the load itself writes the column is said by the last one that wrote it.
    match new.metadata().get(AUDIT) {
        Some(word) => metadata.insert(AUDIT.to_owned(), word.clone()),
        None => metadata.remove(AUDIT),
    };
    Ok(old
        .clone()
        .with_data_type(data_type)
        .with_metadata(metadata))
}

fn is_null(word: Option<&String>) -> bool {
    word.is_some_and(|word| word == "null")
}

/// The narrowest type that holds every value of both, when one is the other's family. Of 64-bit integers
/// and doubles that is not true of all values: each is looked at when it is written (`convert.rs`).
fn join(old: &DataType, new: &DataType) -> Option<DataType> {
    use DataType as T;
    if old == new {
        return Some(old.clone());
    }
    if let (Some(a), Some(b)) = (integer_digits(old), integer_digits(new)) {
        return Some(if a >= b { old.clone() } else { new.clone() });
    }
    match (old, new) {
        (T::Float32 | T::Float64, T::Float32 | T::Float64) => Some(T::Float64),
        (T::Float32, T::Int8 | T::Int16) | (T::Int8 | T::Int16, T::Float32) => Some(T::Float32),
        (T::Float32 | T::Float64, whole) | (whole, T::Float32 | T::Float64)
            if integer_digits(whole).is_some() =>
        {
            Some(T::Float64)
        }
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => decimal(
            (i16::from(*p1), i16::from(*s1)),
            (i16::from(*p2), i16::from(*s2)),
        ),
        (T::Decimal128(precision, scale), whole) | (whole, T::Decimal128(precision, scale)) => {
            let digits = integer_digits(whole)?;
            decimal((i16::from(*precision), i16::from(*scale)), (digits, 0))
        }
        (T::Date32, moment @ T::Timestamp(_, None))
        | (moment @ T::Timestamp(_, None), T::Date32) => Some(moment.clone()),
        (T::List(item), T::List(other)) => {
            let joined = join(item.data_type(), other.data_type())?;
            Some(T::List(Arc::new(Field::clone(item).with_data_type(joined))))
        }
        (T::Struct(members), T::Struct(others)) => join_members(members, others),
        _ => None,
    }
}

/// The members of both structs: those of the first one, and new ones at the end. `None` where two of them
/// differ only in case, which Delta takes for one.
fn join_members(old: &Fields, new: &Fields) -> Option<DataType> {
    let own_type = |field: &Field| field.metadata().get(SOURCE_TYPE).cloned();
    let mut joined = Vec::with_capacity(old.len());
    for member in old {
        joined.push(match new.find(member.name()) {
            None => Arc::clone(member),
            Some((_, other)) if own_type(member) != own_type(other) => return None,
            Some((_, other)) => {
                let joined = join(member.data_type(), other.data_type())?;
                Arc::new(Field::clone(member).with_data_type(joined))
            }
        });
    }
    let mut names: HashSet<String> = old
        .iter()
        .map(|field| field.name().to_lowercase())
        .collect();
    for member in new.iter().filter(|field| old.find(field.name()).is_none()) {
        if !names.insert(member.name().to_lowercase()) {
            return None;
        }
        joined.push(Arc::clone(member));
    }
    Some(DataType::Struct(joined.into()))
}

/// The decimal with room for both, each by its precision and scale.
fn decimal(one: (i16, i16), other: (i16, i16)) -> Option<DataType> {
    let scale = one.1.max(other.1);
    let above = (one.0 - one.1).max(other.0 - other.1);
    let precision = u8::try_from(above + scale).ok()?;
    let scale = i8::try_from(scale).ok()?;
    (precision <= 38).then_some(DataType::Decimal128(precision, scale))
}

/// The type that the project declares for a column, where each value of the table has an exact form in
/// it: any value but bytes has one as text (lists and structs as JSON), and decimals of up to 15 digits have one as a double.
fn restated(old: &Field, new: &Field) -> Option<DataType> {
    use DataType as T;
    let is_plain = new.metadata().get(SOURCE_TYPE).is_none();
    match (old.data_type(), new.data_type()) {
        (from, T::Utf8) if is_plain && !matches!(from, T::Binary) => Some(T::Utf8),
        (T::Decimal128(precision, _), T::Float64) if *precision <= 15 => Some(T::Float64),
        _ => None,
    }
}

fn integer_digits(data_type: &DataType) -> Option<i16> {
    Some(match data_type {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;
    use DataType as T;

    #[test]
    fn joins_hold_both_or_refuse() {
        assert_eq!(join(&T::Int32, &T::Int64), Some(T::Int64));
        assert_eq!(join(&T::Int64, &T::Int16), Some(T::Int64));
        assert_eq!(join(&T::Float32, &T::Float64), Some(T::Float64));
        assert_eq!(
            join(&T::Decimal128(10, 2), &T::Decimal128(12, 6)),
            Some(T::Decimal128(14, 6))
        );
        assert_eq!(join(&T::Decimal128(38, 0), &T::Decimal128(38, 1)), None);
        assert_eq!(
            join(&T::Decimal128(20, 0), &T::Int64),
            Some(T::Decimal128(20, 0))
        );
        for (a, b, both) in [
            (T::Decimal128(10, 0), T::Int64, T::Decimal128(19, 0)),
            (T::Int64, T::Decimal128(10, 2), T::Decimal128(21, 2)),
            (T::Int64, T::Float64, T::Float64),
            (T::Float32, T::Int32, T::Float64),
            (T::Float32, T::Int16, T::Float32),
        ] {
            assert_eq!(join(&a, &b), Some(both));
        }
        for (a, b) in [
            (T::Utf8, T::Int32),
            (T::Int32, T::Utf8),
            (T::Decimal128(38, 20), T::Int64),
            (T::Decimal128(10, 2), T::Float64),
            (T::Date32, T::Utf8),
        ] {
            assert_eq!(join(&a, &b), None);
        }
    }

    #[test]
    fn members_of_structs_are_joined() {
        let of = |word: &str| towpath_vocab::types::parse(word).unwrap();
        let joined = |old: &str, new: &str| {
            let joined = join(&of(old), &of(new));
            joined.map(|joined| towpath_vocab::types::name(&joined))
        };
        for (old, new, both) in [
            (
                "struct(a bigint, b text)",
                "struct(c bool, a double)",
                "struct(a double, b text, c bool)",
            ),
            (
                "list(struct(a int, s struct(x date)))",
                "list(struct(s struct(y text, x timestamp)))",
                "list(struct(a int, s struct(x timestamp, y text)))",
            ),
        ] {
            assert_eq!(joined(old, new).as_deref(), Some(both));
        }
        for (old, new) in [
            ("struct(a bigint)", "struct(a text)"),
            ("struct(a bigint)", "struct(A bigint)"),
            ("struct(a bigint)", "list(bigint)"),
            ("struct(a bigint)", "text"),
        ] {
            assert_eq!(joined(old, new), None);
        }
        let field = |word: &str| Schema::new(vec![Field::new("c", of(word), true)]);
        let (old, new) = (field("struct(a bigint)"), field("struct(b bigint)"));
        let target = evolve("t.t", &old, &new, SchemaChange::Evolve).unwrap();
        assert!(target.changed && target.rewrite);
        for change in [SchemaChange::Fail, SchemaChange::Ignore] {
            assert!(matches!(
                evolve("t.t", &old, &new, change),
                Err(LakeError::SchemaChanged { .. })
            ));
        }
    }

    #[test]
    fn a_declared_type_is_taken_where_every_value_has_a_form_in_it() {
        let field = |data_type: &T, word: Option<&str>| {
            let metadata = word.map(|word| (word.to_owned(), String::new()));
            let field = Field::new("c", data_type.clone(), true);
            Schema::new(vec![field.with_metadata(metadata.into_iter().collect())])
        };
        let declared = |old: &T, new: &T| {
            evolve(
                "a.b",
                &field(old, None),
                &field(new, Some(DECLARED)),
                SchemaChange::Evolve,
            )
            .map(|target| target.schema.field(0).clone())
        };
        for (old, new) in [
            (T::Int64, T::Utf8),
            (T::Date32, T::Utf8),
            (T::Boolean, T::Utf8),
            (T::Decimal128(10, 2), T::Float64),
        ] {
            let merged = declared(&old, &new).unwrap();
            assert_eq!(merged, Field::new("c", new.clone(), true));
            let inferred = evolve(
                "a.b",
                &field(&old, None),
                &field(&new, None),
                SchemaChange::Evolve,
            );
            assert!(matches!(inferred, Err(LakeError::TypeConflict { .. })));
        }
        for (old, new) in [(T::Utf8, T::Int64), (T::Decimal128(16, 2), T::Float64)] {
            assert!(declared(&old, &new).is_err());
        }
    }

    #[test]
    fn a_type_that_travels_as_text_changes_only_with_evolve() {
        let column = |word: Option<&str>| {
            let metadata = word.map(|word| (SOURCE_TYPE.to_owned(), word.to_owned()));
            let field = Field::new("t", T::Utf8, true);
            Schema::new(vec![field.with_metadata(metadata.into_iter().collect())])
        };
        let (time, text) = (column(Some("time")), column(None));
        for change in [SchemaChange::Fail, SchemaChange::Ignore] {
            let stopped = evolve("a.b", &time, &text, change).unwrap_err();
            assert!(stopped.to_string().contains("`t`"), "{stopped}");
            for (old, new) in [
                (&time, &time),
                (&text, &time),
                (&time, &column(Some("null"))),
            ] {
                let target = evolve("a.b", old, new, change).unwrap();
                assert!(!target.changed && !target.rewrite);
            }
        }
        let target = evolve("a.b", &time, &text, SchemaChange::Evolve).unwrap();
        assert!(target.changed && !target.rewrite);
        assert_eq!(target.schema.as_ref(), &text);
    }

    #[test]
    fn whether_the_load_writes_a_column_is_said_by_the_last_write() {
        let of = |is_audit: bool| {
            let word = is_audit.then(|| (AUDIT.to_owned(), "_run".to_owned()));
            let field = Field::new("_run", T::Utf8, true);
            Schema::new(vec![field.with_metadata(word.into_iter().collect())])
        };
        for (old, new) in [(true, false), (false, true)] {
            let target = evolve("a.b", &of(old), &of(new), SchemaChange::Evolve).unwrap();
            assert_eq!(target.schema.as_ref(), &of(new));
            assert!(target.changed && !target.rewrite);
        }
    }

    #[test]
    fn policies_decide_about_new_and_missing_columns() {
        let old = Schema::new(vec![
            Field::new("Id", T::Int32, true),
            Field::new("gone", T::Utf8, true),
        ]);
        let new = Schema::new(vec![
            Field::new("fresh", T::Utf8, true),
            Field::new("id", T::Int64, true),
        ]);
        let target = evolve("a.b", &old, &new, SchemaChange::Evolve).unwrap();
        let names: Vec<_> = target
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        assert_eq!(names, ["Id", "gone", "fresh"]);
        assert_eq!(target.from, [Some(1), None, Some(0)]);
        assert!(target.rewrite && target.changed);
        assert!(matches!(
            evolve("a.b", &old, &new, SchemaChange::Fail),
            Err(LakeError::SchemaChanged { .. })
        ));
        let narrow = Schema::new(vec![
            Field::new("fresh", T::Utf8, true),
            Field::new("id", T::Int16, true),
        ]);
        assert!(matches!(
            evolve("a.b", &old, &new, SchemaChange::AddColumns),
            Err(LakeError::SchemaChanged { .. })
        ));
        let added = evolve("a.b", &old, &narrow, SchemaChange::AddColumns).unwrap();
        assert_eq!(added.from, [Some(1), None, Some(0)]);
        assert!(added.changed && !added.rewrite);
        let kept = evolve("a.b", &old, &narrow, SchemaChange::Ignore).unwrap();
        assert_eq!(kept.schema.fields().len(), 2);
        assert!(!kept.changed && !kept.rewrite);
    }
}
