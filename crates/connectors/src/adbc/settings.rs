//! What an `adbc` connection says in the project: the driver, and the options that it gets.
//!
//! Promise: a driver is a name, which the driver manager looks up among the drivers that this user or this machine has
//! installed, or the absolute path of a library outside of the project: a project that somebody downloads brings no
//! code. Secrets stay templates until a session connects. It loads nothing: `driver.rs` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_ports::{ConnectorContext, Redaction, Secrets};
use towpath_vocab::{ConnectionPlan, Failure, OptionValue, SecretTemplate};

use super::error::{AdbcError, Result};

/// Words in the names of a driver's options whose values are secrets.
const SECRET_WORDS: [&str; 6] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "private_key",
    "credentials",
];
/// Names of a driver's options that have an option of the connection.
const OWN: [(&str, &str); 4] = [
    ("uri", "uri"),
    ("username", "username"),
    ("password", "password"),
    ("driver", "driver"),
];

/// Where the library of a driver is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DriverPlace {
    /// The driver manager knows where.
    Name(String),
    /// Here.
    File(PathBuf),
}

/// A connection's options.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connection: String,
    pub(super) writable: bool,
    pub(super) driver: DriverPlace,
    pub(super) entrypoint: Option<String>,
    project_dir: PathBuf,
    path: Option<PathBuf>,
    username: Option<String>,
    /// Options of the driver that are no secrets.
    plain: Vec<(String, String)>,
    uri: Option<SecretTemplate>,
    password: Option<SecretTemplate>,
    more_secrets: Option<SecretTemplate>,
    secrets: Arc<dyn Secrets>,
}

/// The options that the driver gets, resolved.
pub(super) struct Resolved {
    pub(super) options: Vec<(String, String)>,
    /// Takes their secrets out of messages.
    pub(super) redaction: Redaction,
}

fn wrong(connection: &str, option: &'static str, reason: impl Into<String>) -> AdbcError {
    AdbcError::Option {
        connection: connection.to_owned(),
        option,
        reason: reason.into(),
    }
}

