//! The source and the target of a copy, read from the command line.
//!
//! Promise: `s3://…` is files in a bucket; any other `scheme://…` is a database, and so are `sqlite:path` and a file with the ending of a database;
//! any other text is a file or a glob. From here on a URL is treated as a secret. It opens nothing. Read
//! next: `copy.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use towpath_connectors::split_url;
use towpath_vocab::{
    ConnectionPlan, ConnectorSpec, Failure, ObjectKind, OptionValue, Remedy, SecretTemplate,
    passwords,
};

use crate::Result;
use crate::services::{files_kind, of_scheme};

/// The source or the target of a copy.
pub(super) struct CopyEndpoint {
    pub(super) connection: ConnectionPlan,
    pub(super) object: String,
}

/// Parses a source. A named file is read even if it is a link that leads somewhere else.
pub(super) fn source(
    text: &str,
    table: Option<&str>,
    working_dir: &Path,
    specs: &[ConnectorSpec],
) -> Result<CopyEndpoint> {
    let mut end = end(text, table, "--table", working_dir, specs)?;
    if let Some(split) = glob_of_folders(text, &end, working_dir) {
        return Ok(split);
    }
    let folder = end.connection.text("path").map(Path::new);
    let file = folder.map(|folder| folder.join(&end.object));
    if end.connection.kind == files_kind()
        && let Some(file) = file.filter(|file| file.is_file())
    {
        let path = OptionValue::Plain(serde_json::Value::String(file.display().to_string()));
        end.connection.options.insert("path".to_owned(), path);
    }
    Ok(end)
}

/// Files of several folders: `data/*/x.csv` is the folder `data` and the glob `*/x.csv` in it. A name that is there
/// is no glob.
fn glob_of_folders(text: &str, end: &CopyEndpoint, working_dir: &Path) -> Option<CopyEndpoint> {
    let text = text.strip_prefix("file://").unwrap_or(text);
    let glob = text.find(['*', '?', '['])?;
    let is_file = end.connection.kind == files_kind() && !text.contains("://");
    let is_in_folder = text.get(glob..).is_some_and(|rest| rest.contains('/'));
    if !is_file || !is_in_folder || working_dir.join(text).exists() {
        return None;
    }
    let at = text.get(..glob)?.rfind('/').map_or(0, |at| at + 1);
    let (folder, selection) = text.split_at_checked(at)?;
    let folder = match folder {
        "" => working_dir.to_path_buf(),
        folder => working_dir.join(folder),
    };
    let folder = OptionValue::Plain(serde_json::Value::String(folder.display().to_string()));
    Some(CopyEndpoint {
        connection: connection(&end.connection.name, &end.connection.kind, "path", folder),
        object: selection.to_owned(),
    })
}

/// Parses a target; `table` is its table in a database.
pub(super) fn target(
    text: &str,
    table: Option<&str>,
    working_dir: &Path,
    specs: &[ConnectorSpec],
) -> Result<CopyEndpoint> {
    end(text, table, "--into", working_dir, specs)
}

/// Parses a source or a target; `table` is the table of a database, which `option` names.
fn end(
    text: &str,
    table: Option<&str>,
    option: &str,
    working_dir: &Path,
    specs: &[ConnectorSpec],
) -> Result<CopyEndpoint> {
    if let Some((spec, path)) = database_file(text, specs) {
        let path = working_dir.join(path).display().to_string();
        let path = OptionValue::Plain(serde_json::Value::String(path));
        let object = named(table, option)?;
        return Ok(database(&spec.kind, "path", path, object));
    }
    let text = text.strip_prefix("file://").unwrap_or(text);
    refuse_address(text, working_dir)?;
    match text.split_once("://") {
        Some((scheme, _)) if is_of_files(scheme, specs) => stored_end(text),
        Some((scheme, _)) => {
            // What no connector reads has no tables to name.
            of_scheme(specs, scheme)?;
            database_end(text, scheme, named(table, option)?, specs)
        }
        None => file_end(text, working_dir),
    }
}

/// Whether URLs of a scheme are places of files.
pub(crate) fn is_of_files(scheme: &str, specs: &[ConnectorSpec]) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    specs
        .iter()
        .any(|spec| spec.objects == ObjectKind::Files && spec.schemes.contains(&scheme))
}

/// A file or a glob in a bucket.
fn stored_end(url: &str) -> Result<CopyEndpoint> {
    let (folder, object) = split_url(url);
    if object.is_empty() {
        // A user or a password in it is not shown.
        return Err(Failure::new(
            "R0917",
            Remedy::FixConfig,
            "the URL of the bucket names no file",
        )
        .help("name a file or a glob: `s3://BUCKET/orders/*.csv`"));
    }
    let folder = OptionValue::Plain(serde_json::Value::String(folder));
    Ok(CopyEndpoint {
        connection: connection("files", &files_kind(), "path", folder),
        object,
    })
}

