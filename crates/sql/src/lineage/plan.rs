//! Lineage through each kind of plan node; without a match arm here, a new kind does not compile.
//!
//! Promise: for each node it returns the sources of every output column and of the rows as a whole. It does
//! not know what is inside an expression; see `expr.rs`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion_common::{DFSchemaRef, JoinType};
use datafusion_expr::logical_plan::{
    Aggregate, Distinct, Join, RecursiveQuery, TableScan, Unnest, Window,
};
use datafusion_expr::utils::grouping_set_to_exprlist;
use datafusion_expr::{Expr, LogicalPlan};
use towpath_vocab::{ColumnEdge, ColumnRef, EdgeKind, TableLineage};

use super::flow::{Flow, Sources};
use crate::catalog::{GeneratedTable, KnownTable, WorkTable};

/// Lineage of a whole statement.
pub(crate) fn of(plan: &LogicalPlan) -> TableLineage {
    let mut walker = Walker::default();
    let flow = walker.node(plan);
    let mut edges = BTreeSet::new();
    for (field, sources) in plan.schema().fields().iter().zip(&flow.columns) {
        add_edges(&mut edges, sources, field.name());
    }
    add_edges(&mut edges, &flow.whole, "");
    TableLineage {
        inputs: walker
            .inputs
            .into_iter()
            .map(|table| table.to_string())
            .collect(),
        edges: edges.into_iter().collect(),
        partial: walker.partial || flow.columns.len() != plan.schema().fields().len(),
    }
}

fn add_edges(edges: &mut BTreeSet<ColumnEdge>, sources: &Sources, column: &str) {
    for (leaf, influence) in sources.iter() {
        edges.insert(ColumnEdge {
            from: ColumnRef {
                table: leaf.table.to_string(),
                column: leaf.column.to_string(),
            },
            to: ColumnRef {
                table: String::new(),
                column: column.to_owned(),
            },
            influence,
        });
    }
}

/// The columns of an outer query that its subqueries can read.
pub(super) struct Scope {
    pub(super) schema: DFSchemaRef,
    pub(super) flow: Flow,
}

/// The state of one traversal.
#[derive(Default)]
pub(super) struct Walker {
    pub(super) scopes: Vec<Scope>,
    pub(super) partial: bool,
    inputs: BTreeSet<Arc<str>>,
    work: HashMap<String, Flow>,
}

impl Walker {
    pub(super) fn node(&mut self, plan: &LogicalPlan) -> Flow {
        match plan {
            LogicalPlan::Projection(node) => {
                let input = self.node(&node.input);
                self.select(&node.expr, node.input.schema(), input)
            }
            LogicalPlan::Filter(node) => {
                let mut flow = self.node(&node.input);
                let tested = self.role(
                    &node.predicate,
                    node.input.schema(),
                    &flow,
                    EdgeKind::Filter,
                );
                flow.whole.extend(&tested);
                flow
            }
            LogicalPlan::Window(node) => self.window(node),
            LogicalPlan::Aggregate(node) => self.aggregate(node),
            LogicalPlan::Sort(node) => {
                let mut flow = self.node(&node.input);
                for sort in &node.expr {
                    let order = self.role(&sort.expr, node.input.schema(), &flow, EdgeKind::Sort);
                    flow.whole.extend(&order);
                }
                flow
            }
            LogicalPlan::Join(node) => self.join(node),
            LogicalPlan::Repartition(node) => self.node(&node.input),
            LogicalPlan::Union(node) => {
                let mut inputs = node.inputs.iter();
                let mut flow = inputs
                    .next()
                    .map(|input| self.node(input))
                    .unwrap_or_default();
                for input in inputs {
                    let other = self.node(input);
                    self.partial |= !flow.merge(&other);
                }
                flow
            }
            LogicalPlan::TableScan(node) => self.scan(node),
            LogicalPlan::EmptyRelation(node) => no_sources(node.schema.fields().len()),
            LogicalPlan::Subquery(node) => self.node(&node.subquery),
            LogicalPlan::SubqueryAlias(node) => self.node(&node.input),
            LogicalPlan::Limit(node) => {
                let mut flow = self.node(&node.input);
                for bound in [&node.skip, &node.fetch].into_iter().flatten() {
                    let steers = self.role(bound, node.input.schema(), &flow, EdgeKind::Filter);
                    flow.whole.extend(&steers);
                }
                flow
            }
            LogicalPlan::Values(node) => self.values(&node.values, &node.schema),
            LogicalPlan::Distinct(node) => self.distinct(node),
            LogicalPlan::Unnest(node) => self.unnest(node),
            LogicalPlan::RecursiveQuery(node) => self.recursive(node),
            LogicalPlan::Extension(_) => self.opaque(plan),
            LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => self.opaque(plan),
        }
    }

