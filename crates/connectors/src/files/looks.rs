//! Looks at each file of a table before it is read, on threads that may wait.
//!
//! Promise: what was found is in the order of the files, and the first file that fails fails the look. Files of
//! this machine are looked at one after the other; of objects in a bucket, where each look waits for
//! an answer, several at once. It knows no format.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::error::FilesError;
use super::find::InputFile;

/// Objects that are looked at at once.
const OBJECTS: usize = 16;

/// What `look` finds in each file.
pub(crate) async fn each<T: Send + 'static>(
    files: Vec<InputFile>,
    look: impl Fn(InputFile) -> Result<T, FilesError> + Clone + Send + 'static,
) -> Result<Vec<T>, FilesError> {
    let is_remote = files.first().is_some_and(|file| file.place.is_remote());
    let at_once = if is_remote { OBJECTS } else { 1 };
    stream::iter(files)
        .map(|file| {
            let look = look.clone();
            async move {
                let path = file.object.clone();
                tokio::task::spawn_blocking(move || look(file))
                    .await
                    .map_err(|_| FilesError::Broken { path })?
            }
        })
        .buffered(at_once)
        .try_collect()
        .await
}
