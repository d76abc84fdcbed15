//! `lineage`: follows column edges to their sources, or to their users.
//!
//! Promise: direct edges come first, and a statement that could not be analysed is reported. It uses the
//! edges of the last runs, else those of the plan; it analyses no SQL itself (`sql::lineage`). Read next:
//! `vocab/src/lineage.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use towpath_vocab::{
    ColumnEdge, ColumnRef, EdgeKind, Failure, Plan, Remedy, TableLineage, TableName,
};

use crate::Result;
use crate::services::ProjectServices;

/// The direction of lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Where it comes from.
    Up,
    /// Where it goes.
    Down,
}

/// Everything connected with a subject in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct LineageReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The subject: `schema.table` or `schema.table.column`.
    pub subject: String,
    /// The edges that were followed, direct and indirect ones, sorted.
    pub edges: Vec<ColumnEdge>,
    /// The tables on the path, including that of the subject.
    pub tables: Vec<String>,
    /// For `Up`: the tables between the subject's table and those outside. For `Down`: the tables that
    /// depend on the subject.
    pub others: Vec<String>,
    /// For `Up`: for each column of the subject, the external columns from which its value comes, or the
    /// external table whose rows are counted.
    pub origins: BTreeMap<String, Vec<String>>,
    /// For `Up`: the external columns that only influence which rows there are, or which value is chosen;
    /// for each column, and under an empty name for all of them. Each has its kind: `data:f.csv.y
    /// (filter)`.
    pub influences: BTreeMap<String, Vec<String>>,
    /// For `Down`: the edges on which the value goes on.
    pub passes: Vec<ColumnEdge>,
    /// For `Down`: the edges on which the value, or one that is made of it, only influences which rows there
    /// are, or which value is chosen.
    pub decides: Vec<ColumnEdge>,
    /// True if a statement on the path could not be followed completely.
    pub partial: bool,
}

/// Follows lineage: that of the last runs, or otherwise that of the plan.
///
/// # Errors
/// `FixConfig` if the subject is unknown.
pub async fn lineage(
    services: &ProjectServices,
    plan: &Plan,
    subject: &str,
    direction: Direction,
) -> Result<LineageReport> {
    let all = gather(services, plan).await?;
    let (table, column) = split(subject, &all)?;
    let mut report = LineageReport {
        version: 1,
        subject: subject.to_owned(),
        edges: Vec::new(),
        tables: Vec::new(),
        others: Vec::new(),
        origins: BTreeMap::new(),
        influences: BTreeMap::new(),
        passes: Vec::new(),
        decides: Vec::new(),
        partial: false,
    };
    let edges: Vec<&ColumnEdge> = all.values().flat_map(|lineage| &lineage.edges).collect();
    let reached = follow(&edges, &table, column.as_deref(), direction);
    let mut tables = BTreeSet::from([table.clone()]);
    for edge in &reached {
        tables.insert(edge.from.table.clone());
        tables.insert(edge.to.table.clone());
    }
    report.partial = tables.iter().any(|t| {
        t.parse::<TableName>()
            .is_ok_and(|t| all.get(&t).is_some_and(|l| l.partial))
    });
    report.tables = tables.into_iter().collect();
    report.others = others(&reached, &report.tables, &table, direction);
    if direction == Direction::Up {
        let sources = Sources::of(&reached);
        report.origins = sources.origins(&table, column.as_deref());
        report.influences = sources.influences(&reached, &table, column.as_deref());
    } else {
        let (passes, decides) = uses(&edges, &table, column.as_deref());
        report.passes = passes.into_iter().cloned().collect();
        report.decides = decides.into_iter().cloned().collect();
    }
    report.edges = reached.into_iter().cloned().collect();
    Ok(report)
}

/// The other tables of a path. What no step writes is outside: it is an origin, and not in between.
fn others(
    reached: &[&ColumnEdge],
    tables: &[String],
    table: &str,
    direction: Direction,
) -> Vec<String> {
    let is_written = |table: &str| reached.iter().any(|edge| edge.to.table == table);
    tables
        .iter()
        .filter(|other| *other != table)
        .filter(|other| direction == Direction::Down || is_written(other))
        .cloned()
        .collect()
}

