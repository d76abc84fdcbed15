//! Gets tokens: asks an OAuth 2 server, logs in, or signs one.
//!
//! Promise: one token serves all tables until its life ends or the API refuses it; of many requests that
//! find it refused only one asks for the next. A new refresh token takes the place of the one before. One
//! that was sent is not sent again when the answer is lost, because the server may have given its successor.
//! What the server gave is taken out of messages. Read next: `shared.rs`, where tokens are kept.

use std::time::Duration;

use chrono::Utc;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;

use super::answer::Answer;
use super::auth::{OAuth, TokenSource};
use super::budget::asked_wait;
use super::client::{Client, reason};
use super::error::{Address, RestError, Result};
use super::jwt::Jwt;
use super::kept_refresh::KeptRefresh;
use super::retry::may_pass;
use super::session::Session;
use super::shared::{Token, Tokens};

/// A token that says nothing of its life is asked for again after this.
const LIFE: Duration = Duration::from_secs(1_800);
/// A token is not used in the last part of its life: at most this, and at most a tenth of it.
const EARLY: Duration = Duration::from_secs(30);

/// A session that says nothing of its life is used until the API refuses it, or for so long.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Credentials that a login refused are not sent again for so long: servers lock accounts.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// A token that is new.
struct Made {
    name: HeaderName,
    value: String,
    secrets: Vec<String>,
    life: Duration,
}

/// What the server gave.
struct IssuedTokens {
    access: String,
    refresh: Option<String>,
    life: Duration,
}

/// Why there is no token.
enum Unanswered {
    /// The server did not accept what it was sent, or was not reached.
    Unused(RestError),
    /// What was sent is perhaps used up.
    Sent(RestError),
}

impl IssuedTokens {
    fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| value.get(key)?.as_str().filter(|text| !text.is_empty());
        let life = value.get("expires_in").and_then(|life| match life {
            Value::String(text) => text.trim().parse().ok(),
            life => life.as_f64(),
        });
        let life = life.filter(|life: &f64| *life > 0.0);
        Some(Self {
            access: text("access_token")?.to_owned(),
            refresh: text("refresh_token").map(str::to_owned),
            life: life
                .and_then(|life| Duration::try_from_secs_f64(life).ok())
                .unwrap_or(LIFE),
        })
    }
}

impl Client {
    /// A token that the API did not refuse.
    pub(super) async fn token(&self, source: &TokenSource, refused: Option<u64>) -> Result<Token> {
        let mut tokens = self.shared.tokens.lock().await;
        let is_good =
            |token: &&Token| Some(token.number) != refused && Instant::now() < token.until;
        if let Some(token) = tokens.token.as_ref().filter(is_good) {
            return Ok(token.clone());
        }
        let made = match source {
            TokenSource::OAuth(oauth) => self.exchanged(oauth, source, &mut tokens).await?,
            TokenSource::Signed(jwt) => signed(jwt)?,
            TokenSource::Session(session) => self.logged_in(session, source, &mut tokens).await?,
        };
        for secret in &made.secrets {
            self.shared.keep_secret(secret);
        }
        let mut header = HeaderValue::from_str(&made.value).map_err(|_| RestError::Option {
            place: "the server of tokens".to_owned(),
            option: made.name.to_string(),
            why: "would hold a character that no header can".to_owned(),
        })?;
        header.set_sensitive(true);
        let token = Token {
            name: made.name,
            header,
            until: Instant::now() + made.life.saturating_sub(EARLY.min(made.life / 10)),
            number: tokens.token.as_ref().map_or(0, |token| token.number) + 1,
        };
        tokens.token = Some(token.clone());
        Ok(token)
    }

    /// A token of an OAuth 2 server.
    async fn exchanged(
        &self,
        oauth: &OAuth,
        source: &TokenSource,
        tokens: &mut Tokens,
    ) -> Result<Made> {
        let failed = |folder: String| move |source| RestError::KeptToken { folder, source };
        let place = KeptRefresh::new(&self.project, &self.connection, oauth);
        let alone = match &place {
            Some(place) => {
                let alone = place.alone().await.map_err(failed(place.folder()))?;
                // Another process may have been given a newer one.
                let newest = place.read(&alone).map_err(failed(place.folder()))?;
                if let Some(newest) = newest.filter(|_| !tokens.is_unkept) {
                    self.shared.keep_secret(&newest);
                    tokens.refresh = Some(newest);
                }
                Some((place, alone))
            }
            None => None,
        };
        let given = self.ask_for_token(oauth, source.check(), tokens).await?;
        if let Some(refresh) = given.refresh {
            self.shared.keep_secret(&refresh);
            if let Some((place, alone)) = &alone {
                tokens.is_unkept = place.keep(alone, &refresh);
            }
            tokens.refresh = Some(refresh);
        }
        Ok(Made {
            name: AUTHORIZATION,
            value: format!("Bearer {}", given.access),
            secrets: vec![given.access],
            life: given.life,
        })
    }

