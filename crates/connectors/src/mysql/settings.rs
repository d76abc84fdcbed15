//! What a `mysql` connection says in the project: options read once, the URL kept a secret.
//!
//! Promise: nothing here shows the URL; it is resolved and parsed anew at each connect, and a part of it that
//! has no meaning is refused. Read next: `login.rs`, `session.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use towpath_ports::{ConnectorContext, ReadSpec, Secrets};
use towpath_vocab::{ConnectionPlan, Failure, SecretTemplate};
use url::Url;

use super::error::{MysqlError, Result};
use crate::relational::options;
use crate::relational::tls::Encryption;

const DEFAULT_CONNECTIONS: usize = 4;

/// What becomes of dates without a day: `0000-00-00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroDates {
    /// Their rows are rejected.
    Reject,
    /// They are read as NULL.
    Null,
}

/// A connection's options.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connection: String,
    /// So many connections a read uses at most.
    pub(super) connections: usize,
    pub(super) writable: bool,
    zero_dates: Option<serde_json::Value>,
    url: SecretTemplate,
    secrets: Arc<dyn Secrets>,
    project_dir: PathBuf,
}

/// A URL taken apart.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    pub(super) encryption: Encryption,
    /// `host:port`, for messages.
    pub(super) shown: String,
}

impl Settings {
    pub(super) fn read(plan: &ConnectionPlan, context: &ConnectorContext) -> Result<Self> {
        let wrong = |option, reason| MysqlError::Option {
            connection: plan.name.clone(),
            option,
            reason,
        };
        let url = options::url(plan).ok_or_else(|| wrong("url", "is missing".to_owned()))?;
        let connections = options::connections(plan, DEFAULT_CONNECTIONS);
        let connections = connections.map_err(|reason| wrong(options::CONNECTIONS, reason))?;
        let settings = Self {
            connection: plan.name.clone(),
            connections,
            writable: plan.writable,
            zero_dates: plan.plain("zero_dates").cloned(),
            url,
            secrets: Arc::clone(&context.secrets),
            project_dir: context.project_dir.clone(),
        };
        settings.rule(None)?;
        Ok(settings)
    }

    /// What becomes of zero dates in this read.
    pub(super) fn zero_dates(&self, spec: &ReadSpec) -> Result<ZeroDates> {
        self.rule(spec.options.get("zero_dates"))
    }

    /// What becomes of zero dates in rows of a table that is written.
    pub(super) fn zero_dates_of_target(&self) -> Result<ZeroDates> {
        self.rule(None)
    }

    fn rule(&self, of_table: Option<&serde_json::Value>) -> Result<ZeroDates> {
        let Some(value) = of_table.or(self.zero_dates.as_ref()) else {
            return Ok(ZeroDates::Reject);
        };
        match value.as_str() {
            Some("reject") => Ok(ZeroDates::Reject),
            Some("to_null") => Ok(ZeroDates::Null),
            _ => Err(MysqlError::Option {
                connection: self.connection.clone(),
                option: "zero_dates",
                reason: format!("is `{value}`, but must be `reject` or `to_null`"),
            }),
        }
    }

    /// Resolves the URL and takes it apart.
    pub(super) async fn address(&self) -> std::result::Result<Address, Failure> {
        let text = self.secrets.resolve(&self.url).await?;
        Ok(self.parse(text.trim())?)
    }

    fn parse(&self, text: &str) -> Result<Address> {
        let wrong = |reason: &'static str| MysqlError::Option {
            connection: self.connection.clone(),
            option: "url",
            reason: reason.to_owned(),
        };
        let url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(wrong("does not begin with `mysql://`"));
        }
        let decoded = |part: &str| {
            let decoded = percent_decode_str(part).decode_utf8();
            let decoded = decoded.map_err(|_| wrong("has a part that is not UTF-8"))?;
            match decoded.contains('\0') {
                true => Err(wrong("contains a zero byte")),
                false => Ok(decoded.into_owned()),
            }
        };
        let (encryption, rest) = Encryption::of(&url, &self.project_dir).map_err(wrong)?;
        if !rest.is_empty() {
            return Err(wrong(
                "has a parameter other than sslmode, sslrootcert, sslcert and sslkey",
            ));
        }
        let host = url.host_str().unwrap_or("localhost");
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err(wrong("does not end with the name of a database"));
        }
        let user = decoded(url.username())?;
        if user.is_empty() {
            return Err(wrong("names no user"));
        }
        let port = url.port().unwrap_or(3306);
        Ok(Address {
            shown: format!("{host}:{port}"),
            host,
            port,
            user,
            password: decoded(url.password().unwrap_or_default())?,
            database,
            encryption,
        })
    }
}
