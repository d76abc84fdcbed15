//! Columns of a read and where their types come from: declared, else known, else found by a look.
//!
//! Promise: each column has one type, or the read stops. It also settles which columns are read at all, and
//! which missing ones stop the read. It touches no file: names and findings are handed in by `settle.rs`.
//! Read next: `settle.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_vocab::types::{NO_VALUES, WRITTEN_AS};
use towpath_vocab::{ColumnFinder, Naming, types};

use super::column::{ColumnFormat, Formats, readable_type};
use super::error::FilesError;
use super::infer::Guess;
use super::job::Request;
use super::json::{AsText, new_members};
use super::options::{Format, Options};
use super::survey::Findings;
use super::value::TimeFormats;
use crate::exact::local::{DateOrder, NumberFormat};

/// A column on its way to a type.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
    /// The type is known from before: a double must keep every digit, as when it was found.
    pub(crate) exact: bool,
    /// The type is the one of the last read: values may show that a wider one is needed.
    widens: bool,
    /// Its lists and objects stay JSON text.
    as_text: bool,
    /// No value was there to tell the type.
    pub(crate) has_no_values: bool,
    /// How its numbers or dates are written, where that was found out from its values.
    pub(crate) numbers: NumberFormat,
    pub(crate) order: DateOrder,
}

impl Wanted {
    /// A column without a type yet.
    pub(crate) fn untyped(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_type: None,
            exact: false,
            widens: false,
            as_text: false,
            has_no_values: false,
            numbers: NumberFormat::PLAIN,
            order: DateOrder::Dots,
        }
    }

    /// Only the path has its values: no look into files shows that they need a wider type.
    pub(crate) fn of_path_alone(&mut self) {
        self.widens = false;
    }

    /// The word of `WRITTEN_AS`, if the column is not written as usual.
    fn written_as(&self) -> Option<&'static str> {
        let word = |(word, numbers, order): &(&'static str, NumberFormat, DateOrder)| {
            (*numbers == self.numbers && *order == self.order).then_some(*word)
        };
        WRITTEN.iter().find_map(word)
    }
}

/// The words of `WRITTEN_AS`.
const WRITTEN: [(&str, NumberFormat, DateOrder); 4] = [
    ("comma", NumberFormat::COMMA, DateOrder::Dots),
    ("grouped", NumberFormat::GROUPED, DateOrder::Dots),
    ("day_first", NumberFormat::PLAIN, DateOrder::DayFirst),
    ("month_first", NumberFormat::PLAIN, DateOrder::MonthFirst),
];

