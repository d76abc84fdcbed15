//! Which files a selection means: a name, a glob or a bare table name, inside the connection's path.
//!
//! Promise: the same folder gives the same files in the same order; nothing outside the folder is
//! reached, also not behind a link; what is missing or ambiguous is said with the names that are there.
//! It reads no file, only names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FilesError;
use super::names::{
    bare, depth_of, inside, is_glob, is_mark, matcher, missing, name_parts, stem_matches,
};
use super::options::{Compression, Format, Options};
use super::parts;
use super::path_values::PathValues;
use super::place::Place;
use super::workbook::SheetChoice;
use crate::stage::Stage;
use encoding_rs::Encoding;

/// One file of a table.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    /// Where it is.
    pub(crate) place: Place,
    /// As a person names it: relative to the project folder, with `/`.
    pub(crate) object: String,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// True for `.tsv`.
    pub(crate) tabs: bool,
    /// `None` means UTF-8; a byte order mark counts before it.
    pub(crate) encoding: Option<&'static Encoding>,
    /// What is read of a workbook.
    pub(crate) sheet: SheetChoice,
    /// Only so many bytes of it count; `None` means all.
    pub(crate) length: Option<u64>,
    /// So many bytes of it were read before.
    pub(crate) start: u64,
    /// The folder of this process that it is in as long as it is read.
    pub(crate) kept: Option<Arc<Stage>>,
    /// The columns of its path.
    pub(crate) path_values: Arc<PathValues>,
}

impl InputFile {
    /// A file of this name, which people know as `object`, with what its name and the options say.
    pub(crate) fn of(
        (name, object): (&str, String),
        place: Place,
        options: &Options,
    ) -> Result<Self, FilesError> {
        let parts = name_parts(name.rsplit('/').next().unwrap_or(name));
        let Some(format) = options.format.or(parts.format) else {
            return Err(FilesError::UnknownFormat { path: object });
        };
        Ok(Self {
            place,
            object,
            format,
            compression: options.compression.unwrap_or(parts.compression),
            tabs: parts.tabs,
            encoding: options.encoding,
            sheet: options.sheet.clone(),
            length: None,
            start: 0,
            kept: None,
            path_values: Arc::default(),
        })
    }
}

/// Refuses files of several formats.
pub(crate) fn one_format(files: &[InputFile]) -> Result<(), FilesError> {
    if let Some(first) = files.first()
        && let Some(other) = files.iter().find(|file| file.format != first.format)
    {
        return Err(FilesError::MixedFormats {
            first: first.object.clone(),
            second: other.object.clone(),
        });
    }
    Ok(())
}

/// The connection's path on disk and as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) shown: String,
    /// Set when the connection's path names one file, which may be a link to anywhere.
    only: Option<String>,
    /// What links in the folder may lead to, if that is more than the folder itself.
    within: Option<PathBuf>,
}

impl Folder {
    /// The folder of a connection; it need not exist yet.
    pub(crate) fn new(project: &Path, path: &str) -> Self {
        let clean = path.trim_end_matches('/');
        let shown = if clean.is_empty() { path } else { clean }
            .trim_start_matches("./")
            .to_owned();
        let root = project.join(path);
        if root.is_file()
            && let (Some(parent), Some(name)) = (root.parent(), root.file_name())
        {
            let folder = shown
                .rsplit_once('/')
                .map_or_else(String::new, |(folder, _)| folder.to_owned());
            return Self {
                root: parent.to_path_buf(),
                shown: folder,
                only: Some(name.to_string_lossy().into_owned()),
                within: None,
            };
        }
        Self {
            root,
            shown,
            only: None,
            within: None,
        }
    }

    /// A folder that people call something else, whose links may lead to all that is within another one.
    pub(crate) fn named(root: PathBuf, shown: String, within: PathBuf) -> Self {
        Self {
            root,
            shown,
            only: None,
            within: Some(within),
        }
    }

    /// How a file of the folder is named to people.
    pub(crate) fn object(&self, relative: &str) -> String {
        if self.shown.is_empty() || self.shown == "." {
            relative.to_owned()
        } else {
            format!("{}/{relative}", self.shown)
        }
    }

