//! Columns of a read and where their types come from: declared, else known, else found by a look.
//!
//! It also settles which columns are read at all, and which missing ones stop the read. It touches
//! no file: names and findings are handed in by `settle.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_vocab::{Naming, types};

use super::error::FilesError;
use super::job::Request;
use super::options::Format;
use super::survey::Findings;

/// A column on its way to a type.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
    /// The type is known from before: a double must keep every digit, as when it was found.
    pub(crate) exact: bool,
}

impl Wanted {
    /// A column without a type yet.
    pub(crate) fn untyped(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_type: None,
            exact: false,
        }
    }
}

/// Columns of files, joined by name: a new one is added, one that an earlier file has and a later one
/// lacks is a failure unless the options allow it.
pub(crate) fn join_names<'f>(
    files: impl Iterator<Item = (&'f str, &'f [String])>,
    request: &Request<'_>,
) -> Result<Vec<Wanted>, FilesError> {
    let mut joined: Vec<(&str, &str)> = Vec::new();
    for (file, names) in files {
        if !request.options.missing_columns_null
            && let Some((column, first)) = joined
                .iter()
                .find(|(name, _)| !names.iter().any(|other| other == name))
        {
            return Err(missing(file, column, &format!("`{first}` has it"), names));
        }
        for name in names {
            if !joined.iter().any(|(other, _)| other == name) {
                joined.push((name, file));
            }
        }
    }
    Ok(joined
        .into_iter()
        .map(|(name, _)| Wanted::untyped(name))
        .collect())
}

fn missing(path: &str, column: &str, because: &str, present: &[String]) -> FilesError {
    let nearest = present
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &column.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= column.len().div_ceil(3))
        .min();
    FilesError::MissingColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        because: because.to_owned(),
        nearest: nearest.map(|(_, name)| name.clone()),
    }
}

/// Declared and known types, and the projection. A column that no file has is a failure; of JSON,
/// whose objects may leave any key out, it is added.
pub(crate) fn give_types(
    wanted: &mut Vec<Wanted>,
    path: &str,
    request: &Request<'_>,
    format: Format,
) -> Result<(), FilesError> {
    let strict =
        matches!(format, Format::Csv | Format::Parquet) && !request.options.missing_columns_null;
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    let mut set = |name: &str,
                   data_type: DataType,
                   because: &str,
                   declared: bool|
     -> Result<(), FilesError> {
        let at = position(wanted, name);
        match at.and_then(|at| wanted.get_mut(at)) {
            Some(column) if declared || column.data_type.is_none() => {
                column.data_type = Some(data_type);
                column.exact = !declared;
            }
            Some(_) => {}
            None if strict => return Err(missing(path, name, because, &present)),
            None => wanted.push(Wanted {
                name: name.to_owned(),
                data_type: Some(data_type),
                exact: !declared,
            }),
        }
        Ok(())
    };
    for column in &request.spec.declared {
        let name = column.from.as_ref().unwrap_or(&column.name);
        let (None, Some(word)) = (&column.set, &column.data_type) else {
            continue;
        };
        let wrong = || FilesError::Type {
            column: name.clone(),
            word: word.clone(),
            format: format.word(),
        };
        let data_type = types::parse(word).map_err(|_| wrong())?;
        if !super::column::readable_type(&data_type) {
            return Err(wrong());
        }
        set(name, data_type, "its type is declared", true)?;
    }
    for (name, data_type) in request.known() {
        if super::column::readable_type(&data_type) {
            set(
                &name,
                data_type,
                "the schema known from before has it",
                false,
            )?;
        }
    }
    project(wanted, path, request, strict)
}

fn project(
    wanted: &mut Vec<Wanted>,
    path: &str,
    request: &Request<'_>,
    strict: bool,
) -> Result<(), FilesError> {
    let Some(projection) = &request.spec.projection else {
        return Ok(());
    };
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    for name in projection {
        if position(wanted, name).is_none() {
            if strict {
                return Err(missing(path, name, "it is asked for by name", &present));
            }
            wanted.push(Wanted::untyped(name));
        }
    }
    let kept: Vec<usize> = projection
        .iter()
        .filter_map(|name| position(wanted, name))
        .collect();
    let mut at = 0;
    wanted.retain(|_| {
        at += 1;
        kept.contains(&(at - 1))
    });
    Ok(())
}

/// A column by its own name, or else by the only one whose snake-case name this is.
fn position(wanted: &[Wanted], name: &str) -> Option<usize> {
    if let Some(at) = wanted.iter().position(|column| column.name == name) {
        return Some(at);
    }
    let mut alike = wanted
        .iter()
        .enumerate()
        .filter(|(_, column)| Naming::Snake.apply(&column.name) == name);
    match (alike.next(), alike.next()) {
        (Some((at, _)), None) => Some(at),
        _ => None,
    }
}

pub(crate) fn fill_types(wanted: &mut [Wanted], findings: &Findings, notes: &mut Vec<String>) {
    for column in wanted
        .iter_mut()
        .filter(|column| column.data_type.is_none())
    {
        let verdict = findings.verdict(&column.name);
        notes.extend(verdict.note);
        column.data_type = Some(verdict.data_type);
    }
}

pub(crate) fn schema_of(wanted: &[Wanted]) -> SchemaRef {
    let field = |column: &Wanted| {
        Field::new(
            &column.name,
            column.data_type.clone().unwrap_or(DataType::Utf8),
            true,
        )
    };
    Arc::new(Schema::new(wanted.iter().map(field).collect::<Vec<_>>()))
}

/// Columns whose doubles must keep every digit.
pub(crate) fn exact_of(wanted: &[Wanted]) -> BTreeSet<String> {
    let exact = wanted.iter().filter(|column| column.exact);
    exact.map(|column| column.name.clone()).collect()
}

/// Whether the type of a column is declared.
pub(crate) fn is_declared(column: &Wanted, request: &Request<'_>) -> bool {
    request.spec.declared.iter().any(|plan| {
        let name = plan.from.as_ref().unwrap_or(&plan.name);
        plan.data_type.is_some()
            && plan.set.is_none()
            && position(std::slice::from_ref(column), name).is_some()
    })
}
