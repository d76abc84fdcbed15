//! How requests show who asks: a token, a user, a key, a signature, or a token that a server gives.
//!
//! Promise: secrets are resolved when the connection is used and are never part of a message; `Redaction`
//! takes them and the tokens of servers out of what servers answer. A token is asked for once for all
//! tables, and again when its life ends or the API refuses it. It does not decide where credentials may
//! go: `egress.rs`. Read next: `token.rs`, which asks for tokens, `auth_options.rs`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::Utc;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use towpath_ports::{Redaction, Secrets};
use towpath_vocab::{ConnectionPlan, Failure};
use url::Url;

use super::auth_options::{AuthOptions, basic};
use super::aws_signer::{AwsSigner, in_order};
use super::client::Client;
use super::error::Result;
use super::jwt::{GRANTS, Jwt};
use super::kept_file::digest_of;
use super::session::Session;
use super::signature::{Signed, Signer};

/// The kinds, with their secrets.
enum Kind {
    None,
    Header(HeaderName, HeaderValue),
    Query(String, String),
    /// A token that is made or asked for.
    Token(Box<TokenSource>),
    /// A signature of each request.
    Signed(Box<Signer>),
    /// A signature of each request, as AWS asks for.
    Aws(Box<AwsSigner>),
}

/// Where tokens come from.
#[derive(Hash)]
pub(super) enum TokenSource {
    OAuth(OAuth),
    /// A token that this connection signs, and the API accepts as it is.
    Signed(Jwt),
    Session(Session),
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
    /// A signed token that is sent, and the name it is sent by.
    pub(super) assertion: Option<(&'static str, Jwt)>,
}

/// How a connection's requests show who asks.
pub(super) struct Auth {
    kind: Kind,
    /// The secrets, to take them out of text.
    secrets: Vec<String>,
}

impl Hash for Auth {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.secrets.hash(state);
        std::mem::discriminant(&self.kind).hash(state);
        match &self.kind {
            Kind::None => {}
            Kind::Header(name, value) => (name.as_str(), value.as_bytes()).hash(state),
            Kind::Query(name, value) => (name, value).hash(state),
            Kind::Token(source) => source.hash(state),
            Kind::Signed(signer) => signer.hash(state),
            Kind::Aws(signer) => signer.hash(state),
        }
    }
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

impl Auth {
    /// Reads and resolves `auth` of a connection.
    pub(super) async fn read(
        plan: &ConnectionPlan,
        secrets: &Arc<dyn Secrets>,
    ) -> std::result::Result<Self, Failure> {
        let mut given = AuthOptions {
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
            Some("oauth2") => {
                let oauth = oauth(&mut given).await?;
                Kind::Token(Box::new(TokenSource::OAuth(oauth)))
            }
            Some("jwt") => Kind::Token(Box::new(jwt(&mut given).await?)),
            Some("session") => {
                let session = Session::read(&mut given).await?;
                Kind::Token(Box::new(TokenSource::Session(session)))
            }
            Some("hmac") => Kind::Signed(Box::new(Signer::read(&mut given).await?)),
            Some("aws_sigv4") => Kind::Aws(Box::new(AwsSigner::read(&mut given).await?)),
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

    /// A name for the credentials, and for what a token server is asked: others have another.
    pub(super) fn identity(&self) -> String {
        digest_of(self)
    }

    /// Takes the secrets out of text, and those that servers gave.
    pub(super) fn redaction(&self, given: Vec<String>) -> Redaction {
        let secrets = self.secrets.iter().cloned().chain(given);
        Redaction::new(secrets)
    }

    /// The host that is asked for tokens.
    pub(super) fn token_host(&self) -> Option<&str> {
        match &self.kind {
            Kind::Token(source) => source.url()?.host_str(),
            _ => None,
        }
    }

    /// The headers that sign a request.
    pub(super) fn signature(&self, request: &Signed<'_>) -> Result<Vec<(HeaderName, HeaderValue)>> {
        match &self.kind {
            Kind::Signed(signer) => signer.headers(request, Utc::now()),
            Kind::Aws(signer) => signer.headers(request),
            _ => Ok(Vec::new()),
        }
    }

    /// An address as it is sent.
    pub(super) fn spelled(&self, mut url: Url) -> Url {
        if let (Kind::Aws(_), Some(query)) = (&self.kind, url.query()) {
            url.set_query(Some(&in_order(query)));
        }
        url
    }

    /// What a request is sent with. `refused` is the number of a token that the API refused.
    pub(super) async fn credentials(
        &self,
        refused: Option<u64>,
        client: &Client,
    ) -> Result<Credentials<'_>> {
        Ok(match &self.kind {
            Kind::None | Kind::Signed(_) | Kind::Aws(_) => Credentials::default(),
            Kind::Header(name, value) => Credentials {
                header: Some((name.clone(), value.clone())),
                ..Credentials::default()
            },
            Kind::Query(name, value) => Credentials {
                parameter: Some((name, value)),
                ..Credentials::default()
            },
            Kind::Token(source) => {
                let token = client.token(source, refused).await?;
                Credentials {
                    header: Some((token.name, token.header)),
                    parameter: None,
                    token: Some(token.number),
                }
            }
        })
    }
}

impl TokenSource {
    /// Who is asked for tokens.
    pub(super) fn url(&self) -> Option<&Url> {
        match self {
            Self::OAuth(oauth) => Some(&oauth.token_url),
            Self::Session(session) => Some(&session.url),
            Self::Signed(_) => None,
        }
    }

