//! The sessions of browsers: a cookie instead of a token, and the link of the first start.
//!
//! Promise: a session belongs to a token and ends with it, when its time is over, and with the server. A cookie's
//! value is random (244 bits); only its hash is kept, in memory. A link opens one session, once, within its time. It
//! does not know HTTP: see the crate `server`. Read next: `api_tokens.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use towpath_ports::{Clock as _, TokenScope};
use towpath_vocab::Plan;

use crate::Result;
use crate::api_tokens::{hash, secret, token_create};
use crate::services::ProjectServices;

/// How long a session lasts.
const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a link holds.
const LINK_TIME: Duration = Duration::from_secs(15 * 60);

/// The most sessions; the one that ends first gives way to a new one.
const MOST_SESSIONS: usize = 1000;

/// The name of the token behind the session of a link.
const BROWSER: &str = "browser";

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The public part of its token.
    pub token: String,
    /// When it ends, in microseconds since 1970 UTC.
    pub ends_us: i64,
    /// The hash of its cookie.
    cookie: String,
}

/// The sessions of a server.
#[derive(Default)]
pub struct Sessions {
    /// By the hash of their cookie.
    open: Mutex<BTreeMap<String, Session>>,
    /// The hash of the code of the link, and when it ends.
    link: Mutex<Option<(String, i64)>>,
}

impl Sessions {
    /// Makes the link of a server that has no token yet, and returns its code.
    pub fn link(&self, services: &ProjectServices) -> String {
        let code = secret();
        let ends_us = after(services, LINK_TIME);
        *lock(&self.link) = Some((hash(&code), ends_us));
        code
    }

    /// The link, for its code, once.
    fn take(&self, code: &str, now_us: i64) -> Option<(String, i64)> {
        lock(&self.link).take_if(|(stored, ends_us)| {
            let same: bool = hash(code).as_bytes().ct_eq(stored.as_bytes()).into();
            same && now_us < *ends_us
        })
    }

    /// The token for the session of a link: a new one, whose secret nobody has. Nothing for a wrong code. The link
    /// holds on if the token cannot be stored.
    ///
    /// # Errors
    /// Those of the state store.
    pub async fn token_of_link(
        &self,
        services: &ProjectServices,
        plan: &Plan,
        code: &str,
    ) -> Result<Option<String>> {
        let Some(link) = self.take(code, services.system.now_us()) else {
            return Ok(None);
        };
        let mut created = token_create(services, plan, BROWSER, TokenScope::Admin, None).await;
        if matches!(&created, Err(failure) if failure.code == "R1122") {
            let name: String = secret().chars().take(6).collect();
            let name = format!("{BROWSER}-{name}");
            created = token_create(services, plan, &name, TokenScope::Admin, None).await;
        }
        match created {
            Ok(created) => Ok(Some(created.stored.id)),
            Err(failure) => {
                *lock(&self.link) = Some(link);
                Err(failure)
            }
        }
    }

    /// Opens a session for a token, and returns the value of its cookie.
    pub fn open(&self, services: &ProjectServices, token: &str) -> (String, Session) {
        let cookie = secret();
        let session = Session {
            token: token.to_owned(),
            ends_us: after(services, SESSION_TIME),
            cookie: hash(&cookie),
        };
        self.keep(session.clone(), services.system.now_us());
        (cookie, session)
    }

    fn keep(&self, session: Session, now_us: i64) {
        let mut open = lock(&self.open);
        open.retain(|_, known| known.ends_us > now_us);
        while open.len() >= MOST_SESSIONS {
            let first = open.iter().min_by_key(|(_, known)| known.ends_us);
            let Some(first) = first.map(|(hash, _)| hash.clone()) else {
                break;
            };
            open.remove(&first);
        }
        open.insert(session.cookie.clone(), session);
    }

    /// The session of a cookie.
    pub fn find(&self, services: &ProjectServices, cookie: &str) -> Option<Session> {
        let found = lock(&self.open).get(&hash(cookie)).cloned();
        found.filter(|session| session.ends_us > services.system.now_us())
    }

    /// Whether a session still goes on.
    pub fn is_open(&self, services: &ProjectServices, session: &Session) -> bool {
        let known = lock(&self.open).contains_key(&session.cookie);
        known && session.ends_us > services.system.now_us()
    }

    /// Ends the session of a cookie.
    pub fn close(&self, cookie: &str) {
        lock(&self.open).remove(&hash(cookie));
    }
}

fn after(services: &ProjectServices, time: Duration) -> i64 {
    let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    services.system.now_us().saturating_add(us)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_holds_once_and_not_for_ever() {
        let sessions = Sessions::default();
        let set = |ends_us| *lock(&sessions.link) = Some((hash("code"), ends_us));
        set(10);
        assert!(sessions.take("other", 5).is_none());
        assert!(
            sessions.take("code", 5).is_some(),
            "a wrong code does not end it"
        );
        assert!(sessions.take("code", 5).is_none());
        set(10);
        assert!(sessions.take("code", 10).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_gives_way() {
        let sessions = Sessions::default();
        let session = |cookie: &str, ends_us| Session {
            token: "t".to_owned(),
            ends_us,
            cookie: hash(cookie),
        };
        for number in 0..1002_i64 {
            sessions.keep(session(&number.to_string(), 100 + number), 0);
        }
        let has = |cookie: &str| lock(&sessions.open).contains_key(&hash(cookie));
        assert_eq!(lock(&sessions.open).len(), MOST_SESSIONS);
        assert!(!has("0") && !has("1") && has("2") && has("1001"));
        sessions.keep(session("late", 5000), 1000);
        assert!(!has("2") && has("late") && has("1001"));
    }
}