/// Refuses a connection string that is not a URL: as the name of a file it would be shown with its
/// password, and the file would be created.
pub(crate) fn refuse_address(text: &str, working_dir: &Path) -> Result<()> {
    let path = working_dir.join(text);
    let user_and_host = |text: &str| {
        let (user, host) = text.split_once('@')?;
        (user.contains(':') && !user.contains('/') && host.contains('/')).then_some(())
    };
    let is_address = !text.contains("://")
        && (passwords::is_key_value_address(text)
            || passwords::has_password(text)
            || user_and_host(text).is_some());
    let is_there = path.exists()
        || path
            .parent()
            .is_some_and(|parent| parent != working_dir && parent.exists());
    if !is_address || is_there {
        return Ok(());
    }
    Err(Failure::new(
        "R0948",
        Remedy::FixConfig,
        "the address of a database is not a URL",
    )
    .help("write it as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"))
}

/// The connector and path of a database in one file: by its scheme (`sqlite:data`) or its ending.
fn database_file<'a>(
    text: &'a str,
    specs: &'a [ConnectorSpec],
) -> Option<(&'a ConnectorSpec, &'a str)> {
    let of_scheme = |scheme: &String| {
        let path = text.strip_prefix(scheme.as_str())?.strip_prefix(':')?;
        Some(path.strip_prefix("//").unwrap_or(path))
    };
    let path = text.strip_prefix("file://").unwrap_or(text);
    let lower = path.to_ascii_lowercase();
    let is_meant = |ending: &String| !path.contains("://") && lower.ends_with(ending.as_str());
    specs
        .iter()
        .filter(|spec| spec.objects == ObjectKind::Tables && !spec.endings.is_empty())
        .find_map(|spec| {
            let by_scheme = spec.schemes.iter().find_map(of_scheme);
            let by_ending = || spec.endings.iter().any(is_meant).then_some(path);
            Some((spec, by_scheme.or_else(by_ending)?))
        })
}

fn database_end(
    url: &str,
    scheme: &str,
    table: &str,
    specs: &[ConnectorSpec],
) -> Result<CopyEndpoint> {
    let spec = of_scheme(specs, scheme)?;
    let url = OptionValue::Secret(SecretTemplate::new(url));
    Ok(database(&spec.kind, "url", url, table))
}

fn database(kind: &str, option: &str, value: OptionValue, table: &str) -> CopyEndpoint {
    CopyEndpoint {
        connection: connection(kind, kind, option, value),
        object: table.to_owned(),
    }
}

/// The table of a database that `option` names.
fn named<'a>(table: Option<&'a str>, option: &str) -> Result<&'a str> {
    let failure = || {
        let failure = Failure::new("R0916", Remedy::FixConfig, "which table of the database?");
        let failure = failure.help(format!("example: {option} public.orders"));
        match option {
            "--table" => failure.help("or a query: --query \"select …\""),
            _ => failure,
        }
    };
    table.ok_or_else(failure)
}

fn connection(name: &str, kind: &str, option: &str, value: OptionValue) -> ConnectionPlan {
    ConnectionPlan {
        name: name.into(),
        kind: kind.to_owned(),
        writable: true,
        options: BTreeMap::from([(option.to_owned(), value)]),
    }
}

/// A file in a folder.
pub(super) fn file_end(text: &str, working_dir: &Path) -> Result<CopyEndpoint> {
    let path = working_dir.join(text);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| {
            Failure::new(
                "R0917",
                Remedy::FixConfig,
                format!("`{text}` names no file"),
            )
        })?;
    let folder = path.parent().unwrap_or(working_dir).display().to_string();
    let folder = OptionValue::Plain(serde_json::Value::String(folder));
    Ok(CopyEndpoint {
        connection: connection("files", &files_kind(), "path", folder),
        object: name,
    })
}

/// The short name of an object: `orders` for `orders.csv.gz` and `public.orders`.
pub(super) fn stem(object: &str) -> String {
    let is_file = [
        ".csv", ".tsv", ".jsonl", ".json", ".xml", ".parquet", ".avro", ".arrow", ".feather",
        ".ipc", ".xlsx",
    ]
    .iter()
    .any(|ending| object.contains(ending));
    let name = if is_file {
        object.split('.').next()
    } else {
        object.rsplit('.').next()
    };
    name.unwrap_or(object).to_owned()
}
