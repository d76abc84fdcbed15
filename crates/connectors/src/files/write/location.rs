//! Where a table is written: the file or folder, and the hidden names beside it.
//!
//! Promise: nothing outside the connection's folder is ever named; `links.rs` looks behind links. Hidden
//! names belong to exactly one table, so that leftovers of dead processes can be recognised and removed.
//! It touches no file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_vocab::Generation;

use super::bucket_place::BucketPlace;
use super::error::{Result, WriteError};
use crate::files::bucket_folder::BucketFolder;
use crate::files::find::{Folder, InputFile};
use crate::files::names::name_parts;
use crate::files::options::{Compression, Format, Options};
use crate::files::parts::MANIFEST;
use crate::files::place::Place;
use crate::files::workbook::SheetChoice;

const TEMPORARY: &str = ".towpath-tmp";

/// The place of a table.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// As a person names it.
    pub(super) shown: String,
    /// The folder the file or files stand in.
    pub(super) folder: PathBuf,
    /// The connection's folder.
    pub(super) root: PathBuf,
    /// The folder of the files, relative to the connection's; empty or with a `/` at its end.
    relative: String,
    /// The file's name; the manifest's for a folder of files.
    pub(super) name: String,
    /// A folder of files.
    pub(super) many: bool,
    /// Where it is in a bucket; `folder` and `root` are a folder of this process then, for files on their way.
    pub(super) bucket: Option<Arc<BucketPlace>>,
}

/// A file on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temporary {
    /// The new rows.
    Rows,
    /// The file as it will be, when that is more than the new rows.
    Whole,
    /// What is noted about it.
    Note,
}

impl Temporary {
    fn word(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Whole => "whole",
            Self::Note => "note",
        }
    }
}

impl Location {
    /// The place of an object; one that ends with `/` is a folder of files.
    pub(super) fn of(folder: &Folder, object: &str) -> Result<Self> {
        let shown = folder.object(object);
        let (relative, name, many) = inside(object, &shown)?;
        Ok(Self {
            folder: folder.root.join(&relative),
            root: folder.root.clone(),
            relative,
            name,
            many,
            shown,
            bucket: None,
        })
    }

    /// The same in a bucket.
    pub(super) fn in_bucket(folder: &BucketFolder, object: &str) -> Result<Self> {
        let shown = format!("{}/{}", folder.shown(), object.trim_start_matches("./"));
        let (relative, name, many) = inside(object, &shown)?;
        let place = BucketPlace::new(folder, &relative, &name, &shown);
        Ok(Self {
            folder: PathBuf::new(),
            root: PathBuf::new(),
            relative,
            name,
            many,
            shown,
            bucket: Some(Arc::new(place)),
        })
    }

    /// The file, or the manifest.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// What is noted about a text file.
    pub(super) fn sidecar(&self) -> PathBuf {
        self.folder.join(format!(".{}.towpath.json", self.name))
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join(format!(".{}.towpath.lock", self.name))
    }

    /// The name of a file on its way.
    pub(super) fn temporary(&self, generation: Generation, what: Temporary) -> String {
        format!(".{}.{generation}-{}{TEMPORARY}", self.name, what.word())
    }

    /// Whether this is the name of a file that was on its way to this place.
    pub(super) fn is_temporary(&self, name: &str) -> bool {
        let words = [Temporary::Rows, Temporary::Whole, Temporary::Note];
        name.strip_prefix('.')
            .and_then(|rest| rest.strip_prefix(&self.name))
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(TEMPORARY))
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(generation, word)| {
                generation.parse::<i64>().is_ok() && words.iter().any(|what| what.word() == word)
            })
    }

    /// An error of a disk with the place where it happened: a file on its way to a bucket is on this machine.
    pub(super) fn on_disk(&self, error: WriteError) -> WriteError {
        match error {
            WriteError::Io { source, .. } if self.bucket.is_some() => WriteError::Io {
                path: self.folder.display().to_string(),
                source,
            },
            other => other,
        }
    }

    /// A file of the folder, as the source side selects it.
    pub(super) fn selection(&self, file: &str) -> String {
        format!("{}{file}", self.relative)
    }
}

