//! The columns of a loaded table: what the source has, what the project says, what the target gets.
//!
//! Promise: if the source is unknown, everything about it is unknown and nothing is wrong. Rules are
//! checked in `rules.rs`; the plan of the table is made in `table.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use towpath_vocab::{
    ColumnEdge, ColumnPlan, ColumnRef, EdgeKind, FactSource, Mask, Naming, SecretTemplate,
    TableFact, TableLineage, named_field, types,
};

use crate::report::{FileRange, Report};
use crate::sqltext;
use crate::yaml::{Entry, Node};

/// The known columns of a table's source.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) fact: &'a TableFact,
    /// The object's name, for messages.
    pub(crate) object: String,
    /// The origin of the fact, for messages.
    pub(crate) origin: String,
}

impl Known<'_> {
    /// False if the columns were only observed in the last run; a mismatch is then a warning.
    pub(crate) fn is_firm(&self) -> bool {
        self.fact.source != FactSource::Observed
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.fact
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect()
    }

    fn help(&self) -> String {
        format!(
            "{} has: {}  ({})",
            self.object,
            crate::suggest::listing(&self.names()),
            self.origin
        )
    }
}

/// The columns of a table.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) plans: Vec<ColumnPlan>,
    /// The target's columns, if those of the source are known. `Null` means an unknown type.
    pub(crate) target: Option<SchemaRef>,
    pub(crate) lineage: TableLineage,
}

impl Columns {
    /// The name in the target of a column in `key`, rules or checks, which may use either name.
    pub(crate) fn own_name(&self, name: &str, naming: Naming) -> String {
        if self.plans.iter().any(|plan| plan.name == name) {
            return name.to_owned();
        }
        let Some(target) = &self.target else {
            let is_from = |from: &String| naming.is_same(name, from);
            let mut plans = self.plans.iter();
            let plan = plans.find(|plan| plan.from.as_ref().is_some_and(is_from));
            return plan.map_or_else(|| naming.apply(name), |plan| plan.name.clone());
        };
        of_target(target, naming, name)
            .map_or_else(|| naming.apply(name), |field| field.name().clone())
    }
}

/// Reports a missing source column. True if it is known to be missing.
pub(crate) fn missing(
    known: Option<&Known<'_>>,
    naming: Naming,
    column: &str,
    at: FileRange,
    report: &mut Report,
) -> bool {
    let Some(known) = known else {
        return false;
    };
    if of_source(&known.fact.schema, naming, column).is_some() {
        return false;
    }
    let message = format!("`{}` has no column `{column}`", known.object);
    let said = match known.is_firm() {
        true => report.error("T0402", at, message),
        false => report.warning("T0402", at, message),
    };
    said.suggest(column, known.names(), "there is")
        .help(known.help());
    true
}

/// A source column, by its name in the source or in the table.
pub(crate) fn of_source<'s>(schema: &'s Schema, naming: Naming, name: &str) -> Option<&'s Field> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    naming.find(names, name).map(|at| schema.field(at))
}

/// A column of a table, by its name in the table, or otherwise by that of its source column.
pub(crate) fn of_target<'s>(schema: &'s Schema, naming: Naming, name: &str) -> Option<&'s Field> {
    find(schema, name).or_else(|| {
        let own = schema.fields().iter().map(|field| {
            let own = field.metadata().get(types::SOURCE_NAME);
            own.unwrap_or(field.name()).as_str()
        });
        naming.find(own, name).map(|at| schema.field(at))
    })
}

/// A column of a table, by its name in the table or in the source, without regard to case if that is
/// unambiguous.
pub(crate) fn find<'s>(schema: &'s Schema, name: &str) -> Option<&'s Field> {
    if let Ok(field) = schema.field_with_name(name) {
        return Some(field);
    }
    let is_source = |field: &&'s FieldRef| {
        let own = field.metadata().get(types::SOURCE_NAME);
        own.is_some_and(|own| own == name)
    };
    if let Some(field) = schema.fields().iter().find(is_source) {
        return Some(field);
    }
    let mut alike = schema
        .fields()
        .iter()
        .filter(|field| field.name().eq_ignore_ascii_case(name));
    match (alike.next(), alike.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// What is needed to find the columns.
pub(crate) struct Source<'a> {
    pub(crate) known: Option<&'a Known<'a>>,
    pub(crate) naming: Naming,
    pub(crate) keep: &'a [String],
    pub(crate) drop: &'a [String],
    pub(crate) mask_key: Option<&'a SecretTemplate>,
    /// The position of the table.
    pub(crate) at: FileRange,
    /// The target, by its name in lineage.
    pub(crate) target: String,
    pub(crate) object: String,
}