/// The edges on which a value goes on, and those on which it only influences rows or a choice.
fn uses<'a>(
    edges: &[&'a ColumnEdge],
    table: &str,
    column: Option<&str>,
) -> (Vec<&'a ColumnEdge>, Vec<&'a ColumnEdge>) {
    let direct: Vec<&ColumnEdge> = edges
        .iter()
        .copied()
        .filter(|edge| edge.influence.is_direct())
        .collect();
    let passes = follow(&direct, table, column, Direction::Down);
    let holds = |from: &ColumnRef| {
        let own = from.table == table && column.is_none_or(|column| column == from.column);
        own || passes.iter().any(|edge| edge.to == *from)
    };
    let mut decides: Vec<&ColumnEdge> = edges
        .iter()
        .copied()
        .filter(|edge| !edge.influence.is_direct() && holds(&edge.from))
        .collect();
    decides.sort();
    decides.dedup();
    (passes, decides)
}

async fn gather(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<BTreeMap<TableName, TableLineage>> {
    let mut all = BTreeMap::new();
    for task in plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks) {
        for table in tables_of(&task.action) {
            if !table.lineage.edges.is_empty() {
                all.insert(table.target.clone(), table.lineage.clone());
            }
        }
    }
    let known: BTreeSet<TableName> = plan
        .pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.tasks)
        .flat_map(|task| tables_of(&task.action))
        .map(|table| table.target.clone())
        .collect();
    // The lineage that a run observed is exact, except for tables that the project no longer writes.
    let observed = services.store.lineage(&plan.environment).await?;
    all.extend(
        observed
            .into_iter()
            .filter(|(table, _)| known.contains(table)),
    );
    Ok(all)
}

pub(crate) fn tables_of(action: &towpath_vocab::Action) -> Vec<&towpath_vocab::TablePlan> {
    use towpath_vocab::Action;
    match action {
        Action::Load(load) => vec![&load.table],
        Action::Model(model) => vec![&model.table],
        Action::Publish(publish) => vec![&publish.table],
        Action::Command(command) => command.writes.iter().collect(),
        Action::Sql(_) | Action::Http(_) => Vec::new(),
    }
}

/// Splits a subject into its table and its column, if it has one.
fn split(
    subject: &str,
    all: &BTreeMap<TableName, TableLineage>,
) -> Result<(String, Option<String>)> {
    let mentioned = |table: &str| {
        all.keys().any(|known| known.to_string() == table)
            || all
                .values()
                .any(|l| l.inputs.iter().any(|input| input == table))
    };
    if mentioned(subject) {
        return Ok((subject.to_owned(), None));
    }
    if let Some((table, column)) = subject
        .rsplit_once('.')
        .filter(|(table, _)| mentioned(table))
    {
        return Ok((table.to_owned(), Some(column.to_owned())));
    }
    let names: Vec<String> = all.keys().map(ToString::to_string).collect();
    Err(Failure::new(
        "R0970",
        Remedy::FixConfig,
        format!("there is no lineage for `{subject}`"),
    )
    .help(match names.is_empty() {
        true => "run a pipeline first: towpath run".to_owned(),
        false => format!("there are: {}", names.join(", ")),
    }))
}

/// All edges that can be reached, nearest first, each once.
fn follow<'a>(
    edges: &[&'a ColumnEdge],
    table: &str,
    column: Option<&str>,
    direction: Direction,
) -> Vec<&'a ColumnEdge> {
    let mut seen: BTreeSet<&ColumnEdge> = BTreeSet::new();
    let mut found = Vec::new();
    let mut frontier: Vec<(String, Option<String>)> =
        vec![(table.to_owned(), column.map(str::to_owned))];
    while let Some((table, column)) = frontier.pop() {
        for edge in edges {
            let (near, far) = match direction {
                Direction::Up => (&edge.to, &edge.from),
                Direction::Down => (&edge.from, &edge.to),
            };
            // What decides about rows concerns every column of the table; what only counts rows needs none.
            let all_columns = direction == Direction::Up && near.column.is_empty();
            let meant = near.table == table
                && (column.is_none()
                    || all_columns
                    || column.as_deref() == Some(near.column.as_str()));
            if meant && seen.insert(edge) {
                found.push(*edge);
                frontier.push((
                    far.table.clone(),
                    (!far.column.is_empty()).then(|| far.column.clone()),
                ));
            }
        }
    }
    found.sort();
    found
}

