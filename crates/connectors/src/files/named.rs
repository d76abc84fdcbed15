//! Files that a query names in place of a table: `select * from 'data/flights.csv.gz'`.
//!
//! Promise: a name that ends like a file of a known format, or a glob of them, is read by the reader of
//! loads and copies, with the options those take by default. Only files inside the folder that may be
//! queried are read, also behind links; objects of buckets only where that is any folder. It knows no SQL: the engine asks through `ports::NamedFiles`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{ConnectorContext, NamedFile, NamedFiles, ReadSpec, Result};
use towpath_vocab::{ConnectionPlan, ReadMode, Selection, TableName};

use super::bucket::url::{BucketUrl, is_bucket, split_url};
use super::bucket_folder::BucketFolder;
use super::connector::bucket_variables;
use super::error::FilesError;
use super::find::Folder;
use super::names::name_parts;
use super::options::{ALIKE, HIVE};
use super::root::Root;
use super::source::FilesSource;

/// What the connection of such a file is called.
const CONNECTION: &str = "files";
const GLOB: [char; 3] = ['*', '?', '['];

/// The files of a folder, or those anywhere.
pub struct QueriedFiles {
    /// Where relative names start.
    folder: PathBuf,
    /// What they must lie in.
    within: PathBuf,
    context: ConnectorContext,
}

impl QueriedFiles {
    /// Those in a folder and its folders.
    pub fn below(folder: &Path, context: ConnectorContext) -> Self {
        Self {
            folder: folder.to_path_buf(),
            within: folder.to_path_buf(),
            context,
        }
    }

    /// All that the process may read; relative names start in a folder.
    pub fn anywhere(folder: &Path, context: ConnectorContext) -> Self {
        Self {
            folder: folder.to_path_buf(),
            within: PathBuf::from("/"),
            context,
        }
    }

    /// Refuses what lies outside the folder, also behind links. Of a glob, the part before it counts.
    fn inside(&self, name: &str, split: &Split) -> Result<(), FilesError> {
        let real = (self.within.canonicalize(), split.folder.canonicalize());
        let climbs = Path::new(&split.selection)
            .components()
            .any(|part| part == Component::ParentDir);
        let is_inside = matches!(&real, (Ok(within), Ok(path)) if path.starts_with(within));
        // The file itself may be a link.
        let file = split.folder.join(&split.selection);
        let leads_out = match (file.canonicalize(), &real.0) {
            (Ok(file), Ok(within)) => !file.starts_with(within),
            _ => false,
        };
        if is_inside && !climbs && !leads_out {
            return Ok(());
        }
        Err(FilesError::Outside {
            name: name.to_owned(),
        })
    }
}

impl QueriedFiles {
    /// Whether a name means files. The error is why these cannot be queried: a name that looks like a file
    /// is not the name of a table.
    fn means_files(&self, name: &str, path: &Path, split: &Split) -> Result<bool, FilesError> {
        let last = name.rsplit('/').next().unwrap_or(name);
        let is_known = name_parts(last).format.is_some();
        let found = std::fs::metadata(path);
        if !is_known && !name.contains('/') && (found.is_err() || !name.contains('.')) {
            return Ok(false);
        }
        let cannot = |why| {
            Err(FilesError::NotQueried {
                name: name.to_owned(),
                why,
            })
        };
        let Ok(found) = found else {
            if is_known && split.folder.is_dir() {
                // The reader says which files are there.
                return Ok(true);
            }
            self.named_inside(name, path)?;
            return cannot("there is no such file");
        };
        if is_known && !found.is_dir() {
            return Ok(true);
        }
        self.inside(name, split)?;
        if found.is_dir() {
            return Err(FilesError::Folder {
                path: name.to_owned(),
                selection: name.trim_end_matches('/').to_owned(),
            });
        }
        match found.is_file() {
            true => cannot(
                "its name does not end like a CSV, JSON, XML, Parquet, Avro, Arrow or Excel file",
            ),
            false => cannot("it is not a regular file"),
        }
    }

