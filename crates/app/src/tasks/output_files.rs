//! Finds the files that a program wrote to an output folder: each is loaded, or the task fails and names
//! it.
//!
//! Promise: it skips only files whose names begin with `_` or `.` and have no data ending, because Spark,
//! Hive and others name files without data like that (`_SUCCESS`, `_metadata`, `.part-0.crc`). A data file
//! with such a name, or in such a folder, is refused, and so is any other file. Subfolders are allowed. The
//! last ending gives the format, and all files of a table have the same one. It reads no contents.

use std::collections::BTreeSet;
use std::path::Path;

use towpath_vocab::{Failure, Remedy, TableName};

use crate::Result;

/// Endings of data files.
const KINDS: [&str; 12] = [
    "csv", "tsv", "jsonl", "ndjson", "json", "xml", "parquet", "avro", "arrow", "arrows",
    "feather", "ipc",
];
/// Endings of compressed files, which may follow those.
const PACKED: [&str; 3] = ["gz", "zst", "zstd"];
/// The most names in a message.
const NAMED: usize = 20;

/// The glob that matches every data file of an output folder.
///
/// # Errors
/// R0953 if there is none, R0954 if they have several formats, R0957 if there are other files.
pub(super) fn only_kind(output: &Path, table: &TableName) -> Result<String> {
    let mut found = OutputFiles::default();
    found.walk(output, "").map_err(|error| {
        let message = format!("{} cannot be read: {error}", output.display());
        Failure::new("R0952", Remedy::FixConfig, message)
    })?;
    if !found.others.is_empty() {
        let message = format!(
            "the command wrote files for `{table}` that cannot be read as rows: {}",
            listed(&found.others)
        );
        return Err(Failure::new("R0957", Remedy::FixData, message)
            .help("write CSV, JSON lines, XML, Parquet, Avro or Arrow files, each with its ending")
            .help("a data file whose name, or a folder's above it, begins with `_` or `.`: rename it if it is data, else remove it")
            .help("write other files elsewhere: to the step's own folder, or to a temporary one"));
    }
    match (found.endings.first(), found.endings.len()) {
        // A pattern at the start of a name does not match a dot.
        (Some(ending), 1) => Ok(format!("**/[!_]*.{ending}")),
        (None, _) => Err(found.nothing(table)),
        (Some(_), _) => Err(Failure::new(
            "R0954",
            Remedy::FixData,
            format!(
                "the command wrote files of several formats for `{table}`: {}",
                listed(&found.endings)
            ),
        )
        .help("write one format: CSV, JSON lines, XML, Parquet, Avro or Arrow")),
    }
}

#[derive(Default)]
struct OutputFiles {
    /// The endings of the data files.
    endings: BTreeSet<String>,
    /// Files that cannot be loaded, relative to the folder.
    others: BTreeSet<String>,
    /// Files that are skipped because of their names.
    left_out: BTreeSet<String>,
}

impl OutputFiles {
    fn walk(&mut self, folder: &Path, above: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let shown = format!("{above}{}", name.to_string_lossy());
            let kind = entry.file_type()?;
            match name.to_str() {
                Some(name) if name.starts_with(['.', '_']) => {
                    if kind.is_dir() {
                        self.look_behind(&entry.path(), &format!("{shown}/"))?;
                    } else if ending(name).is_some() {
                        self.others.insert(shown);
                        continue;
                    }
                    self.left_out.insert(shown);
                }
                Some(_) if kind.is_dir() => self.walk(&entry.path(), &format!("{shown}/"))?,
                name => match name.and_then(ending) {
                    Some(ending) if entry.path().is_file() => {
                        self.endings.insert(ending);
                    }
                    _ => {
                        self.others.insert(shown);
                    }
                },
            }
        }
        Ok(())
    }

    /// Finds the data files in a folder that is skipped.
    fn look_behind(&mut self, folder: &Path, above: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let shown = format!("{above}{name}");
            if entry.file_type()?.is_dir() {
                self.look_behind(&entry.path(), &format!("{shown}/"))?;
            } else if ending(&name).is_some() {
                self.others.insert(shown);
            }
        }
        Ok(())
    }

    fn nothing(&self, table: &TableName) -> Failure {
        let message = format!("the command wrote no file for `{table}`");
        let nothing = Failure::new("R0953", Remedy::FixData, message)
            .help("the JSON file that $TOWPATH_STEP names has the folder under `outputs`");
        match self.left_out.is_empty() {
            true => nothing,
            false => nothing.help(format!(
                "not read, because their names begin with `_` or `.`: {}",
                listed(&self.left_out)
            )),
        }
    }
}

/// The last known ending of a name, with its case.
fn ending(name: &str) -> Option<String> {
    let known = |of: &[&str], ending: &str| of.contains(&ending.to_ascii_lowercase().as_str());
    let (stem, last) = name.rsplit_once('.')?;
    if !known(&PACKED, last) {
        return known(&KINDS, last).then(|| last.to_owned());
    }
    let (_, inner) = stem.rsplit_once('.')?;
    known(&KINDS, inner).then(|| format!("{inner}.{last}"))
}

fn listed(names: &BTreeSet<String>) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > NAMED {
        shown.push(format!("and {} more", names.len() - NAMED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn left(names: &[&str]) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "n\n1\n").unwrap();
        }
        only_kind(folder.path(), &"raw.t".parse().unwrap())
    }

    #[test]
    fn every_file_is_taken_or_named() {
        let all = "**/[!_]*.csv";
        assert_eq!(left(&["data.v1.csv", "a/b/data.v2.csv"]).unwrap(), all);
        assert_eq!(
            left(&["x.json.gz", "y.z.json.gz"]).unwrap(),
            "**/[!_]*.json.gz"
        );
        let code = |names: &[&str]| left(names).unwrap_err().code;
        assert_eq!(code(&[]), "R0953");
        assert_eq!(code(&["a.csv", "b.parquet"]), "R0954");
        for other in ["data", "notes.txt", "deep/SUCCESS", "x.gz"] {
            let failure = left(&["a.csv", other]).unwrap_err();
            assert_eq!(failure.code, "R0957", "{other}");
            assert!(failure.message.contains(&format!("`{other}`")), "{failure}");
        }
    }

    #[test]
    fn names_that_begin_with_a_dot_or_an_underscore_are_left_out() {
        let markers = [
            "_SUCCESS",
            "deep/_SUCCESS",
            ".part-0.csv.crc",
            "._SUCCESS.crc",
            ".DS_Store",
            "_metadata",
            "_tmp/0/log",
            "._tmp/x",
        ];
        assert_eq!(
            left(&[&["a.csv"], &markers[..]].concat()).unwrap(),
            "**/[!_]*.csv"
        );
        let failure = left(&markers).unwrap_err();
        assert_eq!(failure.code, "R0953");
        let help = failure.help.join("\n");
        assert!(help.contains("`_SUCCESS`, `_metadata`"), "{help}");
    }

    #[test]
    fn data_behind_such_a_name_is_refused() {
        let data = [
            "_other.csv",
            ".d/x.csv",
            "_region/x.csv",
            "_temporary/0/part.CSV.gz",
            "deep/_part.parquet",
        ];
        for data in data {
            let failure = left(&["2024.csv", data]).unwrap_err();
            assert_eq!(failure.code, "R0957", "{data}");
            assert!(failure.message.contains(&format!("`{data}`")), "{failure}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), "n\n1\n").unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join("b.csv")).unwrap();
        let failure = only_kind(folder.path(), &"raw.t".parse().unwrap()).unwrap_err();
        assert!(failure.message.contains("`b.csv`"), "{failure}");
    }
}
