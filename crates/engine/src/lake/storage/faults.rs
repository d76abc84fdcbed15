//! Objects whose calls fail when a test says so: before they did anything, or after they had.
//!
//! Calls are counted from the last `reset`; the fault hits one of them. For tests alone.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
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
}

/// Objects in memory, with faults.
#[derive(Debug)]
pub(crate) struct FaultyObjects {
    inner: Arc<InMemory>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    calls: AtomicU64,
    fault: Mutex<Option<(u64, Fault)>>,
}

impl FaultyObjects {
    /// Over these objects, without a fault.
    pub(crate) fn over(inner: Arc<InMemory>) -> Self {
        Self {
            inner,
            plan: Arc::new(Plan {
                calls: AtomicU64::new(0),
                fault: Mutex::new(None),
            }),
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

    fn before(&self) -> Result<bool> {
        match self.call() {
            None => Ok(false),
            Some(Fault::After) => Ok(true),
            Some(Fault::Before | Fault::Down) => Err(fault()),
        }
    }
}

fn fault() -> object_store::Error {
    object_store::Error::Generic {
        store: "FaultyObjects",
        source: "an injected fault".into(),
    }
}

fn answer<T>(lost: bool, done: Result<T>) -> Result<T> {
    match lost {
        true => Err(fault()),
        false => done,
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
        let lost = self.plan.before()?;
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
                    answer(lost, inner.delete(&location).await)?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.before() {
            Ok(false) => self.inner.list(prefix),
            _ => futures::stream::iter([Err(fault())]).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.before() {
            Ok(false) => self.inner.list_with_offset(prefix, offset),
            _ => futures::stream::iter([Err(fault())]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        let lost = self.plan.before()?;
        answer(lost, self.inner.copy_opts(from, to, options).await)
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
