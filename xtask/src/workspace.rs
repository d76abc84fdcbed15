//! What the rules check: packages from `cargo metadata`, the lock file, the text of every tracked or new
//! file.
//!
//! Promise: it judges nothing. Everything can be built from strings, so each rule is tested with an
//! artificial workspace. Read next: `tidy.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Normal,
    Build,
    Dev,
}

/// A dependency as a manifest states it.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) used_for: Use,
}

/// A package of the dependency graph.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// Its folder relative to the workspace root; `None` for packages of others.
    pub(crate) folder: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A text file, by its path relative to the root.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Everything the rules see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) files: Vec<TextFile>,
    pub(crate) lock: String,
}

/// The workspace root: above the package that cargo runs, else above where this crate was built. Two
/// clones may share a target folder, so the first is asked at run time.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent()
        .map_or_else(|| here.clone(), Path::to_path_buf)
}

impl Workspace {
    /// Reads the workspace; `metadata` replaces the answer of `cargo metadata`.
    pub(crate) fn load(root: &Path, metadata: Option<&Path>) -> Result<Self> {
        let metadata = match metadata {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?,
            None => real_metadata(root)?,
        };
        Ok(Self {
            packages: packages(
                &serde_json::from_str(&metadata)
                    .context("the answer of `cargo metadata` is not JSON")?,
            )?,
            files: text_files(root)?,
            lock: std::fs::read_to_string(root.join("Cargo.lock"))
                .context("cannot read Cargo.lock")?,
        })
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.folder.is_some())
    }

    /// Rust files of the workspace's own packages.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// A file by its path.
    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// What cargo says, for this platform: packages of other platforms are neither built nor shipped.
fn real_metadata(root: &Path) -> Result<String> {
    let compiler = output(root, "rustc", &["-vV"])?;
    let host = compiler
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
    let arguments = [
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ];
    output(root, "cargo", &arguments)
}

/// A command that sees the environment of a person's shell, without what the cargo that started us has
/// added: build scripts that look at those variables would run again, and all that depends on them.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command in `root` and gives its standard output.
pub(crate) fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let done = command(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot start `{program}`"))?;
    if !done.status.success() {
        bail!(
            "`{program} {}` failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    String::from_utf8(done.stdout)
        .with_context(|| format!("`{program}` printed something that is not UTF-8"))
}

/// Packages from the JSON of `cargo metadata --format-version 1`.
pub(crate) fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let root = text(metadata, "workspace_root")?;
    let members: Vec<&str> = metadata["workspace_members"]
        .as_array()
        .context("metadata has no workspace_members")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    metadata["packages"]
        .as_array()
        .context("metadata has no packages")?
        .iter()
        .map(|package| one_package(package, root, &members))
        .collect()
}

fn one_package(package: &Value, root: &str, members: &[&str]) -> Result<Package> {
    let folder = members.contains(&text(package, "id")?).then(|| {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = manifest.strip_suffix("/Cargo.toml").unwrap_or(manifest);
        folder
            .strip_prefix(root)
            .unwrap_or(folder)
            .trim_start_matches('/')
            .to_owned()
    });
    let dependencies = package["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|dependency| {
            Ok(Dependency {
                name: text(dependency, "name")?.to_owned(),
                used_for: match dependency["kind"].as_str() {
                    Some("dev") => Use::Dev,
                    Some("build") => Use::Build,
                    _ => Use::Normal,
                },
            })
        })
        .collect::<Result<_>>()?;
    Ok(Package {
        name: text(package, "name")?.to_owned(),
        version: text(package, "version")?.to_owned(),
        licence: package["license"].as_str().map(str::to_owned),
        folder,
        dependencies,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("metadata lacks `{key}`"))
}

/// Every tracked or new file that is text and not data, ignored files left out.
fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    const DATA: &[&str] = &[".gz", ".zst", ".parquet", ".csv", ".png", ".lock"];
    let listed = output(
        root,
        "git",
        &[
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    )?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        if DATA.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        // A listed file may have been deleted meanwhile, and binary files are not checked.
        let Ok(bytes) = std::fs::read(root.join(path)) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

#[cfg(test)]
pub(crate) mod planted {
    //! Small workspaces for the rules' tests.

    use super::{TextFile, Workspace, packages};
    use serde_json::{Value, json};

    /// A workspace package with dependencies written `name` or `dev:name`.
    pub(crate) fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|text| match text.split_once(':') {
                Some((kind, name)) => json!({"name": name, "kind": kind}),
                None => json!({"name": text, "kind": null}),
            })
            .collect();
        let folder = name
            .strip_prefix("towpath-")
            .unwrap_or(if name == "towpath" { "cli" } else { name });
        json!({
            "id": name, "name": name, "version": "0.1.0", "license": "Apache-2.0",
            "manifest_path": format!("/somewhere/crates/{folder}/Cargo.toml"),
            "dependencies": dependencies,
        })
    }

    /// The metadata JSON of these packages.
    pub(crate) fn metadata(packages: &[Value]) -> Value {
        let members: Vec<&Value> = packages.iter().map(|package| &package["id"]).collect();
        json!({"workspace_root": "/somewhere", "workspace_members": members, "packages": packages})
    }

    /// A workspace of packages.
    #[allow(clippy::expect_used, reason = "tests")]
    pub(crate) fn of_packages(list: &[Value]) -> Workspace {
        Workspace {
            packages: packages(&metadata(list)).expect("planted metadata"),
            ..Workspace::default()
        }
    }

    /// A workspace of files.
    pub(crate) fn of_files(files: &[(&str, &str)]) -> Workspace {
        Workspace {
            files: files
                .iter()
                .map(|(path, text)| TextFile {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            ..Workspace::default()
        }
    }
}