/// Reads `columns`, and finds the target's columns.
pub(crate) fn read(node: Option<&Node>, source: &Source<'_>, report: &mut Report) -> Columns {
    let mut columns = Columns::default();
    let mut by_source: HashMap<String, Vec<usize>> = HashMap::new();
    let mut names: HashMap<String, &str> = HashMap::new();
    let mut settings: Vec<(&str, &Entry)> = Vec::new();
    for (name, entry) in node.into_iter().flat_map(Node::entries) {
        let plan = plan(name, entry, source, report);
        let from = origin(name, &plan, source);
        check_exists(name, entry, &plan, from.as_deref(), source, report);
        check_single(name, entry, &plan, &mut names, report);
        if plan.set.is_none() {
            let from = from.unwrap_or_else(|| source.naming.apply(name));
            let same = by_source.entry(from).or_default();
            check_types(
                entry,
                &plan,
                same.first().and_then(|at| columns.plans.get(*at)),
                report,
            );
            same.push(columns.plans.len());
        }
        settings.push((name, entry));
        columns.plans.push(plan);
    }
    target(&mut columns, &by_source, source, &settings, report);
    columns
}

/// The source column of an entry, by its name in the source if that is known.
fn origin(name: &str, plan: &ColumnPlan, source: &Source<'_>) -> Option<String> {
    let written = match (&plan.from, &plan.set) {
        (Some(from), _) => from.as_str(),
        (None, Some(_)) => return None,
        (None, None) => name,
    };
    let schema = source.known.map(|known| &known.fact.schema);
    let field = schema.and_then(|schema| of_source(schema, source.naming, written));
    field
        .map(|field| field.name().clone())
        .or_else(|| plan.from.as_ref().map(|from| source.naming.apply(from)))
}

/// The name in the target for an entry of `columns`. With `from` it is a new one, as it is written. With
/// `set` it may be that of a source column or a new one, so it follows the naming in both cases.
fn own_name(name: &str, entry: &Entry, source: &Source<'_>) -> String {
    if entry.value.get("from").is_some() {
        return name.to_owned();
    }
    let schema = source.known.map(|known| &known.fact.schema);
    match schema.and_then(|schema| of_source(schema, source.naming, name)) {
        Some(field) => source.naming.apply(field.name()),
        None => source.naming.apply(name),
    }
}

fn plan(name: &str, entry: &Entry, source: &Source<'_>, report: &mut Report) -> ColumnPlan {
    let node = &entry.value;
    let short = node.text().filter(|text| types::parse(text).is_ok());
    let set = node.get("set");
    if let (Some(set), Some(known)) = (set, source.known)
        && let Some(text) = set.text()
    {
        let named = Arc::new(source.naming.schema(&known.fact.schema));
        sqltext::expression(text, set.at, &named, known.is_firm(), report);
    }
    ColumnPlan {
        name: own_name(name, entry, source),
        from: node.get_text("from").map(str::to_owned),
        set: set.and_then(Node::text).map(str::to_owned),
        mask: node
            .get("mask")
            .and_then(|mask| read_mask(mask, source, report)),
        data_type: short
            .or_else(|| node.get_text("type"))
            .filter(|text| types::parse(text).is_ok())
            .map(str::to_owned),
        span: Some(report.span(entry.key_at)),
    }
}