/// Where values come from, by direct edges only.
struct Sources<'a> {
    /// Edges between columns.
    values: Vec<&'a ColumnEdge>,
    /// Edges that count the rows of a table.
    rows: Vec<&'a ColumnEdge>,
    /// The tables each table is made of.
    made_of: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Sources<'a> {
    fn of(edges: &[&'a ColumnEdge]) -> Self {
        let direct = edges
            .iter()
            .copied()
            .filter(|edge| edge.influence.is_direct());
        let (rows, values) = direct.partition(|edge| edge.from.column.is_empty());
        let mut made_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for edge in edges {
            let from = made_of.entry(&edge.to.table).or_default();
            from.insert(&edge.from.table);
        }
        Self {
            values,
            rows,
            made_of,
        }
    }

    fn origins(&self, table: &str, column: Option<&str>) -> BTreeMap<String, Vec<String>> {
        let all = self.values.iter().chain(&self.rows);
        let columns: BTreeSet<&str> = all
            .filter(|edge| edge.to.table == table && column.is_none_or(|c| c == edge.to.column))
            .map(|edge| edge.to.column.as_str())
            .collect();
        columns
            .into_iter()
            .map(|column| {
                let made: BTreeSet<String> = self.made(table, column);
                (column.to_owned(), made.into_iter().collect())
            })
            .collect()
    }

    /// The external columns from which a column's value comes.
    fn made(&self, table: &str, column: &str) -> BTreeSet<String> {
        if column.is_empty() {
            return self.rows_of(table, &mut BTreeSet::new());
        }
        let reached = follow(&self.values, table, Some(column), Direction::Up);
        let mut made: BTreeSet<String> = reached
            .iter()
            .filter(|edge| !self.is_made(&edge.from))
            .map(|edge| format!("{}.{}", edge.from.table, edge.from.column))
            .collect();
        let seen = reached.iter().map(|edge| &edge.from);
        let seen: BTreeSet<(&str, &str)> = seen
            .map(|from| (from.table.as_str(), from.column.as_str()))
            .chain([(table, column)])
            .collect();
        for edge in &self.rows {
            if seen.contains(&(edge.to.table.as_str(), edge.to.column.as_str())) {
                made.extend(self.rows_of(&edge.from.table, &mut BTreeSet::new()));
            }
        }
        if made.is_empty() && !self.is_made_at(table, column) {
            made.insert(format!("{table}.{column}"));
        }
        made
    }

    fn is_made(&self, column: &ColumnRef) -> bool {
        self.is_made_at(&column.table, &column.column)
    }

    fn is_made_at(&self, table: &str, column: &str) -> bool {
        let mut all = self.values.iter().chain(&self.rows);
        all.any(|edge| edge.to.table == table && edge.to.column == column)
    }

    /// The external tables from which rows come.
    fn rows_of(&self, table: &str, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
        if !seen.insert(table.to_owned()) {
            return BTreeSet::new();
        }
        match self.made_of.get(table) {
            None => BTreeSet::from([table.to_owned()]),
            Some(from) => from
                .iter()
                .flat_map(|table| self.rows_of(table, seen))
                .collect(),
        }
    }

    fn influences(
        &self,
        edges: &[&ColumnEdge],
        table: &str,
        column: Option<&str>,
    ) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for edge in edges.iter().filter(|edge| !edge.influence.is_direct()) {
            let own = edge.to.table == table && !edge.to.column.is_empty();
            if own && column.is_some_and(|column| column != edge.to.column) {
                continue;
            }
            let name = if own {
                edge.to.column.clone()
            } else {
                String::new()
            };
            let how = influence_word(edge.influence);
            let made = self.made(&edge.from.table, &edge.from.column);
            all.entry(name)
                .or_default()
                .extend(made.into_iter().map(|origin| format!("{origin} ({how})")));
        }
        all.into_iter()
            .map(|(name, origins)| (name, origins.into_iter().collect()))
            .collect()
    }
}

