//! What a `postgres` connection says in the project: options read once, the URL kept a secret.
//!
//! Promise: nothing here shows the URL; it is resolved and parsed anew at each connect. `sslmode`
//! and the certificate options are taken out of the URL before the driver sees it, because the
//! driver knows only three of the six modes. Read next: `session.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use towpath_ports::{ConnectorContext, Secrets};
use towpath_vocab::{ConnectionPlan, Failure, SecretTemplate};
use url::Url;

use super::error::{PgError, Result};
use crate::relational::options;
use crate::relational::tls::{Encryption, SslMode};

const DEFAULT_CONNECTIONS: usize = 4;

/// A connection's options.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connection: String,
    pub(super) schema: String,
    pub(super) commits_schema: Option<String>,
    pub(super) connections: usize,
    /// `late_rows` and `replace` where a table does not say otherwise.
    pub(super) late_rows: Option<Value>,
    pub(super) replace: Option<Value>,
    pub(super) writable: bool,
    url: SecretTemplate,
    secrets: Arc<dyn Secrets>,
    project_dir: PathBuf,
}

/// A URL taken apart.
pub(super) struct Address {
    pub(super) config: tokio_postgres::Config,
    pub(super) encryption: Encryption,
    /// `host:port`, for messages.
    pub(super) shown: String,
    pub(super) port: u16,
}

impl Settings {
    pub(super) fn read(plan: &ConnectionPlan, context: &ConnectorContext) -> Result<Self> {
        let url = options::url(plan).ok_or_else(|| PgError::Url {
            connection: plan.name.clone(),
            reason: "is missing",
        })?;
        Ok(Self {
            connection: plan.name.clone(),
            schema: plan.text("schema").unwrap_or("public").to_owned(),
            commits_schema: plan.text("commits_schema").map(str::to_owned),
            connections: options::connections(plan, DEFAULT_CONNECTIONS).map_err(|reason| {
                PgError::BadOption {
                    connection: plan.name.clone(),
                    option: options::CONNECTIONS,
                    reason,
                }
            })?,
            late_rows: plan.plain("late_rows").cloned(),
            replace: plan.plain("replace").cloned(),
            writable: plan.writable,
            url,
            secrets: Arc::clone(&context.secrets),
            project_dir: context.project_dir.clone(),
        })
    }

    /// Resolves the URL and takes it apart.
    pub(super) async fn address(&self) -> std::result::Result<Address, Failure> {
        let text = self.secrets.resolve(&self.url).await?;
        Ok(self.parse(text.trim())?)
    }

    fn parse(&self, text: &str) -> Result<Address> {
        let wrong = |reason| PgError::Url {
            connection: self.connection.clone(),
            reason,
        };
        let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("does not begin with `postgres://`"));
        }
        let (encryption, rest) = Encryption::of(&url, &self.project_dir).map_err(wrong)?;
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut config: tokio_postgres::Config = url.as_str().parse().map_err(|_| {
            wrong("has an option that PostgreSQL does not have, or a part that cannot be read")
        })?;
        if config.get_user().is_none() {
            return Err(wrong("names no user"));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(std::time::Duration::from_secs(10));
        }
        if config.get_application_name().is_none() {
            config.application_name("towpath");
        }
        config.ssl_mode(match encryption.ssl {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        let port = url.port().unwrap_or(5432);
        Ok(Address {
            shown: format!("{}:{port}", url.host_str().unwrap_or("localhost")),
            port,
            config,
            encryption,
        })
    }
}
