//! Reads a project folder: every file that the planning side may need, as text, under its relative path.
//!
//! Promise: only regular files of limited size are opened, so a named pipe or a device in the folder cannot
//! block a command, and no link that leads out of the project is followed. Only the first line of a seed is
//! read. It does not know what the texts mean. Read next: `project/src/check.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use towpath_vocab::{Failure, Remedy};

use crate::Result;

/// A project's files, read once.
#[derive(Clone, Debug)]
pub struct ProjectFolder {
    /// The folder.
    pub dir: PathBuf,
    /// Path relative to it, with `/`, to text.
    pub files: BTreeMap<String, String>,
}

/// The folders of project files, with the endings of files that are read.
const PLACES: &[(&str, &[&str])] = &[
    ("connections", &["yml", "yaml"]),
    ("pipelines", &["yml", "yaml"]),
    ("schemas", &["yml", "yaml"]),
    ("models", &["sql", "yml", "yaml", "md", "py"]),
    ("macros", &["sql", "yml", "yaml"]),
    (SEEDS, &["yml", "yaml", "csv"]),
    ("snapshots", &["sql", "yml", "yaml"]),
    ("tests", &["sql", "yml", "yaml"]),
    ("contracts", &["yml", "yaml"]),
];
const SEEDS: &str = "seeds";
const ROOT_FILES: &[&str] = &["towpath.yml", "towpath.yaml", DBT_PROJECT];
/// The largest size of a project file.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The largest size of all project files together.
const MAX_FOLDER_BYTES: u64 = 512 << 20;
/// How many folders deep changes of files are looked for.
const DEEPEST_STAMP: usize = 12;
/// The number of bytes in which the first line of a seed must end.
const HEADER_BYTES: u64 = 64 << 10;

/// The nearest folder at or above `start` with a `towpath.yml`.
///
/// # Errors
/// R0903 if there is none; R0906 if there is a dbt project instead.
pub fn find_project(start: &Path) -> Result<PathBuf> {
    let start = start
        .canonicalize()
        .map_err(|error| unreadable(start, &error))?;
    let holds = |name: &str| start.ancestors().find(|dir| dir.join(name).is_file());
    if let Some(dir) = holds("towpath.yml") {
        return Ok(dir.to_path_buf());
    }
    if let Some(dir) = holds(DBT_PROJECT) {
        return Err(dbt_folder(dir));
    }
    Err(Failure::new(
        "R0903",
        Remedy::FixConfig,
        format!("there is no towpath.yml in {} or above it", start.display()),
    )
    .help("start a project here: towpath init")
    .help("or say where it is: towpath --project DIR …"))
}

/// The file that makes a folder a dbt project.
pub(crate) const DBT_PROJECT: &str = "dbt_project.yml";

/// The failure for a dbt project, which says what this version can read of it.
fn dbt_folder(dir: &Path) -> Failure {
    Failure::new(
        "R0906",
        Remedy::FixConfig,
        format!(
            "{} is a dbt project; this version runs it only with a towpath.yml next to {DBT_PROJECT}",
            dir.display()
        ),
    )
    .help("read then: models in SQL, macros, seeds, sources, configs and tests in YAML, and of dbt_project.yml `models`, `seeds` and `vars`")
    .help("not read yet: profiles.yml, packages, snapshots, tests in files of their own, unit tests, hooks, models in Python")
    .help("write one, with a pipeline that builds all models: towpath init --from .")
}

impl ProjectFolder {
    /// Reads all project files of a folder.
    ///
    /// # Errors
    /// `FixConfig` naming a file that cannot be read or is not UTF-8.
    pub fn read(dir: &Path) -> Result<Self> {
        let real = dir
            .canonicalize()
            .map_err(|error| unreadable(dir, &error))?;
        let mut reading = Reading {
            root: dir,
            within: real.clone(),
            files: BTreeMap::new(),
            bytes: 0,
        };
        for name in ROOT_FILES {
            let path = dir.join(name);
            if path.exists() {
                reading.file(&path)?;
            }
        }
        let seeds = real.join(SEEDS).canonicalize().ok();
        let seeds = seeds.filter(|seeds| seeds.starts_with(&real));
        for (place, endings) in PLACES {
            // A run reads seeds as the files of that folder.
            let within = seeds.as_ref().filter(|_| *place == SEEDS);
            reading.within.clone_from(within.unwrap_or(&real));
            reading.folder(&dir.join(place), endings, &mut Vec::new())?;
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            files: reading.files,
        })
    }
}

/// Names, sizes and times of change of all project files: as long as these are the same, so is the project.
pub(crate) fn stamp(dir: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    for name in ROOT_FILES {
        stamp_of(&dir.join(name), &[], 0, &mut found);
    }
    for (place, endings) in PLACES {
        stamp_of(&dir.join(place), endings, 0, &mut found);
    }
    found
}

