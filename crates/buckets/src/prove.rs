//! Whether a service obeys the conditions of a put, found out with an object of its own.
//!
//! Promise: a service that creates an object where there is one, or replaces one that has changed, is found out
//! before anything rests on these conditions. Objects that a killed process left are removed by a later one.
//! Read next: `condition.rs`.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};

use crate::condition::{Condition, ends_if};
use crate::service::{is_not_implemented, way_out};

/// Writers that create one object at once.
const RACING: usize = 4;
/// Tries after the first one, where a request failed that may succeed.
const TRIES: usize = 2;
/// A tag and a version that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";
const NO_VERSION: &str = "1";
/// What a process left that wrote it so long ago is of no use to anybody.
const DEAD_AFTER: Duration = Duration::from_secs(1_200);

const CREATES: &str = "creates an object where there is one";
const REPLACES: &str = "replaces an object that has changed";
const KNOWS_NONE: &str = "does not know conditional puts";
const REFUSES: &str = "refuses to replace an object that has not changed";
const ENDS: &str = "ends an upload in parts where there is an object";

/// Why nothing may rest on the conditions of a service.
#[derive(Debug)]
pub enum Unproved {
    /// What it does.
    Condition(&'static str),
    /// A request failed.
    Request {
        /// What was done: `writing`.
        doing: &'static str,
        /// To which object.
        key: Path,
        /// Why.
        source: Error,
    },
}

/// What a service keeps beside the bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Metadata of one's own come back as they were given.
    pub keeps_metadata: bool,
}

/// The name of the metadata that says who put an object.
const MARK: &str = "towpathcommit";

/// Metadata that say who put an object.
pub fn marked(mark: &str) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(MARK.into()), mark.to_owned())])
}

/// Who put an object, of its metadata.
pub fn mark_of(attributes: &Attributes) -> Option<&str> {
    attributes
        .get(&Attribute::Metadata(MARK.into()))
        .map(AsRef::as_ref)
}

/// Puts objects under conditions that do not hold: the service must refuse them. Of several writers that create
/// one object at once, one may be answered that it has. `probes` is a prefix for these objects alone.
///
/// # Errors
/// What the service does wrong, or a request that failed.
pub async fn prove(objects: &dyn ObjectStore, probes: &Path) -> Result<Proved, Unproved> {
    let mut tries = 0;
    loop {
        let probe = Probe::new(objects, probes);
        let proved = probe.prove(probes).await;
        let removed = probe.remove(&probe.key).await;
        match proved.and_then(|proved| removed.map(|()| proved)) {
            // An answer was lost: nothing is known then.
            Err(Unproved::Request { source, .. })
                if tries < TRIES && way_out(&source).is_none() =>
            {
                tries += 1;
            }
            done => return done,
        }
    }
}

/// The same for the end of an upload in parts.
///
/// # Errors
/// What the service does wrong, or a request that failed.
pub async fn prove_parts(objects: &dyn ObjectStore, probes: &Path) -> Result<(), Unproved> {
    let probe = Probe::new(objects, probes);
    let proved = probe.prove_parts().await;
    let removed = probe.remove(&probe.key).await;
    proved.and(removed)
}

/// An object that is put to see what happens.
struct Probe<'a> {
    objects: &'a dyn ObjectStore,
    key: Path,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Done,
    Refused,
}

impl<'a> Probe<'a> {
    fn new(objects: &'a dyn ObjectStore, probes: &Path) -> Self {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let key = probes.clone().join(name.as_str());
        Self { objects, key }
    }