    /// What to look at when the server gives no token.
    pub(super) fn check(&self) -> &'static str {
        match self {
            Self::OAuth(oauth) if oauth.assertion.is_some() => {
                "check `key`, `key_id`, `issuer`, `subject`, `audience` and `scope` of `auth`, and the clock of this machine"
            }
            Self::OAuth(_) | Self::Signed(_) => {
                "check `client_id`, `client_secret` and `refresh_token` of `auth`; a server that accepts a refresh token only once needs a new one"
            }
            Self::Session(_) => {
                "check `login`, `user` and `password` of `auth`, and the names of its fields"
            }
        }
    }
}

async fn api_key(given: &mut AuthOptions<'_>) -> std::result::Result<Kind, Failure> {
    let name = given
        .text("name")
        .ok_or_else(|| given.wrong("name", "is missing"))?;
    let value = given.needed("value").await?;
    if given.text("in").as_deref() == Some("query") {
        return Ok(Kind::Query(name, value));
    }
    let header = given.header_name("name", &name)?;
    Ok(Kind::Header(header, given.header("value", &value)?))
}

/// A signed token: as it is, or exchanged for one of the server.
async fn jwt(given: &mut AuthOptions<'_>) -> std::result::Result<TokenSource, Failure> {
    let (jwt, token_url) = Jwt::read(given).await?;
    let client = given.secret("client_id").await?;
    let Some(url) = token_url else {
        for key in ["grant", "scope"] {
            if given.text(key).is_some() {
                return Err(given.wrong(key, "needs a `token_url`").into());
            }
        }
        return match client {
            Some(_) => Err(given.wrong("client_id", "needs a `token_url`").into()),
            None => Ok(TokenSource::Signed(jwt)),
        };
    };
    let is_client = given.word("grant", GRANTS)? == "client_credentials";
    let mut form = match is_client {
        true => vec![
            ("grant_type", "client_credentials".to_owned()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
        ],
        false => vec![(
            "grant_type",
            "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
        )],
    };
    if is_client {
        form.extend(given.text("scope").map(|scope| ("scope", scope)));
    }
    form.extend(client.map(|client| ("client_id", client)));
    let name = match is_client {
        true => "client_assertion",
        false => "assertion",
    };
    Ok(TokenSource::OAuth(OAuth {
        token_url: given.url("token_url", &url)?,
        form,
        basic: None,
        refresh: None,
        assertion: Some((name, jwt)),
    }))
}

async fn oauth(given: &mut AuthOptions<'_>) -> std::result::Result<OAuth, Failure> {
    let token_url = given.text("token_url").unwrap_or_default();
    let token_url = given.url("token_url", &token_url)?;
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
        (false, Some(secret)) => {
            given.known.push(basic(&client, &secret));
            Some((client, secret))
        }
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
        assertion: None,
    })
}