    /// Refuses what lies outside the folder by its name alone, where there is no file.
    fn named_inside(&self, name: &str, path: &Path) -> Result<(), FilesError> {
        let mut parts = path.components();
        let climbs = parts.any(|part| part == Component::ParentDir);
        if self.within == Path::new("/") || (!climbs && path.starts_with(&self.within)) {
            return Ok(());
        }
        Err(FilesError::Outside {
            name: name.to_owned(),
        })
    }
}

/// A path as a folder and what is selected in it.
struct Split {
    folder: PathBuf,
    selection: String,
}

impl Split {
    fn of(path: &Path) -> Self {
        let is_glob = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(GLOB);
        let parts: Vec<Component<'_>> = path.components().collect();
        let last = parts.len().saturating_sub(1);
        let at = parts.iter().position(is_glob).unwrap_or(last).min(last);
        let (folder, selected) = parts.split_at_checked(at).unwrap_or((&parts, &[]));
        let selected: Vec<_> = selected
            .iter()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        Self {
            folder: folder.iter().collect(),
            selection: selected.join("/"),
        }
    }
}

fn spec_of(name: &str, selection: String) -> ReadSpec {
    ReadSpec {
        table: TableName::new(CONNECTION, name),
        selection: Selection::Object(selection),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::from([(HIVE.to_owned(), ALIKE.into())]),
        parallel: 1,
        batch_rows: 8_192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

impl QueriedFiles {
    /// Objects of a bucket, where all that the process may read can be queried.
    async fn in_bucket(&self, name: &str) -> Result<NamedFile> {
        if self.within != Path::new("/") {
            return Err(FilesError::Outside {
                name: name.to_owned(),
            }
            .into());
        }
        let (place, selection) = apart(name)?;
        let variables = bucket_variables(&self.context);
        let root = Root::Bucket(BucketFolder::open(place, &variables)?);
        self.named(name, root, selection).await
    }

    async fn named(&self, name: &str, root: Root, selection: String) -> Result<NamedFile> {
        let source = FilesSource {
            connection: ConnectionPlan {
                name: CONNECTION.into(),
                kind: CONNECTION.to_owned(),
                writable: false,
                options: BTreeMap::new(),
            },
            root,
            context: self.context.clone(),
        };
        let spec = spec_of(name, selection);
        let (settled, _) = source.settle(&spec, false).await?;
        Ok(NamedFile {
            source: Arc::new(source),
            spec: ReadSpec {
                known: Some(Arc::clone(&settled.schema)),
                ..spec
            },
            schema: settled.schema,
        })
    }
}

/// A URL as a place in a bucket and what is selected in it.
fn apart(name: &str) -> Result<(BucketUrl, String), FilesError> {
    let (folder, selection) = split_url(name);
    let place = BucketUrl::read(&folder)?;
    match selection.is_empty() {
        true => Err(FilesError::Folder {
            path: place.shown(),
            selection: place.shown(),
        }),
        false => Ok((place, selection)),
    }
}

#[async_trait]
impl NamedFiles for QueriedFiles {
    async fn find(&self, name: &str) -> Result<Option<NamedFile>> {
        if is_bucket(name) {
            return self.in_bucket(name).await.map(Some);
        }
        let path = self.folder.join(name);
        let split = Split::of(&path);
        if !self.means_files(name, &path, &split)? {
            return Ok(None);
        }
        self.inside(name, &split)?;
        let shown = match Path::new(name)
            .parent()
            .map(|folder| folder.to_string_lossy())
        {
            Some(folder) if !name.contains(GLOB) => folder.into_owned(),
            _ => {
                let below = split.folder.strip_prefix(&self.folder);
                below.unwrap_or(&split.folder).display().to_string()
            }
        };
        let root = Root::Folder(Folder::named(split.folder, shown, self.within.clone()));
        Ok(Some(self.named(name, root, split.selection).await?))
    }
}