impl Settings {
    pub(super) fn read(plan: &ConnectionPlan, context: &ConnectorContext) -> Result<Self> {
        let name = &plan.name;
        let text = |option| plan.text(option).filter(|text| !text.is_empty());
        let driver = text("driver").ok_or_else(|| wrong(name, "driver", "is missing"))?;
        let driver = place(driver).map_err(|reason| wrong(name, "driver", reason))?;
        let entrypoint = text("entrypoint").map(str::to_owned);
        let is_symbol = |text: &String| {
            text.chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if entrypoint.as_ref().is_some_and(|text| !is_symbol(text)) {
            return Err(wrong(name, "entrypoint", "is not the name of a function"));
        }
        let uri = secret(plan, "uri");
        let path = text("path").map(|path| context.project_dir.join(path));
        if uri.is_some() && path.is_some() {
            return Err(wrong(name, "path", "and `uri` exclude each other"));
        }
        Ok(Self {
            connection: name.clone(),
            writable: plan.writable,
            driver,
            entrypoint,
            project_dir: context.project_dir.clone(),
            path,
            username: text("username").map(str::to_owned),
            plain: plain_options(plan)?,
            uri,
            password: secret(plan, "password"),
            more_secrets: secret(plan, "secret_options"),
            secrets: Arc::clone(&context.secrets),
        })
    }

    /// Refuses a library that the project brings with it.
    pub(super) fn check_driver(&self) -> Result<()> {
        let DriverPlace::File(file) = &self.driver else {
            return Ok(());
        };
        let wrong = |reason: String| wrong(&self.connection, "driver", reason);
        let real = |path: &Path| path.canonicalize();
        let library = real(file).map_err(|error| {
            wrong(format!(
                "names `{}`, which cannot be opened: {error}",
                file.display()
            ))
        })?;
        // A project folder that cannot be resolved holds no library that can be loaded.
        let is_inside = real(&self.project_dir).is_ok_and(|project| library.starts_with(project));
        match is_inside {
            true => Err(wrong(
                "is a library in the project folder: a project may not bring code of its own"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Whether there is a database to look at: a file that does not exist would be created by a look.
    pub(super) fn exists(&self) -> bool {
        self.path.as_ref().is_none_or(|path| path.exists())
    }

    /// Resolves the secrets.
    pub(super) async fn resolve(&self) -> std::result::Result<Resolved, Failure> {
        let mut options = self.plain.clone();
        let mut hidden = Vec::new();
        let mut put = |key: &str, value: String| options.push((key.to_owned(), value));
        if let Some(path) = &self.path {
            let path = one_name(path);
            let path = path.to_str().ok_or_else(|| {
                Failure::from(wrong(&self.connection, "path", "is not written in UTF-8"))
            })?;
            put("uri", path.to_owned());
        }
        if let Some(username) = &self.username {
            put("username", username.clone());
        }
        for (key, template) in [("uri", &self.uri), ("password", &self.password)] {
            if let Some(template) = template {
                let value = self.secrets.resolve(template).await?;
                put(key, value.clone());
                hidden.push(value);
            }
        }
        if let Some(template) = &self.more_secrets {
            let value = self.secrets.resolve(template).await?;
            let pairs = pairs(&value)
                .map_err(|reason| wrong(&self.connection, "secret_options", reason))?;
            for (key, value) in pairs {
                hidden.push(value.clone());
                put(&key, value);
            }
        }
        if options
            .iter()
            .any(|(key, value)| key.contains('\0') || value.contains('\0'))
        {
            return Err(wrong(&self.connection, "options", "contain a zero byte").into());
        }
        Ok(Resolved {
            options,
            redaction: Redaction::new(hidden),
        })
    }
}

/// A path without detours: sessions on one file share its database, however the file is named.
fn one_name(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn secret(plan: &ConnectionPlan, option: &str) -> Option<SecretTemplate> {
    match plan.options.get(option) {
        Some(OptionValue::Secret(template)) => Some(template.clone()),
        Some(OptionValue::Plain(serde_json::Value::String(text))) => {
            Some(SecretTemplate::new(text.clone()))
        }
        _ => None,
    }
}

/// A name or an absolute path.
fn place(text: &str) -> std::result::Result<DriverPlace, String> {
    let path = Path::new(text);
    if path.is_absolute() {
        let is_library = path.file_name().and_then(|name| name.to_str());
        let is_library = is_library.is_some_and(|name| {
            [".so", ".dylib", ".dll"]
                .iter()
                .any(|end| name.ends_with(end) || name.contains(&format!("{end}.")))
        });
        return match is_library {
            true => Ok(DriverPlace::File(path.to_owned())),
            false => {
                Err("is a path, but not that of a shared library (.so, .dylib, .dll)".to_owned())
            }
        };
    }
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    match text.chars().all(is_name) {
        true => Ok(DriverPlace::Name(text.to_owned())),
        false => Err(format!(
            "is `{text}`, but must be the name of an installed driver or an absolute path"
        )),
    }
}

/// The driver's own options.
fn plain_options(plan: &ConnectionPlan) -> Result<Vec<(String, String)>> {
    let Some(options) = plan.plain("options").and_then(|value| value.as_object()) else {
        return Ok(Vec::new());
    };
    let mut pairs = Vec::with_capacity(options.len());
    for (key, value) in options {
        let lower = key.to_ascii_lowercase();
        if let Some((_, own)) = OWN.iter().find(|(key, _)| *key == lower) {
            let reason = format!("contain `{key}`: it is the connection's own option `{own}`");
            return Err(wrong(&plan.name, "options", reason));
        }
        if SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            let reason = format!("contain `{key}`, a secret, which plans and logs would show");
            return Err(wrong(&plan.name, "options", reason));
        }
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        pairs.push((key.clone(), text));
    }
    Ok(pairs)
}

/// Options of the driver in one secret: a JSON object of texts.
fn pairs(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    let shape = "must be a JSON object of texts: {\"OPTION\": \"VALUE\"}";
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_| shape.to_owned())?;
    let pair = |(key, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((key, text)),
        _ => Err(shape.to_owned()),
    };
    object.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_driver_is_a_name_or_an_absolute_path() {
        let name = |text: &str| DriverPlace::Name(text.to_owned());
        assert_eq!(place("snowflake"), Ok(name("snowflake")));
        assert_eq!(place("adbc_driver_sqlite"), Ok(name("adbc_driver_sqlite")));
        let file = DriverPlace::File("/opt/libduckdb.so.1.5".into());
        assert_eq!(place("/opt/libduckdb.so.1.5"), Ok(file));
        for text in [
            "./evil.so",
            "drivers/evil",
            "evil.so",
            "../x",
            "/opt/driver.toml",
            "/opt/driver",
            "a b",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secret_options_are_texts() {
        let read = pairs(r#"{"adbc.snowflake.sql.auth_token": "t0ken"}"#).unwrap();
        assert_eq!(
            read,
            [("adbc.snowflake.sql.auth_token".into(), "t0ken".into())]
        );
        assert!(pairs("[]").is_err() && pairs(r#"{"a": 1}"#).is_err());
    }
}