/// The folder of an object, with its `/`, the name of its file or manifest, and whether it is a folder of files.
fn inside(object: &str, shown: &str) -> Result<(String, String, bool)> {
    let wrong = |why: &str| WriteError::Target {
        object: shown.to_owned(),
        why: why.to_owned(),
        way_out: "name a file such as `delay.csv`, or a folder such as `delay/`, inside the connection's `path`",
    };
    let object = object.strip_prefix("./").unwrap_or(object);
    let (path, many) = match object.strip_suffix('/') {
        Some(path) => (path, true),
        None => (object, false),
    };
    if Path::new(path).is_absolute() || path.split(['/', '\\']).any(|part| part == "..") {
        return Err(wrong("it leaves the connection's folder"));
    }
    if path
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.'))
        || path.contains('\0')
    {
        return Err(wrong("a part of its name is empty or hidden"));
    }
    let (relative, name) = match (many, path.rsplit_once('/')) {
        (true, _) => (format!("{path}/"), MANIFEST),
        (false, Some((parent, name))) => (format!("{parent}/"), name),
        (false, None) => (String::new(), path),
    };
    // Hidden names add up to 50 bytes; file systems allow 255.
    if name.len() > 200 {
        return Err(wrong("its name is longer than 200 bytes"));
    }
    Ok((relative, name.to_owned(), many))
}

/// Why files of a format are not written, and what to write instead.
fn only_read(format: Format) -> Option<(&'static str, &'static str)> {
    match format {
        Format::Json => Some((
            "JSON files are only read",
            "write JSON lines: a name that ends with `.jsonl`, or `format: jsonl`",
        )),
        Format::Xml => Some((
            "XML files are only read",
            "write CSV, JSON lines or Parquet: a name that ends with `.csv`, `.jsonl` or `.parquet`",
        )),
        Format::Xlsx => Some((
            "Excel workbooks are only read",
            "write CSV, which Excel opens: a name that ends with `.csv`",
        )),
        format if format.is_lines() => Some((
            "logs and other lines are only read",
            "write `format: csv`, `jsonl` or `parquet`",
        )),
        _ => None,
    }
}

/// A place with the way its files are written.
#[derive(Clone, Debug)]
pub(super) struct FileTarget {
    pub(super) location: Location,
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) options: Arc<Options>,
    /// Between CSV fields.
    pub(super) delimiter: u8,
    /// Files of the place that are in a bucket, by their names.
    pub(super) objects: BTreeMap<String, Place>,
}

