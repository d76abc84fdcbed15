//! Parses the URL of a state store on a server.
//!
//! Promise: the URL is never shown, because it may contain a password. `sslmode`, `sslrootcert` and
//! `schema` are removed from it, because the driver does not know them in this form. It does not connect.
//! Read next: `tls.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use url::Url;

use crate::error::StateError;

/// The default schema of a store.
const SCHEMA: &str = "towpath_state";

/// How a session is encrypted, with libpq's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

/// The address of a server, and how to connect to it.
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) ssl: SslMode,
    pub(crate) root_certificate: Option<PathBuf>,
    /// The schema; a name of letters, digits and `_`.
    pub(crate) schema: String,
    /// `host:port/database`, for messages.
    pub(crate) shown: String,
}

impl Address {
    /// Parses a URL; a relative path of a certificate is relative to the project.
    pub(crate) fn parse(text: &str, project_dir: &Path) -> Result<Self, StateError> {
        let wrong = |reason| StateError::Url { reason };
        let mut url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL"))?;
        let (mut ssl, mut root, mut schema) = (SslMode::Prefer, None, SCHEMA.to_owned());
        let mut rest = Vec::new();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "sslmode" => ssl = ssl_mode(&value)?,
                "sslrootcert" => root = Some(project_dir.join(value.as_ref())),
                "schema" => schema = value.into_owned(),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        if !is_plain(&schema) {
            return Err(wrong(
                "has a `schema` that is not lower-case letters, digits and `_`",
            ));
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut config: Config = url.as_str().parse().map_err(|_| {
            wrong("has an option that PostgreSQL does not have, or a part that cannot be read")
        })?;
        if config.get_user().is_none() {
            return Err(wrong("names no user"));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        config.tcp_user_timeout(Duration::from_secs(30));
        config.application_name("towpath state");
        config.ssl_mode(match ssl {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        let host = url.host_str().unwrap_or("localhost");
        let port = url.port().unwrap_or(5432);
        Ok(Self {
            shown: format!("{host}:{port}{}", url.path()),
            config,
            ssl,
            root_certificate: root,
            schema,
        })
    }
}

fn ssl_mode(word: &str) -> Result<SslMode, StateError> {
    Ok(match word {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(StateError::Url {
                reason: "has an `sslmode` other than disable, prefer, require and verify-full",
            });
        }
    })
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty()
        && name.len() < 64
        && name.bytes().all(plain)
        && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_never_shown() {
        let read = |text| Address::parse(text, Path::new("/p"));
        let address =
            read("postgres://u:secret@db:6543/shop?sslmode=disable&schema=state_2").unwrap();
        assert_eq!(address.shown, "db:6543/shop");
        assert_eq!(
            (address.ssl, address.schema.as_str()),
            (SslMode::Disable, "state_2")
        );
        let rooted = read("postgres://u@db/shop?sslmode=verify-full&sslrootcert=ca.pem").unwrap();
        assert_eq!(rooted.root_certificate, Some("/p/ca.pem".into()));
        for bad in [
            "postgres://u@db/shop?sslmode=verify-ca",
            "postgres://u@db/shop?schema=a;b",
            "postgres://u@db/shop?schema=",
            "postgres://u@db/shop?colour=red",
            "postgres://db/shop",
        ] {
            assert!(matches!(read(bad), Err(StateError::Url { .. })), "{bad}");
        }
    }
}