    fn failed<'b>(
        &self,
        doing: &'static str,
        key: &'b Path,
    ) -> impl FnOnce(Error) -> Unproved + 'b {
        move |source| Unproved::Request {
            doing,
            key: key.clone(),
            source,
        }
    }

    async fn prove(&self, probes: &Path) -> Result<Proved, Unproved> {
        let racing = (0..RACING).map(|_| self.put(PutMode::Create));
        let mut created = 0;
        for put in join_all(racing).await {
            created += u32::from(put? == Put::Done);
        }
        if created > 1 {
            return Err(Unproved::Condition(CREATES));
        }
        let mark = self.key.filename().unwrap_or_default();
        let options = PutOptions {
            attributes: marked(mark),
            ..PutOptions::from(PutMode::Overwrite)
        };
        let payload = PutPayload::from_static(b"conditional puts");
        let put = self.objects.put_opts(&self.key, payload, options).await;
        put.map_err(self.failed("writing", &self.key))?;
        if self.put(PutMode::Create).await? != Put::Refused {
            return Err(Unproved::Condition(CREATES));
        }
        let wrong = UpdateVersion {
            e_tag: Some(NO_ETAG.to_owned()),
            version: Some(NO_VERSION.to_owned()),
        };
        if self.put(PutMode::Update(wrong)).await? != Put::Refused {
            return Err(Unproved::Condition(REPLACES));
        }
        let options = GetOptions::new().with_head(true);
        let there = self.objects.get_opts(&self.key, options).await;
        let there = there.map_err(self.failed("reading", &self.key))?;
        let keeps_metadata = mark_of(&there.attributes) == Some(mark);
        let right = UpdateVersion {
            e_tag: there.meta.e_tag.clone(),
            version: there.meta.version.clone(),
        };
        // A put whose answer was an error may have been carried out, and be refused at the second try.
        if self.put(PutMode::Update(right)).await? == Put::Refused {
            let now = self.objects.head(&self.key).await;
            let now = now.map_err(self.failed("reading", &self.key))?;
            if now.e_tag == there.meta.e_tag && now.version == there.meta.version {
                return Err(Unproved::Condition(REFUSES));
            }
        }
        self.sweep(probes, &there.meta).await?;
        Ok(Proved { keeps_metadata })
    }

    async fn prove_parts(&self) -> Result<(), Unproved> {
        self.put(PutMode::Overwrite).await?;
        let wrong = UpdateVersion {
            e_tag: Some(NO_ETAG.to_owned()),
            version: None,
        };
        for condition in [Condition::Absent, Condition::Unchanged(wrong)] {
            self.prove_end(condition).await?;
        }
        Ok(())
    }

    /// Ends an upload under a condition that does not hold: it must be refused.
    async fn prove_end(&self, condition: Condition) -> Result<(), Unproved> {
        let failed = || self.failed("writing", &self.key);
        let options = PutMultipartOptions::default();
        let upload = self.objects.put_multipart_opts(&self.key, options).await;
        let mut upload = upload.map_err(failed())?;
        let part = upload.put_part(PutPayload::from_static(b"a part")).await;
        let ended = match part {
            Ok(()) => ends_if(condition, upload.complete()).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(_) => Err(Unproved::Condition(ENDS)),
            Err(error) => {
                // It would be removed by the rules of the bucket, too.
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, "an upload could not be ended");
                }
                match error {
                    Error::Precondition { .. } | Error::AlreadyExists { .. } => Ok(()),
                    error if is_not_implemented(&error) => Err(Unproved::Condition(ENDS)),
                    error => Err(failed()(error)),
                }
            }
        }
    }

    async fn put(&self, mode: PutMode) -> Result<Put, Unproved> {
        let payload = PutPayload::from_static(b"put in spite of the condition");
        let put = self
            .objects
            .put_opts(&self.key, payload, PutOptions::from(mode));
        match put.await {
            Ok(_) => Ok(Put::Done),
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                Err(Unproved::Condition(KNOWS_NONE))
            }
            Err(error) if is_not_implemented(&error) => Err(Unproved::Condition(KNOWS_NONE)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Refused),
            Err(error) => Err(self.failed("writing", &self.key)(error)),
        }
    }

    async fn remove(&self, key: &Path) -> Result<(), Unproved> {
        match self.objects.delete(key).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.failed("deleting", key)(error)),
        }
    }

    /// Removes what killed processes left, by the clock of the store.
    async fn sweep(&self, probes: &Path, own: &ObjectMeta) -> Result<(), Unproved> {
        let left: Vec<ObjectMeta> = self
            .objects
            .list(Some(probes))
            .try_collect()
            .await
            .map_err(self.failed("listing", probes))?;
        let now = SystemTime::from(own.last_modified);
        for probe in left {
            let written = SystemTime::from(probe.last_modified);
            let is_dead = now
                .duration_since(written)
                .is_ok_and(|passed| passed >= DEAD_AFTER);
            if is_dead && probe.location != self.key {
                self.remove(&probe.location).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fmt;
    use std::sync::Arc;

    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetResult, ListResult, MultipartUpload, PutResult, Result as StoreResult,
    };

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Wrong {
        Nothing,
        IgnoresCreate,
        IgnoresUpdate,
        RefusesAll,
        Forgets,
    }

    #[derive(Debug)]
    struct Service(InMemory, Wrong);

    impl fmt::Display for Service {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Service")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Service {
        async fn put_opts(
            &self,
            location: &Path,
            payload: PutPayload,
            mut options: PutOptions,
        ) -> StoreResult<PutResult> {
            match (self.1, &options.mode) {
                (Wrong::IgnoresCreate, PutMode::Create)
                | (Wrong::IgnoresUpdate, PutMode::Update(_)) => options.mode = PutMode::Overwrite,
                (Wrong::RefusesAll, PutMode::Update(_)) => {
                    let source = "refused".into();
                    let path = location.to_string();
                    return Err(Error::Precondition { path, source });
                }
                (Wrong::Forgets, _) => options.attributes = Attributes::new(),
                _ => {}
            }
            self.0.put_opts(location, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            location: &Path,
            options: PutMultipartOptions,
        ) -> StoreResult<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }

        async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
            self.0.get_opts(location, options).await
        }

        fn delete_stream(
            &self,
            locations: BoxStream<'static, StoreResult<Path>>,
        ) -> BoxStream<'static, StoreResult<Path>> {
            self.0.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> StoreResult<()> {
            self.0.copy_opts(from, to, how).await
        }
    }

    #[tokio::test]
    async fn conditions_that_are_not_obeyed_are_found_out() {
        let probes = Path::from("out/_towpath/probe");
        for (wrong, what) in [
            (Wrong::Nothing, None),
            (Wrong::IgnoresCreate, Some(CREATES)),
            (Wrong::IgnoresUpdate, Some(REPLACES)),
            (Wrong::RefusesAll, Some(REFUSES)),
            (Wrong::Forgets, None),
        ] {
            let service = Arc::new(Service(InMemory::new(), wrong));
            let said = match prove(service.as_ref(), &probes).await {
                Ok(proved) => {
                    assert_eq!(proved.keeps_metadata, wrong != Wrong::Forgets);
                    None
                }
                Err(Unproved::Condition(what)) => Some(what),
                Err(other) => Some(&*Box::leak(format!("{other:?}").into_boxed_str())),
            };
            assert_eq!(said, what, "{wrong:?}");
            let left: Vec<_> = service.list(None).try_collect().await.unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
        // In memory the end of an upload has no condition.
        let service = Service(InMemory::new(), Wrong::Nothing);
        let said = prove_parts(&service, &probes).await;
        assert!(matches!(said, Err(Unproved::Condition(ENDS))), "{said:?}");
    }
}
