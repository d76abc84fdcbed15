//! `init`: creates a project, and prints which commands to type next.
//!
//! It calls `app/src/init/mod.rs`, which writes the files, and prints the report.

use std::path::Path;

use towpath_app::{InitReport, InitRequest, init as make};
use towpath_vocab::Diagnostic;

use super::project_args::CommandResult;
use crate::args::InitArguments;
use crate::draw;
use crate::exit::Exit;

pub(super) async fn init(arguments: InitArguments) -> CommandResult {
    let request = InitRequest {
        dir: arguments.dir.clone(),
        from: arguments.from,
    };
    let report = Box::pin(make(&request)).await?;
    say(&report, &arguments.dir);
    let errors: Vec<Diagnostic> = report
        .check
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .cloned()
        .collect();
    if errors.is_empty() {
        return Ok(Exit::Done);
    }
    draw::diagnostics(&errors, &report.check.files);
    errln!("The project is written. Before it can run, you have to do this:");
    Ok(Exit::Wrong)
}

fn say(report: &InitReport, dir: &Path) {
    outln!("Project `{}` in {}:", report.name, report.dir.display());
    for file in &report.files {
        outln!("  {file}");
    }
    if report.tables > 0 {
        let tables = draw::plural(report.tables as u64, "table");
        outln!("\n{tables} will be loaded.");
    }
    for note in &report.notes {
        outln!(" ⓘ {note}");
    }
    outln!("\nNext:");
    if dir != Path::new(".") {
        outln!("  cd {}", quoted(&dir.display().to_string()));
    }
    if let Some(variable) = &report.variable
        && !variable.is_set
    {
        outln!(
            "  export {}='…'      # the URL that you gave; it is not written to any file",
            variable.name
        );
    }
    outln!("  towpath plan");
    outln!("  towpath run");
}

/// Quotes a path so that a shell reads it as one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