    /// The sources of one expression, all combined with `role`.
    fn role(&mut self, expr: &Expr, schema: &DFSchemaRef, input: &Flow, role: EdgeKind) -> Sources {
        self.expression(expr, schema, input, role)
    }

    fn select(&mut self, exprs: &[Expr], schema: &DFSchemaRef, input: Flow) -> Flow {
        let columns = exprs
            .iter()
            .map(|expr| self.role(expr, schema, &input, EdgeKind::Identity))
            .collect();
        Flow {
            columns,
            whole: input.whole,
            tables: input.tables,
        }
    }

    fn window(&mut self, node: &Window) -> Flow {
        let mut flow = self.node(&node.input);
        let schema = node.input.schema();
        let added: Vec<Sources> = node
            .window_expr
            .iter()
            .map(|expr| self.role(expr, schema, &flow, EdgeKind::Identity))
            .collect();
        flow.columns.extend(added);
        flow
    }

    fn aggregate(&mut self, node: &Aggregate) -> Flow {
        let input = self.node(&node.input);
        let schema = node.input.schema();
        let groups: Vec<&Expr> = grouping_set_to_exprlist(&node.group_expr).unwrap_or_else(|_| {
            self.partial = true;
            Vec::new()
        });
        let mut flow = Flow {
            columns: Vec::new(),
            whole: input.whole.clone(),
            tables: input.tables.clone(),
        };
        for group in groups {
            let key = self.role(group, schema, &input, EdgeKind::Identity);
            flow.whole.extend_as(&key, EdgeKind::GroupBy);
            flow.columns.push(key);
        }
        if matches!(node.group_expr.first(), Some(Expr::GroupingSet(_))) {
            flow.columns.push(Sources::default());
        }
        for aggregate in &node.aggr_expr {
            flow.columns
                .push(self.role(aggregate, schema, &input, EdgeKind::Identity));
        }
        flow
    }

