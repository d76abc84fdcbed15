//! Builds the graph of tasks: edges from what they read and write, order, cycles, unknown tables.
//!
//! Promise: parents come before children, every edge comes from data or from `after`, and two sources never
//! share a target. Nodes are tables and commands, not steps. It makes no plan of a task.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_schema::{Schema, SchemaRef};
use towpath_vocab::{
    Action, CheckKind, ColumnEdge, ColumnRef, EdgeKind, PlannedTask, TableLineage, TableName,
    TaskId,
};

use crate::checks::Reference;
use crate::report::{FileRange, Report};
use crate::step::Node as Task;
use crate::yaml::{self, Node};

/// What is known about a table.
#[derive(Debug, Default)]
struct Entry {
    schema: Option<SchemaRef>,
    /// False if the columns were only observed in the last run.
    firm: bool,
}

/// The tables of the lakehouse: who writes them, and their columns if known.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: BTreeMap<TableName, Entry>,
    /// By the name in lower case, because lookups and some file systems ignore case.
    written_at: BTreeMap<String, FileRange>,
}

impl Tables {
    /// Adds a table that a task writes, or that was observed in the lakehouse.
    pub(crate) fn add(&mut self, table: &TableName, schema: Option<SchemaRef>, firm: bool) {
        let entry = self.known.entry(table.clone()).or_default();
        if schema.is_some() {
            *entry = Entry { schema, firm };
        }
    }

    /// False if the table's columns may have changed since they were observed.
    pub(crate) fn is_firm(&self, table: &TableName) -> bool {
        self.known
            .get(table)
            .is_none_or(|entry| entry.schema.is_none() || entry.firm)
    }

    pub(crate) fn contains(&self, table: &TableName) -> bool {
        self.known.contains_key(table)
    }

    pub(crate) fn schema(&self, table: &TableName) -> Option<&SchemaRef> {
        self.known.get(table)?.schema.as_ref()
    }

    pub(crate) fn has(&self, table: &TableName) -> bool {
        self.known.contains_key(table)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &TableName> {
        self.known.keys()
    }

    /// Adds the tables of a task; a second writer of a table is an error.
    pub(crate) fn add_writer(&mut self, task: &Task, report: &mut Report) {
        for table in &task.writes {
            if let Some(first) = self.written_at.get(&table.to_string().to_lowercase()) {
                let place = report.place(*first);
                report
                    .error("P0117", task.at, format!("`{table}` has two sources"))
                    .label("the second one")
                    .help(format!(
                        "the first one is at {place}: give one of them a different name or schema"
                    ));
            } else {
                self.written_at
                    .insert(table.to_string().to_lowercase(), task.at);
            }
            self.add(table, task.schema.clone(), task.firm);
        }
    }
}

/// Checks the tables that tasks read and the columns to which their checks refer.
pub(crate) fn check_reads(tasks: &[Task], tables: &Tables, report: &mut Report) {
    for task in tasks {
        let is_model = matches!(task.action, Some(Action::Model(_)));
        for table in task.reads.iter().filter(|_| !is_model) {
            if !tables.contains(table) {
                unknown_table(table, task.at, tables, report);
            }
        }
        for reference in &task.references {
            let read = !is_model && task.reads.contains(&reference.table);
            match tables.schema(&reference.table) {
                Some(schema) => check_column(reference, schema, tables, report),
                None if tables.contains(&reference.table) || read => {}
                None => unknown_table(&reference.table, reference.at, tables, report),
            }
        }
    }
}

/// Replaces the columns to which checks refer by their names in their tables.
pub(crate) fn name_fields(tasks: &mut [Task], tables: &Tables) {
    let plans = tasks.iter_mut().filter_map(|task| match &mut task.action {
        Some(Action::Load(load)) => Some(&mut load.table),
        Some(Action::Model(model)) => Some(&mut model.table),
        Some(Action::Publish(publish)) => Some(&mut publish.table),
        Some(Action::Command(_) | Action::Sql(_) | Action::Http(_)) | None => None,
    });
    for check in plans.flat_map(|plan| &mut plan.checks) {
        if let CheckKind::Relationships { to, field, .. } = &mut check.kind
            && let Some(schema) = tables.schema(to)
            && let Some(own) = crate::columns::find(schema, field)
        {
            *field = own.name().clone();
        }
    }
}

fn check_column(reference: &Reference, schema: &Schema, tables: &Tables, report: &mut Report) {
    let Reference { table, field, at } = reference;
    if crate::columns::find(schema, field).is_some() {
        return;
    }
    let fields = schema.fields().iter();
    let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    let message = format!("`{table}` has no column `{field}`");
    let said = match tables.is_firm(table) {
        true => report.error("K0603", *at, message),
        false => report.warning("K0603", *at, message),
    };
    said.suggest(field, names.iter().copied(), "there is")
        .help(format!("{table} has: {}", crate::suggest::listing(&names)));
}

fn unknown_table(table: &TableName, at: FileRange, tables: &Tables, report: &mut Report) {
    let names: Vec<String> = tables.names().map(ToString::to_string).collect();
    let word = table.to_string();
    report
        .error("P0133", at, format!("no step writes the table `{word}`"))
        .suggest(&word, names.iter().map(String::as_str), "tables")
        .help("tables come from `load`, `models` and a command's `writes`");
}

/// The order of a pipeline's steps by `after`, checked.
pub(crate) fn after<'a>(
    steps: &[(&'a str, &'a yaml::Entry)],
    report: &mut Report,
) -> HashMap<&'a str, Vec<&'a str>> {
    let mut all = HashMap::new();
    for (name, entry) in steps {
        let mut before = Vec::new();
        for item in entry
            .value
            .get("after")
            .map(Node::items)
            .unwrap_or_default()
        {
            let Some(text) = item.text() else { continue };
            match steps.iter().find(|(other, _)| *other == text) {
                Some((other, _)) if other == name => {
                    report.error("P0118", item.at, format!("step `{name}` waits for itself"));
                }
                Some((other, _)) => before.push(*other),
                None => {
                    report
                        .error("P0119", item.at, format!("there is no step `{text}`"))
                        .suggest(text, steps.iter().map(|(other, _)| *other), "steps");
                }
            }
        }
        all.insert(*name, before);
    }
    all
}

