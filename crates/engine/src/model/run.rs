//! Runs a model: final SQL, current types and lineage, a plan, a reader.
//!
//! Promise: types and lineage come from the same pure analysis as in `towpath check`, with the present
//! tables as input. If the analysis cannot follow something, the lineage is marked `partial`. It does not
//! write: `flow` reads the reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use towpath_ports::{Candidate, ModelEngine, ModelRequest, ModelRun, Result};
use towpath_sql::AnalysisResult;
use towpath_vocab::{Failure, ModelPlan, Remedy, TableLineage, TableName};

use super::reader::ModelReader;
use super::stored_types::in_stored_types;
use super::{render, view};
use crate::query::{self, Ready};
use crate::session::Engine;
use crate::session::catalog::{LiveTables, StatementCatalog};
use crate::session::failure::failure;
use crate::session::permits::ComputePermit;

#[async_trait]
impl ModelEngine for Engine {
    async fn run(&self, request: ModelRequest) -> Result<ModelRun> {
        let sql = render::sql(self, &request).await?;
        let mut recipe = RestartableModel::new(self, &request.model, sql)?;
        if request.incremental {
            recipe.keep_stored_types().await?;
        }
        let tight = self.is_tight(&recipe.table);
        let Plan {
            ready,
            tables,
            notes,
        } = recipe.plan(tight).await?;
        refuse_repeated_names(&recipe.subject(), &ready.schema)?;
        let lineage = lineage(&recipe.sql, &request.model, &tables);
        Ok(ModelRun {
            sql: recipe.sql.clone(),
            schema: Arc::clone(&ready.schema),
            lineage,
            reader: Box::new(ModelReader::new(recipe, ready, tight).with_notes(notes)),
        })
    }

    async fn create_view(&self, table: &TableName, sql: &str) -> Result<u64> {
        view::create(self, table, sql).await
    }

    async fn versions(&self, tables: &[TableName]) -> Result<BTreeMap<TableName, String>> {
        view::versions(self, tables).await
    }
}

impl Engine {
    /// Plans and stores a view, in place of the table with its name, if there is one. At each moment
    /// readers see the table or the view. Returns the version of the view.
    ///
    /// # Errors
    /// Those of planning it.
    pub async fn replace_by_view(&self, table: &TableName, sql: &str) -> Result<u64> {
        view::replace(self, table, sql).await
    }

    /// The rows that a view would show, so that they can be checked before it is stored.
    ///
    /// # Errors
    /// Those of planning it.
    pub async fn view_candidate(&self, table: &TableName, sql: &str) -> Result<Candidate> {
        view::candidate(self, table, sql).await
    }

    /// The value of an environment variable, as in `env_var()` of templates.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables().get(name).map(String::as_str)
    }
}

/// What is needed to start a model again with the same versions of its inputs.
#[derive(Clone)]
pub(super) struct RestartableModel {
    engine: Engine,
    statement_catalog: Arc<StatementCatalog>,
    name: String,
    table: TableName,
    sql: String,
    /// The columns of the table that the rows are added to.
    stored: Option<SchemaRef>,
}

/// A model that is planned.
struct Plan {
    ready: Ready,
    tables: BTreeMap<TableName, SchemaRef>,
    /// What the user is told about the types of its columns.
    notes: Vec<String>,
}

impl RestartableModel {
    /// For a model's final SQL, with the present tables of the lakehouse.
    pub(super) fn new(engine: &Engine, model: &ModelPlan, sql: String) -> Result<Self> {
        Ok(Self {
            engine: engine.clone(),
            statement_catalog: engine.statement_catalog(&BTreeMap::new())?,
            name: model.name.clone(),
            table: model.table.target.clone(),
            sql,
            stored: None,
        })
    }

    /// From now on, columns get the types of the present table where it takes their values.
    async fn keep_stored_types(&mut self) -> Result<()> {
        let table = self.statement_catalog.provider(&self.table, &[]).await?;
        self.stored = table.map(|table| table.schema());
        Ok(())
    }

    /// A view that is not stored yet.
    pub(super) fn of_view(
        engine: &Engine,
        statement_catalog: Arc<StatementCatalog>,
        table: &TableName,
        sql: &str,
    ) -> Self {
        Self {
            engine: engine.clone(),
            statement_catalog,
            name: table.table().to_owned(),
            table: table.clone(),
            sql: sql.to_owned(),
            stored: None,
        }
    }

    /// The table written.
    pub(super) fn table(&self) -> &TableName {
        &self.table
    }

    /// The model's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the model in messages.
    pub(super) fn subject(&self) -> String {
        format!("model `{}`", self.name)
    }

    /// Waits for a permit to compute.
    pub(super) async fn permit(&self, tight: bool) -> ComputePermit {
        self.engine.permit(tight).await
    }

    /// Remembers that this model needs the form with less memory in its next attempt.
    pub(super) fn remember_tight(&self) {
        self.engine.remember_tight(&self.table);
    }

    /// Plans it.
    pub(super) async fn ready(&self, tight: bool) -> Result<Ready> {
        Ok(self.plan(tight).await?.ready)
    }

    async fn plan(&self, tight: bool) -> Result<Plan> {
        let subject = self.subject();
        let mut planned = self
            .statement_catalog
            .plan(&subject, &self.sql, &[])
            .await?;
        if tight {
            planned.tighten();
        }
        let mut notes = Vec::new();
        if let Some(stored) = &self.stored {
            (planned.plan, notes) =
                in_stored_types(planned.plan, stored).map_err(|error| failure(&subject, &error))?;
        }
        let ready = query::ready(&subject, &planned.session, &planned.plan).await?;
        Ok(Plan {
            ready,
            tables: planned.tables,
            notes,
        })
    }
}

/// Refuses two columns with one name.
fn refuse_repeated_names(subject: &str, schema: &SchemaRef) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    match schema
        .fields()
        .iter()
        .find(|field| !seen.insert(field.name()))
    {
        Some(field) => Err(Failure::new(
            "R0521",
            Remedy::FixConfig,
            format!("{subject} gives two columns the name `{}`", field.name()),
        )
        .help(format!(
            "rename one of them: `... as other_{}`",
            field.name()
        ))),
        None => Ok(()),
    }
}

/// The model's lineage; if it cannot be followed, it has only the inputs and is `partial`.
fn lineage(sql: &str, model: &ModelPlan, tables: &BTreeMap<TableName, SchemaRef>) -> TableLineage {
    let inputs = tables.keys().map(ToString::to_string).collect();
    match towpath_sql::analyze(sql, &LiveTables(tables)) {
        AnalysisResult::Proven(analysis) => {
            let mut lineage = analysis.lineage;
            for edge in &mut lineage.edges {
                edge.to.table = model.table.target.to_string();
            }
            lineage
        }
        AnalysisResult::Unknown { .. } | AnalysisResult::Wrong(_) => TableLineage {
            inputs,
            edges: Vec::new(),
            partial: true,
        },
    }
}
