//! Asks an OAuth 2 server for tokens.
//!
//! Promise: one token serves all tables until its life ends or the API refuses it; of many requests that
//! find it refused only one asks for the next. A new refresh token takes the place of the one before. One
//! that was sent is not sent again when the answer is lost, because the server may have given its successor.
//! What the server gave is taken out of messages. Read next: `shared.rs`, where tokens are kept.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;

use super::auth::OAuth;
use super::client::{Client, reason};
use super::error::{Address, RestError, Result};
use super::retry::may_pass;
use super::shared::{Token, Tokens};

/// A token that says nothing of its life is asked for again after this.
const LIFE: Duration = Duration::from_secs(1_800);
/// A token is not used in the last part of its life: at most this, and at most a tenth of it.
const EARLY: Duration = Duration::from_secs(30);

/// What the server gave.
struct Given {
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

impl Given {
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
    pub(super) async fn token(&self, oauth: &OAuth, refused: Option<u64>) -> Result<Token> {
        let mut tokens = self.shared.tokens.lock().await;
        let is_good =
            |token: &&Token| Some(token.number) != refused && Instant::now() < token.until;
        if let Some(token) = tokens.token.as_ref().filter(is_good) {
            return Ok(token.clone());
        }
        let given = self.ask_for_token(oauth, &mut tokens).await?;
        self.shared.keep_secret(&given.access);
        if let Some(refresh) = given.refresh {
            self.shared.keep_secret(&refresh);
            tokens.refresh = Some(refresh);
        }
        let header = HeaderValue::from_str(&format!("Bearer {}", given.access));
        let mut header = header.map_err(|_| RestError::Option {
            place: "the OAuth 2 server".to_owned(),
            option: "access_token".to_owned(),
            why: "holds a character that no header can".to_owned(),
        })?;
        header.set_sensitive(true);
        let token = Token {
            header,
            until: Instant::now() + given.life.saturating_sub(EARLY.min(given.life / 10)),
            number: tokens.token.as_ref().map_or(0, |token| token.number) + 1,
        };
        tokens.token = Some(token.clone());
        Ok(token)
    }

    /// Asks once. A refresh token whose answer does not come is marked as sent, also when nobody waits
    /// for the answer any more.
    async fn ask_for_token(&self, oauth: &OAuth, tokens: &mut Tokens) -> Result<Given> {
        let request = Address::new("POST", &oauth.token_url);
        let lost = |why: String| RestError::TokenLost {
            request: request.clone(),
            why,
        };
        let refresh = tokens.refresh.as_ref().or(oauth.refresh.as_ref()).cloned();
        if refresh.is_some() && tokens.sent == refresh {
            return Err(lost("it is not sent again".to_owned()));
        }
        let builder = self.token_request(oauth, refresh.as_deref());
        tokens.sent.clone_from(&refresh);
        let given = self.answer_of(builder, &request).await;
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

    fn token_request(&self, oauth: &OAuth, refresh: Option<&str>) -> reqwest::RequestBuilder {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&oauth.form)
            .extend_pairs(refresh.map(|token| ("refresh_token", token)))
            .finish();
        let builder = self
            .http
            .post(oauth.token_url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        match &oauth.basic {
            Some((client, secret)) => builder.basic_auth(client, Some(secret)),
            None => builder,
        }
    }

    async fn answer_of(
        &self,
        builder: reqwest::RequestBuilder,
        request: &Address,
    ) -> std::result::Result<Given, Unanswered> {
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
        let answer = self.body(response, request).await;
        let answer = answer.map_err(Unanswered::Sent)?;
        let request = request.clone();
        match status {
            200..=299 => Given::read(&answer.body).ok_or_else(|| {
                Unanswered::Sent(RestError::NotJson {
                    request,
                    why: "it has no `access_token`".to_owned(),
                })
            }),
            status if may_pass(status) => {
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
            })),
        }
    }
}