    /// The name of a file below the folder that people know as `object`.
    pub(crate) fn relative<'o>(&self, object: &'o str) -> Option<&'o str> {
        match self.shown() {
            "." => Some(object),
            shown => object.strip_prefix(shown)?.strip_prefix('/'),
        }
    }

    fn shown(&self) -> &str {
        if self.shown.is_empty() {
            "."
        } else {
            &self.shown
        }
    }

    /// The files a selection means, sorted by name, at least one.
    pub(crate) fn find(
        &self,
        selection: &str,
        options: &Options,
    ) -> Result<Vec<InputFile>, FilesError> {
        let selection = inside(selection, self.shown())?;
        let named = self.root.join(selection);
        let only_other = self.only.as_deref().is_some_and(|only| only != selection);
        if !only_other && named.is_file() {
            return Ok(vec![self.file(
                selection,
                options,
                self.bounds().as_deref(),
            )?]);
        }
        if !only_other && std::fs::metadata(&named).is_ok_and(|found| !found.is_dir()) {
            return Err(FilesError::Read {
                path: self.object(selection),
                source: std::io::Error::other("it is a pipe, a socket or a device, not a file"),
            });
        }
        if is_glob(selection) {
            return self.find_glob(selection, options);
        }
        let listing = self.list(selection.matches('/').count())?;
        listing.known(self, |name| {
            name == selection || stem_matches(name, selection)
        })?;
        let all = listing.names;
        match bare(selection, self.shown(), &all)? {
            Some(one) => Ok(vec![self.file(one, options, self.bounds().as_deref())?]),
            None if named.is_dir() => Err(FilesError::Folder {
                path: self.object(selection),
                selection: selection.to_owned(),
            }),
            None => Err(missing(self.object(selection), selection, &all)),
        }
    }

    fn find_glob(&self, glob: &str, options: &Options) -> Result<Vec<InputFile>, FilesError> {
        let matches = matcher(glob)?;
        let listing = self.list(depth_of(glob))?;
        listing.known(self, &matches)?;
        let all = listing.names;
        let names: Vec<&String> = all.iter().filter(|name| matches(name)).collect();
        if names.is_empty() {
            return Err(missing(self.object(glob), glob, &all));
        }
        let bounds = self.bounds();
        let files = names
            .iter()
            .map(|name| self.file(name, options, bounds.as_deref()))
            .collect::<Result<Vec<_>, _>>()?;
        one_format(&files)?;
        Ok(files)
    }

    /// Names under the folder that match a glob, sorted.
    pub(crate) fn matching(&self, glob: &str) -> Result<Vec<String>, FilesError> {
        let matches = matcher(glob)?;
        let mut names = self.list(depth_of(glob))?.names;
        names.retain(|name| matches(name));
        Ok(names)
    }

    /// What a person should know about a selection: links to folders that it could mean.
    pub(crate) fn notes(&self, selection: &str) -> Result<Vec<String>, FilesError> {
        let selection = selection.strip_prefix("./").unwrap_or(selection);
        if !is_glob(selection) || self.root.join(selection).is_file() {
            return Ok(Vec::new());
        }
        let parts: Vec<&str> = selection.split('/').collect();
        let mut notes = Vec::new();
        for link in self.list(depth_of(selection))?.links {
            let begin = parts.get(..link.split('/').count()).unwrap_or(&parts);
            if begin.contains(&"**") || matcher(&begin.join("/"))?(&link) {
                notes.push(format!(
                    "`{}` is a link to a folder: the files in it were not read",
                    self.object(&link)
                ));
            }
        }
        Ok(notes)
    }

    /// Every file under the folder, at most `depth` folders down, relative, sorted.
    fn list(&self, depth: usize) -> Result<Listing, FilesError> {
        let mut listing = Listing::default();
        if let Some(only) = &self.only {
            listing.names.push(only.clone());
            return Ok(listing);
        }
        let mut folders = vec![(self.root.clone(), String::new(), depth)];
        while let Some((folder, prefix, depth)) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let path = self.object(&prefix).trim_end_matches('/').to_owned();
                    return Err(FilesError::Missing {
                        nearest: None,
                        present: Vec::new(),
                        path,
                    });
                }
                Err(source) => {
                    return Err(FilesError::Read {
                        path: self.object(&prefix),
                        source,
                    });
                }
            };
            for entry in entries {
                let entry = entry.map_err(|source| FilesError::Read {
                    path: self.object(&prefix),
                    source,
                })?;
                let own = entry.file_name();
                if is_mark(&own.to_string_lossy()) {
                    continue;
                }
                let name = format!("{prefix}{}", own.to_string_lossy());
                let path = entry.path();
                // A link to a folder is not followed: it may lead out, or back to where it stands.
                let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if folder && depth > 0 {
                    folders.push((path, format!("{name}/"), depth - 1));
                    continue;
                }
                match std::fs::metadata(&path) {
                    Ok(found) if found.is_file() => listing.names.push(name),
                    Ok(found) if found.is_dir() && !folder && depth > 0 => listing.links.push(name),
                    Ok(_) => {}
                    Err(error) => listing.unknown.push((name, error)),
                }
            }
        }
        listing.lost = parts::keep_committed(&mut listing.names, |manifest| {
            std::fs::read(self.root.join(manifest)).ok()
        });
        listing.names.sort();
        listing.links.sort();
        Ok(listing)
    }

    /// Where the files of the folder really are; `None` when its only file was named itself.
    fn bounds(&self) -> Option<PathBuf> {
        let bounds = self.within.as_ref().unwrap_or(&self.root);
        let real = bounds.canonicalize();
        self.only
            .is_none()
            .then(|| real.unwrap_or_else(|_| bounds.clone()))
    }

    fn file(
        &self,
        relative: &str,
        options: &Options,
        bounds: Option<&Path>,
    ) -> Result<InputFile, FilesError> {
        let object = self.object(relative);
        let path = self.root.join(relative);
        if let Some(bounds) = bounds {
            let real = path.canonicalize().map_err(|source| FilesError::Read {
                path: object.clone(),
                source,
            })?;
            if !real.starts_with(bounds) {
                return Err(FilesError::LinkOut {
                    path: object,
                    folder: self.shown().to_owned(),
                });
            }
        }
        InputFile::of((relative, object), Place::Local(path), options)
    }
}

