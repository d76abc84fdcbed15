//! Objects whose calls fail when a test says so: before they did anything, or after they had.
//!
//! Calls are counted from the last `reset`; the fault hits one of them. For tests alone.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::Key;

/// When the chosen call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Before it did anything.
    Before,
    /// After it was done: only the answer is lost.
    After,
    /// Before it did anything, and so does every later call: the process has lost its network.
    Down,
    /// Not at all: the answer was lost, the client asked again, and the answer to that is given.
    Repeated,
    /// The client gives up, and a put is carried out later, when the test says so.
    Late,
}

/// A condition of a put that a store does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Only where there is none.
    Create,
    /// Only in the place of one version.
    Update,
}

/// Objects in memory, with faults.
#[derive(Debug)]
pub(crate) struct FaultyObjects {
    inner: Arc<InMemory>,
    plan: Arc<Plan>,
    ignored: Option<Ignored>,
}

#[derive(Debug)]
struct Plan {
    calls: AtomicU64,
    fault: Mutex<Option<(u64, Fault)>>,
    /// The fault of every put of a key that ends so.
    of_puts: Mutex<Option<(&'static str, Fault)>>,
    late: Mutex<Vec<(Key, PutPayload, PutOptions)>>,
}

impl FaultyObjects {
    /// Over these objects, without a fault.
    pub(crate) fn over(inner: Arc<InMemory>) -> Self {
        Self {
            inner,
            plan: Arc::new(Plan {
                calls: AtomicU64::new(0),
                fault: Mutex::new(None),
                of_puts: Mutex::new(None),
                late: Mutex::new(Vec::new()),
            }),
            ignored: None,
        }
    }

    /// The same, but puts do not know this condition.
    pub(crate) fn ignoring(self, ignored: Ignored) -> Self {
        Self {
            ignored: Some(ignored),
            ..self
        }
    }

    /// Counts from zero again; the call of this number fails.
    pub(crate) fn reset(&self, fault: Option<(u64, Fault)>) {
        self.plan.calls.store(0, Ordering::SeqCst);
        *self
            .plan
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// From now on, puts of keys that hold this text have a fault.
    pub(crate) fn of_puts(&self, fault: Option<(&'static str, Fault)>) {
        *self
            .plan
            .of_puts
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Carries out the puts that were given up; how many of them changed something.
    pub(crate) async fn land(&self) -> usize {
        let late = std::mem::take(
            &mut *self
                .plan
                .late
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let mut landed = 0;
        for (location, payload, options) in late {
            landed += usize::from(
                self.inner
                    .put_opts(&location, payload, options)
                    .await
                    .is_ok(),
            );
        }
        landed
    }

    /// Calls since the last reset.
    pub(crate) fn calls(&self) -> u64 {
        self.plan.calls.load(Ordering::SeqCst)
    }
}

impl Plan {
    /// Counts a call; what becomes of it.
    fn call(&self) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let (at, fault) = (*self.fault.lock().unwrap_or_else(PoisonError::into_inner))?;
        (number == at || number > at && fault == Fault::Down).then_some(fault)
    }

    /// What becomes of a put.
    fn put(&self, location: &Key, payload: &PutPayload, options: &PutOptions) -> Result<Answer> {
        let of_puts = *self.of_puts.lock().unwrap_or_else(PoisonError::into_inner);
        let named = of_puts.filter(|(text, _)| location.as_ref().contains(text));
        let counted = self.call();
        match named.map(|(_, fault)| fault).or(counted) {
            Some(Fault::Late) => {
                let put = (location.clone(), payload.clone(), options.clone());
                self.late
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(put);
                Err(fault())
            }
            chosen => answer_of(chosen),
        }
    }

    fn before(&self) -> Result<Answer> {
        answer_of(self.call())
    }
}

fn answer_of(chosen: Option<Fault>) -> Result<Answer> {
    match chosen {
        None => Ok(Answer::Heard),
        Some(Fault::After) => Ok(Answer::Lost),
        Some(Fault::Repeated) => Ok(Answer::LostOnce),
        Some(Fault::Before | Fault::Down | Fault::Late) => Err(fault()),
    }
}

/// What becomes of the answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Heard,
    Lost,
    /// Only that to the first try.
    LostOnce,
}

fn fault() -> object_store::Error {
    object_store::Error::Generic {
        store: "FaultyObjects",
        source: "an injected fault".into(),
    }
}

fn answer<T>(lost: Answer, done: Result<T>) -> Result<T> {
    match lost {
        Answer::Lost => Err(fault()),
        Answer::Heard | Answer::LostOnce => done,
    }
}

impl fmt::Display for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyObjects")
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mut options = options;
        match (&options.mode, self.ignored) {
            (PutMode::Create, Some(Ignored::Create))
            | (PutMode::Update(_), Some(Ignored::Update)) => options.mode = PutMode::Overwrite,
            _ => {}
        }
        let lost = self.plan.put(location, &payload, &options)?;
        if lost == Answer::LostOnce {
            let first = self
                .inner
                .put_opts(location, payload.clone(), options.clone());
            let _ = first.await;
        }
        answer(lost, self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let lost = self.plan.before()?;
        let upload = self.inner.put_multipart_opts(location, options).await;
        let upload = answer(lost, upload)?;
        Ok(Box::new(FaultyUpload {
            inner: upload,
            plan: Arc::clone(&self.plan),
        }))
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        locations
            .then(move |location| {
                let (inner, plan) = (Arc::clone(&inner), Arc::clone(&plan));
                async move {
                    let location = location?;
                    let lost = plan.before()?;
                    if lost == Answer::LostOnce {
                        let _ = inner.delete(&location).await;
                    }
                    answer(lost, inner.delete(&location).await)?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.before() {
            Ok(Answer::Heard | Answer::LostOnce) => self.inner.list(prefix).map_ok(listed).boxed(),
            _ => futures::stream::iter([Err(fault())]).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.before() {
            Ok(Answer::Heard | Answer::LostOnce) => {
                let found = self.inner.list_with_offset(prefix, offset);
                found.map_ok(listed).boxed()
            }
            _ => futures::stream::iter([Err(fault())]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        let lost = self.plan.before()?;
        if lost == Answer::LostOnce {
            let _ = self.inner.copy_opts(from, to, options.clone()).await;
        }
        answer(lost, self.inner.copy_opts(from, to, options).await)
    }
}

/// As services list an object: they write its ETag and its time in another way than the object itself has them.
fn listed(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        e_tag: meta.e_tag.map(|e_tag| format!("listed-{e_tag}")),
        last_modified: meta.last_modified + chrono::TimeDelta::milliseconds(1),
        version: None,
        ..meta
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let lost = self.plan.before();
        let part = self.inner.put_part(data);
        Box::pin(async move { answer(lost?, part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
