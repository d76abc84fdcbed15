//! What `make test` runs after setup, and its last line: `N passed, N failed`.
//!
//! Promise: every step runs even if an earlier one failed, so one run shows everything. The count comes
//! from cargo's result lines; a failed step that is not a test counts as one failure. Two tests run at a
//! time on every machine. It does not know what a test needs: `setup.sh` does.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace;

/// A command and the name it has in the summary.
struct Step {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        program: "cargo",
        arguments: &["fmt", "--all", "--check"],
        environment: &[],
    },
    Step {
        name: "tidy",
        program: "cargo",
        arguments: &[
            "run",
            "--quiet",
            "--locked",
            "--package",
            "xtask",
            "--",
            "tidy",
        ],
        environment: &[],
    },
    Step {
        name: "clippy",
        program: "cargo",
        arguments: &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        environment: &[],
    },
    Step {
        name: "tests",
        program: "cargo",
        arguments: &[
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--test-threads=2",
        ],
        environment: &[("RUST_TEST_THREADS", "2")],
    },
    Step {
        name: "ui",
        program: "make",
        arguments: &["--no-print-directory", "test-ui"],
        environment: &[],
    },
    Step {
        name: "docs",
        program: "cargo",
        arguments: &["doc", "--locked", "--workspace", "--no-deps", "--quiet"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Step {
        name: "examples",
        program: "cargo",
        arguments: &[
            "run",
            "--quiet",
            "--locked",
            "--package",
            "xtask",
            "--",
            "demo",
        ],
        environment: &[],
    },
];

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Adds what a line says if it is one of cargo's: `test result: ok. 3 passed; 0 failed; ...`.
    fn read(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else {
            return;
        };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split(';') {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse::<u64>().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// The tally of a step: one that failed without a failed test (it did not compile) is a failure.
    fn of_step(self, succeeded: bool) -> Self {
        if succeeded || self.failed > 0 {
            self
        } else {
            Self { failed: 1, ..self }
        }
    }
}

/// Runs all steps; true when nothing failed.
pub(crate) fn run() -> Result<bool> {
    let mut total = Tally::default();
    let mut summary = Vec::new();
    for step in STEPS {
        println!(
            "== {}: {} {}",
            step.name,
            step.program,
            step.arguments.join(" ")
        );
        let started = Instant::now();
        let tally = run_step(step)?;
        summary.push(format!(
            "{:<9} {:>6}  {} s",
            step.name,
            if tally.failed == 0 { "ok" } else { "FAILED" },
            started.elapsed().as_secs()
        ));
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("\n{}", summary.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

fn run_step(step: &Step) -> Result<Tally> {
    let mut child = workspace::command(step.program)
        .args(step.arguments)
        .envs(step.environment.iter().copied())
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", step.program))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read what a step prints")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.read(&line);
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("lost the step `{}`", step.name))?;
    Ok(tally.of_step(status.success()))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_of_many_binaries_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "test a::result: ok. 5 passed ... ok",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2
            }
        );
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_is_one_failure() {
        let broken = Tally::default().of_step(false);
        assert_eq!(broken.failed, 1);
        let tested = Tally {
            passed: 1,
            failed: 2,
        }
        .of_step(false);
        assert_eq!(tested.failed, 2);
        assert_eq!(Tally::default().of_step(true), Tally::default());
    }
}
