//! What was delivered to a target: the last commit of each task, in a file of the project.
//!
//! Promise: a commit is there only after the target has confirmed its rows; the file is synced and put in its
//! place by one rename. It is on this machine, not in the target: who loses it sends everything again.
//! Stored form, version 1: `{"version": 1, "committed": …}`. Read next: `target_writer.rs`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towpath_ports::Committed;
use towpath_vocab::TaskKey;

use super::error::{Result, SingerError};
use crate::stage::private;

/// The version of the stored form.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    committed: Committed,
}

/// The commits of a connection.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    folder: PathBuf,
}

/// Nobody else delivers for this task while it is held.
pub(super) struct DeliveryLock(File);

impl Drop for DeliveryLock {
    fn drop(&mut self) {
        // The end of the process ends it too.
        let _ = self.0.unlock();
    }
}

impl Delivered {
    /// Those of a connection of this project.
    pub(super) fn new(project: &Path, connection: &str) -> Self {
        let folder = project.join(".towpath/singer-targets").join(connection);
        Self { folder }
    }

    fn path(&self, task: &TaskKey) -> PathBuf {
        self.folder.join(format!("{}.json", task.app_id()))
    }

    fn failed(source: io::Error) -> SingerError {
        SingerError::Delivered { source }
    }

    /// The last commit of a task.
    pub(super) fn last(&self, task: &TaskKey) -> Result<Option<Committed>> {
        let text = match fs::read(self.path(task)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failed(error)),
        };
        let stored: Stored = serde_json::from_slice(&text)
            .map_err(|_| Self::failed(io::Error::other("the file is damaged")))?;
        match stored.version {
            VERSION => Ok(Some(stored.committed)),
            _ => Err(Self::failed(io::Error::other(
                "a later version of Towpath has written the file",
            ))),
        }
    }

    /// Waits until no other process delivers for this task.
    pub(super) fn lock(&self, task: &TaskKey) -> Result<DeliveryLock> {
        let open = || {
            fs::create_dir_all(&self.folder)?;
            let file = private(&self.folder.join(format!("{}.lock", task.app_id())))?;
            file.lock()?;
            Ok(DeliveryLock(file))
        };
        open().map_err(Self::failed)
    }

    /// Stores a commit.
    pub(super) fn put(&self, committed: &Committed) -> Result<()> {
        let path = self.path(&committed.token.task);
        let unfinished = path.with_extension("json.new");
        let stored = Stored {
            version: VERSION,
            committed: committed.clone(),
        };
        let put = || {
            let text = serde_json::to_vec(&stored)?;
            let mut file = private(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        put().map_err(Self::failed)
    }
}
