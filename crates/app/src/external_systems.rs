//! External systems: which connections there are, whether they work, and which tables they have.
//!
//! Promise: the only file that is written is `schemas/NAME.yml`, and only if the user asks for it. It needs
//! no lakehouse and no state store, and it works in a project with mistakes elsewhere. Read next:
//! `connected_check.rs`, and `proposal.rs` for tables that are not declared yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use towpath_flow::Budget;
use towpath_ports::{Clock as _, Connector, ConnectorContext, Discover, Discovered, System};
use towpath_project::{
    CheckInputs, KnownTable, OutlinedConnection, ReadOptions, connections_of, read_schemas,
};
use towpath_vocab::{
    ConnectionPlan, ConnectorSpec, FactSource, Facts, Failure, Remedy, TableFact, types,
};

use crate::Result;
use crate::check::{CheckRequest, check};
use crate::connected_check::{Load, loads};
use crate::editor::write_editor_schemas;
use crate::folder::ProjectFolder;
use crate::memory::default_budget_bytes;
use crate::new_file::put;
use crate::system::{LocalSystem, time_text};

/// The connectors of this binary, with a project folder.
pub(crate) struct ExternalSystems {
    connectors: Vec<Arc<dyn Connector>>,
    context: ConnectorContext,
    pub(crate) system: Arc<LocalSystem>,
}

impl ExternalSystems {
    pub(crate) fn new(dir: &Path) -> Self {
        let system = Arc::new(LocalSystem::new(dir.to_path_buf()));
        Self {
            connectors: towpath_connectors::connectors(),
            context: ConnectorContext {
                project_dir: dir.to_path_buf(),
                secrets: Arc::clone(&system) as _,
                memory: Arc::new(Budget::new(default_budget_bytes())),
            },
            system,
        }
    }

    pub(crate) fn discover(&self, connection: &ConnectionPlan) -> Result<Arc<dyn Discover>> {
        let kinds = || -> Vec<String> { self.connectors.iter().map(|c| c.spec().kind).collect() };
        let connector = self
            .connectors
            .iter()
            .find(|connector| connector.spec().kind == connection.kind);
        match connector {
            Some(connector) => connector.discover(connection, &self.context),
            None => Err(Failure::new(
                "R0943",
                Remedy::FixConfig,
                format!(
                    "connection `{}`: there is no connector of type `{}`",
                    connection.name, connection.kind
                ),
            )
            .help(format!("there are: {}", kinds().join(", ")))),
        }
    }

    /// The present time, in the form of facts.
    pub(crate) fn now(&self) -> String {
        time_text(self.system.now_us())
    }
}

/// A connection of the project, for display.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionLine {
    /// Its name.
    pub name: String,
    /// Its connector.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether Towpath may write there.
    pub writable: bool,
    /// Where it is declared: file and line.
    pub place: String,
    /// Tables in `schemas/NAME.yml`.
    pub known_tables: usize,
    /// When they were last read; empty if they never were.
    pub seen: String,
}

/// A table that was discovered.
#[derive(Clone, Debug, Serialize)]
pub struct TableLine {
    /// Its name there.
    pub table: String,
    /// Names and types of its columns.
    pub columns: Vec<ColumnLine>,
    /// Its primary key.
    pub key: Vec<String>,
    /// A column that looks like a cursor.
    pub cursor: Option<String>,
    /// The approximate number of rows.
    pub rows: Option<u64>,
    /// Type mappings that lose information, and other notes.
    pub notes: Vec<String>,
}

/// A column of a discovered table.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnLine {
    /// Its name.
    pub name: String,
    /// Its type, in the words of the project files.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether the system guarantees that it is never NULL.
    pub required: bool,
    /// The type in the system, if its values are passed as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

/// The report of `discover`.
#[derive(Clone, Debug, Serialize)]
pub struct DiscoverReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The connection.
    pub connection: String,
    /// Tables, in the order of their names.
    pub tables: Vec<TableLine>,
    /// Tables that could not be read, and why.
    pub failed: Vec<(String, Failure)>,
    /// The file that was written, relative to the project.
    pub written: Option<String>,
    /// Tables that were in the file and are no longer there.
    pub gone: Vec<String>,
}

/// The result of a connection test.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionTest {
    /// Version of this form; 1.
    pub version: u32,
    /// The connection.
    pub connection: String,
    /// Product and version.
    pub system: String,
    /// Other notes.
    pub notes: Vec<String>,
}

