//! The command itself goes red on a planted wrong arrow: what `make test` runs, run on a planted workspace.
#![allow(clippy::expect_used, reason = "tests")]

use std::process::Command;

use serde_json::{Value, json};

/// The real metadata, read by cargo from the manifests.
fn metadata() -> Value {
    let answer = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&answer.stdout).expect("metadata is JSON")
}

/// Runs `xtask tidy` on metadata; gives whether it passed and what it said of arrows.
fn arrows(metadata: &Value, name: &str) -> (bool, Vec<String>) {
    let file = std::env::temp_dir().join(format!("towpath-tidy-{name}-{}", std::process::id()));
    std::fs::write(&file, metadata.to_string()).expect("the metadata is written");
    let tidy = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["tidy", "--metadata"])
        .arg(&file)
        .output()
        .expect("xtask runs");
    std::fs::remove_file(&file).expect("the metadata is removed");
    let said = String::from_utf8_lossy(&tidy.stderr);
    let arrows = said
        .lines()
        .filter(|line| line.starts_with("tidy[arrows]"))
        .map(str::to_owned)
        .collect();
    (tidy.status.success(), arrows)
}

#[test]
fn a_planted_wrong_arrow_makes_the_test_command_red() {
    let mut metadata = metadata();
    let (_, before) = arrows(&metadata, "before");
    assert_eq!(before, Vec::<String>::new());
    let connectors = metadata["packages"]
        .as_array_mut()
        .expect("packages")
        .iter_mut()
        .find(|package| package["name"] == "towpath-connectors")
        .expect("the crate `connectors`");
    connectors["dependencies"]
        .as_array_mut()
        .expect("dependencies")
        .push(json!({"name": "towpath-engine", "kind": null}));
    let (passed, after) = arrows(&metadata, "after");
    assert!(!passed);
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(
        after[0].contains("crate `connectors`: imports `engine`"),
        "{after:?}"
    );
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let status = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("polish")
        .status()
        .expect("xtask runs");
    assert_eq!(status.code(), Some(2));
}
