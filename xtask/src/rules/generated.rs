//! Generated files are committed, and equal to the present output of their generators.
//!
//! `GENERATED` is the list; a generator is a command that prints the file. The manifest of `features` has
//! its own check, because it needs several calls of cargo. It does not know what the files contain.

use std::path::Path;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::workspace;

/// A committed file and the command that prints it.
struct Generated {
    path: &'static str,
    command: &'static [&'static str],
}

/// Prints with the program of this tree.
macro_rules! towpath {
    ($($argument:literal),+) => {
        &["cargo", "run", "--quiet", "--locked", "--package", "towpath", "--", $($argument),+]
    };
}

/// Add a line when a file becomes generated.
const GENERATED: &[Generated] = &[
    Generated {
        path: "schemas-json/towpath.json",
        command: towpath!("schema", "towpath"),
    },
    Generated {
        path: "schemas-json/pipeline.json",
        command: towpath!("schema", "pipeline"),
    },
    Generated {
        path: "schemas-json/connection.json",
        command: towpath!("schema", "connection"),
    },
    Generated {
        path: "schemas-json/schemas.json",
        command: towpath!("schema", "schemas"),
    },
    Generated {
        path: "docs/reference/commands.md",
        command: towpath!("reference", "commands"),
    },
    Generated {
        path: "docs/reference/exit-codes.md",
        command: towpath!("reference", "exit-codes"),
    },
    Generated {
        path: "docs/reference/project-files.md",
        command: towpath!("reference", "project-files"),
    },
    Generated {
        path: "docs/reference/connectors.md",
        command: towpath!("reference", "connectors"),
    },
    Generated {
        path: "docs/reference/codes.md",
        command: towpath!("reference", "codes"),
    },
];

/// Runs every generator and finds files that are missing or stale.
pub(crate) fn check(root: &Path) -> Vec<Finding> {
    GENERATED
        .iter()
        .filter_map(|generated| check_one(root, generated))
        .collect()
}

/// Writes all generated files.
pub(crate) fn write(root: &Path) -> Result<bool> {
    for generated in GENERATED {
        let (program, arguments) = generated
            .command
            .split_first()
            .context("a generator is a command")?;
        let fresh = workspace::output(root, program, arguments)?;
        let path = root.join(generated.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(&path, fresh).with_context(|| format!("cannot write {}", generated.path))?;
    }
    Ok(true)
}

fn check_one(root: &Path, generated: &Generated) -> Option<Finding> {
    let finding = |message: String| Some(Finding::new("generated", generated.path, message));
    let (program, arguments) = generated.command.split_first()?;
    let fresh = match workspace::output(root, program, arguments) {
        Ok(fresh) => fresh,
        Err(error) => return finding(format!("its generator failed: {error:#}")),
    };
    let way_out = format!(
        "run `{} > {}`, or `cargo xtask generate` for all",
        generated.command.join(" "),
        generated.path
    );
    match std::fs::read_to_string(root.join(generated.path)) {
        Ok(committed) if committed == fresh => None,
        Ok(_) => finding(format!("is stale; {way_out}")),
        Err(_) => finding(format!("is missing; {way_out}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Generated, check_one};
    use crate::workspace::root;

    fn message(path: &'static str, command: &'static [&'static str]) -> Option<String> {
        check_one(&root(), &Generated { path, command }).map(|finding| finding.message)
    }

    #[test]
    fn a_fresh_file_passes_and_a_stale_or_missing_one_does_not() {
        assert_eq!(message("LICENSE", &["cat", "LICENSE"]), None);
        let stale = message("LICENSE", &["echo", "other"]);
        assert_eq!(
            stale.as_deref(),
            Some("is stale; run `echo other > LICENSE`, or `cargo xtask generate` for all")
        );
        let missing = message("no/such.json", &["echo", "{}"]);
        assert_eq!(
            missing.as_deref(),
            Some("is missing; run `echo {} > no/such.json`, or `cargo xtask generate` for all")
        );
    }

    #[test]
    fn a_failing_generator_is_a_finding() {
        let failed = message("LICENSE", &["false"]);
        assert!(failed.is_some_and(|text| text.starts_with("its generator failed")));
    }
}
