//! Names of files: what they say about the format, and which of them a selection means.
//!
//! Promise: the same names give the same answer, in a folder and in a bucket. It looks at nothing but names.

use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::error::FilesError;
use super::options::{Compression, Format};

/// A file name taken apart: `flights.csv.gz` is `flights`, CSV, gzip.
pub(crate) struct NameParts<'a> {
    pub(crate) stem: &'a str,
    pub(crate) format: Option<Format>,
    pub(crate) compression: Compression,
    pub(crate) tabs: bool,
}

/// Whether this is Excel's mark that somebody has a workbook open.
pub(crate) fn is_mark(name: &str) -> bool {
    let is_of_workbook = || matches!(name_parts(name).format, Some(Format::Xlsx));
    name.starts_with("~$") && is_of_workbook()
}

/// Takes the last part of a path apart.
pub(crate) fn name_parts(name: &str) -> NameParts<'_> {
    let (inner, compression) = match name.rsplit_once('.') {
        Some((inner, extension)) if extension.eq_ignore_ascii_case("gz") => {
            (inner, Compression::Gzip)
        }
        Some((inner, extension))
            if extension.eq_ignore_ascii_case("zst") || extension.eq_ignore_ascii_case("zstd") =>
        {
            (inner, Compression::Zstd)
        }
        _ => (name, Compression::None),
    };
    let known = inner.rsplit_once('.').and_then(|(stem, extension)| {
        let format = match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Format::Csv,
            "jsonl" | "ndjson" => Format::Jsonl,
            "json" => Format::Json,
            "xml" => Format::Xml,
            "parquet" => Format::Parquet,
            "avro" => Format::Avro,
            "arrow" | "arrows" | "feather" | "ipc" => Format::Arrow,
            "xlsx" | "xlsm" => Format::Xlsx,
            _ => return None,
        };
        Some((stem, format, extension.eq_ignore_ascii_case("tsv")))
    });
    match known {
        Some((stem, format, tabs)) => NameParts {
            stem,
            format: Some(format),
            compression,
            tabs,
        },
        None => NameParts {
            stem: inner,
            format: None,
            compression,
            tabs: false,
        },
    }
}

/// Tells the names a glob means.
pub(crate) fn matcher(glob: &str) -> Result<impl Fn(&str) -> bool + use<>, FilesError> {
    let pattern = Pattern::new(glob).map_err(|error| FilesError::Glob {
        glob: glob.to_owned(),
        why: error.msg.to_owned(),
    })?;
    let how = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    Ok(move |name: &str| pattern.matches_with(name, how))
}

/// How many folders down a glob reaches.
pub(crate) fn depth_of(glob: &str) -> usize {
    if glob.contains("**") {
        64
    } else {
        glob.matches('/').count()
    }
}

pub(crate) fn stem_matches(name: &str, selection: &str) -> bool {
    let parts = name_parts(name);
    parts.format.is_some() && parts.stem == selection
}

/// Whether a selection is a glob.
pub(crate) fn is_glob(selection: &str) -> bool {
    selection.contains(['*', '?', '['])
}

/// A selection without `./`, if it stays in the folder.
pub(crate) fn inside<'a>(selection: &'a str, folder: &str) -> Result<&'a str, FilesError> {
    let selection = selection.strip_prefix("./").unwrap_or(selection);
    let climbs = selection.split(['/', '\\']).any(|part| part == "..");
    if selection.starts_with('/') || climbs || Path::new(selection).is_absolute() {
        return Err(FilesError::Escapes {
            selection: selection.to_owned(),
            folder: folder.to_owned(),
        });
    }
    Ok(selection)
}

/// The file that a bare name means, of those whose names begin as it does; `None` when there is none.
pub(crate) fn bare<'a>(
    selection: &str,
    folder: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Option<&'a String>, FilesError> {
    let meant: Vec<&String> = names
        .into_iter()
        .filter(|name| stem_matches(name, selection))
        .collect();
    match meant.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(FilesError::Ambiguous {
            name: selection.to_owned(),
            folder: folder.to_owned(),
            candidates: several.iter().map(|name| (*name).clone()).collect(),
        }),
    }
}

/// What is said about a selection that means nothing: `path` is how the selection is shown, `all` the names that
/// are there.
pub(crate) fn missing(path: String, selection: &str, all: &[String]) -> FilesError {
    let mut nearest: Vec<(usize, &String)> = all
        .iter()
        .map(|name| {
            let stem = name_parts(name).stem;
            (
                strsim::damerau_levenshtein(name, selection)
                    .min(strsim::damerau_levenshtein(stem, selection)),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= selection.len().div_ceil(3))
        .collect();
    nearest.sort();
    FilesError::Missing {
        path,
        nearest: nearest.first().map(|(_, name)| (*name).clone()),
        present: all.iter().take(8).cloned().collect(),
    }
}