/// The request of `discover`.
#[derive(Clone, Debug)]
pub struct DiscoverRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// The connection.
    pub connection: String,
    /// Only tables whose names match this glob.
    pub pattern: String,
    /// Whether `schemas/NAME.yml` is written.
    pub write: bool,
}

/// All kinds of connections.
pub fn connection_types() -> Vec<ConnectorSpec> {
    crate::services::connector_specs()
}

/// The connections of a project.
///
/// # Errors
/// `FixConfig` if the project cannot be read.
pub fn connections(dir: &Path, environment: Option<&str>) -> Result<Vec<ConnectionLine>> {
    let folder = ProjectFolder::read(dir)?;
    let all = outlined(&folder, environment)?;
    let line = |(name, connection): (&String, &OutlinedConnection)| {
        let known = known_tables(&folder, name).unwrap_or_default();
        ConnectionLine {
            name: name.clone(),
            kind: connection.plan.kind.clone(),
            writable: connection.plan.writable,
            place: format!("{}:{}", connection.span.file, connection.span.line),
            known_tables: known.len(),
            seen: known
                .iter()
                .map(|(_, table)| table.fact.seen_at.clone())
                .max()
                .unwrap_or_default(),
        }
    };
    Ok(all.iter().map(line).collect())
}

/// Tries to connect.
///
/// # Errors
/// Why it is not possible; the failure contains no secret.
pub async fn connection_test(
    dir: &Path,
    environment: Option<&str>,
    name: &str,
) -> Result<ConnectionTest> {
    let folder = ProjectFolder::read(dir)?;
    let connection = find(&folder, environment, name)?;
    let report = ExternalSystems::new(dir)
        .discover(&connection)?
        .test()
        .await?;
    Ok(ConnectionTest {
        version: 1,
        connection: name.to_owned(),
        system: report.system,
        notes: report.notes,
    })
}

/// Reads the tables of a connection, and writes `schemas/NAME.yml` if requested.
///
/// # Errors
/// If the system cannot be contacted, or the file cannot be written.
pub async fn discover(request: &DiscoverRequest) -> Result<DiscoverReport> {
    let folder = ProjectFolder::read(&request.dir)?;
    let connection = find(&folder, request.environment.as_deref(), &request.connection)?;
    let systems = ExternalSystems::new(&request.dir);
    let (mut found, failed) = describe_tables(
        systems.discover(&connection)?.as_ref(),
        &request.connection,
        &request.pattern,
    )
    .await?;
    let loads = loads_of(request).await?;
    for table in &mut found {
        // A table whose load has options of its own is read with them.
        if let Some(load) = loads
            .get(&table.object)
            .filter(|load| !load.options.is_empty())
        {
            *table = systems
                .discover(&load.connection)?
                .describe(&table.object)
                .await?;
        }
    }
    let mut report = DiscoverReport {
        version: 1,
        connection: request.connection.clone(),
        tables: found.iter().map(table_line).collect(),
        failed,
        written: None,
        gone: Vec::new(),
    };
    if request.write {
        write(request, &folder, &systems, (&found, &loads), &mut report)?;
    }
    Ok(report)
}

/// The loads of the connection's tables; none if the project has mistakes.
async fn loads_of(request: &DiscoverRequest) -> Result<BTreeMap<String, Load>> {
    let report = check(&CheckRequest {
        dir: request.dir.clone(),
        environment: request.environment.clone(),
        ..CheckRequest::default()
    })
    .await?;
    let mut all = loads(report.plan.as_ref());
    Ok(all.remove(&request.connection).unwrap_or_default())
}

/// The discovered tables, and those that could not be read, with the reason.
pub(crate) type DiscoveryResult = (Vec<Discovered>, Vec<(String, Failure)>);

/// Reads every table that matches.
pub(crate) async fn describe_tables(
    there: &dyn Discover,
    name: &str,
    pattern: &str,
) -> Result<DiscoveryResult> {
    let tables = there.tables(pattern).await?;
    if tables.is_empty() {
        return Err(Failure::new(
            "R0944",
            Remedy::FixConfig,
            format!("`{name}` has no table that matches `{pattern}`"),
        )
        .help("a pattern is a glob: `order*`; other schemas of a database: `\"other.*\"`"));
    }
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for table in tables {
        match there.describe(&table).await {
            Ok(described) => found.push(described),
            // No other table can be read either.
            Err(failure) if failure.remedy.may_pass() => return Err(failure),
            Err(failure) => failed.push((table, failure)),
        }
    }
    Ok((found, failed))
}