/// The edges and the order of one pipeline's tasks. `None` if there is a cycle.
pub(crate) fn order(
    tasks: Vec<Task>,
    after: &HashMap<&str, Vec<&str>>,
    report: &mut Report,
) -> Option<Vec<PlannedTask>> {
    let writers: HashMap<&TableName, usize> = tasks
        .iter()
        .enumerate()
        .flat_map(|(index, task)| task.writes.iter().map(move |table| (table, index)))
        .collect();
    let mut by_step: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, task) in tasks.iter().enumerate() {
        by_step.entry(task.step.as_str()).or_default().push(index);
    }
    let mut parents: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        let read = task
            .reads
            .iter()
            .filter_map(|table| writers.get(table).copied());
        let waited = after
            .get(task.step.as_str())
            .into_iter()
            .flatten()
            .flat_map(|step| by_step.get(step).into_iter().flatten().copied());
        if let Some(set) = parents.get_mut(index) {
            set.extend(read.chain(waited).filter(|parent| *parent != index));
        }
    }
    let Some(sorted) = sort(&parents) else {
        say_cycle(&tasks, &parents, report);
        return None;
    };
    let sorted = with_references(&tasks, &writers, &mut parents, sorted);
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
    let mut slots: Vec<Option<Task>> = tasks.into_iter().map(Some).collect();
    let mut planned = Vec::with_capacity(slots.len());
    for index in sorted {
        let before = parents
            .get(index)
            .into_iter()
            .flatten()
            .filter_map(|parent| ids.get(*parent).cloned())
            .collect();
        let task = slots.get_mut(index).and_then(Option::take);
        planned.extend(task.and_then(|task| task.planned(before, report)));
    }
    Some(planned)
}

/// Adds an edge from the table to which a relationship check refers, unless this makes a cycle; then the
/// check reads the last committed version.
fn with_references(
    tasks: &[Task],
    writers: &HashMap<&TableName, usize>,
    parents: &mut [BTreeSet<usize>],
    sorted: Vec<usize>,
) -> Vec<usize> {
    let mut wanted = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        for reference in &task.references {
            let parent = writers
                .get(&reference.table)
                .copied()
                .filter(|parent| *parent != index);
            wanted.extend(parent.map(|parent| (index, parent)));
        }
    }
    let before: Vec<BTreeSet<usize>> = parents.to_vec();
    for (index, parent) in &wanted {
        if let Some(set) = parents.get_mut(*index) {
            set.insert(*parent);
        }
    }
    if let Some(all) = sort(parents) {
        return all;
    }
    // Some of them make a cycle: the others are kept, one by one.
    parents.clone_from_slice(&before);
    let mut sorted = sorted;
    for (index, parent) in wanted {
        let added = parents.get_mut(index).is_some_and(|set| set.insert(parent));
        match sort(parents) {
            Some(now) => sorted = now,
            None if added => {
                if let Some(set) = parents.get_mut(index) {
                    set.remove(&parent);
                }
            }
            None => {}
        }
    }
    sorted
}

