//! How requests show who asks: a token, a user, a key, or a token of an OAuth 2 server.
//!
//! Promise: secrets are resolved when the connection is used and are never part of a message; `Redaction`
//! takes them and the tokens of servers out of what servers answer. A token is asked for once for all
//! tables, and again when its life ends or the API refuses it. It does not decide where credentials may
//! go: `egress.rs`. Read next: `token.rs`, which asks for tokens.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use towpath_ports::{Redaction, Secrets};
use towpath_vocab::{ConnectionPlan, Failure, OptionValue, SecretTemplate};
use url::Url;

use super::client::Client;
use super::error::{RestError, Result};

/// The kinds, with their secrets.
enum Kind {
    None,
    Header(HeaderName, HeaderValue),
    Query(String, String),
    OAuth(Box<OAuth>),
}

/// What an OAuth 2 server is asked.
#[derive(Hash)]
pub(super) struct OAuth {
    pub(super) token_url: Url,
    pub(super) form: Vec<(&'static str, String)>,
    /// The client's credentials where they are not part of the form.
    pub(super) basic: Option<(String, String)>,
    /// The project's refresh token; without one the client's credentials are used.
    pub(super) refresh: Option<String>,
}

/// How a connection's requests show who asks.
pub(super) struct Auth {
    kind: Kind,
    /// The secrets, to take them out of text.
    secrets: Vec<String>,
}

/// What a request is sent with.
#[derive(Default)]
pub(super) struct Credentials<'a> {
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    /// A parameter of its URL.
    pub(super) parameter: Option<(&'a str, &'a str)>,
    /// The number of the token, if it is one that can be renewed.
    pub(super) token: Option<u64>,
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
            secrets: given.known,
        })
    }

    /// A number for the secrets, and for what a token server is asked: others have another.
    pub(super) fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.secrets.hash(&mut hasher);
        if let Kind::OAuth(oauth) = &self.kind {
            oauth.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Takes the secrets out of text, and those that servers gave.
    pub(super) fn redaction(&self, given: Vec<String>) -> Redaction {
        let secrets = self.secrets.iter().cloned().chain(given);
        Redaction::new(secrets.flat_map(spellings))
    }

    /// The host that is asked for tokens.
    pub(super) fn token_host(&self) -> Option<&str> {
        match &self.kind {
            Kind::OAuth(oauth) => oauth.token_url.host_str(),
            _ => None,
        }
    }

    /// What a request is sent with. `refused` is the number of a token that the API refused.
    pub(super) async fn credentials(
        &self,
        refused: Option<u64>,
        client: &Client,
    ) -> Result<Credentials<'_>> {
        Ok(match &self.kind {
            Kind::None => Credentials::default(),
            Kind::Header(name, value) => Credentials {
                header: Some((name.clone(), value.clone())),
                ..Credentials::default()
            },
            Kind::Query(name, value) => Credentials {
                parameter: Some((name, value)),
                ..Credentials::default()
            },
            Kind::OAuth(oauth) => {
                let token = client.token(oauth, refused).await?;
                Credentials {
                    header: Some((AUTHORIZATION, token.header)),
                    parameter: None,
                    token: Some(token.number),
                }
            }
        })
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
    let grant = match &refresh {
        Some(_) => "refresh_token",
        None => "client_credentials",
    };
    let mut form = vec![("grant_type", grant.to_owned())];
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
        refresh,
    })
}

/// Base64 of `user:password`.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

/// A secret as an answer may repeat it: as it is, inside JSON, and in an address.
fn spellings(secret: String) -> Vec<String> {
    let json = serde_json::Value::from(secret.as_str()).to_string();
    let json = json.strip_prefix('"').unwrap_or(&json);
    let json = json.strip_suffix('"').unwrap_or(json).to_owned();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let in_path = form.replace('+', "%20");
    // Some servers write `/` in JSON like this.
    let slashes = json.replace('/', "\\/");
    vec![secret, json, slashes, form, in_path]
}
