//! SQL of another process on a database, by its driver alone.
//!
//! Promise: it shares nothing with the connector but the driver, and not its process: two databases of DuckDB on one
//! file in one process would not see each other. It waits until the file is free.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use towpath_testkit::adbc;
use towpath_testkit::conformance::lines_of_batch;

/// Holds the work of the child.
const WORK: &str = "TOWPATH_ADBC_OUTSIDE";
const LINE: &str = "row: ";
/// Another process may have the file for a moment.
const TRIES: usize = 200;

/// Runs a statement on a file of DuckDB; its rows as lines.
pub(crate) fn duckdb(file: &Path, sql: &str) -> Result<Vec<String>, String> {
    let work = json!({ "file": file, "sql": sql });
    let (_, module) = module_path!().split_once("::").unwrap();
    for _ in 0..TRIES {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("{module}::the_work_of_a_child"),
                "--nocapture",
            ])
            .env(WORK, work.to_string())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() {
            let rows = out.lines().filter_map(|line| line.strip_prefix(LINE));
            return Ok(rows.map(str::to_owned).collect());
        }
        if !err.contains("Could not set lock") {
            return Err(err);
        }
    }
    Err("the file was never free".to_owned())
}

/// What the child does; without work from outside, a question that needs no file.
#[test]
fn the_work_of_a_child() {
    let work = std::env::var(WORK).ok();
    let work: serde_json::Value = match &work {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => json!({ "file": ":memory:", "sql": "SELECT 42 AS n" }),
    };
    let text = |key: &str| work[key].as_str().unwrap().to_owned();
    let batches = adbc::duckdb(Path::new(&text("file")), &text("sql")).unwrap();
    let lines: Vec<String> = batches.iter().flat_map(lines_of_batch).collect();
    if std::env::var_os(WORK).is_none() {
        assert_eq!(lines, ["n=42"]);
    }
    let mut output = std::io::stdout();
    for line in lines {
        writeln!(output, "\n{LINE}{line}").unwrap();
    }
}
