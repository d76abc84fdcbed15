//! `make demo`: builds the binary and runs `examples/nycflights` twice in a fresh copy.
//!
//! Promise: it says beforehand how long the build takes, and fails if the second run does anything. Of the
//! example it knows only the folder, and which of its subfolders contain results.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

const EXAMPLE: &str = "examples/nycflights";
/// What a run leaves behind; a fresh copy starts without.
const RESULTS: &[&str] = &[".towpath", "lake", "out"];
/// Measured for the whole dependency graph, `docs/decisions/0002-one-build.md`.
const BUILD_CPU_SECONDS: usize = 1_920;

/// Runs the demo; true when both runs did what they should.
pub(crate) fn run() -> Result<bool> {
    let root = workspace::root();
    let example = root.join(EXAMPLE);
    if !example.join("towpath.yml").is_file() {
        bail!("{EXAMPLE} has no towpath.yml: there is no demo to run yet");
    }
    let target = target_folder(&root)?;
    println!("{}", announcement(&target));
    let built = workspace::command("cargo")
        .args(["build", "--locked", "--package", "towpath"])
        .current_dir(&root)
        .status()
        .context("cannot start cargo")?;
    if !built.success() {
        bail!("the build failed");
    }
    let place = target.join("demo/nycflights");
    if place.exists() {
        std::fs::remove_dir_all(&place)
            .with_context(|| format!("cannot empty {}", place.display()))?;
    }
    copy(&example, &place)?;
    let towpath = target.join("debug/towpath");
    println!("\n$ towpath run");
    let first = Command::new(&towpath)
        .arg("run")
        .current_dir(&place)
        .status()
        .context("cannot start towpath")?;
    if !first.success() {
        bail!("the first run ended with {first}");
    }
    println!("\n$ towpath run");
    let second = Command::new(&towpath)
        .arg("run")
        .current_dir(&place)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start towpath")?;
    let said = String::from_utf8_lossy(&second.stdout);
    print!("{said}");
    if !second.status.success() {
        bail!("the second run ended with {}", second.status);
    }
    if !said.contains("Nothing to do") {
        bail!("the second run should have had nothing to do");
    }
    println!(
        "\nThe project and its tables are in {}. Go on there with {}",
        place.display(),
        towpath.display()
    );
    Ok(true)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf> {
    let metadata = workspace::output(
        root,
        "cargo",
        &["metadata", "--no-deps", "--format-version", "1"],
    )?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).context("the answer of `cargo metadata` is not JSON")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("metadata lacks `target_directory`")
}

fn announcement(target: &Path) -> String {
    if target.join("debug/towpath").is_file() {
        return "Building what changed: seconds, or about a minute and a half after a change."
            .to_owned();
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "Building Towpath and everything it needs: once, about {} minutes on {cores} cores; after that, seconds.",
        (BUILD_CPU_SECONDS / 60).div_ceil(cores)
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries =
        std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let name = entry.file_name();
        if RESULTS.iter().any(|result| name == *result) {
            continue;
        }
        let target = to.join(&name);
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy to {}", target.display()))?;
        }
    }
    Ok(())
}
