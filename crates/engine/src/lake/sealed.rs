//! Entries of a table's log that hold a checksum of themselves.
//!
//! Promise: each entry of ours is put with the CRC-32 of its other bytes in its commit info, and is compared
//! with it when it is read: a flipped byte in a statistic or a count is an error, not a wrong answer. Other
//! programs ignore the field; entries without one (older, of others) are read as they are. It sits below
//! the Delta library and knows no action. Read next: `damage.rs`.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::Arc;

use super::names::LOG;
use super::storage::Key;
use super::verified::Mismatch;

/// What begins our part of an entry's commit info.
const OWN: &[u8] = b"\"towpath\":{";
/// What follows it in a sealed entry: the field, then eight hex digits, then `END`.
const FIELD: &[u8] = b"\"crc32\":\"";
const END: &[u8] = b"\",";
const DIGITS: usize = 8;

/// An entry with its checksum; one without commit info of ours stays as it is.
fn sealed(entry: &[u8]) -> Option<Vec<u8>> {
    let at = found(entry, OWN)? + OWN.len();
    let (before, after) = entry.split_at_checked(at)?;
    let sum = format!("{:08x}", crc32fast::hash(entry));
    Some([before, FIELD, sum.as_bytes(), END, after].concat())
}

/// True when an entry holds a checksum that is not that of its other bytes.
pub(crate) fn differs(entry: &[u8]) -> bool {
    let Some(at) = found(entry, &[OWN, FIELD].concat()) else {
        return false;
    };
    let (before, rest) = entry.split_at(at + OWN.len());
    let known = rest.get(FIELD.len()..FIELD.len() + DIGITS);
    let end = rest.get(FIELD.len() + DIGITS..FIELD.len() + DIGITS + END.len());
    let after = rest.get(FIELD.len() + DIGITS + END.len()..);
    let (Some(known), Some(after)) = (known, after) else {
        return true;
    };
    let mut sum = crc32fast::Hasher::new();
    sum.update(before);
    sum.update(after);
    end != Some(END) || format!("{:08x}", sum.finalize()).as_bytes() != known
}

fn found(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

/// True for an entry of a log.
fn is_entry(location: &Key) -> bool {
    let above = location.parts().rev().nth(1);
    let name = location.filename().unwrap_or_default();
    above.is_some_and(|above| above.as_ref() == LOG) && name.len() == 25 && name.ends_with(".json")
}

/// A table's files, with the entries of its log sealed.
#[derive(Debug)]
pub(crate) struct SealedLog(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for SealedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedLog({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for SealedLog {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let sealed = is_entry(location).then(|| sealed(&Bytes::from(payload.clone())));
        let payload = match sealed.flatten() {
            Some(sealed) => PutPayload::from_bytes(sealed.into()),
            None => payload,
        };
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        if !is_entry(location) || options.head || options.range.is_some() {
            return self.0.get_opts(location, options).await;
        }
        let found = self.0.get_opts(location, options).await?;
        let (meta, attributes, range) = (
            found.meta.clone(),
            found.attributes.clone(),
            found.range.clone(),
        );
        let bytes = found.bytes().await?;
        if differs(&bytes) {
            return Err(Mismatch::Entry.into());
        }
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta,
            range,
            attributes,
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn every_changed_byte_of_a_sealed_entry_is_seen() {
        let entry =
            b"{\"commitInfo\":{\"a\":1,\"towpath\":{\"run\":\"x\"}}}\n{\"add\":{\"size\":12}}";
        let sealed = sealed(entry).unwrap();
        assert!(!differs(&sealed) && !differs(entry));
        let field = found(&sealed, &[OWN, FIELD].concat()).unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            // Without its name the field is not found; then only the name has changed.
            let is_name = (field..field + OWN.len() + FIELD.len()).contains(&at);
            assert_eq!(differs(&damaged), !is_name, "{at}");
        }
        assert_eq!(super::sealed(b"{\"add\":{}}"), None);
    }
}