impl FileTarget {
    /// How a place is written: by options, else by the extension of its name.
    pub(super) fn of(location: Location, options: Options) -> Result<Self> {
        let parts = name_parts(&location.name);
        let by_name = if location.many { None } else { parts.format };
        let wrong = |why: &str, way_out: &'static str| WriteError::Target {
            object: location.shown.clone(),
            why: why.to_owned(),
            way_out,
        };
        let format = options.format.or(by_name).ok_or_else(|| {
            wrong(
                "its name does not show its format",
                "add `format: csv`, `jsonl`, `parquet`, `avro` or `arrow`",
            )
        })?;
        let by_name = if location.many {
            Compression::None
        } else {
            parts.compression
        };
        let options = options.written_as(format)?;
        if let Some((why, way_out)) = only_read(format) {
            return Err(wrong(why, way_out));
        }
        let compression = match (format, options.compression) {
            (format, _) if format.has_columns() && by_name != Compression::None => {
                return Err(wrong(
                    "such a file is compressed inside",
                    "remove `.gz` or `.zst` from its name; `compression` sets its compression",
                ));
            }
            (Format::Parquet, given) => given.unwrap_or(Compression::Zstd),
            // Each library that reads Avro has deflate.
            (Format::Avro, given) => given.unwrap_or(Compression::Gzip),
            (Format::Arrow, Some(Compression::Gzip)) => {
                return Err(wrong(
                    "Arrow has no gzip",
                    "set `compression: zstd` or `none`",
                ));
            }
            (Format::Arrow, given) => given.unwrap_or(Compression::None),
            (_, given) => given.unwrap_or(by_name),
        };
        if options
            .encoding
            .is_some_and(|encoding| encoding != encoding_rs::UTF_8)
        {
            return Err(wrong(
                "files are written only in UTF-8",
                "remove `encoding`, or set `encoding: utf-8`",
            ));
        }
        let tabs = parts.tabs && !location.many;
        let delimiter = options.delimiter.unwrap_or(if tabs { b'\t' } else { b',' });
        Ok(Self {
            location,
            format,
            compression,
            options: Arc::new(options),
            delimiter,
            objects: BTreeMap::new(),
        })
    }

    /// Where a file of the place is; `None` when it is not there.
    pub(super) fn there(&self, file: &str) -> Option<Place> {
        let path = || self.location.folder.join(file);
        let local = || path().exists().then(|| Place::Local(path()));
        self.objects.get(file).cloned().or_else(local)
    }

    /// The extension of files in a folder.
    pub(super) fn extension(&self) -> String {
        let packed = match (self.format, self.compression) {
            (format, _) if format.has_columns() => "",
            (_, Compression::None) => "",
            (_, Compression::Gzip) => ".gz",
            (_, Compression::Zstd) => ".zst",
        };
        format!("{}{packed}", self.format.word())
    }

    /// A file of the place, as the source side reads it.
    pub(super) fn input(&self, file: &str) -> InputFile {
        let local = || Place::Local(self.location.folder.join(file));
        InputFile {
            place: self.objects.get(file).cloned().unwrap_or_else(local),
            object: self.location.shown.clone(),
            format: self.format,
            compression: self.compression,
            tabs: self.delimiter == b'\t',
            encoding: self.options.encoding,
            sheet: SheetChoice::default(),
            length: None,
            start: 0,
            kept: None,
            path_values: std::sync::Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::Failure;

    use super::*;

    fn location(object: &str) -> Result<Location> {
        Location::of(&Folder::new(Path::new("/project"), "out"), object)
    }

    #[test]
    fn places_stay_inside_the_folder() {
        let one = location("a/delay.csv.gz").unwrap();
        assert_eq!(one.path(), Path::new("/project/out/a/delay.csv.gz"));
        assert_eq!(
            (one.shown.as_str(), one.many),
            ("out/a/delay.csv.gz", false)
        );
        let many = location("a/delay/").unwrap();
        assert_eq!(
            many.path(),
            Path::new("/project/out/a/delay/_manifest.json")
        );
        assert_eq!(many.selection("x.csv"), "a/delay/x.csv");
        for wrong in [
            "",
            "/",
            "/etc/passwd",
            "../x.csv",
            "a/../../x.csv",
            ".x.csv",
            "a//b.csv",
            "a/./b.csv",
        ] {
            let failure = Failure::from(location(wrong).unwrap_err());
            assert_eq!(failure.code, "R0120", "{wrong}");
        }
    }

    #[test]
    fn hidden_names_belong_to_one_table() {
        let (short, long) = (location("a").unwrap(), location("a.csv").unwrap());
        let name = long.temporary(Generation(3), Temporary::Rows);
        assert_eq!(name, ".a.csv.3-rows.towpath-tmp");
        assert!(long.is_temporary(&name));
        assert!(!short.is_temporary(&name));
        assert!(!long.is_temporary(".a.csv.towpath.json"));
        assert!(!long.is_temporary(".a.csv.x-rows.towpath-tmp"));
    }

    #[test]
    fn format_and_packing_come_from_options_or_name() {
        let target = |object: &str, options: &[(&str, &str)]| {
            let options: BTreeMap<_, _> = options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), serde_json::json!(value)))
                .collect();
            FileTarget::of(
                location(object).unwrap(),
                Options::read(&BTreeMap::new(), &options).unwrap(),
            )
        };
        let gz = target("x.tsv.gz", &[]).unwrap();
        assert_eq!(
            (gz.format, gz.compression, gz.delimiter),
            (Format::Csv, Compression::Gzip, b'\t')
        );
        let parquet = target("x.parquet", &[]).unwrap();
        assert_eq!(
            (parquet.format, parquet.compression),
            (Format::Parquet, Compression::Zstd)
        );
        assert_eq!(
            target("x/", &[("format", "jsonl"), ("compression", "zstd")])
                .unwrap()
                .extension(),
            "jsonl.zst"
        );
        for (object, options) in [
            ("x", [].as_slice()),
            ("x/", &[]),
            ("x.json", &[]),
            ("x.parquet.gz", &[]),
            ("x.csv", &[("encoding", "windows-1252")]),
        ] {
            assert!(target(object, options).is_err(), "{object}");
        }
    }
}
