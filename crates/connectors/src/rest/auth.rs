//! How requests show who asks: a token, a user, a key, or a token of an OAuth 2 server.
//!
//! Promise: secrets are resolved when the connection is used and are never part of a message; `Redaction`
//! takes them out of what servers answer. A token is asked for once, and again before it expires or when
//! the API refuses it. It does not decide where credentials may go: `egress.rs`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use tokio::time::Instant;
use towpath_ports::{Redaction, Secrets};
use towpath_vocab::{ConnectionPlan, Failure, OptionValue, SecretTemplate};
use url::Url;

use super::client::Client;
use super::error::{RestError, Result};

/// A token that says nothing of its life is asked for again after this.
const LIFE: Duration = Duration::from_secs(1_800);
/// A token is not used in the last part of its life.
const EARLY: Duration = Duration::from_secs(30);

/// The kinds, with their secrets.
enum Kind {
    None,
    Header(HeaderName, HeaderValue),
    Query(String, String),
    OAuth(Box<OAuth>),
}

/// What an OAuth 2 server is asked.
pub(super) struct OAuth {
    pub(super) token_url: Url,
    pub(super) form: Vec<(&'static str, String)>,
    /// The client's credentials where they are not part of the form.
    pub(super) basic: Option<(String, String)>,
    token: Mutex<Option<(HeaderValue, Instant)>>,
}

/// How a connection's requests show who asks.
pub(super) struct Auth {
    kind: Kind,
    /// The secrets, to take them out of text.
    pub(super) redaction: Redaction,
}

/// Options of `auth`, with their secrets resolved.
struct Given<'a> {
    plan: &'a ConnectionPlan,
    secrets: &'a Arc<dyn Secrets>,
    known: Vec<String>,
}

impl Given<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.plan.text(&format!("auth.{key}")).map(str::to_owned)
    }

    async fn secret(&mut self, key: &str) -> std::result::Result<Option<String>, Failure> {
        let template = match self.plan.options.get(&format!("auth.{key}")) {
            Some(OptionValue::Secret(template)) => template.clone(),
            Some(OptionValue::Plain(serde_json::Value::String(text))) => {
                SecretTemplate::new(text.clone())
            }
            _ => return Ok(None),
        };
        let value = self.secrets.resolve(&template).await?;
        self.known.push(value.clone());
        Ok(Some(value))
    }

    async fn needed(&mut self, key: &'static str) -> std::result::Result<String, Failure> {
        match self.secret(key).await? {
            Some(value) => Ok(value),
            None => Err(self.wrong(key, "is missing").into()),
        }
    }

    fn wrong(&self, key: &str, why: &str) -> RestError {
        RestError::Option {
            place: format!("connection `{}`", self.plan.name),
            option: format!("auth.{key}"),
            why: why.to_owned(),
        }
    }

    fn header(&self, key: &str, text: &str) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| self.wrong(key, "holds a character that no header can"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Auth {
    /// Reads and resolves `auth` of a connection.
    pub(super) async fn read(
        plan: &ConnectionPlan,
        secrets: &Arc<dyn Secrets>,
    ) -> std::result::Result<Self, Failure> {
        let mut given = Given {
            plan,
            secrets,
            known: Vec::new(),
        };
        let kind = match given.text("type").as_deref() {
            None => Kind::None,
            Some("bearer") => {
                let token = given.needed("token").await?;
                Kind::Header(
                    AUTHORIZATION,
                    given.header("token", &format!("Bearer {token}"))?,
                )
            }
            Some("basic") => {
                let user = given.needed("user").await?;
                let password = given.secret("password").await?.unwrap_or_default();
                let value = basic(&user, &password);
                given.known.push(value.clone());
                Kind::Header(
                    AUTHORIZATION,
                    given.header("user", &format!("Basic {value}"))?,
                )
            }
            Some("api_key") => api_key(&mut given).await?,
            Some("oauth2") => Kind::OAuth(Box::new(oauth(&mut given).await?)),
            Some(other) => {
                return Err(given
                    .wrong("type", &format!("is `{other}`, which is not known"))
                    .into());
            }
        };
        Ok(Self {
            kind,
            redaction: Redaction::new(given.known),
        })
    }

    /// The header of a request, and the parameter of its URL. `client` asks for tokens; with `anew`, also
    /// when there is one.
    pub(super) async fn credentials(
        &self,
        anew: bool,
        client: &Client,
    ) -> Result<(Option<(HeaderName, HeaderValue)>, Option<(&str, &str)>)> {
        match &self.kind {
            Kind::None => Ok((None, None)),
            Kind::Header(name, value) => Ok((Some((name.clone(), value.clone())), None)),
            Kind::Query(name, value) => Ok((None, Some((name, value)))),
            Kind::OAuth(oauth) => {
                // Held while a token is asked for: others wait for it instead of asking too.
                let mut held = oauth.token.lock().await;
                if let (Some((token, until)), false) = (&*held, anew)
                    && Instant::now() < *until
                {
                    return Ok((Some((AUTHORIZATION, token.clone())), None));
                }
                let (token, life) = client.token(oauth).await?;
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                        RestError::Option {
                            place: "the OAuth 2 server".to_owned(),
                            option: "access_token".to_owned(),
                            why: "holds a character that no header can".to_owned(),
                        }
                    })?;
                value.set_sensitive(true);
                let life = life.map_or(LIFE, Duration::from_secs);
                *held = Some((value.clone(), Instant::now() + life.saturating_sub(EARLY)));
                Ok((Some((AUTHORIZATION, value)), None))
            }
        }
    }

    /// True when another token may be accepted where one was refused.
    pub(super) fn can_renew(&self) -> bool {
        matches!(self.kind, Kind::OAuth(_))
    }
}

async fn api_key(given: &mut Given<'_>) -> std::result::Result<Kind, Failure> {
    let name = given
        .text("name")
        .ok_or_else(|| given.wrong("name", "is missing"))?;
    let value = given.needed("value").await?;
    if given.text("in").as_deref() == Some("query") {
        return Ok(Kind::Query(name, value));
    }
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| given.wrong("name", "is not the name of a header"))?;
    Ok(Kind::Header(header, given.header("value", &value)?))
}

async fn oauth(given: &mut Given<'_>) -> std::result::Result<OAuth, Failure> {
    let url = given.text("token_url").unwrap_or_default();
    let token_url = Url::parse(&url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let token_url = token_url.ok_or_else(|| given.wrong("token_url", "is not a URL"))?;
    let client = given.needed("client_id").await?;
    let secret = given.secret("client_secret").await?;
    let refresh = given.secret("refresh_token").await?;
    let mut form = match refresh {
        Some(token) => vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token),
        ],
        None => vec![("grant_type", "client_credentials".to_owned())],
    };
    for key in ["scope", "audience"] {
        form.extend(given.text(key).map(|value| (key, value)));
    }
    let in_body = given.text("credentials_in").as_deref() == Some("body");
    let basic = match (in_body, secret) {
        (false, Some(secret)) => Some((client, secret)),
        (_, secret) => {
            form.push(("client_id", client));
            form.extend(secret.map(|secret| ("client_secret", secret)));
            None
        }
    };
    Ok(OAuth {
        token_url,
        form,
        basic,
        token: Mutex::new(None),
    })
}

/// Base64 of `user:password`.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}
