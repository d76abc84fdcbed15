//! The refresh token that a server gave last, kept for the next process.
//!
//! Promise: a file that only this user can read, replaced as a whole and on disk before the token is used;
//! it counts only for the refresh token of the project that it came from. Processes of one project ask one
//! after the other, so that none sends a token that another one has used up. It does not know what tokens
//! are for. Read next: `token.rs`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::auth::OAuth;
use super::kept_file::{digest, make_folder, private};

/// How often is looked whether another process is done.
const LOOK: Duration = Duration::from_millis(50);
/// A process that asks for a token is done by then.
const LONGEST: Duration = Duration::from_secs(120);
const VERSION: u64 = 1;

/// The place of the refresh token of a connection.
pub(super) struct KeptRefresh {
    folder: PathBuf,
    name: String,
    /// The digest of the project's token.
    origin: String,
}

/// Others wait until it is dropped.
pub(super) struct Alone {
    _lock: File,
}

impl KeptRefresh {
    /// The place for a connection of a project; none without a refresh token.
    pub(super) fn new(project: &Path, connection: &str, oauth: &OAuth) -> Option<Self> {
        let refresh = oauth.refresh.as_deref()?;
        Some(Self {
            folder: project.join(".towpath").join("rest-tokens"),
            // Each environment may have a token of its own.
            name: digest(&[connection, oauth.token_url.as_str(), refresh]),
            origin: digest(&["origin", refresh]),
        })
    }

    /// Waits until no other process asks for a token of this connection.
    pub(super) async fn alone(&self) -> std::io::Result<Alone> {
        make_folder(&self.folder)?;
        let lock = private(&self.folder.join(format!("{}.lock", self.name)), false)?;
        let start = tokio::time::Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Alone { _lock: lock }),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < LONGEST => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let why = "another process has asked for a token for two minutes";
                    return Err(std::io::Error::new(ErrorKind::TimedOut, why));
                }
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The token that the server gave last, if it came from the one of the project.
    pub(super) fn read(&self, _: &Alone) -> std::io::Result<Option<String>> {
        let text = match fs::read(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(kept) = serde_json::from_slice::<Value>(&text) else {
            return Ok(None);
        };
        let is_own = kept.get("version").and_then(Value::as_u64) == Some(VERSION)
            && kept.get("origin").and_then(Value::as_str) == Some(self.origin.as_str());
        let token = kept.get("refresh_token").and_then(Value::as_str);
        Ok(token.filter(|_| is_own).map(str::to_owned))
    }

    /// Keeps a token for the next process. True when that failed: this process has the token and goes on.
    pub(super) fn keep(&self, alone: &Alone, token: &str) -> bool {
        let written = self.write(alone, token);
        if let Err(error) = &written {
            let folder = self.folder();
            tracing::warn!(
                "a new refresh token cannot be kept in `{folder}`, so the next process does not have it: {error}"
            );
        }
        written.is_err()
    }

    /// Writes a token; it is on disk when this returns.
    fn write(&self, _: &Alone, token: &str) -> std::io::Result<()> {
        let kept = json!({ "version": VERSION, "origin": self.origin, "refresh_token": token });
        let new = self.folder.join(format!("{}.new", self.name));
        let mut file = private(&new, true)?;
        file.write_all(kept.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    /// Where it is, for messages.
    pub(super) fn folder(&self) -> String {
        self.folder.display().to_string()
    }
}