/// The word for an indirect influence.
#[must_use]
pub fn influence_word(influence: EdgeKind) -> &'static str {
    match influence {
        EdgeKind::Filter => "filter",
        EdgeKind::Join => "join",
        EdgeKind::GroupBy => "group",
        EdgeKind::Sort => "order",
        EdgeKind::Window => "window",
        EdgeKind::Conditional => "condition",
        EdgeKind::Identity | EdgeKind::Transformation | EdgeKind::Aggregation => "value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: (&str, &str), to: (&str, &str), influence: EdgeKind) -> ColumnEdge {
        let column = |(table, column): (&str, &str)| ColumnRef {
            table: table.to_owned(),
            column: column.to_owned(),
        };
        ColumnEdge {
            from: column(from),
            to: column(to),
            influence,
        }
    }

    #[test]
    fn origins_follow_values_to_the_outside() {
        let edges = [
            edge(("data:f.csv", "x"), ("raw.f", "x"), EdgeKind::Identity),
            edge(("data:f.csv", "y"), ("raw.f", "y"), EdgeKind::Identity),
            edge(("raw.f", "x"), ("marts.m", "total"), EdgeKind::Aggregation),
            edge(("raw.f", "y"), ("marts.m", ""), EdgeKind::Filter),
        ];
        let all: Vec<&ColumnEdge> = edges.iter().collect();
        let reached = follow(&all, "marts.m", None, Direction::Up);
        assert_eq!(reached.len(), 4);
        let sources = Sources::of(&reached);
        assert_eq!(
            sources.origins("marts.m", None),
            BTreeMap::from([("total".to_owned(), vec!["data:f.csv.x".to_owned()])])
        );
        assert_eq!(
            sources.influences(&reached, "marts.m", None),
            BTreeMap::from([(String::new(), vec!["data:f.csv.y (filter)".to_owned()])])
        );
        assert_eq!(
            follow(&all, "data:f.csv", Some("x"), Direction::Down).len(),
            2
        );
    }

    #[test]
    fn a_column_that_nothing_reads_leads_nowhere() {
        let edges = [
            edge(("raw.f", "x"), ("marts.m", "x"), EdgeKind::Identity),
            edge(("raw.f", ""), ("marts.m", "n"), EdgeKind::Aggregation),
            edge(("marts.m", "n"), ("marts.o", "n"), EdgeKind::Identity),
        ];
        let all: Vec<&ColumnEdge> = edges.iter().collect();
        let down = |column| follow(&all, "raw.f", column, Direction::Down).len();
        assert_eq!(down(Some("y")), 0);
        assert_eq!(down(Some("x")), 1);
        assert_eq!(down(None), 3);
    }

    #[test]
    fn what_only_decides_is_listed_apart_from_where_a_value_goes() {
        let edges = [
            edge(("raw.f", "x"), ("marts.m", "x"), EdgeKind::Identity),
            edge(("raw.f", "at"), ("marts.m", "n"), EdgeKind::Window),
            edge(("marts.m", "x"), ("marts.o", ""), EdgeKind::Filter),
            edge(("marts.m", "n"), ("marts.o", "n"), EdgeKind::Identity),
        ];
        let all: Vec<&ColumnEdge> = edges.iter().collect();
        let of = |column| uses(&all, "raw.f", column);
        assert_eq!(of(Some("at")), (vec![], vec![&edges[1]]));
        assert_eq!(of(Some("x")), (vec![&edges[0]], vec![&edges[2]]));
        assert_eq!(of(None).1, vec![&edges[2], &edges[1]]);
        let reached = follow(&all, "marts.o", None, Direction::Up);
        let tables = ["marts.m", "marts.o", "raw.f"].map(str::to_owned);
        assert_eq!(
            others(&reached, &tables, "marts.o", Direction::Up),
            ["marts.m"]
        );
    }

    #[test]
    fn a_count_comes_from_rows_not_from_every_column() {
        let edges = [
            edge(("data:f.csv", "x"), ("raw.f", "x"), EdgeKind::Identity),
            edge(("data:g.csv", "k"), ("raw.g", "k"), EdgeKind::Identity),
            edge(("raw.f", ""), ("marts.m", "n"), EdgeKind::Aggregation),
            edge(("raw.g", ""), ("marts.m", "n"), EdgeKind::Aggregation),
            edge(("raw.g", "k"), ("marts.m", ""), EdgeKind::Join),
        ];
        let all: Vec<&ColumnEdge> = edges.iter().collect();
        let reached = follow(&all, "marts.m", Some("n"), Direction::Up);
        let sources = Sources::of(&reached);
        let wanted = vec!["data:f.csv".to_owned(), "data:g.csv".to_owned()];
        assert_eq!(
            sources.origins("marts.m", Some("n")),
            BTreeMap::from([("n".to_owned(), wanted)])
        );
        assert_eq!(
            sources.influences(&reached, "marts.m", Some("n")),
            BTreeMap::from([(String::new(), vec!["data:g.csv.k (join)".to_owned()])])
        );
    }
}