/// What stands in a folder, by names relative to it.
#[derive(Default)]
struct Listing {
    names: Vec<String>,
    /// Links to folders, which are not followed.
    links: Vec<String>,
    /// What could not be looked at, and why.
    unknown: Vec<(String, std::io::Error)>,
    /// What a manifest names and is not there.
    lost: Vec<String>,
}

impl Listing {
    /// Fails with the first file that is meant and could not be looked at, or is lost.
    fn known(&self, folder: &Folder, is_meant: impl Fn(&str) -> bool) -> Result<(), FilesError> {
        if let Some(name) = self.lost.iter().find(|name| is_meant(name)) {
            return Err(FilesError::LostPart {
                path: folder.object(name),
            });
        }
        let meant = self.unknown.iter().filter(|(name, _)| is_meant(name));
        meant
            .min_by_key(|(name, _)| name)
            .map_or(Ok(()), |(name, error)| {
                Err(FilesError::Read {
                    path: folder.object(name),
                    source: std::io::Error::new(error.kind(), error.to_string()),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use towpath_vocab::{Failure, Remedy};

    use super::*;

    fn options() -> Options {
        Options::read(&BTreeMap::new(), &BTreeMap::new()).unwrap()
    }

    fn folder(names: &[&str]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join("data").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let folder = Folder::new(dir.path(), "data");
        (dir, folder)
    }

    fn objects(files: Vec<InputFile>) -> Vec<String> {
        files.into_iter().map(|file| file.object).collect()
    }

    #[test]
    fn names_globs_and_bare_names() {
        let (_dir, folder) = folder(&[
            "flights.csv.gz",
            "2013/b.csv",
            "2013/a.csv",
            "2013/deep/c.csv",
            "x [1].csv",
        ]);
        let find = |selection: &str| folder.find(selection, &options()).map(objects).unwrap();
        assert_eq!(find("flights"), ["data/flights.csv.gz"]);
        assert_eq!(find("flights.csv.gz"), ["data/flights.csv.gz"]);
        assert_eq!(find("2013/*.csv"), ["data/2013/a.csv", "data/2013/b.csv"]);
        assert_eq!(find("2013/a"), ["data/2013/a.csv"]);
        assert_eq!(
            find("2013/**/*.csv"),
            ["data/2013/a.csv", "data/2013/b.csv", "data/2013/deep/c.csv"]
        );
        assert_eq!(find("x [1].csv"), ["data/x [1].csv"]);
    }

    #[test]
    fn mistakes_name_a_way_out() {
        let (_dir, folder) = folder(&[
            "flights.csv",
            "flights.parquet",
            "planes.csv",
            "readme.txt",
            "2013/a.csv",
        ]);
        let fail = |selection: &str| Failure::from(folder.find(selection, &options()).unwrap_err());
        let ambiguous = fail("flights");
        assert_eq!(
            (ambiguous.code.as_str(), ambiguous.remedy),
            ("R0102", Remedy::FixConfig)
        );
        assert!(
            ambiguous
                .message
                .contains("`flights.csv`, `flights.parquet`"),
            "{}",
            ambiguous.message
        );
        let missing = fail("plane.csv");
        assert_eq!(
            (missing.code.as_str(), missing.remedy),
            ("R0101", Remedy::FixConfig)
        );
        assert_eq!(missing.help, ["did you mean `planes.csv`?"]);
        assert_eq!(fail("../etc/passwd").code, "R0104");
        assert_eq!(fail("/etc/passwd").code, "R0104");
        assert_eq!(
            fail("2013").help,
            ["for all its files write a glob, such as `2013/*.csv`"]
        );
        assert_eq!(fail("*").code, "R0106");
        assert_eq!(fail("flights.*").code, "R0106");
        assert_eq!(fail("nothing*").code, "R0101");
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_not_followed() {
        use std::os::unix::fs::symlink;
        let (dir, folder) = folder(&["a/1.csv", "b/2.csv"]);
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/3.csv"), "").unwrap();
        let data = dir.path().join("data");
        symlink(&data, data.join("a/loop")).unwrap();
        symlink(data.join("b"), data.join("again")).unwrap();
        symlink(dir.path().join("outside"), data.join("out")).unwrap();
        symlink(data.join("b/2.csv"), data.join("a/file.csv")).unwrap();
        let find = |selection: &str| folder.find(selection, &options()).map(objects);
        let all = ["data/a/1.csv", "data/a/file.csv", "data/b/2.csv"];
        assert_eq!(find("**/*.csv").unwrap(), all);
        assert_eq!(find("*/*.csv").unwrap(), all);
        assert!(find("out/*.csv").is_err());
        let note = |name: &str| {
            format!("`data/{name}` is a link to a folder: the files in it were not read")
        };
        let notes = |selection: &str| folder.notes(selection).unwrap();
        assert_eq!(
            notes("**/*.csv"),
            [note("a/loop"), note("again"), note("out")]
        );
        assert_eq!(notes("o*/*.csv"), [note("out")]);
        assert_eq!(notes("*.csv"), [""; 0]);
        assert_eq!(notes("a/file.csv"), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_out_is_refused() {
        use std::os::unix::fs::symlink;
        let (dir, folder) = folder(&["a/1.csv", "b/2.csv"]);
        let (data, outside) = (dir.path().join("data"), dir.path().join("outside"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("3.csv"), "").unwrap();
        symlink(outside.join("3.csv"), data.join("a/3.csv")).unwrap();
        symlink("../../outside/3.csv", data.join("a/4.csv")).unwrap();
        symlink("../outside", data.join("deep")).unwrap();
        for meant in [
            "a/3.csv",
            "a/3",
            "a/*.csv",
            "**/*.csv",
            "a/4.csv",
            "deep/3.csv",
        ] {
            let failure = Failure::from(folder.find(meant, &options()).unwrap_err());
            assert_eq!(failure.code, "R0144", "{meant}");
            assert!(
                failure.message.contains("leads out of `data`"),
                "{failure:?}"
            );
        }
        assert_eq!(
            objects(folder.find("b/*.csv", &options()).unwrap()),
            ["data/b/2.csv"]
        );
        // What `path` itself names is meant, also when it is a link.
        symlink(&data, dir.path().join("other")).unwrap();
        for (path, meant) in [
            ("other", "a/1.csv"),
            ("data/a/3.csv", "3"),
            ("outside", "*"),
        ] {
            let folder = Folder::new(dir.path(), path);
            assert_eq!(folder.find(meant, &options()).unwrap().len(), 1, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_named_when_it_is_meant() {
        let (dir, folder) = folder(&["x_1.csv", "y_1.csv"]);
        let nowhere = dir.path().join("data/x_2.csv");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), nowhere).unwrap();
        for meant in ["x_*.csv", "*", "x_2.csv", "x_2"] {
            let failure = Failure::from(folder.find(meant, &options()).unwrap_err());
            assert_eq!(failure.code, "R0107", "{meant}");
            assert!(failure.message.contains("`data/x_2.csv`"), "{failure:?}");
            assert!(
                failure.help[0].contains("does not exist; delete the link"),
                "{failure:?}"
            );
        }
        let others = folder.find("y_*.csv", &options()).map(objects).unwrap();
        assert_eq!(others, ["data/y_1.csv"]);
        assert_eq!(folder.matching("*").unwrap().len(), 2);
    }

    #[test]
    fn a_connection_may_be_one_file() {
        let (dir, _) = folder(&["flights.csv", "other.csv"]);
        let folder = Folder::new(dir.path(), "data/flights.csv");
        assert_eq!(
            objects(folder.find("flights", &options()).unwrap()),
            ["data/flights.csv"]
        );
        assert_eq!(
            objects(folder.find("*", &options()).unwrap()),
            ["data/flights.csv"]
        );
        assert!(folder.find("other.csv", &options()).is_err());
    }
}