fn write(
    request: &DiscoverRequest,
    folder: &ProjectFolder,
    systems: &ExternalSystems,
    (found, loads): (&[Discovered], &BTreeMap<String, Load>),
    report: &mut DiscoverReport,
) -> Result<()> {
    let path = format!("schemas/{}.yml", request.connection);
    let mut tables: BTreeMap<String, (TableFact, ReadOptions)> = BTreeMap::new();
    let all = request.pattern == "*";
    for (name, known) in known_tables(folder, &request.connection)? {
        let still = found.iter().any(|table| table.object == name)
            || report.failed.iter().any(|(table, _)| *table == name)
            || name.contains(['.', '/', '*']);
        if !all || still {
            tables.insert(name, (known.fact, known.options));
        } else {
            report.gone.push(name);
        }
    }
    let now = systems.now();
    for table in found {
        let load = loads.get(&table.object);
        let options = load.map(|load| load.options.clone()).unwrap_or_default();
        tables.insert(table.object.clone(), (fact(table, &now), options));
    }
    let tables: Vec<(String, TableFact, ReadOptions)> = tables
        .into_iter()
        .map(|(name, (fact, options))| (name, fact, options))
        .collect();
    let text = towpath_project::write_schemas(&request.connection, &tables);
    put(&request.dir.join(&path), &text)?;
    write_editor_schemas(&request.dir)?;
    report.written = Some(path);
    Ok(())
}

/// A discovered table as a fact, as in `schemas/NAME.yml`.
pub(crate) fn fact(table: &Discovered, now: &str) -> TableFact {
    TableFact {
        schema: Arc::clone(&table.schema),
        key: table.key.clone(),
        source: FactSource::Discovered,
        seen_at: now.to_owned(),
    }
}

fn table_line(table: &Discovered) -> TableLine {
    let column = |field: &Arc<arrow_schema::Field>| ColumnLine {
        name: field.name().clone(),
        data_type: types::name(field.data_type()),
        required: !field.is_nullable(),
        source_type: field.metadata().get(types::SOURCE_TYPE).cloned(),
    };
    TableLine {
        table: table.object.clone(),
        columns: table.schema.fields().iter().map(column).collect(),
        key: table.key.clone(),
        cursor: table.cursor.clone(),
        rows: table.rows,
        notes: table.notes.clone(),
    }
}

/// The tables of `schemas/NAME.yml`.
pub(crate) fn known_tables(
    folder: &ProjectFolder,
    connection: &str,
) -> Result<Vec<(String, KnownTable)>> {
    let path = format!("schemas/{connection}.yml");
    let Some(text) = folder.files.get(&path) else {
        return Ok(Vec::new());
    };
    read_schemas(&path, text).map_err(|_| {
        Failure::new("R0923", Remedy::FixConfig, format!("{path} cannot be read"))
            .help("look: towpath check")
            .help("or delete the file: `connection discover --write` writes it again")
    })
}

/// The project's connections, even if the project has mistakes elsewhere.
pub(crate) fn outlined(
    folder: &ProjectFolder,
    environment: Option<&str>,
) -> Result<BTreeMap<String, OutlinedConnection>> {
    let system = LocalSystem::new(folder.dir.clone());
    let facts = Facts {
        set_variables: system.environment().keys().cloned().collect(),
        ..Facts::default()
    };
    let outline = connections_of(&CheckInputs {
        files: &folder.files,
        specs: &crate::services::connector_specs(),
        facts: &facts,
        environment,
        variables: system.environment(),
        params: &BTreeMap::new(),
    });
    outline.ok_or_else(|| {
        Failure::new(
            "R0924",
            Remedy::FixConfig,
            "towpath.yml cannot be read as a project",
        )
        .help("look: towpath check")
    })
}

pub(crate) fn find(
    folder: &ProjectFolder,
    environment: Option<&str>,
    name: &str,
) -> Result<ConnectionPlan> {
    let mut all = outlined(folder, environment)?;
    let names: Vec<String> = all.keys().cloned().collect();
    all.remove(name).map(|found| found.plan).ok_or_else(|| {
        let failure = Failure::new(
            "R0925",
            Remedy::FixConfig,
            format!("there is no connection `{name}`"),
        );
        match names.is_empty() {
            true => failure.help("declare it under `connections` in towpath.yml"),
            false => failure.help(format!("there are: {}", names.join(", "))),
        }
    })
}
