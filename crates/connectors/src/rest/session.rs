//! A login: credentials are sent once, and what the answer gives is sent with each request.
//!
//! Promise: the token or the cookies are where the project says, or the login is a failure; never is an
//! answer without them taken for a login. It asks nobody itself. Read next: `token.rs`, which logs in.

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, SET_COOKIE};
use serde_json::{Map, Value};
use towpath_vocab::Failure;
use url::Url;

use super::auth_options::{self, AuthOptions};
use super::path::JsonPath;
use super::raw::Raw;

/// How credentials are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SentAs {
    Json,
    Form,
    Basic,
}

/// What is taken from the answer.
#[derive(Hash)]
enum Taken {
    Token {
        at: String,
        header: HeaderName,
        prefix: String,
    },
    Cookies(Vec<String>),
}

/// A login.
#[derive(Hash)]
pub(super) struct Session {
    pub(super) url: Url,
    sent_as: SentAs,
    fields: Vec<(String, String)>,
    pub(super) basic: Option<(String, String)>,
    taken: Taken,
    /// How long it lasts, where the project says it.
    pub(super) life_s: Option<u64>,
}

/// What a login gave: a header, its value, and the secrets in it.
pub(super) struct LoggedIn {
    pub(super) header: HeaderName,
    pub(super) value: String,
    pub(super) secrets: Vec<String>,
}

impl Session {
    /// Reads the options.
    pub(super) async fn read(given: &mut AuthOptions<'_>) -> std::result::Result<Self, Failure> {
        let url = login_url(given)?;
        let sent_as = match given.word("credentials_in", &["json", "form", "header"])? {
            "form" => SentAs::Form,
            "header" => SentAs::Basic,
            _ => SentAs::Json,
        };
        let user = given.needed("user").await?;
        let password = given.needed("password").await?;
        let named =
            |key: &str, default: &str| given.text(key).unwrap_or_else(|| default.to_owned());
        let names = [
            named("user_field", "username"),
            named("password_field", "password"),
        ];
        let has_names =
            given.text("user_field").is_some() || given.text("password_field").is_some();
        if sent_as == SentAs::Basic && has_names {
            let why = "is for credentials in a body, not in the header";
            return Err(given.wrong("user_field", why).into());
        }
        let mut fields = given.map("fields");
        let mut basic = None;
        match sent_as {
            SentAs::Basic => {
                given.known.push(auth_options::basic(&user, &password));
                basic = Some((user, password));
            }
            _ => fields
                .splice(0..0, names.into_iter().zip([user, password]))
                .for_each(drop),
        }
        let life_s = given
            .plan
            .plain("auth.life_s")
            .filter(|life| !life.is_null());
        let life_s = life_s.map(|_| given.number("life_s", 1)).transpose()?;
        Ok(Self {
            url,
            sent_as,
            fields,
            basic,
            taken: taken(given)?,
            life_s,
        })
    }

    /// The body of the request, and its type.
    pub(super) fn body(&self) -> (String, &'static str) {
        match self.sent_as {
            SentAs::Form => {
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(&self.fields)
                    .finish();
                (form, "application/x-www-form-urlencoded")
            }
            SentAs::Json | SentAs::Basic => {
                let fields = self.fields.iter();
                let fields =
                    fields.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
                let body = Value::Object(fields.collect::<Map<_, _>>());
                (body.to_string(), "application/json")
            }
        }
    }

    /// What an answer gives; the error is what it does not have.
    pub(super) fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<LoggedIn, String> {
        match &self.taken {
            Taken::Token { at, header, prefix } => {
                let token = std::str::from_utf8(body).ok();
                let token = token.and_then(|text| Raw::read(text).ok());
                let token = token.and_then(|body| JsonPath::new(at).scalar(body));
                let token = token.ok_or_else(|| format!("token at `{at}`"))?;
                Ok(LoggedIn {
                    header: header.clone(),
                    value: format!("{prefix}{token}"),
                    secrets: vec![token],
                })
            }
            Taken::Cookies(names) => {
                let mut pairs = Vec::new();
                let mut secrets = Vec::new();
                for name in names {
                    let value = cookie(headers, name).ok_or_else(|| format!("cookie `{name}`"))?;
                    pairs.push(format!("{name}={value}"));
                    secrets.push(value);
                }
                Ok(LoggedIn {
                    header: COOKIE,
                    value: pairs.join("; "),
                    secrets,
                })
            }
        }
    }

    /// True where a redirect is the answer to a login: of those that set cookies.
    pub(super) fn may_redirect(&self) -> bool {
        matches!(self.taken, Taken::Cookies(_))
    }
}

/// Where to log in: a path behind the connection's `url`, or a URL.
fn login_url(given: &AuthOptions<'_>) -> Result<Url, Failure> {
    let text = given.needed_text("login")?;
    let base = given.plan.text("url").unwrap_or_default();
    let base = Url::parse(&format!("{}/", base.trim_end_matches('/')))
        .map_err(|_| given.wrong("login", "needs the `url` of the connection"))?;
    if text.contains("://") {
        return Ok(given.url("login", &text)?);
    }
    let url = base.join(text.trim_start_matches('/'));
    Ok(url.map_err(|_| given.wrong("login", "does not make a valid URL"))?)
}

fn taken(given: &AuthOptions<'_>) -> Result<Taken, Failure> {
    let (at, cookies) = (given.text("token_at"), given.list("cookies"));
    let is_of_token = ["token_header", "token_prefix"];
    let is_of_token = is_of_token
        .into_iter()
        .find(|key| given.text(key).is_some());
    match (at, cookies.is_empty(), is_of_token) {
        (Some(at), true, _) => {
            let name = given.text("token_header");
            let header = name
                .as_deref()
                .map(|name| given.header_name("token_header", name));
            let header = header.transpose()?.unwrap_or(AUTHORIZATION);
            let prefix = match header == AUTHORIZATION {
                true => "Bearer ",
                false => "",
            };
            let prefix = given
                .text("token_prefix")
                .unwrap_or_else(|| prefix.to_owned());
            given.header("token_prefix", &prefix)?;
            Ok(Taken::Token { at, header, prefix })
        }
        (None, false, None) => Ok(Taken::Cookies(cookies)),
        (None, false, Some(key)) => Err(given
            .wrong(key, "is for `token_at`, not for cookies")
            .into()),
        (Some(_), false, _) => Err(given
            .wrong("cookies", "and `token_at` are both given")
            .into()),
        (None, true, _) => {
            let why = "is missing: where the answer holds the token, or `cookies` with the names of those to keep";
            Err(given.wrong("token_at", why).into())
        }
    }
}

/// The value of a cookie that an answer sets. One that is set to nothing is removed by it.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(SET_COOKIE).iter().filter_map(|header| {
        let pair = header.to_str().ok()?.split(';').next()?;
        let (own, value) = pair.split_once('=')?;
        (own.trim() == name).then(|| value.trim().to_owned())
    });
    values.next_back().filter(|value| !value.is_empty())
}