/// Sorts parents before children, and otherwise in the given order. `None` if there is a cycle.
pub(crate) fn sort(parents: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    let mut waiting: Vec<usize> = parents.iter().map(BTreeSet::len).collect();
    for (child, set) in parents.iter().enumerate() {
        for parent in set {
            children.get_mut(*parent)?.push(child);
        }
    }
    let mut ready: BTreeSet<usize> = (0..parents.len())
        .filter(|index| waiting.get(*index) == Some(&0))
        .collect();
    let mut sorted = Vec::with_capacity(parents.len());
    while let Some(index) = ready.pop_first() {
        sorted.push(index);
        for child in children.get(index)? {
            let count = waiting.get_mut(*child)?;
            *count -= 1;
            if *count == 0 {
                ready.insert(*child);
            }
        }
    }
    (sorted.len() == parents.len()).then_some(sorted)
}

/// A cycle in a graph of parents, if there is one, in the order of execution.
pub(crate) fn cycle(parents: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let mut state = vec![0_u8; parents.len()];
    for start in 0..parents.len() {
        if state.get(start) != Some(&0) {
            continue;
        }
        let mut path: Vec<(usize, Vec<usize>)> =
            vec![(start, parents.get(start)?.iter().copied().collect())];
        *state.get_mut(start)? = 1;
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            let Some(next) = rest.pop() else {
                *state.get_mut(node)? = 2;
                path.pop();
                continue;
            };
            match state.get(next) {
                Some(1) => {
                    let from = path.iter().position(|(node, _)| *node == next)?;
                    let mut found: Vec<usize> =
                        path.get(from..)?.iter().map(|(node, _)| *node).collect();
                    found.reverse();
                    return Some(found);
                }
                Some(0) => {
                    *state.get_mut(next)? = 1;
                    path.push((next, parents.get(next)?.iter().copied().collect()));
                }
                _ => {}
            }
        }
    }
    None
}

fn say_cycle(tasks: &[Task], parents: &[BTreeSet<usize>], report: &mut Report) {
    let Some(found) = cycle(parents) else {
        return;
    };
    let names: Vec<&str> = found
        .iter()
        .chain(found.first())
        .filter_map(|index| Some(tasks.get(*index)?.id.as_str()))
        .collect();
    let Some(first) = found.first().and_then(|index| tasks.get(*index)) else {
        return;
    };
    report
        .error("P0118", first.at, "these tasks wait for each other")
        .help(names.join(" -> "))
        .help("remove an `after`, a `reads` or a reference between them");
}

/// Lineage of published tables, once the columns of what they read are known.
pub(crate) fn publish_lineage(tasks: &mut [Task], tables: &Tables) {
    for task in tasks {
        let Some(Action::Publish(publish)) = &mut task.action else {
            continue;
        };
        let Some(schema) = tables.schema(&publish.from) else {
            continue;
        };
        let plan = &publish.table;
        let kept = |name: &String| {
            (plan.keep.is_empty() || plan.keep.contains(name)) && !plan.drop.contains(name)
        };
        let mut edges: Vec<ColumnEdge> = schema
            .fields()
            .iter()
            .filter(|field| kept(field.name()))
            .map(|field| ColumnEdge {
                from: ColumnRef {
                    table: publish.from.to_string(),
                    column: field.name().clone(),
                },
                to: ColumnRef {
                    table: plan.target.to_string(),
                    column: field.name().clone(),
                },
                influence: EdgeKind::Identity,
            })
            .collect();
        edges.sort();
        let inputs = vec![publish.from.to_string()];
        publish.table.lineage = TableLineage {
            inputs,
            edges,
            partial: false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(parents: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        parents
            .iter()
            .map(|set| set.iter().copied().collect())
            .collect()
    }

    #[test]
    fn parents_come_first_and_order_is_kept() {
        assert_eq!(sort(&sets(&[&[2], &[], &[1]])), Some(vec![1, 2, 0]));
        assert_eq!(sort(&sets(&[&[1], &[0]])), None);
    }

    #[test]
    fn a_circle_is_found_in_the_order_of_flow() {
        assert_eq!(cycle(&sets(&[&[], &[3], &[1], &[2]])), Some(vec![2, 3, 1]));
        assert_eq!(cycle(&sets(&[&[], &[0], &[1]])), None);
    }
}
