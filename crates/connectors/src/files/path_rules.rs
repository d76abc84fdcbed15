//! What of the path of a file is read as columns: the path itself, and the `key=value` folders of Hive.
//!
//! Promise: all files of a table have the same keys, or the read stops. Names and values are decoded (`%20`), and
//! what Hive writes for NULL is NULL. Types are found in all values, as those of a file are. A rejected record
//! has the columns of the file that its place names. It reads no file. Read next: `path_columns.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::DataType;
use percent_encoding::percent_decode_str;

use super::columns::Wanted;
use super::error::FilesError;
use super::find::InputFile;
use super::infer::{Guess, Hint, InferOptions};
use super::options::Options;
use super::path_columns::{PathColumn, each};
use super::path_values::{HivePartitions, PathValues};
use super::root::Root;
use super::value::TimeFormats;

/// What Hive writes for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What of paths is read as columns.
#[derive(Clone, Debug)]
pub(crate) struct PathRules {
    hive: HivePartitions,
    file_column: Option<String>,
    missing_null: bool,
    root: Root,
    project: PathBuf,
}

impl PathRules {
    /// Those of a read.
    pub(crate) fn of(options: &Options, root: &Root, project: &Path) -> Self {
        Self {
            hive: options.hive_partitions,
            file_column: options.file_column.clone(),
            missing_null: options.missing_columns_null,
            root: root.clone(),
            project: project.to_path_buf(),
        }
    }

    fn is_none(&self) -> bool {
        self.hive == HivePartitions::No && self.file_column.is_none()
    }

    /// The partitions in a path, outermost first.
    fn partitions(&self, object: &str) -> Result<PathValues, FilesError> {
        let wrong = |why: String| FilesError::Partition {
            path: object.to_owned(),
            why,
        };
        // Folders around the project say nothing about its files.
        let below = Path::new(object).strip_prefix(&self.project).ok();
        let below = below.and_then(Path::to_str).unwrap_or(object);
        let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
        let mut found: Vec<(String, Option<String>)> = Vec::new();
        for folder in folders.split('/') {
            let Some((key, value)) = folder.split_once('=').filter(|(key, _)| !key.is_empty())
            else {
                continue;
            };
            let decoded = |text: &str| {
                let decoded = percent_decode_str(text).decode_utf8();
                decoded.map(|text| text.into_owned()).map_err(|_| {
                    wrong(format!(
                        "the folder `{folder}` does not decode to UTF-8 text"
                    ))
                })
            };
            let (key, value) = (decoded(key)?, (value != NULL).then(|| decoded(value)));
            if found.iter().any(|(name, _)| *name == key) {
                return Err(wrong(format!("two of its folders are named `{key}=…`")));
            }
            found.push((key, value.transpose()?));
        }
        Ok(PathValues::new(found))
    }

    /// The values of one path.
    fn values(&self, object: &str) -> Result<PathValues, FilesError> {
        let mut values = match self.hive {
            HivePartitions::No => PathValues::default(),
            HivePartitions::Yes | HivePartitions::Alike => self.partitions(object)?,
        };
        if let Some(column) = &self.file_column {
            let Some(path) = self.root.relative(object) else {
                return Err(FilesError::Partition {
                    path: object.to_owned(),
                    why: format!("it is not in `{}`", self.root.shown()),
                });
            };
            if values.has(column) {
                return Err(FilesError::FileColumn {
                    path: object.to_owned(),
                    column: column.clone(),
                });
            }
            values.push(column, path);
        }
        Ok(values)
    }

    /// Gives each file its values, all of the same columns.
    pub(crate) fn fill(&self, files: &mut [InputFile]) -> Result<(), FilesError> {
        if self.is_none() {
            return Ok(());
        }
        let values = files.iter().map(|file| self.values(&file.object));
        let values = match values.collect::<Result<Vec<_>, _>>() {
            Err(FilesError::Partition { .. }) if self.hive == HivePartitions::Alike => {
                return Ok(());
            }
            values => values?,
        };
        let names = names(&values);
        let lacking = files.iter().zip(&values).find_map(|(file, own)| {
            let name = names.iter().find(|name| !own.has(name))?;
            Some((file, name))
        });
        if let Some((file, name)) = lacking {
            if self.hive == HivePartitions::Alike {
                return Ok(());
            }
            if !self.missing_null {
                return Err(FilesError::Partition {
                    path: file.object.clone(),
                    why: format!("none of its folders is named `{name}=…`, as in other files"),
                });
            }
        }
        for (file, own) in files.iter_mut().zip(values) {
            file.path_values = Arc::new(own.ordered(&names));
        }
        Ok(())
    }