    fn join(&mut self, node: &Join) -> Flow {
        let left = self.node(&node.left);
        let lateral = matches!(node.right.as_ref(), LogicalPlan::Subquery(_))
            || matches!(node.right.as_ref(), LogicalPlan::SubqueryAlias(alias) if matches!(alias.input.as_ref(), LogicalPlan::Subquery(_)));
        if lateral {
            self.scopes.push(Scope {
                schema: Arc::clone(node.left.schema()),
                flow: left.clone(),
            });
        }
        let right = self.node(&node.right);
        if lateral {
            self.scopes.pop();
        }
        let mut met = Sources::default();
        for (ours, theirs) in &node.on {
            met.extend(&self.role(ours, node.left.schema(), &left, EdgeKind::Join));
            met.extend(&self.role(theirs, node.right.schema(), &right, EdgeKind::Join));
        }
        let mut both = left.clone();
        both.columns.extend(right.columns.iter().cloned());
        both.take_whole(&right);
        if let Some(filter) = &node.filter {
            match node.left.schema().join(node.right.schema()) {
                Ok(schema) => {
                    met.extend(&self.role(filter, &Arc::new(schema), &both, EdgeKind::Join))
                }
                Err(_) => {
                    self.partial = true;
                    met.extend(&both.everything(EdgeKind::Join));
                }
            }
        }
        let (mut columns, marked) = match node.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                (both.columns, false)
            }
            JoinType::LeftSemi | JoinType::LeftAnti => (left.columns, false),
            JoinType::RightSemi | JoinType::RightAnti => (right.columns, false),
            JoinType::LeftMark => (left.columns, true),
            JoinType::RightMark => (right.columns, true),
        };
        if marked {
            columns.push(met.clone());
        }
        both.whole.extend(&met);
        Flow {
            columns,
            whole: both.whole,
            tables: both.tables,
        }
    }

    fn scan(&mut self, node: &TableScan) -> Flow {
        let positions = |count: usize| {
            node.projection
                .clone()
                .unwrap_or_else(|| (0..count).collect())
        };
        if let Some(work) = node.source.downcast_ref::<WorkTable>() {
            return match self.work.get(&work.name) {
                Some(flow) => {
                    let columns = positions(flow.columns.len());
                    let columns = columns
                        .iter()
                        .map(|at| flow.columns.get(*at).cloned().unwrap_or_default())
                        .collect();
                    Flow {
                        columns,
                        whole: flow.whole.clone(),
                        tables: flow.tables.clone(),
                    }
                }
                None => {
                    self.partial = true;
                    no_sources(node.projected_schema.fields().len())
                }
            };
        }
        if node.source.is::<GeneratedTable>() {
            return no_sources(node.projected_schema.fields().len());
        }
        let name = node
            .source
            .downcast_ref::<KnownTable>()
            .map_or_else(|| node.table_name.to_string(), |t| t.name.to_string());
        let table: Arc<str> = Arc::from(name);
        self.inputs.insert(Arc::clone(&table));
        let schema = node.source.schema();
        let columns = positions(schema.fields().len())
            .iter()
            .map(|at| {
                schema
                    .fields()
                    .get(*at)
                    .map(|field| Sources::leaf(&table, field.name()))
                    .unwrap_or_default()
            })
            .collect();
        let mut flow = Flow {
            columns,
            whole: Sources::default(),
            tables: BTreeSet::from([table]),
        };
        for filter in &node.filters {
            let tested = self.role(filter, &node.projected_schema, &flow, EdgeKind::Filter);
            flow.whole.extend(&tested);
        }
        flow
    }

    fn values(&mut self, rows: &[Vec<Expr>], schema: &DFSchemaRef) -> Flow {
        let nothing = Flow::default();
        let mut flow = no_sources(schema.fields().len());
        for row in rows {
            for (column, expr) in flow.columns.iter_mut().zip(row) {
                column.extend(&self.role(expr, schema, &nothing, EdgeKind::Identity));
            }
        }
        flow
    }

    fn distinct(&mut self, node: &Distinct) -> Flow {
        match node {
            Distinct::All(input) => {
                let mut flow = self.node(input);
                for column in &flow.columns {
                    flow.whole.extend_as(column, EdgeKind::GroupBy);
                }
                flow
            }
            Distinct::On(node) => {
                let input = self.node(&node.input);
                let schema = node.input.schema();
                let mut whole = Sources::default();
                for on in &node.on_expr {
                    whole.extend(&self.role(on, schema, &input, EdgeKind::GroupBy));
                }
                for sort in node.sort_expr.iter().flatten() {
                    whole.extend(&self.role(&sort.expr, schema, &input, EdgeKind::Sort));
                }
                let mut flow = self.select(&node.select_expr, schema, input);
                flow.whole.extend(&whole);
                flow
            }
        }
    }

    fn unnest(&mut self, node: &Unnest) -> Flow {
        let input = self.node(&node.input);
        let opened: BTreeSet<usize> = node
            .list_type_columns
            .iter()
            .map(|(at, _)| *at)
            .chain(node.struct_type_columns.iter().copied())
            .collect();
        let columns = node
            .dependency_indices
            .iter()
            .map(|at| {
                let mut column = Sources::default();
                let role = if opened.contains(at) {
                    EdgeKind::Transformation
                } else {
                    EdgeKind::Identity
                };
                match input.columns.get(*at) {
                    Some(source) => column.extend_as(source, role),
                    None => self.partial = true,
                }
                column
            })
            .collect();
        let mut flow = Flow {
            columns,
            whole: input.whole,
            tables: input.tables,
        };
        for (at, _) in &node.list_type_columns {
            if let Some(list) = input.columns.get(*at) {
                flow.whole.extend_as(list, EdgeKind::Filter);
            }
        }
        flow
    }

    fn recursive(&mut self, node: &RecursiveQuery) -> Flow {
        let mut flow = self.node(&node.static_term);
        let outer = self.work.remove(&node.name);
        loop {
            self.work.insert(node.name.clone(), flow.clone());
            let more = self.node(&node.recursive_term);
            let before = flow.clone();
            self.partial |= !flow.merge(&more);
            if flow == before {
                break;
            }
        }
        self.work.remove(&node.name);
        if let Some(outer) = outer {
            self.work.insert(node.name.clone(), outer);
        }
        if node.is_distinct {
            for column in &flow.columns {
                flow.whole.extend_as(column, EdgeKind::GroupBy);
            }
        }
        flow
    }

    /// A node that cannot be followed: each input column may flow into each output column.
    fn opaque(&mut self, plan: &LogicalPlan) -> Flow {
        self.partial = true;
        let mut flow = Flow::default();
        let mut all = Sources::default();
        for input in plan.inputs() {
            let input = self.node(input);
            all.extend(&input.everything(EdgeKind::Transformation));
            flow.take_whole(&input);
        }
        flow.columns = vec![all; plan.schema().fields().len()];
        flow
    }
}

fn no_sources(columns: usize) -> Flow {
    Flow {
        columns: vec![Sources::default(); columns],
        ..Flow::default()
    }
}
