//! The lineage of a publish, and of a load whose columns were not known when the project was checked.
//!
//! Promise: a column of the table comes from the source column it is a copy of, or from all columns that
//! its `set` reads. It follows the same names as `project/src/columns.rs`, which does this for known
//! columns. Read next: `vocab/src/lineage.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, SchemaRef};
use towpath_vocab::types::SOURCE_NAME;
use towpath_vocab::{
    ColumnEdge, ColumnPlan, ColumnRef, EdgeKind, LoadPlan, PublishPlan, Selection, TableLineage,
    TablePlan,
};

use super::changes::{Pinned, sent_columns};

/// The lineage of a publish: each column that is sent, with its own name.
pub(super) fn published_lineage(publish: &PublishPlan, now: &Pinned) -> TableLineage {
    let (from, to) = (publish.from.to_string(), publish.table.target.to_string());
    let column = |table: &str, column: &str| ColumnRef {
        table: table.to_owned(),
        column: column.to_owned(),
    };
    let columns = sent_columns(publish, &now.table.schema);
    let edges = columns.fields().iter().map(|field| ColumnEdge {
        from: column(&from, field.name()),
        to: column(&to, field.name()),
        influence: EdgeKind::Identity,
    });
    TableLineage {
        edges: edges.collect(),
        inputs: vec![from.clone()],
        partial: publish.table.filter.is_some(),
    }
}

/// The lineage of a load from the columns that its source has in this run.
pub(super) fn observed_lineage(load: &LoadPlan, source: &SchemaRef) -> TableLineage {
    let object = match &load.selection {
        Selection::Object(object) => object.as_str(),
        Selection::Query(_) => "query",
    };
    let outside = format!("{}:{object}", load.connection.name);
    TableLineage {
        edges: edges(&outside, &load.table, source),
        inputs: vec![outside],
        partial: false,
    }
}

fn edges(outside: &str, plan: &TablePlan, source: &SchemaRef) -> Vec<ColumnEdge> {
    let names = || source.fields().iter().map(|field| field.name().as_str());
    let (kept, dropped) = (
        plan.names.find_all(names(), &plan.keep),
        plan.names.find_all(names(), &plan.drop),
    );
    let (set, copied): (Vec<&ColumnPlan>, Vec<&ColumnPlan>) =
        plan.columns.iter().partition(|column| column.set.is_some());
    let own: BTreeSet<&str> = set.iter().map(|column| column.name.as_str()).collect();
    let edge = |from: &str, to: &str, changed: bool| ColumnEdge {
        from: ColumnRef {
            table: outside.to_owned(),
            column: from.to_owned(),
        },
        to: ColumnRef {
            table: plan.target.to_string(),
            column: to.to_owned(),
        },
        influence: match changed {
            true => EdgeKind::Transformation,
            false => EdgeKind::Identity,
        },
    };
    let mut edges = Vec::new();
    for (at, from) in names().enumerate() {
        if !plan.keep.is_empty() && !kept.contains(&at) || dropped.contains(&at) {
            continue;
        }
        let is_from = |column: &&&ColumnPlan| {
            let from = column.from.as_deref().unwrap_or(&column.name);
            plan.names.find(names(), from) == Some(at)
        };
        let mut copies = copied.iter().filter(is_from).peekable();
        if copies.peek().is_none() {
            let name = plan.names.apply(from);
            if !own.contains(name.as_str()) {
                edges.push(edge(from, &name, false));
            }
        }
        edges.extend(copies.map(|copy| edge(from, &copy.name, copy.mask.is_some())));
    }
    let named = Arc::new(plan.names.schema(source));
    for column in set {
        let text = column.set.as_deref().unwrap_or_default();
        let read =
            towpath_sql::expression(text, &named).map_or_else(|_| Vec::new(), |info| info.columns);
        for name in read {
            let field = named.field_with_name(&name).ok();
            let own = field.and_then(|field: &Field| field.metadata().get(SOURCE_NAME));
            edges.push(edge(own.unwrap_or(&name), &column.name, true));
        }
    }
    edges.sort();
    edges.dedup();
    edges
}
