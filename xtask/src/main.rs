//! The commands that keep the workspace in order: `cargo xtask tidy`, `features`, `generate`, `test`,
//! `demo`.
//!
//! Promise: it links no crate of the project, so it builds in seconds and can check a tree that does not
//! compile. It knows the workspace only from outside: manifests, text, commands. Read next: `tidy.rs` (the
//! list of rules), `suite.rs` (what `make test` runs).
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its terminal"
)]

mod demo;
mod features;
mod finding;
mod rules;
mod rust_text;
mod suite;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>
  tidy [--metadata FILE]   check the repository rules; with FILE, which stands in for the answer of
                           `cargo metadata`, only those that read
  features                 rewrite crates/features/Cargo.toml after dependencies changed
  generate                 rewrite the JSON Schemas and reference pages that the program prints
  test                     everything `make test` runs after setup
  demo                     build towpath and run examples/nycflights twice in a fresh copy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["tidy"] => tidy::run(None),
        ["tidy", "--metadata", file] => tidy::run(Some(PathBuf::from(file))),
        ["features"] => features::generate(&workspace::root()),
        ["generate"] => rules::generated::write(&workspace::root()),
        ["test"] => suite::run(),
        ["demo"] => demo::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
