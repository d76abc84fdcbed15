//! The options of a connection and of a table, read once.
//!
//! Promise: an option that cannot be meant is refused by name before a program is started. It starts
//! nothing. Read next: `config_file.rs`, `program.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use towpath_vocab::{ConnectionPlan, SecretTemplate};

use super::error::{Result, SingerError};

/// How long a program may be silent.
const TIMEOUT_S: u64 = 900;
/// The largest message.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The options of a connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) connection: String,
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// Its configuration as JSON, with secrets as templates.
    pub(super) config: Option<SecretTemplate>,
    pub(super) timeout: Duration,
    pub(super) max_record_bytes: usize,
    /// Where its streams are described.
    pub(super) catalog: CatalogFrom,
    /// The argument before the path of the catalog.
    pub(super) catalog_argument: String,
    pub(super) writable: bool,
    /// Deleted rows are sent to a target, with a mark.
    pub(super) marks_deletes: bool,
}

/// Where the streams of a tap are described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CatalogFrom {
    /// The tap says it: `--discover`.
    Discovery,
    /// In a file.
    File(PathBuf),
    /// Nowhere: the tap needs none.
    Nobody,
}

/// The options of a table that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) replication_method: Option<String>,
    pub(super) replication_key: Option<String>,
    /// The name of the stream in messages.
    pub(super) stream: Option<String>,
    /// The tap gives no record again that lies before its state.
    pub(super) never_repeats: bool,
}

fn wrong(connection: &str, option: &str, why: impl Into<String>) -> SingerError {
    SingerError::Option {
        place: format!("connection `{connection}`"),
        option: option.to_owned(),
        why: why.into(),
    }
}

fn number(plan: &ConnectionPlan, option: &str, default: u64) -> Result<u64> {
    let Some(value) = plan.plain(option).filter(|value| !value.is_null()) else {
        return Ok(default);
    };
    let number = value.as_u64().filter(|number| *number > 0);
    number.ok_or_else(|| {
        let why = format!("is `{value}`, but must be a whole number from 1");
        wrong(&plan.name, option, why)
    })
}

fn truth(plan: &ConnectionPlan, option: &str, default: bool) -> Result<bool> {
    match plan.plain(option).filter(|value| !value.is_null()) {
        None => Ok(default),
        Some(Value::Bool(given)) => Ok(*given),
        Some(other) => {
            let why = format!("is `{other}`, but must be `true` or `false`");
            Err(wrong(&plan.name, option, why))
        }
    }
}

/// A path of the project; a bare name of a program is looked for in the PATH.
pub(super) fn in_project(project: &Path, text: &str) -> PathBuf {
    let path = Path::new(text);
    match path.components().count() > 1 && path.is_relative() {
        true => project.join(path),
        false => path.to_path_buf(),
    }
}

impl Settings {
    /// Reads the options of a connection.
    pub(super) fn read(plan: &ConnectionPlan, project: &Path) -> Result<Self> {
        let texts = plan.plain("command").and_then(Value::as_array);
        let texts = texts.into_iter().flatten().filter_map(Value::as_str);
        let argv: Vec<String> = texts.map(str::to_owned).collect();
        if argv.first().is_none_or(String::is_empty) {
            return Err(wrong(&plan.name, "command", "names no program"));
        }
        let discovers = truth(plan, "discover", true)?;
        let catalog = match (plan.text("catalog"), discovers) {
            (Some(path), _) => CatalogFrom::File(project.join(path)),
            (None, true) => CatalogFrom::Discovery,
            (None, false) => CatalogFrom::Nobody,
        };
        let max_record_bytes = number(plan, "max_record_bytes", MAX_RECORD_BYTES)?;
        if !(1024..=1 << 30).contains(&max_record_bytes) {
            let why = format!("is {max_record_bytes}, but must be from 1024 to 1073741824 (1 GB)");
            return Err(wrong(&plan.name, "max_record_bytes", why));
        }
        Ok(Self {
            connection: plan.name.clone(),
            argv,
            config: plan.secret("config").cloned(),
            timeout: Duration::from_secs(number(plan, "timeout_s", TIMEOUT_S)?),
            max_record_bytes: usize::try_from(max_record_bytes).unwrap_or(1 << 30),
            catalog,
            writable: plan.writable,
            marks_deletes: plan.text("deleted_rows") == Some("mark"),
            catalog_argument: format!("--{}", plan.text("catalog_argument").unwrap_or("catalog")),
        })
    }

    /// The program, as messages name it: without the folders before it.
    pub(super) fn program(&self) -> String {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let name = Path::new(program).file_name();
        name.map_or_else(
            || program.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

impl StreamOptions {
    /// Reads the options of a table.
    pub(super) fn read(
        stream: &str,
        given: &BTreeMap<String, Value>,
        settings: &Settings,
    ) -> Result<Self> {
        let text = |option: &str| {
            let value = given.get(option).filter(|value| !value.is_null());
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let options = Self {
            replication_method: text("replication_method"),
            replication_key: text("replication_key"),
            stream: text("stream"),
            never_repeats: text("repeats").as_deref() == Some("never"),
        };
        let told = [
            ("replication_method", &options.replication_method),
            ("replication_key", &options.replication_key),
        ];
        let told = told.iter().find(|(_, value)| value.is_some());
        if let (Some((option, _)), CatalogFrom::Nobody) = (told, &settings.catalog) {
            return Err(SingerError::Option {
                place: format!("`{stream}`"),
                option: (*option).to_owned(),
                why: "is told to a tap by its catalog, and the connection says `discover: false`"
                    .to_owned(),
            });
        }
        let is_incremental = options.replication_method.as_deref() == Some("INCREMENTAL");
        if options.replication_key.is_some()
            && options.replication_method.is_some()
            && !is_incremental
        {
            return Err(SingerError::Option {
                place: format!("`{stream}`"),
                option: "replication_key".to_owned(),
                why: "has an effect with `replication_method: INCREMENTAL` only".to_owned(),
            });
        }
        Ok(options)
    }
}