    /// What a login gives. Credentials that were refused are not sent again by the next table.
    async fn logged_in(
        &self,
        session: &Session,
        source: &TokenSource,
        tokens: &mut Tokens,
    ) -> Result<Made> {
        let request = Address::new("POST", &session.url);
        let check = source.check();
        if let Some((until, status, answer)) = &tokens.refused
            && Instant::now() < *until
        {
            return Err(RestError::NoToken {
                request,
                status: *status,
                answer: answer.clone(),
                check,
            });
        }
        let (body, kind) = session.body();
        let builder = self
            .http
            .post(session.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, kind)
            .body(body);
        let builder = match &session.basic {
            Some((user, password)) => builder.basic_auth(user, Some(password)),
            None => builder,
        };
        let is_good = |status| {
            matches!(status, 200..=299) || session.may_redirect() && matches!(status, 302 | 303)
        };
        let answer = self.answer_of(builder, &request, check, &is_good).await;
        let answer = answer.map_err(|error| match error {
            Unanswered::Sent(error) | Unanswered::Unused(error) => error,
        });
        if let Err(RestError::NoToken { status, answer, .. }) = &answer {
            let until = Instant::now() + REFUSED_FOR;
            tokens.refused = Some((until, *status, answer.clone()));
        }
        let answer = answer?;
        let given = session.take(&answer.headers, &answer.body);
        let given = given.map_err(|what| RestError::NoCredential { request, what })?;
        Ok(Made {
            name: given.header,
            value: given.value,
            secrets: given.secrets,
            life: session.life_s.map_or(SESSION_LIFE, Duration::from_secs),
        })
    }

    /// Asks once. A refresh token whose answer does not come is marked as sent, also when nobody waits
    /// for the answer any more.
    async fn ask_for_token(
        &self,
        oauth: &OAuth,
        check: &'static str,
        tokens: &mut Tokens,
    ) -> Result<IssuedTokens> {
        let request = Address::new("POST", &oauth.token_url);
        let lost = |why: String| RestError::TokenLost {
            request: request.clone(),
            why,
        };
        let refresh = tokens.refresh.as_ref().or(oauth.refresh.as_ref()).cloned();
        if refresh.is_some() && tokens.sent == refresh {
            return Err(lost("it is not sent again".to_owned()));
        }
        let builder = self.token_request(oauth, refresh.as_deref())?;
        tokens.sent.clone_from(&refresh);
        let is_good = |status| matches!(status, 200..=299);
        let answer = self.answer_of(builder, &request, check, &is_good).await;
        let given = answer.and_then(|answer| {
            IssuedTokens::read(&answer.body).ok_or_else(|| {
                Unanswered::Sent(RestError::NotJson {
                    request: request.clone(),
                    why: "it has no `access_token`".to_owned(),
                })
            })
        });
        match given {
            Err(Unanswered::Sent(error)) if refresh.is_some() => Err(lost(error.to_string())),
            Err(Unanswered::Sent(error) | Unanswered::Unused(error)) => {
                tokens.sent = None;
                Err(error)
            }
            Ok(given) => {
                tokens.sent = None;
                Ok(given)
            }
        }
    }

    fn token_request(
        &self,
        oauth: &OAuth,
        refresh: Option<&str>,
    ) -> Result<reqwest::RequestBuilder> {
        let assertion = match &oauth.assertion {
            Some((name, jwt)) => {
                let token = sign(jwt)?;
                self.shared.keep_secret(&token);
                Some((*name, token))
            }
            None => None,
        };
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&oauth.form)
            .extend_pairs(refresh.map(|token| ("refresh_token", token)))
            .extend_pairs(assertion)
            .finish();
        let builder = self
            .http
            .post(oauth.token_url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        Ok(match &oauth.basic {
            Some((client, secret)) => builder.basic_auth(client, Some(secret)),
            None => builder,
        })
    }

    /// The answer of a server of tokens, whole.
    async fn answer_of(
        &self,
        builder: reqwest::RequestBuilder,
        request: &Address,
        check: &'static str,
        is_good: &(dyn Fn(u16) -> bool + Sync),
    ) -> std::result::Result<Answer, Unanswered> {
        let response = builder.send().await.map_err(|error| {
            let unreachable = RestError::Unreachable {
                request: request.clone(),
                why: reason(&error),
            };
            match error.is_connect() {
                true => Unanswered::Unused(unreachable),
                false => Unanswered::Sent(unreachable),
            }
        })?;
        let status = response.status().as_u16();
        let wait = asked_wait(response.headers(), status, Utc::now().timestamp());
        let answer = self.body(response, request).await;
        let answer = answer.map_err(Unanswered::Sent)?;
        let request = request.clone();
        match status {
            status if is_good(status) => Ok(answer),
            status if may_pass(status) => {
                if let Some(wait) = wait {
                    self.pause(wait);
                }
                let failed = RestError::Failed {
                    request,
                    status,
                    tries: 1,
                    answer: self.excerpt(&answer.body),
                };
                // Too many requests, or too early: the server did not look at it.
                Err(match status {
                    425 | 429 => Unanswered::Unused(failed),
                    _ => Unanswered::Sent(failed),
                })
            }
            // A token server answers 400 to wrong credentials.
            status => Err(Unanswered::Unused(RestError::NoToken {
                request,
                status,
                answer: self.excerpt(&answer.body),
                check,
            })),
        }
    }
}

/// A token that this connection signs.
fn signed(jwt: &Jwt) -> Result<Made> {
    let token = sign(jwt)?;
    Ok(Made {
        name: AUTHORIZATION,
        value: format!("Bearer {token}"),
        // It says that it began earlier.
        life: Duration::from_secs(jwt.used_s()),
        secrets: vec![token],
    })
}

fn sign(jwt: &Jwt) -> Result<String> {
    let signed = jwt.sign(Utc::now().timestamp());
    signed.map_err(|why| RestError::Option {
        place: "the connection".to_owned(),
        option: "auth.key".to_owned(),
        why: why.to_owned(),
    })
}