fn stamp_of(
    path: &Path,
    endings: &[&str],
    depth: usize,
    found: &mut BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
) {
    // What cannot be read is not part of it: reading the project says so.
    let Ok(facts) = path.metadata() else { return };
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_read = endings.is_empty() || ending.is_some_and(|ending| endings.contains(&ending));
    if !facts.is_dir() {
        if is_read {
            found.insert(path.to_owned(), (facts.len(), facts.modified().ok()));
        }
        return;
    }
    // A link may lead to a folder above it.
    if depth < DEEPEST_STAMP
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.flatten() {
            stamp_of(&entry.path(), endings, depth + 1, found);
        }
    }
}

/// A folder that is being read.
struct Reading<'a> {
    root: &'a Path,
    /// The folder inside which links may lead.
    within: PathBuf,
    files: BTreeMap<String, String>,
    bytes: u64,
}

impl Reading<'_> {
    /// `above` are the parent folders, with links resolved.
    fn folder(&mut self, dir: &Path, endings: &[&str], above: &mut Vec<PathBuf>) -> Result<()> {
        if !dir.is_dir() {
            return Ok(());
        }
        let real = dir
            .canonicalize()
            .map_err(|error| unreadable(dir, &error))?;
        self.inside(dir)?;
        if above.contains(&real) {
            let message = format!("the link {} leads back to a folder above it", dir.display());
            return Err(Failure::new("R0908", Remedy::FixConfig, message)
                .help("remove the link, or start its name with a dot"));
        }
        above.push(real);
        let entries = fs::read_dir(dir).map_err(|error| unreadable(dir, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(dir, &error))?.path();
            let hidden = path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'));
            let ending = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            if hidden {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, endings, above)?;
            } else if endings.contains(&ending) {
                self.file(&path)?;
            }
        }
        above.pop();
        Ok(())
    }

    /// Refuses a link that leads out.
    fn inside(&self, path: &Path) -> Result<()> {
        if !path.is_symlink() {
            return Ok(());
        }
        let real = path
            .canonicalize()
            .map_err(|error| unreadable(path, &error))?;
        match real.starts_with(&self.within) {
            true => Ok(()),
            false => Err(leads_out(path, &self.within)),
        }
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        self.inside(path)?;
        let is_seed = path.extension().is_some_and(|ending| ending == "csv");
        let text = match is_seed {
            true => first_line(path)?,
            false => read_text(path)?,
        };
        self.bytes += text.len() as u64;
        if self.bytes > MAX_FOLDER_BYTES {
            let message = format!(
                "the project files of {} are larger than 512 MB together",
                self.root.display()
            );
            return Err(Failure::new("R0905", Remedy::FixConfig, message)
                .help("move data to a folder that a connection names"));
        }
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        let name: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        self.files.insert(name.join("/"), text);
        Ok(())
    }
}

/// The failure for a link that leads out of the project.
fn leads_out(path: &Path, within: &Path) -> Failure {
    let message = format!(
        "the link {} leads out of {}",
        path.display(),
        within.display()
    );
    Failure::new("R0909", Remedy::FixConfig, message)
        .help("copy what it leads to into the folder, or start its name with a dot, so that it is not read")
}

/// Refuses to write where a link leads out of a project.
///
/// # Errors
/// R0909 naming the link.
pub(crate) fn refuse_links_out(dir: &Path, path: &Path) -> Result<()> {
    for part in path.ancestors().take_while(|part| *part != dir) {
        let real = part.canonicalize().ok();
        if part.is_symlink() && !real.is_some_and(|real| real.starts_with(dir)) {
            return Err(leads_out(part, dir));
        }
    }
    Ok(())
}

/// Opens a regular file; reading anything else could block for ever.
fn open(path: &Path) -> Result<(fs::File, u64)> {
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !about.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(Failure::new("R0907", Remedy::FixConfig, message)
            .help("project files are text: a named pipe, a socket or a device is not read")
            .help("remove it, or start its name with a dot"));
    }
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok((file, about.len()))
}

fn read_text(path: &Path) -> Result<String> {
    let (file, size) = open(path)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(path, &error))?;
    if size.max(text.len() as u64) > MAX_FILE_BYTES {
        let message = format!(
            "{} is larger than 16 MB: project files are smaller",
            path.display()
        );
        return Err(Failure::new("R0905", Remedy::FixConfig, message)
            .help("move data to a folder that a connection names"));
    }
    Ok(text)
}

/// The first line; empty if it is not text or has no end.
fn first_line(path: &Path) -> Result<String> {
    let (file, _) = open(path)?;
    let mut head = Vec::new();
    file.take(HEADER_BYTES)
        .read_to_end(&mut head)
        .map_err(|error| unreadable(path, &error))?;
    let end = head.iter().position(|byte| *byte == b'\n');
    let is_whole = end.is_some() || (head.len() as u64) < HEADER_BYTES;
    head.truncate(end.unwrap_or(head.len()));
    let line = String::from_utf8(head).unwrap_or_default();
    Ok(match is_whole {
        true => line.trim_end_matches('\r').to_owned(),
        false => String::new(),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(
        "R0904",
        Remedy::FixConfig,
        format!("{} cannot be read: {why}", path.display()),
    )
}
