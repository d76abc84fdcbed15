//! Resolves `ref` and `source` to tables, and orders the models.
//!
//! Promise: a reference to an unknown table is reported at the reference, with the nearest name; a cycle is
//! reported with its path. It renders nothing. Read next: `analyze.rs`.

use std::collections::{BTreeSet, HashMap};

use towpath_template::{Reference, ReferenceKind};
use towpath_vocab::{Action, Materialized, Selection, TableName};

use super::draft::{Draft, ModelContext};
use super::place;
use crate::graph::{self, Tables};
use crate::report::{FileRange, Report};
use crate::step::Node as Task;

/// Loaded tables by connection and object, and by connection and table.
pub(super) fn loaded(loads: &[&Task]) -> HashMap<(String, String), TableName> {
    let mut all = HashMap::new();
    for task in loads {
        let (Some(Action::Load(load)), Some(target)) = (&task.action, task.writes.first()) else {
            continue;
        };
        let connection = &load.connection.name;
        if let Selection::Object(object) = &load.selection {
            all.insert((connection.clone(), object.clone()), target.clone());
        }
        all.entry((connection.clone(), target.table().to_owned()))
            .or_insert_with(|| target.clone());
    }
    all
}

/// Resolves all references.
pub(super) fn resolve(
    drafts: &mut [Draft<'_>],
    context: &ModelContext<'_>,
    tables: &Tables,
    report: &mut Report,
) {
    let by_name: HashMap<String, (usize, TableName)> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| (draft.name.clone(), (index, draft.table.clone())))
        .collect();
    let by_table: HashMap<TableName, usize> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| (draft.table.clone(), index))
        .collect();
    for draft in drafts {
        for reference in std::mem::take(&mut draft.scan.references) {
            let found = match reference.kind {
                ReferenceKind::Ref => reference
                    .parts
                    .last()
                    .and_then(|name| by_name.get(name))
                    .map(|(_, table)| table)
                    .or_else(|| context.seeds.get(reference.parts.last()?))
                    .cloned(),
                ReferenceKind::Source => source(&reference, context, tables),
            };
            if let Some(table) = found {
                draft.parents.extend(by_table.get(&table).copied());
                draft.references.insert(reference.key(), table);
            } else {
                draft.sound = false;
                say(&reference, draft, &by_name, &context.seeds, tables, report);
            }
            draft.scan.references.push(reference);
        }
        draft.parents.sort_unstable();
        draft.parents.dedup();
    }
}

fn source(reference: &Reference, context: &ModelContext<'_>, tables: &Tables) -> Option<TableName> {
    let [name, table] = reference.parts.as_slice() else {
        return None;
    };
    find_source(name, table, context, tables)
}

/// The table of `source(name, table)`.
pub(super) fn find_source(
    name: &str,
    table: &str,
    context: &ModelContext<'_>,
    tables: &Tables,
) -> Option<TableName> {
    let declared = context
        .properties
        .source(name, table)
        .filter(|found| tables.contains(found));
    let direct = || Some(TableName::new(name, table)).filter(|found| tables.contains(found));
    let of_connection = || {
        context
            .loaded
            .get(&(name.to_owned(), table.to_owned()))
            .cloned()
    };
    declared.or_else(direct).or_else(of_connection)
}

fn say(
    reference: &Reference,
    draft: &Draft<'_>,
    by_name: &HashMap<String, (usize, TableName)>,
    seeds: &HashMap<String, TableName>,
    tables: &Tables,
    report: &mut Report,
) {
    let at = argument_place(reference, draft);
    if reference.kind == ReferenceKind::Ref {
        let name = reference
            .parts
            .last()
            .map(String::as_str)
            .unwrap_or_default();
        let loaded = tables
            .names()
            .find(|table| table.table() == name && !by_name.contains_key(name));
        let said = report.error("M0322", at, format!("there is no model `{name}`"));
        match loaded {
            Some(table) => said.label("a loaded table is a source").help(format!(
                "write {{{{ source('{}', '{}') }}}}",
                table.schema(),
                table.table()
            )),
            None => {
                let mut names: Vec<&str> = by_name
                    .keys()
                    .chain(seeds.keys())
                    .map(String::as_str)
                    .collect();
                names.sort_unstable();
                said.suggest(name, names, "models")
            }
        };
        return;
    }
    let word = reference.parts.join(".");
    let mut names: Vec<String> = tables.names().map(ToString::to_string).collect();
    names.sort();
    report
        .error("M0322", at, format!("there is no source `{word}`"))
        .suggest(&word, names.iter().map(String::as_str), "tables")
        .help("a source is a table that a step loads: source('SCHEMA', 'TABLE')");
}

