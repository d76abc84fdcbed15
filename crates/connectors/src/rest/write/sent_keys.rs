//! The keys of the rows that an API has taken: what tells a new row from a changed one.
//!
//! Promise: a key is 16 bytes of a hash of the key's values; the values themselves are not stored. Stored
//! form, version 1: eight bytes with the version, then the keys. It does not know where it is stored:
//! `outbox.rs` does.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

const HEAD: &[u8; 8] = b"towkeys1";
const BYTES: usize = 16;
/// About so much memory holds a key.
pub(super) const HELD_BYTES: u64 = 40;

/// The key of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct RowKey([u8; BYTES]);

impl RowKey {
    /// The beginning of a digest.
    pub(super) fn of(digest: &[u8]) -> Self {
        let mut key = [0; BYTES];
        for (into, byte) in key.iter_mut().zip(digest) {
            *into = *byte;
        }
        Self(key)
    }

    /// A number made of it.
    pub(super) fn number(self) -> u64 {
        let [a, b, c, d, ..] = self.0;
        u64::from(u32::from_le_bytes([a, b, c, d]))
    }
}

impl From<RowKey> for String {
    fn from(key: RowKey) -> Self {
        key.0.iter().fold(Self::new(), |mut text, byte| {
            // Writing into a text does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl TryFrom<String> for RowKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let byte = |at: usize| {
            let pair = text.get(2 * at..2 * at + 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = (0..BYTES).map(byte).collect();
        match bytes.filter(|_| text.len() == 2 * BYTES) {
            Some(bytes) => Ok(Self::of(&bytes)),
            None => Err("not a key".to_owned()),
        }
    }
}

/// The keys of the rows that the API has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SentKeys(HashSet<RowKey>);

impl SentKeys {
    /// Reads the stored form; `None` if it is damaged, or of a later version.
    pub(super) fn read(stored: &[u8]) -> Option<Self> {
        let keys = stored.strip_prefix(HEAD.as_slice())?;
        if keys.len() % BYTES != 0 {
            return None;
        }
        Some(Self(keys.chunks_exact(BYTES).map(RowKey::of).collect()))
    }

    /// The stored form.
    pub(super) fn stored(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(HEAD.len() + BYTES * self.0.len());
        stored.extend_from_slice(HEAD);
        for key in &self.0 {
            stored.extend_from_slice(&key.0);
        }
        stored
    }

    pub(super) fn has(&self, key: RowKey) -> bool {
        self.0.contains(&key)
    }

    pub(super) fn add(&mut self, key: RowKey) {
        self.0.insert(key);
    }

    pub(super) fn remove(&mut self, key: RowKey) {
        self.0.remove(&key);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keys_come_back_and_damage_is_noticed() {
        let mut keys = SentKeys::default();
        for at in 0..5_u8 {
            keys.add(RowKey::of(&[at; 32]));
        }
        keys.remove(RowKey::of(&[3; 16]));
        let stored = keys.stored();
        let read = SentKeys::read(&stored).unwrap();
        assert_eq!(read, keys);
        assert_eq!(read.len(), 4);
        assert!(read.has(RowKey::of(&[4; 16])) && !read.has(RowKey::of(&[3; 16])));
        assert_eq!(SentKeys::read(&stored[..stored.len() - 1]), None);
        assert_eq!(SentKeys::read(b"towkeys2"), None);
        let key = RowKey::of(&[0xab; 16]);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<RowKey>(&text).unwrap(), key);
        assert!(serde_json::from_str::<RowKey>("\"zz\"").is_err());
    }
}