    /// The values of a rejected record's file, of the columns that the files of today have; or why not.
    pub(crate) fn of_record(&self, object: &str, today: &PathValues) -> Result<PathValues, String> {
        if today.is_empty() {
            return Ok(PathValues::default());
        }
        let values = self.values(object).map_err(|error| error.to_string())?;
        let names: Vec<String> = today.iter().map(|(name, _)| name.to_owned()).collect();
        match names.iter().find(|name| !values.has(name)) {
            Some(name) if !self.missing_null => Err(format!(
                "the path of its file, `{object}`, has no folder `{name}=…`: load the file again"
            )),
            _ => Ok(values.ordered(&names).exactly(today.exact().clone())),
        }
    }

    /// What is said where the option finds nothing.
    pub(crate) fn note(&self, files: &[InputFile]) -> Option<String> {
        let own = usize::from(self.file_column.is_some());
        let is_idle = files.iter().all(|file| file.path_values.count() <= own);
        (self.hive == HivePartitions::Yes && is_idle).then(|| {
            "`hive_partitioning` is set, but no folder of these files is named `key=value`"
                .to_owned()
        })
    }
}

/// The names of all, in the order of their first appearance, the column of the path last.
fn names(values: &[PathValues]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let partitions = values.iter().flat_map(PathValues::iter);
    for (name, _) in partitions {
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Of files that a query names, a column that a file has stands: folders of its name are no column.
pub(crate) fn prefer_own<'f>(
    files: impl Iterator<Item = &'f mut InputFile>,
    own: &[String],
    options: &Options,
) {
    if options.hive_partitions != HivePartitions::Alike {
        return;
    }
    for file in files {
        file.path_values = Arc::new(file.path_values.without(own));
    }
}

/// Adds the columns of the paths to those that the files have, `own`.
pub(crate) fn add(
    wanted: &mut Vec<Wanted>,
    own: &[String],
    files: &[InputFile],
    options: &Options,
) -> Result<(), FilesError> {
    let Some(file) = files.first() else {
        return Ok(());
    };
    for (name, _) in file.path_values.iter() {
        let is_path = options.file_column.as_deref() == Some(name);
        if own.iter().any(|own| own == name) {
            if is_path {
                return Err(FilesError::FileColumn {
                    path: file.object.clone(),
                    column: name.to_owned(),
                });
            }
            continue;
        }
        let mut column = Wanted::untyped(name);
        column.data_type = is_path.then_some(DataType::Utf8);
        wanted.push(column);
    }
    Ok(())
}

/// Gives the columns that only paths have the types that keep all of their values.
pub(crate) fn give_types(
    wanted: &mut [Wanted],
    own: &[String],
    files: &[InputFile],
    notes: &mut Vec<String>,
) {
    let Some(file) = files.first() else { return };
    for (name, _) in file.path_values.iter() {
        if own.iter().any(|own| own == name) {
            continue;
        }
        let Some(column) = wanted.iter_mut().find(|column| column.name == name) else {
            continue;
        };
        column.of_path_alone();
        if column.data_type.is_some() {
            continue;
        }
        let guess = guess(name, files);
        let verdict = guess.verdict(name, Hint::default(), true);
        column.has_no_values = verdict.has_no_values;
        // Day or month first, a decimal comma: such forms of a file are none of a path.
        column.data_type = Some(match guess.is_local() {
            true => DataType::Utf8,
            false => verdict.data_type,
        });
        notes.extend(verdict.note);
    }
}

fn guess(name: &str, files: &[InputFile]) -> Guess {
    let infer = InferOptions {
        times: &TimeFormats::default(),
        typed: false,
        numbers: None,
        commas: false,
        semicolons: false,
    };
    let mut guess = Guess::default();
    for file in files {
        let value = file.path_values.get(name).flatten();
        each(value, 1, |cells| guess.see(cells, &infer));
    }
    guess
}

/// The columns of a file's path among those of a read.
pub(crate) fn columns(values: &PathValues, wanted: &[Wanted]) -> Vec<PathColumn> {
    let columns = wanted.iter().enumerate();
    columns
        .filter_map(|(at, column)| {
            let value = values.get(&column.name)?.map(str::to_owned);
            let data_type = column.data_type.clone().unwrap_or(DataType::Utf8);
            Some(PathColumn {
                at,
                name: column.name.clone(),
                value,
                data_type,
                exact: column.exact,
            })
        })
        .collect()
}