fn read_mask(node: &Node, source: &Source<'_>, report: &mut Report) -> Option<Mask> {
    match (node.text()?, source.mask_key) {
        ("empty", Some(key)) => Some(Mask::NullSealed(key.clone())),
        ("empty", None) => {
            report
                .note(
                    "P0140",
                    node.at,
                    "rejected records of this table are not stored: the project has no `mask_key`",
                )
                .label("they contain the value that is to be hidden")
                .help("to store them encrypted, so that they can be replayed: mask_key: ${secret:MASK_KEY}");
            Some(Mask::Null)
        }
        ("hash", Some(key)) => Some(Mask::Hash(key.clone())),
        ("hash", None) => {
            report
                .error(
                    "P0126",
                    node.at,
                    "`mask: hash` needs a key, and the project has none",
                )
                .label("a hash without a key can be reversed by guessing")
                .help("add to towpath.yml: mask_key: ${secret:MASK_KEY}");
            None
        }
        _ => None,
    }
}

fn check_exists(
    name: &str,
    entry: &Entry,
    plan: &ColumnPlan,
    from: Option<&str>,
    source: &Source<'_>,
    report: &mut Report,
) {
    match (&plan.from, from) {
        (Some(from), _) => {
            let at = entry.value.get("from").map_or(entry.key_at, |node| node.at);
            missing(source.known, source.naming, from, at, report);
        }
        (None, None) if plan.set.is_none() => {
            missing(source.known, source.naming, name, entry.key_at, report);
        }
        _ => {}
    }
}

/// Reports a column that two entries name, and a `from` that `set` would hide.
fn check_single<'n>(
    name: &'n str,
    entry: &Entry,
    plan: &ColumnPlan,
    names: &mut HashMap<String, &'n str>,
    report: &mut Report,
) {
    if plan.set.is_some()
        && let Some(from) = entry.value.get("from")
    {
        report
            .error(
                "P0160",
                from.at,
                format!("`from` has no effect beside `set` in column `{name}`"),
            )
            .help("remove `from`; an expression names its source columns itself");
    }
    if let Some(other) = names.insert(plan.name.clone(), name) {
        report
            .error(
                "P0161",
                entry.key_at,
                format!("`{other}` and `{name}` are the same column `{}`", plan.name),
            )
            .help(format!(
                "write all its settings in one entry: {}: {{ … }}",
                plan.name
            ));
    }
}

/// Reports a source column of two entries that cannot both have their type, or that only one of them hides.
fn check_types(entry: &Entry, plan: &ColumnPlan, first: Option<&ColumnPlan>, report: &mut Report) {
    let Some(first) = first else {
        return;
    };
    if first.mask.is_some() != plan.mask.is_some() {
        let (hidden, shown) = match first.mask.is_some() {
            true => (&first.name, &plan.name),
            false => (&plan.name, &first.name),
        };
        let message = format!("`{hidden}` is masked, and `{shown}` shows the values that it hides");
        report
            .error("P0163", entry.key_at, message)
            .help("both come from one source column: mask both, or remove one");
        return;
    }
    if first.data_type == plan.data_type {
        return;
    }
    report
        .error(
            "P0162",
            entry.key_at,
            format!(
                "columns `{}` and `{}` come from one source column and have different types",
                first.name, plan.name
            ),
        )
        .help("give both the same `type`, or compute one of them: set: \"cast(… as …)\"");
}

