//! Finds what a template refers to, without a warehouse: references, config, variables.
//!
//! Promise: the template is run with functions that only record their arguments: as a first load, as an
//! incremental load, and with `execute` true, so that every branch that depends on these is covered.
//! Mistakes in branches that only run with a warehouse are left to the run. It resolves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use towpath_vocab::TableName;

use crate::macros::{self, Macro, MacroFile};
use crate::problem::TemplateProblem;
use crate::reference::{EnvVar, Reference, ReferenceKind, Vars};
use crate::render::run;
use crate::segments;
use crate::session::{Mode, RenderTrace, Session, Settings};
use crate::source_map::add_markers;

/// What a template refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// `ref` and `source`, in order of first use, without repeats.
    pub references: Vec<Reference>,
    /// The arguments of `config(…)`; later calls win.
    pub config: Map<String, Json>,
    /// Names in `var`, with the bytes of the first literal call.
    pub vars: Vec<(String, Option<(usize, usize)>)>,
    /// Variables in `env_var`.
    pub env_vars: Vec<EnvVar>,
    /// True if it asks the warehouse something, so its SQL may depend on data.
    pub introspective: bool,
    /// True if it calls `is_incremental()`.
    pub incremental: bool,
}

/// Scans a template.
///
/// # Errors
/// A mistake in the template or its macros; never `NeedsWarehouse`.
pub fn scan(
    file: &str,
    text: &str,
    macros: &[MacroFile],
    vars: &Vars,
) -> Result<Scan, TemplateProblem> {
    let mut scan = Scan::default();
    if !text.contains('{') {
        return Ok(scan);
    }
    let found: Vec<Arc<Macro>> = macros::find(macros)?.into_iter().map(Arc::new).collect();
    let render = |incremental: bool, execute: bool| {
        let session = Arc::new(Session::new(
            settings(file, vars, &found, incremental, execute),
            Vec::new(),
        ));
        let result = run(&session, &found, file, &add_markers(text)).map(drop);
        (session.take_seen(), result)
    };
    let (seen, result) = render(false, false);
    result?;
    scan.take(seen);
    let executes =
        text.contains("execute") || macros.iter().any(|one| one.text.contains("execute"));
    if executes {
        scan.take(render(false, true).0);
    }
    if scan.incremental {
        let (seen, result) = render(true, false);
        // Without a warehouse the incremental branch may fail because it has no answers.
        if !seen.introspective {
            result?;
        }
        scan.take(seen);
        if executes {
            scan.take(render(true, true).0);
        }
    }
    scan.place(text);
    Ok(scan)
}

fn settings(
    file: &str,
    vars: &Vars,
    macros: &[Arc<Macro>],
    incremental: bool,
    execute: bool,
) -> Settings {
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.split('.').next().unwrap_or(stem);
    Settings {
        mode: Mode::Scan,
        execute,
        incremental,
        full_refresh: false,
        this: TableName::new("main", stem),
        target: "dev".to_owned(),
        schema: "main".to_owned(),
        vars: vars.clone(),
        env: BTreeMap::new(),
        relations: BTreeMap::new(),
        ephemerals: Vec::new(),
        macros: macros.iter().map(|one| one.name.clone()).collect(),
    }
}

impl Scan {
    fn take(&mut self, seen: RenderTrace) {
        for reference in seen.references {
            if !self.references.contains(&reference) {
                self.references.push(reference);
            }
        }
        for (key, value) in seen.config {
            self.config.entry(key).or_insert(value);
        }
        for name in seen.vars {
            if !self.vars.iter().any(|(known, _)| *known == name) {
                self.vars.push((name, None));
            }
        }
        for variable in seen.env_vars {
            if !self
                .env_vars
                .iter()
                .any(|known| known.name == variable.name)
            {
                self.env_vars.push(variable);
            }
        }
        self.introspective |= seen.introspective;
        self.incremental |= seen.incremental;
    }

    fn place(&mut self, text: &str) {
        let refs = segments::calls(text, "ref");
        let sources = segments::calls(text, "source");
        for reference in &mut self.references {
            let calls = if reference.kind == ReferenceKind::Ref {
                &refs
            } else {
                &sources
            };
            let same = calls
                .iter()
                .find(|(literals, _)| literals.starts_with(&reference.parts));
            reference.offset = same.map(|(_, range)| (range.start, range.end));
        }
        let vars = segments::calls(text, "var");
        for (name, offset) in &mut self.vars {
            *offset = first(&vars, name);
        }
        let env_vars = segments::calls(text, "env_var");
        for variable in &mut self.env_vars {
            variable.offset = first(&env_vars, &variable.name);
        }
    }
}

fn first(calls: &[(Vec<String>, std::ops::Range<usize>)], name: &str) -> Option<(usize, usize)> {
    let call = calls
        .iter()
        .find(|(literals, _)| literals.first().is_some_and(|literal| literal == name));
    call.map(|(_, range)| (range.start, range.end))
}
