//! The catalog of one statement: each table at one version, views expanded, candidates in the place of
//! their tables.
//!
//! Promise: a name is resolved once per statement, however often and through however many views it is used,
//! so the whole statement reads one version of each table. Views are planned inside the same statement; a
//! view that reads itself is refused, and the message has the path. It does not run plans.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::sql::parser::Statement;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;
use towpath_ports::NamedFiles;
use towpath_sql::AnalysisResult;
use towpath_vocab::{Failure, Remedy, TableName};

use super::border::plain_schema;
use super::failure::failure;
use super::holdings::{self, NamedObject};
use super::information::InformationSchema;
use super::scan::FilesTable;
use super::statement::{self, AT_VERSION, OldVersion, carried, from_problem};
use super::{files, names, settings};
use crate::lake::Lake;

/// The most views that may read each other in a chain.
const MOST_VIEWS: usize = 500;

/// The tables and views that one statement can read, each at one version.
pub(crate) struct StatementCatalog {
    lake: Lake,
    session: SessionState,
    stand_ins: BTreeMap<TableName, Arc<dyn TableProvider>>,
    files: Option<Arc<dyn NamedFiles>>,
    seen: Mutex<HashMap<TableName, Arc<dyn TableProvider>>>,
    declared: Mutex<HashMap<TableName, TableName>>,
    old: Mutex<HashMap<String, OldVersion>>,
    /// The nesting depth of the planned views, with those that they read.
    depths: Mutex<HashMap<TableName, usize>>,
    names: OnceCell<Vec<TableName>>,
}

/// A statement with every name resolved.
pub(crate) struct Planned {
    /// The plan, unoptimised.
    pub(crate) plan: LogicalPlan,
    /// The session it was planned in.
    pub(crate) session: SessionState,
    /// The tables and views it names itself, with their columns.
    pub(crate) tables: BTreeMap<TableName, SchemaRef>,
}

impl Planned {
    /// Changes the session to joins that spill and fewer threads.
    pub(crate) fn tighten(&mut self) {
        settings::tighten(&mut self.session);
    }
}

impl fmt::Debug for StatementCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementCatalog")
            .field("stand_ins", &self.stand_ins.keys())
            .finish_non_exhaustive()
    }
}