/// The target's columns and their lineage.
fn target(
    columns: &mut Columns,
    by_source: &HashMap<String, Vec<usize>>,
    source: &Source<'_>,
    settings: &[(&str, &Entry)],
    report: &mut Report,
) {
    let Some(known) = source.known else {
        columns.lineage = TableLineage {
            inputs: vec![source.object.clone()],
            edges: Vec::new(),
            partial: true,
        };
        return;
    };
    let mut fields: Vec<Field> = Vec::new();
    let mut origins: HashMap<String, String> = HashMap::new();
    let set: Vec<&str> = columns
        .plans
        .iter()
        .filter(|p| p.set.is_some())
        .map(|p| p.name.as_str())
        .collect();
    let mut edges = Vec::new();
    let own_names = known
        .fact
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    let kept = source.naming.find_all(own_names.clone(), source.keep);
    let dropped = source.naming.find_all(own_names, source.drop);
    for (at, field) in known.fact.schema.fields().iter().enumerate() {
        let is_left = (source.keep.is_empty() || kept.contains(&at)) && !dropped.contains(&at);
        for plan in forms(&columns.plans, by_source.get(field.name()), is_left) {
            let name = plan.map_or_else(
                || source.naming.apply(field.name()),
                |plan| plan.name.clone(),
            );
            if set.contains(&name.as_str()) {
                continue;
            }
            if let Some(other) = origins.insert(name.clone(), field.name().clone()) {
                // Two entries of one column were reported before.
                if other != *field.name() {
                    collision(&name, &other, field.name(), source, settings, report);
                }
                continue;
            }
            let data_type = declared(plan).unwrap_or_else(|| field.data_type().clone());
            let is_masked = plan.is_some_and(|plan| plan.mask.is_some());
            edges.push(edge(source, field.name(), &name, is_masked));
            let field = Field::new(field.name(), data_type, true);
            fields.push(named_field(&field, name));
        }
    }
    fields.extend(computed(&columns.plans, known, source, &mut edges));
    edges.sort();
    edges.dedup();
    columns.target = Some(Arc::new(Schema::new(fields)));
    columns.lineage = TableLineage {
        inputs: vec![source.object.clone()],
        edges,
        partial: false,
    };
}

/// The columns that `set` computes.
fn computed(
    plans: &[ColumnPlan],
    known: &Known<'_>,
    source: &Source<'_>,
    edges: &mut Vec<ColumnEdge>,
) -> Vec<Field> {
    let named = Arc::new(source.naming.schema(&known.fact.schema));
    let mut fields = Vec::new();
    for plan in plans.iter().filter(|plan| plan.set.is_some()) {
        let info = plan
            .set
            .as_deref()
            .and_then(|text| towpath_sql::expression(text, &named).ok());
        let of_set = info
            .as_ref()
            .map_or(DataType::Null, |info| info.data_type.clone());
        for column in info.iter().flat_map(|info| &info.columns) {
            let own =
                find(&named, column).and_then(|field| field.metadata().get(types::SOURCE_NAME));
            edges.push(edge(source, own.unwrap_or(column), &plan.name, true));
        }
        let data_type = declared(Some(plan)).unwrap_or(of_set);
        fields.push(Field::new(&plan.name, data_type, true));
    }
    fields
}

/// The columns that a source column becomes: one for each entry with its settings, or else itself. `keep` and
/// `drop` decide about its own name only; `from` asks for it under another one.
fn forms<'p>(
    plans: &'p [ColumnPlan],
    entries: Option<&Vec<usize>>,
    is_left: bool,
) -> Vec<Option<&'p ColumnPlan>> {
    let Some(entries) = entries else {
        return is_left.then_some(None).into_iter().collect();
    };
    let entries = entries.iter().filter_map(|at| plans.get(*at));
    entries
        .filter(|plan| is_left || plan.from.is_some())
        .map(Some)
        .collect()
}

fn declared(plan: Option<&ColumnPlan>) -> Option<DataType> {
    types::parse(plan?.data_type.as_deref()?).ok()
}

fn edge(source: &Source<'_>, from: &str, to: &str, computed: bool) -> ColumnEdge {
    ColumnEdge {
        from: ColumnRef {
            table: source.object.clone(),
            column: from.to_owned(),
        },
        to: ColumnRef {
            table: source.target.clone(),
            column: to.to_owned(),
        },
        influence: if computed {
            EdgeKind::Transformation
        } else {
            EdgeKind::Identity
        },
    }
}

fn collision(
    name: &str,
    first: &str,
    second: &str,
    source: &Source<'_>,
    settings: &[(&str, &Entry)],
    report: &mut Report,
) {
    let at = settings
        .iter()
        .find(|(key, _)| *key == name)
        .map_or(source.at, |(_, entry)| entry.key_at);
    report
        .error(
            "P0122",
            at,
            format!(
                "columns `{first}` and `{second}` of `{}` both become `{name}`",
                source.object
            ),
        )
        .help(format!(
            "rename one: columns: {{ other_name: {{ from: \"{second}\" }} }}"
        ))
        .help("or keep the source's names: names: exact");
}
