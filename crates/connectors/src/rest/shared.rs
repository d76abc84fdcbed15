//! What all tables of a connection share within a process: the budget of requests, and the token.
//!
//! Promise: tables that are read side by side, or one after the other, keep to one limit and ask for one
//! token; a connection whose options or secrets changed begins anew. Nothing is shared between
//! processes. Read next: `budget.rs`, `auth.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::budget::{Budget, Rate};

/// A token, and the header it is sent in.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) name: HeaderName,
    pub(super) header: HeaderValue,
    pub(super) until: Instant,
    /// Which one it is, from 1.
    pub(super) number: u64,
}

/// The tokens of a connection.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) token: Option<Token>,
    /// The refresh token that the server gave last; before, the project's holds.
    pub(super) refresh: Option<String>,
    /// The last one could not be kept, so that what is kept is older.
    pub(super) is_unkept: bool,
    /// A refresh token that was sent, and for which no answer came: it is not sent again.
    pub(super) sent: Option<String>,
    /// Credentials that a login refused: until when they are not sent again, the status, the answer.
    pub(super) refused: Option<(Instant, u16, String)>,
}

/// What the tables of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) budget: Budget,
    /// Locked while a token is asked for: others wait for it instead of asking too.
    pub(super) tokens: tokio::sync::Mutex<Tokens>,
    /// Secrets that servers gave, to take them out of text.
    given: Mutex<Vec<String>>,
}

impl Shared {
    /// Keeps a secret that a server gave.
    pub(super) fn keep_secret(&self, secret: &str) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !given.iter().any(|known| known == secret) {
            given.push(secret.to_owned());
        }
    }

    /// The secrets that servers gave.
    pub(super) fn secrets(&self) -> Vec<String> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.clone()
    }
}

/// A connection: its project's folder and its name.
type Connection = (PathBuf, String);

/// What is shared, and the number for the options and secrets that it is of.
type Identified = (u64, Arc<Shared>);

static ALL: LazyLock<Mutex<HashMap<Connection, Identified>>> = LazyLock::new(Mutex::default);

/// What the tables of a connection share. `identity` is a number for its options and secrets.
pub(super) fn of_connection(
    project: &Path,
    name: &str,
    identity: u64,
    at_once: usize,
    rate: Option<Rate>,
) -> Arc<Shared> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (project.to_owned(), name.to_owned());
    if let Some((known, shared)) = all.get(&key)
        && *known == identity
    {
        return Arc::clone(shared);
    }
    let shared = Arc::new(Shared {
        budget: Budget::new(at_once, rate),
        tokens: tokio::sync::Mutex::default(),
        given: Mutex::default(),
    });
    all.insert(key, (identity, Arc::clone(&shared)));
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_shares_until_it_changes() {
        let of =
            |project: &str, identity| of_connection(Path::new(project), "api", identity, 1, None);
        let first = of("/shared/a", 1);
        assert!(Arc::ptr_eq(&first, &of("/shared/a", 1)));
        assert!(!Arc::ptr_eq(&first, &of("/shared/b", 1)));
        assert!(!Arc::ptr_eq(&first, &of("/shared/a", 2)));
    }
}