impl StatementCatalog {
    /// A new catalog. `stand_ins` replace the tables with these names; `files` are those that may be read
    /// by name, `None` for none.
    pub(crate) fn new(
        lake: Lake,
        session: SessionState,
        stand_ins: BTreeMap<TableName, Arc<dyn TableProvider>>,
        files: Option<Arc<dyn NamedFiles>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lake,
            session,
            stand_ins,
            files,
            seen: Mutex::default(),
            declared: Mutex::default(),
            old: Mutex::default(),
            depths: Mutex::default(),
            names: OnceCell::new(),
        })
    }

    /// Plans one reading statement. `within` has the names of the views that contain it, outermost first.
    pub(crate) async fn plan(
        self: &Arc<Self>,
        subject: &str,
        sql: &str,
        within: &[TableName],
    ) -> Result<Planned, Failure> {
        if within.len() > MOST_VIEWS {
            return Err(statement::too_deep(subject, within.len()));
        }
        let session = self.session_within(within);
        let mut statement = statement::parse(subject, sql, &session)?;
        for old in statement::rewrite_old_versions(subject, &mut statement)? {
            self.old
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(old.to_string(), old);
        }
        let tables = self
            .resolve_all(subject, &statement, &session, within)
            .await?;
        self.check_depth(subject, &statement, &tables, within)?;
        let planned = session.statement_to_plan(statement).await;
        let plan = match planned.and_then(towpath_sql::settled) {
            Ok(plan) => plan,
            Err(error) => return Err(misplanned(subject, sql, &tables, &error)),
        };
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|error| {
            Failure::new(
                "R0505",
                Remedy::Refused,
                format!("{subject} would change something: {error}"),
            )
            .help("queries only read; tables are written by pipelines")
        })?;
        if reads_inside(&plan)
            && let AnalysisResult::Wrong(problems) = towpath_sql::analyze(sql, &LiveTables(&tables))
        {
            return Err(from_problem(subject, sql, &problems));
        }
        Ok(Planned {
            plan,
            session,
            tables,
        })
    }

    /// Refuses a statement that nests too deeply with the views that it reads.
    fn check_depth(
        &self,
        subject: &str,
        statement: &Statement,
        tables: &BTreeMap<TableName, SchemaRef>,
        within: &[TableName],
    ) -> Result<(), Failure> {
        let mut depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        let views = tables.keys().filter_map(|name| depths.get(name)).max();
        let depth = statement::depth(statement) + views.copied().unwrap_or(0);
        if depth > towpath_sql::DEEPEST {
            return Err(statement::too_deep(subject, within.len()));
        }
        if let Some(view) = within.last() {
            depths.insert(view.clone(), depth);
        }
        Ok(())
    }

    fn session_within(self: &Arc<Self>, within: &[TableName]) -> SessionState {
        let mut session = self.session.clone();
        settings::begin(&mut session);
        session.register_catalog_list(Arc::new(Catalogs {
            statement_catalog: Arc::clone(self),
            within: within.to_vec(),
        }));
        session
    }

    /// Resolves every table that a statement names, so that one message has all unknown ones.
    async fn resolve_all(
        self: &Arc<Self>,
        subject: &str,
        statement: &Statement,
        session: &SessionState,
        within: &[TableName],
    ) -> Result<BTreeMap<TableName, SchemaRef>, Failure> {
        let references = session
            .resolve_table_references(statement)
            .map_err(|error| failure(subject, &error))?;
        let mut tables = BTreeMap::new();
        let mut unknown = Vec::new();
        for reference in references {
            if reference.schema() == Some("information_schema") {
                self.all_names().await?;
                continue;
            }
            if session.table_functions().contains_key(reference.table()) {
                continue;
            }
            let name = table_name(&reference);
            let other_catalog = reference
                .catalog()
                .is_some_and(|catalog| catalog != settings::CATALOG);
            match self.provider(&name, within).await? {
                Some(provider) if !other_catalog => {
                    tables.insert(self.as_declared(name), plain_schema(&provider.schema()));
                }
                _ => unknown.push(reference),
            }
        }
        if unknown.is_empty() {
            Ok(tables)
        } else {
            Err(self.unknown_tables(subject, &unknown).await?)
        }
    }

    /// The table or view with this name; `None` if there is none.
    pub(crate) fn provider<'a>(
        self: &'a Arc<Self>,
        name: &'a TableName,
        within: &'a [TableName],
    ) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>, Failure>> {
        Box::pin(async move {
            if within.contains(name) {
                return Err(over_itself(name, within));
            }
            if let Some(seen) = self
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(name)
            {
                return Ok(Some(Arc::clone(seen)));
            }
            let Some(found) = self.find(name, within).await? else {
                return Ok(None);
            };
            // Two references may resolve at the same time: the first result is used for the whole
            // statement.
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Some(Arc::clone(seen.entry(name.clone()).or_insert(found))))
        })
    }

    async fn find(
        self: &Arc<Self>,
        name: &TableName,
        within: &[TableName],
    ) -> Result<Option<Arc<dyn TableProvider>>, Failure> {
        if let Some(stand_in) = self.stand_ins.get(name) {
            return Ok(Some(Arc::clone(stand_in)));
        }
        if name.schema() == AT_VERSION {
            let old = self
                .old
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(name.table())
                .cloned();
            return match old {
                Some(old) => self.old_version(&old).await.map(Some),
                None => Ok(None),
            };
        }
        match holdings::find(&self.lake, name).await? {
            Some(NamedObject::Table(files)) => return Ok(Some(Arc::new(FilesTable::new(files)))),
            Some(NamedObject::View(view)) => {
                return Ok(Some(self.view(name, &view.sql, within).await?));
            }
            None => {}
        }
        if let Some(queried) = self.files.as_ref().filter(|_| within.is_empty())
            && name.schema() == settings::DEFAULT_SCHEMA
            && let Some(file) = files::provider(queried, name.table()).await?
        {
            return Ok(Some(file));
        }
        match self.other_case(name).await? {
            Some(other) => {
                let found = self.provider(&other, within).await;
                self.declared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.clone(), other);
                found
            }
            None => Ok(None),
        }
    }

    /// The name with the case in which it was declared.
    fn as_declared(&self, name: TableName) -> TableName {
        self.declared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .cloned()
            .unwrap_or(name)
    }

    /// The table whose name differs only in case, unless there are several.
    async fn other_case(&self, name: &TableName) -> Result<Option<TableName>, Failure> {
        let names = self.all_names().await?;
        let mut same = names.iter().filter(|other| {
            *other != name
                && other.schema().eq_ignore_ascii_case(name.schema())
                && other.table().eq_ignore_ascii_case(name.table())
        });
        Ok(match (same.next(), same.next()) {
            (Some(one), None) => Some(one.clone()),
            _ => None,
        })
    }

    async fn old_version(&self, old: &OldVersion) -> Result<Arc<dyn TableProvider>, Failure> {
        let name: TableName = old.table.parse().map_err(|_| {
            Failure::new(
                "R0502",
                Remedy::FixConfig,
                format!("`{}` is not of the form `schema.table`", old.table),
            )
        })?;
        let table = holdings::at_version(&self.lake, &name, old.version).await?;
        Ok(Arc::new(FilesTable::new(table)))
    }

    async fn view(
        self: &Arc<Self>,
        name: &TableName,
        sql: &str,
        within: &[TableName],
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let mut within = within.to_vec();
        within.push(name.clone());
        let planned = self.plan(&format!("view `{name}`"), sql, &within).await?;
        Ok(Arc::new(ViewTable::new(planned.plan, Some(sql.to_owned()))))
    }

    async fn all_names(&self) -> Result<&Vec<TableName>, Failure> {
        self.names
            .get_or_try_init(|| async {
                let mut names: BTreeSet<TableName> =
                    holdings::all_names(&self.lake).await?.into_iter().collect();
                names.extend(self.stand_ins.keys().cloned());
                Ok(names.into_iter().collect())
            })
            .await
    }

    async fn unknown_tables(
        &self,
        subject: &str,
        unknown: &[TableReference],
    ) -> Result<Failure, Failure> {
        let all: Vec<String> = self
            .all_names()
            .await?
            .iter()
            .map(ToString::to_string)
            .collect();
        let wanted: Vec<String> = unknown.iter().map(spoken).collect();
        let mut failure = Failure::new(
            "R0502",
            Remedy::FixConfig,
            format!(
                "{subject} reads {}, which {} not in the lakehouse",
                names::listed(&wanted),
                if wanted.len() == 1 { "is" } else { "are" }
            ),
        );
        for (name, reference) in wanted.iter().zip(unknown) {
            let same_table = all.iter().find(|other| {
                reference.schema().is_none()
                    && other
                        .split_once('.')
                        .is_some_and(|(_, table)| table == reference.table())
            });
            let near = same_table
                .map(String::as_str)
                .or_else(|| towpath_sql::closest(name, all.iter().map(String::as_str)));
            if let Some(near) = near {
                failure = failure.help(format!("`{name}`: did you mean `{near}`?"));
            }
        }
        if all.is_empty() {
            return Ok(failure.help("the lakehouse is empty: `towpath run PIPELINE` fills it"));
        }
        Ok(failure.help(format!("there is: {}", names::listed(&all))))
    }
}

