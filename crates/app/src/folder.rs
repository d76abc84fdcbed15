//! Reads a project folder: every file the planning side may want, as text, under its relative path.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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

/// Folders that hold project text, with the endings that count.
const PLACES: &[(&str, &[&str])] = &[
    ("connections", &["yml", "yaml"]),
    ("pipelines", &["yml", "yaml"]),
    ("schemas", &["yml", "yaml"]),
    ("models", &["sql", "yml", "yaml", "md"]),
    ("macros", &["sql", "yml", "yaml"]),
    ("seeds", &["yml", "yaml"]),
    ("snapshots", &["sql", "yml", "yaml"]),
    ("tests", &["sql", "yml", "yaml"]),
    ("contracts", &["yml", "yaml"]),
];
const ROOT_FILES: &[&str] = &["towpath.yml", "towpath.yaml", "dbt_project.yml"];
/// No one writes larger project files by hand.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The nearest folder at or above `start` that holds a `towpath.yml`.
pub fn find_project(start: &Path) -> Result<PathBuf> {
    let start = start
        .canonicalize()
        .map_err(|error| unreadable(start, &error))?;
    start
        .ancestors()
        .find(|dir| dir.join("towpath.yml").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            Failure::new(
                "R0903",
                Remedy::FixConfig,
                format!("there is no towpath.yml in {} or above it", start.display()),
            )
            .help("start a project here: towpath init")
            .help("or say where it is: towpath --project DIR …")
        })
}

impl ProjectFolder {
    /// Reads all project files of a folder.
    ///
    /// # Errors
    /// `FixConfig` naming a file that cannot be read or is not UTF-8.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in ROOT_FILES {
            let path = dir.join(name);
            if path.is_file() {
                files.insert((*name).to_owned(), read_text(&path)?);
            }
        }
        for (place, endings) in PLACES {
            walk(dir, &dir.join(place), endings, &mut files)?;
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            files,
        })
    }
}

fn walk(
    root: &Path,
    dir: &Path,
    endings: &[&str],
    files: &mut BTreeMap<String, String>,
) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
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
            walk(root, &path, endings, files)?;
        } else if endings.contains(&ending) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let name: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            files.insert(name.join("/"), read_text(&path)?);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String> {
    let size = fs::metadata(path)
        .map_err(|error| unreadable(path, &error))?
        .len();
    if size > MAX_FILE_BYTES {
        let message = format!(
            "{} is larger than 16 MB: that is no project file",
            path.display()
        );
        return Err(Failure::new("R0905", Remedy::FixConfig, message));
    }
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
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