/// Columns of files, joined by name: a new one is added, one that an earlier file has and a later one
/// lacks is a failure unless the options allow it.
pub(crate) fn join_names<'f>(
    files: impl Iterator<Item = (&'f str, &'f [String])>,
    request: &Request<'_>,
) -> Result<Vec<Wanted>, FilesError> {
    let mut joined: Vec<(&str, &str)> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for (file, names) in files {
        let present: HashSet<&str> = names.iter().map(String::as_str).collect();
        if !request.options.missing_columns_null
            && let Some((column, first)) = joined.iter().find(|(name, _)| !present.contains(name))
        {
            return Err(missing(file, column, &format!("`{first}` has it"), names));
        }
        for name in names {
            if known.insert(name) {
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
/// whose objects may leave any key out, it is added. More columns than a table may have are refused.
pub(crate) fn give_types(
    wanted: &mut Vec<Wanted>,
    path: &str,
    request: &Request<'_>,
    format: Format,
) -> Result<(), FilesError> {
    let is_table = format.has_columns() || matches!(format, Format::Csv | Format::Xlsx);
    let strict = (is_table || format.is_lines()) && !request.options.missing_columns_null;
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    let mut finder = finder(wanted);
    // `a` and `A` are two columns where both are known.
    let known = request.known();
    let own: HashSet<String> = known.iter().map(|(name, _)| name.clone()).collect();
    let mut set = |name: &str,
                   data_type: DataType,
                   because: &str,
                   declared: bool|
     -> Result<(), FilesError> {
        let is_it =
            |column: &&mut Wanted| declared || column.name == name || !own.contains(&column.name);
        let at = finder.find(name);
        match at.and_then(|at| wanted.get_mut(at)).filter(is_it) {
            Some(column) if declared || column.data_type.is_none() => {
                column.data_type = Some(data_type);
                column.exact = !declared;
            }
            Some(_) => {}
            None if strict => return Err(missing(path, name, because, &present)),
            None => {
                finder.add(name);
                wanted.push(Wanted {
                    data_type: Some(data_type),
                    exact: !declared,
                    ..Wanted::untyped(name)
                });
            }
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
        if !is_readable(&data_type, format) {
            return Err(wrong());
        }
        set(name, data_type, "its type is declared", true)?;
    }
    for (name, data_type) in known {
        if is_readable(&data_type, format) {
            set(
                &name,
                data_type,
                "the schema known from before has it",
                false,
            )?;
        }
    }
    keep_types(wanted, &finder, request, format);
    project(wanted, &mut finder, path, request, strict)?;
    let most = request.options.most_columns();
    match wanted.len() > most {
        true => Err(FilesError::TooManyColumns {
            path: path.to_owned(),
            most,
            are_keys: false,
        }),
        false => Ok(()),
    }
}

/// Whether the values of a file can be read as this type; nested types of files with columns are their own.
fn is_readable(data_type: &DataType, format: Format) -> bool {
    readable_type(data_type) && !(format.has_columns() && data_type.is_nested())
}

/// A type once known stays, unless all values show that a wider one is needed. A column that the source does not have any more is not added.
fn keep_types(wanted: &mut [Wanted], finder: &ColumnFinder, request: &Request<'_>, format: Format) {
    for name in masked(request) {
        if let Some(column) = finder.find(name).and_then(|at| wanted.get_mut(at)) {
            column.as_text = true;
        }
    }
    for (name, field) in request.observed() {
        let at = finder.find(&name);
        let Some(column) = at.and_then(|at| wanted.get_mut(at)) else {
            continue;
        };
        let word = field.metadata().get(WRITTEN_AS);
        let written = WRITTEN
            .iter()
            .find(|(own, ..)| Some(*own) == word.map(String::as_str));
        if let Some((_, numbers, order)) = written {
            (column.numbers, column.order) = (*numbers, *order);
        }
        let is_text = column.as_text || request.options.nested_text;
        let stays = !(is_text && field.data_type().is_nested());
        if column.data_type.is_none() && stays && is_readable(field.data_type(), format) {
            column.data_type = Some(field.data_type().clone());
            (column.exact, column.widens) = (true, true);
        }
    }
}

/// Columns whose values are masked: a hash is of the text that the source has, and names of members are values.
fn masked<'r>(request: &'r Request<'_>) -> impl Iterator<Item = &'r String> {
    let plans = request.spec.declared.iter();
    let masked = plans.filter(|plan| plan.mask.is_some());
    masked.map(|plan| plan.from.as_ref().unwrap_or(&plan.name))
}

/// Columns whose lists and objects nobody has to look into.
pub(crate) fn as_text(request: &Request<'_>) -> AsText {
    if request.options.nested_text {
        return AsText::All;
    }
    let texts = |fields: Vec<(String, DataType)>| {
        let texts = fields.into_iter().filter(|(_, of)| *of == DataType::Utf8);
        texts.map(|(name, _)| name)
    };
    let observed = request.observed().into_iter();
    let observed = observed.map(|(name, field)| (name, field.data_type().clone()));
    let columns = texts(observed.collect()).chain(texts(request.known()));
    AsText::Of(Arc::new(columns.chain(masked(request).cloned()).collect()))
}

fn project(
    wanted: &mut Vec<Wanted>,
    finder: &mut ColumnFinder,
    path: &str,
    request: &Request<'_>,
    strict: bool,
) -> Result<(), FilesError> {
    let Some(projection) = &request.spec.projection else {
        return Ok(());
    };
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    for name in projection {
        if finder.find(name).is_none() {
            if strict {
                return Err(missing(path, name, "it is asked for by name", &present));
            }
            finder.add(name);
            wanted.push(Wanted::untyped(name));
        }
    }
    let found = projection.iter().filter_map(|name| finder.find(name));
    let kept: HashSet<usize> = found.collect();
    let mut at = 0;
    wanted.retain(|_| {
        at += 1;
        kept.contains(&(at - 1))
    });
    Ok(())
}

/// Columns by their own names or by the ones they get in a table.
fn finder(wanted: &[Wanted]) -> ColumnFinder {
    let names = wanted.iter().map(|column| column.name.as_str());
    Naming::Snake.finder(names)
}

/// Columns by their own names alone.
pub(crate) fn by_name(wanted: &[Wanted]) -> HashMap<&str, &Wanted> {
    let pairs = wanted.iter().map(|column| (column.name.as_str(), column));
    pairs.collect()
}

/// What a look at all values showed: types that are not known yet, and how columns are written.
/// `fixed`: as in `Numbers::data_type`.
pub(crate) fn fill_types(
    wanted: &mut [Wanted],
    findings: &Findings,
    fixed: bool,
    notes: &mut Vec<String>,
) {
    for column in wanted.iter_mut() {
        if column.data_type.is_none() {
            let verdict = findings.verdict(&column.name, fixed);
            let is_text = column.as_text && verdict.data_type.is_nested();
            notes.extend(verdict.note.filter(|_| !is_text));
            column.has_no_values = verdict.has_no_values;
            column.data_type = Some(match is_text {
                true => DataType::Utf8,
                false => verdict.data_type,
            });
        }
        if let (true, Some(before)) = (column.widens, &column.data_type)
            && let Some(wider) = findings.wider(&column.name, before, fixed)
        {
            notes.extend(note_of_members(before, &wider, &column.name));
            column.data_type = Some(wider);
        }
        let (numbers, order) = findings.written(&column.name);
        match &column.data_type {
            Some(data_type) if data_type.is_numeric() => {
                column.numbers = numbers.unwrap_or(column.numbers);
            }
            Some(data_type) if data_type.is_temporal() => {
                column.order = order.unwrap_or(column.order);
            }
            _ => {}
        }
    }
    let of = |numbers: NumberFormat| {
        let columns = wanted.iter().filter(|column| column.numbers == numbers);
        columns
            .map(|column| format!("`{}`", column.name))
            .collect::<Vec<_>>()
    };
    let commas = of(NumberFormat::COMMA);
    if !commas.is_empty() {
        notes.push(format!(
            "decimal commas were found in {}; `decimal: \",\"` sets this for the whole table",
            commas.join(", ")
        ));
    }
    let grouped = of(NumberFormat::GROUPED);
    if !grouped.is_empty() {
        notes.push(format!(
            "commas between thousands were found in {}; `thousands: \",\"` sets this for the whole table",
            grouped.join(", ")
        ));
    }
}

/// Which members objects have that the table does not have yet.
fn note_of_members(before: &DataType, after: &DataType, column: &str) -> Option<String> {
    const SHOWN: usize = 5;
    let new = new_members(before, after, column);
    let more = match new.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    let names: Vec<String> = new
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    (!new.is_empty()).then(|| {
        let names = names.join(", ");
        format!("new members, NULL in rows that are not read again: {names}{more}")
    })
}

/// How the columns are written: by the options, or else as their values show.
pub(crate) fn formats_of(
    wanted: &[Wanted],
    options: &Options,
    numbers: Option<NumberFormat>,
) -> Formats {
    let usual = ColumnFormat {
        times: options.times.clone(),
        numbers: numbers.unwrap_or(NumberFormat::PLAIN),
    };
    let own = wanted.iter().filter(|column| column.written_as().is_some());
    let own = own.map(|column| {
        let format = ColumnFormat {
            times: TimeFormats {
                order: column.order,
                ..options.times.clone()
            },
            numbers: numbers.unwrap_or(column.numbers),
        };
        (column.name.clone(), format)
    });
    Formats {
        own: own.collect(),
        usual,
    }
}

/// Whether only a look at all values can tell how columns are written whose types are known, or whether
/// these hold them.
/// `heads` are guesses over the first rows of each file.
pub(crate) fn needs_look<'h>(
    wanted: &[Wanted],
    mut heads: impl Iterator<Item = &'h [(String, Guess)]>,
) -> bool {
    let is_readable = |data_type: &DataType| data_type.is_numeric() || data_type.is_temporal();
    let columns = by_name(wanted);
    let local = |name: &str| {
        let column = columns.get(name);
        column.is_some_and(|column| column.data_type.as_ref().is_some_and(is_readable))
    };
    let may_widen = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Int64 | DataType::Date32 | DataType::Decimal128(..)
        )
    };
    let is_open = |column: &Wanted| {
        let widens = column.widens && column.data_type.as_ref().is_some_and(may_widen);
        widens || column.written_as().is_some()
    };
    wanted.iter().any(is_open)
        || heads.any(|head| {
            let mut seen = head.iter().filter(|(_, guess)| guess.is_local());
            seen.any(|(name, _)| local(name))
        })
}

pub(crate) fn schema_of(wanted: &[Wanted]) -> SchemaRef {
    let field = |column: &Wanted| {
        let data_type = column.data_type.clone().unwrap_or(DataType::Utf8);
        let field = Field::new(&column.name, data_type, true);
        let no_values = column.has_no_values.then_some((NO_VALUES, "true"));
        let written = column.written_as().map(|word| (WRITTEN_AS, word));
        let metadata = no_values.into_iter().chain(written);
        let metadata = metadata.map(|(key, word)| (key.to_owned(), word.to_owned()));
        field.with_metadata(metadata.collect())
    };
    Arc::new(Schema::new(wanted.iter().map(field).collect::<Vec<_>>()))
}

/// The names of columns.
pub(crate) fn names_of(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(|column| column.name.clone()).collect()
}

/// Columns whose doubles must keep every digit.
pub(crate) fn exact_of(wanted: &[Wanted]) -> BTreeSet<String> {
    let exact = wanted.iter().filter(|column| column.exact);
    exact.map(|column| column.name.clone()).collect()
}

/// Columns whose types are declared, by either name.
pub(crate) struct Declared {
    named: HashSet<String>,
    alike: HashSet<String>,
}

impl Declared {
    /// Those of a read.
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let plans = request.spec.declared.iter();
        let plans = plans.filter(|plan| plan.data_type.is_some() && plan.set.is_none());
        let names: Vec<&String> = plans
            .map(|plan| plan.from.as_ref().unwrap_or(&plan.name))
            .collect();
        let named = names.iter().map(|name| Naming::Snake.apply(name));
        let alike = names.iter().map(|name| name.to_ascii_lowercase());
        Self {
            named: named.collect(),
            alike: alike.collect(),
        }
    }

    /// Whether the type of this column is declared.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.named.contains(&Naming::Snake.apply(column))
            || self.alike.contains(&column.to_ascii_lowercase())
    }
}