/// True if an expression contains a subquery: some of them cannot be computed, and the analysis in `sql`
/// knows which.
fn reads_inside(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Subquery(_));
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    found
}

/// The mistakes of a statement that could not be planned, from the analysis in `sql`, which explains them
/// better and finds all of them.
fn misplanned(
    subject: &str,
    sql: &str,
    tables: &BTreeMap<TableName, SchemaRef>,
    error: &DataFusionError,
) -> Failure {
    match towpath_sql::analyze(sql, &LiveTables(tables)) {
        AnalysisResult::Wrong(problems) => from_problem(subject, sql, &problems),
        AnalysisResult::Proven(_) | AnalysisResult::Unknown { .. } => failure(subject, error),
    }
}

/// The present tables, for the analysis in `sql`.
pub(crate) struct LiveTables<'a>(pub(crate) &'a BTreeMap<TableName, SchemaRef>);

impl towpath_sql::TableLookup for LiveTables<'_> {
    fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        self.0.get(table).cloned()
    }

    fn known(&self) -> Vec<TableName> {
        self.0.keys().cloned().collect()
    }

    fn knows(&self, table: &TableName) -> bool {
        self.0.contains_key(table)
    }

    fn default_schema(&self) -> Option<&str> {
        Some(settings::DEFAULT_SCHEMA)
    }
}

