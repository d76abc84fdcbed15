//! How requests show who asks.
//!
//! Promise: secrets are resolved at the first request, and are in no message. Whether they are sent, `client.rs` says.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::OnceCell;
use towpath_ports::Secrets;
use towpath_vocab::{ConnectionPlan, Failure, OptionValue, SecretTemplate};

use super::error::HttpError;
use crate::files::error::FilesError;

/// A header that shows who asks.
pub(super) type Credential = (HeaderName, HeaderValue);

/// The option `auth` of a connection.
pub(super) struct Auth {
    plan: ConnectionPlan,
    secrets: Arc<dyn Secrets>,
    credential: OnceCell<Option<Credential>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({:?})", self.plan.text("auth.type"))
    }
}

impl Auth {
    pub(super) fn new(plan: &ConnectionPlan, secrets: &Arc<dyn Secrets>) -> Self {
        Self {
            plan: plan.clone(),
            secrets: Arc::clone(secrets),
            credential: OnceCell::new(),
        }
    }

    /// The header, if the project has one.
    pub(super) async fn credential(&self) -> Result<Option<Credential>, FilesError> {
        let read = self.credential.get_or_try_init(|| self.read());
        read.await.cloned()
    }

    fn wrong(&self, key: &str, why: impl Into<String>) -> FilesError {
        FilesError::Http(HttpError::Option {
            connection: self.plan.name.clone(),
            option: format!("auth.{key}"),
            why: why.into(),
        })
    }

    async fn secret(&self, key: &str) -> Result<Option<String>, FilesError> {
        let template = match self.plan.options.get(&format!("auth.{key}")) {
            Some(OptionValue::Secret(template)) => template.clone(),
            Some(OptionValue::Plain(Value::String(text))) => SecretTemplate::new(text.clone()),
            _ => return Ok(None),
        };
        let resolved = self.secrets.resolve(&template).await;
        let carried = |failure: Failure| FilesError::Carried(Box::new(failure));
        resolved.map(Some).map_err(carried)
    }

    async fn needed(&self, key: &str) -> Result<String, FilesError> {
        let secret = self.secret(key).await?;
        secret.ok_or_else(|| self.wrong(key, "is missing"))
    }

    async fn read(&self) -> Result<Option<Credential>, FilesError> {
        let (name, key, value) = match self.plan.text("auth.type") {
            None => return Ok(None),
            Some("bearer") => {
                let token = self.needed("token").await?;
                (AUTHORIZATION, "token", format!("Bearer {token}"))
            }
            Some("basic") => {
                let user = self.needed("user").await?;
                let password = self.secret("password").await?.unwrap_or_default();
                let pair = format!("{user}:{password}");
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                (AUTHORIZATION, "user", format!("Basic {pair}"))
            }
            Some("header") => {
                let name = self.plan.text("auth.name").unwrap_or_default();
                let name = HeaderName::from_bytes(name.as_bytes());
                let name = name.map_err(|_| self.wrong("name", "is not the name of a header"))?;
                (name, "value", self.needed("value").await?)
            }
            Some(_) => return Err(self.wrong("type", "is not known")),
        };
        let value = HeaderValue::from_str(&value);
        let mut value =
            value.map_err(|_| self.wrong(key, "holds a character that no header can"))?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }
}
