//! Claims a place in a bucket: is the service one to write to, what is there, what of it is needed here.
//!
//! Promise: rows are written into a folder of this machine, which is gone after the write, also after a crash with
//! the next one; a reader of the bucket sees nothing of it. Nobody is kept out: of two writers, one commits
//! (`commit_bucket.rs`). Read next: `begin.rs`, the same for a folder of this machine.

use std::fs::File;
use std::path::{Path, PathBuf};

use towpath_ports::{StateBeforeWrite, WriteRequest};
use towpath_vocab::WriteMode;

use super::begin::{Claim, Job, check, committed, plan};
use super::bucket_place::{BucketPlace, without_manifest};
use super::error::{Result, WriteError};
use super::location::FileTarget;
use crate::files::error::FilesError;
use crate::files::place::Place;
use crate::stage::Stage;

/// The folder below the project's state in which files are written.
const STAGES: &str = "files";

/// Claims the place of a target; `state` is the folder of the project's state.
pub(super) async fn begin(
    place: &BucketPlace,
    mut target: FileTarget,
    (intent, before): (WriteRequest, Option<StateBeforeWrite>),
    group_bytes: u64,
    state: PathBuf,
) -> Result<(Job, Claim)> {
    check(&target, &intent)?;
    place.client().prove(place.root()).await?;
    let many = target.location.many;
    let mut known = match many {
        true => place.known_folder().await?,
        false => place.known_file().await?,
    };
    without_manifest(&mut known);
    let shown = target.location.shown.clone();
    let stage = on_disk(&shown, move || {
        Stage::make(&state, STAGES).map_err(WriteError::io(state.display().to_string()))
    });
    let stage = stage.await?;
    target.location.folder = stage.folder().to_path_buf();
    target.location.root = stage.folder().to_path_buf();
    let is_new = committed(&known, &intent, &shown)?.is_none();
    if is_new && intent.write.mode == WriteMode::Append {
        match (&known.seen, many) {
            (_, true) => target.objects = place.places(&known)?,
            (Some(seen), false) => {
                let key = place.own_key()?;
                let no_version = || FilesError::NoVersion {
                    path: shown.clone(),
                };
                let version = seen.readable().ok_or_else(no_version)?;
                let (object, to) = (place.place(key, version), target.location.path());
                on_disk(&shown, move || fetch(&object, &to)).await?;
            }
            (None, false) => {}
        }
    }
    let job = on_disk(&shown, move || {
        plan(target, (intent, before), known, group_bytes)
    });
    Ok((job.await?, Claim::of(stage)))
}

/// Copies an object to this machine.
fn fetch(object: &Place, to: &Path) -> Result<()> {
    let local = || WriteError::io(to.display().to_string());
    let mut file = File::create_new(to).map_err(local())?;
    let copied = object
        .stream()
        .and_then(|mut stream| std::io::copy(&mut stream, &mut file));
    copied.map(drop).map_err(|error| match object.failure() {
        Some(failure) => WriteError::Read(failure),
        None => local()(error),
    })
}

/// Runs what waits for a disk.
async fn on_disk<T: Send + 'static>(
    shown: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| WriteError::Broken {
        path: shown.to_owned(),
    })?
}