fn over_itself(name: &TableName, within: &[TableName]) -> Failure {
    let mut path: Vec<String> = within.iter().map(|view| format!("`{view}`")).collect();
    path.push(format!("`{name}`"));
    Failure::new(
        "R0511",
        Remedy::FixConfig,
        format!("view `{name}` reads itself: {}", path.join(" -> ")),
    )
    .help("make one of them a table: `materialized: table`")
}

fn table_name(reference: &TableReference) -> TableName {
    TableName::new(
        reference.schema().unwrap_or(settings::DEFAULT_SCHEMA),
        reference.table(),
    )
}

/// A reference as the user wrote it, without the default schema.
fn spoken(reference: &TableReference) -> String {
    match reference {
        TableReference::Bare { table } => table.to_string(),
        TableReference::Partial { schema, table } => format!("{schema}.{table}"),
        TableReference::Full {
            catalog,
            schema,
            table,
        } => format!("{catalog}.{schema}.{table}"),
    }
}

#[derive(Clone, Debug)]
struct Catalogs {
    statement_catalog: Arc<StatementCatalog>,
    within: Vec<TableName>,
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        _: String,
        _: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![settings::CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == settings::CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Catalogs {
    fn schema_names(&self) -> Vec<String> {
        let names = self.statement_catalog.names.get().into_iter().flatten();
        let schemas: BTreeSet<String> = names.map(|name| name.schema().to_owned()).collect();
        schemas.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if InformationSchema::is(name) {
            let (catalog, all) = (Arc::new(self.clone()), Arc::new(self.clone()));
            return Some(Arc::new(InformationSchema::new(catalog, all)));
        }
        Some(Arc::new(TableLookup {
            within: self.clone(),
            schema: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct TableLookup {
    within: Catalogs,
    schema: String,
}

#[async_trait]
impl SchemaProvider for TableLookup {
    fn table_names(&self) -> Vec<String> {
        let names = self
            .within
            .statement_catalog
            .names
            .get()
            .into_iter()
            .flatten();
        names
            .filter(|name| name.schema() == self.schema)
            .map(|name| name.table().to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let name = TableName::new(self.schema.clone(), name);
        match self
            .within
            .statement_catalog
            .provider(&name, &self.within.within)
            .await
        {
            // The names of a statement were resolved before it was planned. This is the list of all tables,
            // in which a broken view must not hide the others.
            Err(_) if self.within.statement_catalog.names.initialized() => Ok(None),
            found => found.map_err(carried),
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let name = TableName::new(self.schema.clone(), name);
        match self
            .within
            .statement_catalog
            .provider(&name, &self.within.within)
            .await
        {
            Ok(provider) => Ok(provider.map(|provider| provider.table_type())),
            Err(_) => Ok(Some(TableType::View)),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|other| other == name)
    }
}
