//! The demo as a user sees it: a copy of `examples/nycflights` is run twice, queried, corrected and
//! replayed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Project {
    _folder: tempfile::TempDir,
    dir: PathBuf,
}

impl Project {
    fn copy_of(example: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a folder with ümlauts").join(example);
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples")
            .join(example);
        copy(&from, &dir);
        Self {
            _folder: folder,
            dir,
        }
    }

    fn towpath(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(arguments)
            .current_dir(&self.dir)
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.towpath(arguments);
        let said = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}\n{said}\n{}",
            text(&output.stderr)
        );
        said
    }

    fn rows(&self, sql: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["query", "--format", "json", sql])).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["lake", "out", ".towpath"].iter().any(|own| name == *own) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_tells_the_truth_about_its_data() {
    let project = Project::copy_of("nycflights");
    let first = project.ok(&["run"]);
    for line in [
        "nycflights#1 · nycflights · dev",
        "✓ extract",
        "✓ build",
        "✓ reports",
        "1 row rejected: wind_speed is 1048.36058, the rule says at most 200",
        "data/weather.csv:1011",
        "3 keys (origin, year, month, day, hour) occur more than once: (EWR, 2013, 11, 3, 1) (JFK, 2013, 11, 3, 1) (LGA, 2013, 11, 3, 1)",
        "7,602 rows with a `dest` that is not in `raw.airports`: BQN PSE SJU STT",
        "No row was lost: 367,687 read = 367,686 loaded + 1 rejected.",
    ] {
        assert!(first.contains(line), "missing: {line}\n{first}");
    }
    let counts =
        "select count(*) n, count(*) filter (where dep_time is null) nodep from raw.flights";
    assert_eq!(
        project.rows(counts),
        serde_json::json!([{ "n": 336_776, "nodep": 8255 }])
    );
    let months = project.rows("select count(*) n from marts.delay_by_carrier_month");
    assert_eq!(months, serde_json::json!([{ "n": 185 }]));
    let rain = "select flights, round(mean_dep_delay, 2) as delay from marts.weather_delay \
                where origin = 'EWR' and weather = 'heavy rain'";
    assert_eq!(project.rows(rain)[0]["flights"], 1919);
    assert_eq!(
        project.rows(rain)[0]["delay"].to_string().trim_matches('"'),
        "41.12"
    );
    assert_eq!(
        project.rows("select count(*) n from marts.weather_delay")[0]["n"],
        12
    );

    let second = project.ok(&["run"]);
    assert!(
        second.starts_with("nycflights#2 · Nothing to do"),
        "{second}"
    );
    assert!(second.contains("--full-refresh"), "{second}");
}

#[test]
fn a_rejected_row_is_replayed_once_after_the_rule_is_mended() {
    let project = Project::copy_of("nycflights");
    project.ok(&["run", "nycflights.extract"]);
    let weather = || project.rows("select count(*) n from raw.weather")[0]["n"].clone();
    assert_eq!(weather(), 26_114);
    let kept = project.ok(&["quarantine", "replay", "raw.weather"]);
    assert!(
        kept.starts_with("0 rows replayed, 1 still in the quarantine"),
        "{kept}"
    );

    let file = project.dir.join("pipelines/nycflights.yml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    assert!(pipeline.contains("max: 200 }"));
    std::fs::write(&file, pipeline.replace("max: 200 }", "max: 2000 }")).unwrap();
    let replayed = project.ok(&["quarantine", "replay", "raw.weather"]);
    assert!(
        replayed.starts_with("1 row replayed, 0 still in the quarantine"),
        "{replayed}"
    );
    assert_eq!(weather(), 26_115);
    let again = project.ok(&["quarantine", "replay", "raw.weather"]);
    assert!(again.starts_with("0 rows replayed"), "{again}");
    assert_eq!(weather(), 26_115);
    let listed = project.ok(&["quarantine", "ls", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["tables"][0]["replayed"], 1);
}

#[test]
fn every_column_of_a_mart_leads_back_to_a_column_of_a_file() {
    let project = Project::copy_of("nycflights");
    project.ok(&["run"]);
    let report = project.ok(&[
        "lineage",
        "marts.delay_by_carrier_month",
        "--up",
        "--format",
        "json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let columns = project.rows(
        "select column_name from information_schema.columns \
         where table_schema = 'marts' and table_name = 'delay_by_carrier_month'",
    );
    let columns = columns.as_array().unwrap();
    assert!(!columns.is_empty());
    for column in columns {
        let name = column["column_name"].as_str().unwrap();
        let origins = report["origins"][name]
            .as_array()
            .unwrap_or_else(|| panic!("no origin of {name}: {report}"));
        assert!(!origins.is_empty(), "{name}");
        for origin in origins {
            let origin = origin.as_str().unwrap();
            assert!(
                origin.starts_with("data:") && origin.contains(".csv"),
                "{name} comes from {origin}"
            );
        }
    }
}

#[test]
fn the_broken_example_shows_all_its_mistakes_at_once() {
    let project = Project::copy_of("broken");
    let output = project.towpath(&["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["severity"] == "error")
        .collect();
    let codes: std::collections::BTreeSet<_> =
        errors.iter().map(|d| d["code"].as_str().unwrap()).collect();
    assert!(codes.len() >= 10, "{codes:?}");
    for error in errors {
        assert!(
            error["file"].is_string() && error["line"].is_u64(),
            "{error}"
        );
        assert!(
            !error["help"].as_array().unwrap().is_empty(),
            "no way out: {error}"
        );
    }
}