/// The last literal argument of the call, or the whole call.
fn argument_place(reference: &Reference, draft: &Draft<'_>) -> FileRange {
    let Some((start, end)) = reference.offset else {
        return place::head(&draft.file);
    };
    let call = draft.file.text.get(start..end).unwrap_or_default();
    let last = reference
        .parts
        .last()
        .map(String::as_str)
        .unwrap_or_default();
    match call.rfind(last).filter(|_| !last.is_empty()) {
        Some(found) => place::at(&draft.file, (start + found, start + found + last.len())),
        None => place::at(&draft.file, (start, end)),
    }
}

/// Orders parents before children. Models in a cycle are reported and marked; the others are still checked.
pub(super) fn order(drafts: &mut [Draft<'_>], report: &mut Report) -> Vec<usize> {
    let mut parents: Vec<BTreeSet<usize>> = drafts
        .iter()
        .map(|draft| draft.parents.iter().copied().collect())
        .collect();
    loop {
        if let Some(sorted) = graph::sort(&parents) {
            return sorted;
        }
        let Some(circle) = graph::cycle(&parents) else {
            return Vec::new();
        };
        say_circle(drafts, &circle, report);
        for index in circle {
            if let Some(set) = parents.get_mut(index) {
                set.clear();
            }
            if let Some(draft) = drafts.get_mut(index) {
                draft.sound = false;
                // They are not planned; without this, a cycle of their tasks would be reported too.
                draft.references.clear();
            }
        }
    }
}

fn say_circle(drafts: &[Draft<'_>], circle: &[usize], report: &mut Report) {
    let Some(first) = circle.first().and_then(|index| drafts.get(*index)) else {
        return;
    };
    let names: Vec<&str> = circle
        .iter()
        .chain(circle.first())
        .filter_map(|index| Some(drafts.get(*index)?.name.as_str()))
        .collect();
    let parent = circle.last().and_then(|index| drafts.get(*index));
    let at = parent.and_then(|parent| {
        let mut references = first.scan.references.iter();
        let reference = references.find(|one| one.parts.last() == Some(&parent.name))?;
        Some(argument_place(reference, first))
    });
    report
        .error(
            "M0330",
            at.unwrap_or_else(|| place::head(&first.file)),
            "these models refer to each other in a cycle",
        )
        .help(names.join(" -> "));
}

/// Tables a model reads, also through ephemeral models, sorted.
pub(super) fn reads(draft: &Draft<'_>, drafts: &[Draft<'_>]) -> Vec<TableName> {
    let mut tables = BTreeSet::new();
    let mut open = vec![draft];
    let mut seen = BTreeSet::new();
    while let Some(one) = open.pop() {
        for table in one.references.values() {
            let ephemeral = one
                .parents
                .iter()
                .filter_map(|parent| Some((*parent, drafts.get(*parent)?)))
                .find(|(_, parent)| {
                    &parent.table == table && parent.materialized == Materialized::Ephemeral
                });
            match ephemeral {
                Some((index, parent)) if seen.insert(index) => open.push(parent),
                Some(_) => {}
                None => {
                    tables.insert(table.clone());
                }
            }
        }
    }
    tables.into_iter().collect()
}

/// Ephemeral models that a model uses, directly or through each other.
pub(super) fn ephemerals<'d, 'a>(draft: &Draft<'a>, drafts: &'d [Draft<'a>]) -> Vec<&'d Draft<'a>> {
    let mut found: Vec<&Draft<'a>> = Vec::new();
    let mut open: Vec<usize> = draft.parents.clone();
    while let Some(index) = open.pop() {
        let Some(parent) = drafts
            .get(index)
            .filter(|parent| parent.materialized == Materialized::Ephemeral)
        else {
            continue;
        };
        if !found.iter().any(|other| other.name == parent.name) {
            found.push(parent);
            open.extend(&parent.parents);
        }
    }
    found
}
