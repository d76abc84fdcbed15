//! The stored form of rejected records: as they came, or encrypted if a column of the table is masked.
//!
//! Promise: the quarantine contains no clear value of a masked column. A record can be decrypted only with
//! the `mask_key` that encrypted it; equal records give equal text, and the id of a record reveals nothing
//! about its values. Without a key the text of a record is not stored. It does not know where records are
//! stored. Read next: `quarantine.rs`, `docs/decisions/0006-quarantine.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use towpath_ports::{Result, Secrets};
use towpath_vocab::{
    Failure, Mask, RawRecord, RecordLocation, Remedy, SecretTemplate, TableName, TablePlan, TaskKey,
};

use crate::mask::hex;

const TEXT: &str = "text";
const ROW: &str = "row";
const SEALED_TEXT: &str = "sealed_text";
const SEALED_ROW: &str = "sealed_row";
/// The form of a record whose text was not stored.
pub const WITHHELD: &str = "withheld";

/// How rejected records of one table are stored.
#[derive(Clone)]
pub enum RecordSeal {
    /// No column is masked: records are stored as they came.
    Open,
    /// A column is masked: records are encrypted.
    Sealed(SealKeys),
    /// A column is masked and the project has no `mask_key`: the text of records is not stored.
    Withheld,
}

/// The keys that are derived from the `mask_key` of a project; they are never shown.
#[derive(Clone)]
pub struct SealKeys {
    encryption: [u8; 32],
    nonces: [u8; 32],
    ids: [u8; 32],
}

/// The stored form of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The form of `record`: `text`, `row`, `sealed_text`, `sealed_row` or `withheld`.
    pub form: &'static str,
    /// The text.
    pub record: String,
}

impl RecordSeal {
    /// Chooses the stored form for a table.
    ///
    /// # Errors
    /// Those of `secrets`, and R0627 if the key is empty.
    pub async fn of(plan: &TablePlan, secrets: &dyn Secrets) -> Result<Self> {
        let masks = || {
            plan.columns
                .iter()
                .filter_map(|column| column.mask.as_ref())
        };
        if masks().next().is_none() {
            return Ok(Self::Open);
        }
        let Some(key) = masks().find_map(key_of) else {
            return Ok(Self::Withheld);
        };
        let key = secrets.resolve(key).await?;
        match key.is_empty() {
            true => Err(no_key()),
            false => Ok(Self::Sealed(SealKeys::of(key.as_bytes())?)),
        }
    }

    /// Converts a record to its stored form.
    ///
    /// # Errors
    /// R0640 if it is too long to be encrypted.
    pub fn close(&self, table: &TableName, raw: &RawRecord) -> Result<StoredRecord> {
        let (RawRecord::Text(text) | RawRecord::Row(text)) = raw;
        let is_text = matches!(raw, RawRecord::Text(_));
        let stored = |form, record| StoredRecord { form, record };
        Ok(match (self, is_text) {
            (Self::Open, true) => stored(TEXT, text.clone()),
            (Self::Open, false) => stored(ROW, text.clone()),
            (Self::Sealed(keys), true) => stored(SEALED_TEXT, keys.seal(table, text)?),
            (Self::Sealed(keys), false) => stored(SEALED_ROW, keys.seal(table, text)?),
            (Self::Withheld, _) => stored(WITHHELD, String::new()),
        })
    }

    /// Converts a stored record to its raw form; `None` if its text was not stored.
    ///
    /// # Errors
    /// R0641 if another `mask_key` encrypted it, or if the project no longer has one.
    pub fn open(&self, table: &TableName, form: &str, record: &str) -> Result<Option<RawRecord>> {
        let opened = || match self {
            Self::Sealed(keys) => keys.open(table, record),
            Self::Open | Self::Withheld => None,
        };
        Ok(Some(match form {
            TEXT => RawRecord::Text(record.to_owned()),
            SEALED_TEXT => RawRecord::Text(opened().ok_or_else(|| other_key(table))?),
            SEALED_ROW => RawRecord::Row(opened().ok_or_else(|| other_key(table))?),
            WITHHELD => return Ok(None),
            _ => RawRecord::Row(record.to_owned()),
        }))
    }

    /// The id of a record: the same for an equal record at the same location.
    pub fn id(&self, task: &TaskKey, place: &RecordLocation, raw: &RawRecord) -> Result<String> {
        let (RawRecord::Text(text) | RawRecord::Row(text)) = raw;
        let form = match raw {
            RawRecord::Text(_) => TEXT,
            RawRecord::Row(_) => ROW,
        };
        let table = task.table.to_string();
        let ordinal = place.ordinal.to_le_bytes();
        let parts: [&[u8]; 7] = [
            task.project.as_str().as_bytes(),
            task.environment.as_str().as_bytes(),
            table.as_bytes(),
            place.object.as_bytes(),
            &ordinal,
            form.as_bytes(),
            match self {
                Self::Withheld => b"",
                Self::Open | Self::Sealed(_) => text.as_bytes(),
            },
        ];
        let mut framed = Vec::with_capacity(text.len() + 256);
        for part in parts {
            framed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            framed.extend_from_slice(part);
        }
        let digest = match self {
            Self::Sealed(keys) => hex(&keyed(&keys.ids, &framed)?),
            Self::Open | Self::Withheld => hex(&Sha256::digest(&framed)),
        };
        Ok(digest.get(..32).unwrap_or(&digest).to_owned())
    }
}

impl std::fmt::Debug for RecordSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Sealed(_) => "Sealed(…)",
            Self::Withheld => "Withheld",
        })
    }
}

impl SealKeys {
    fn of(key: &[u8]) -> Result<Self> {
        Ok(Self {
            encryption: keyed(key, b"towpath quarantine 1: encryption")?,
            nonces: keyed(key, b"towpath quarantine 1: nonces")?,
            ids: keyed(key, b"towpath quarantine 1: ids")?,
        })
    }

    /// Encrypts a text. The nonce is derived from the text, so a retry gives the same result, and two texts
    /// never share a nonce.
    fn seal(&self, table: &TableName, text: &str) -> Result<String> {
        let table = table.to_string();
        let framed = [table.as_bytes(), b"\0", text.as_bytes()].concat();
        let mut nonce = [0; NONCE_LEN];
        let source = keyed(&self.nonces, &framed)?;
        nonce.copy_from_slice(source.get(..NONCE_LEN).unwrap_or(&[0; NONCE_LEN]));
        let mut sealed = text.as_bytes().to_vec();
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        self.cipher()
            .and_then(|cipher| {
                cipher.seal_in_place_append_tag(
                    nonce_value,
                    Aad::from(table.as_bytes()),
                    &mut sealed,
                )
            })
            .map_err(|_| not_sealed(&table))?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    fn open(&self, table: &TableName, record: &str) -> Option<String> {
        let bytes = STANDARD.decode(record).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let table = table.to_string();
        let cipher = self.cipher().ok()?;
        let text = cipher
            .open_in_place(nonce, Aad::from(table.as_bytes()), &mut sealed)
            .ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn cipher(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.encryption).map(LessSafeKey::new)
    }
}

/// The key of a mask, if it has one.
fn key_of(mask: &Mask) -> Option<&SecretTemplate> {
    match mask {
        Mask::Hash(key) | Mask::NullSealed(key) => Some(key),
        Mask::Null => None,
    }
}

fn keyed(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| no_key())?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

pub(crate) fn no_key() -> Failure {
    let message = "a column is to be masked, but the key is empty";
    Failure::new("R0627", Remedy::FixConfig, message).help(
        "a hash without a key can be reversed by guessing: set the secret that `mask_key` names",
    )
}

fn not_sealed(table: &str) -> Failure {
    let message = format!("a rejected record of `{table}` is too long to be encrypted");
    Failure::new("R0640", Remedy::FixData, message)
        .help("lower `max_record_bytes` of the source, so that such records are cut off")
}

fn other_key(table: &TableName) -> Failure {
    let message =
        format!("rejected records of `{table}` were encrypted with a different `mask_key`");
    Failure::new("R0641", Remedy::FixConfig, message)
        .help("set the `mask_key` that the project had when they were rejected")
        .help(format!(
            "or discard them: towpath quarantine discard {table}"
        ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::TaskKind;

    use super::*;

    fn sealed(key: &str) -> RecordSeal {
        RecordSeal::Sealed(SealKeys::of(key.as_bytes()).unwrap())
    }

    fn task() -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: "e".into(),
            pipeline: "p".into(),
            step: "s".into(),
            kind: TaskKind::Step,
            table: "raw.people".parse().unwrap(),
        }
    }

    #[test]
    fn a_sealed_record_opens_with_its_key_and_its_table_alone() {
        let table: TableName = "raw.people".parse().unwrap();
        let raw = RawRecord::Text("1,Ada,secret\u{e9}".to_owned());
        let stored = sealed("k").close(&table, &raw).unwrap();
        assert_eq!(stored.form, SEALED_TEXT);
        assert!(!stored.record.contains("Ada"));
        assert_eq!(sealed("k").close(&table, &raw).unwrap(), stored);
        let open = |seal: RecordSeal, table: &str| {
            seal.open(&table.parse().unwrap(), stored.form, &stored.record)
        };
        assert_eq!(open(sealed("k"), "raw.people").unwrap(), Some(raw));
        for (seal, table) in [
            (sealed("other"), "raw.people"),
            (sealed("k"), "raw.others"),
            (RecordSeal::Open, "raw.people"),
        ] {
            assert_eq!(open(seal, table).unwrap_err().code, "R0641");
        }
        let damaged = sealed("k").open(&table, SEALED_ROW, "AAAA");
        assert_eq!(damaged.unwrap_err().code, "R0641");
    }

    #[test]
    fn records_that_were_kept_as_they_came_still_open() {
        let table: TableName = "raw.people".parse().unwrap();
        let opened = |form: &str, text: &str| sealed("k").open(&table, form, text).unwrap();
        assert_eq!(opened(TEXT, "1,Ada"), Some(RawRecord::Text("1,Ada".into())));
        assert_eq!(opened(ROW, "{}"), Some(RawRecord::Row("{}".into())));
        assert_eq!(opened(WITHHELD, ""), None);
    }

    #[test]
    fn an_id_follows_from_the_record_only_for_who_has_the_key() {
        let place = RecordLocation {
            object: "people.csv".to_owned(),
            line: Some(2),
            ordinal: 7,
        };
        let id = |seal: &RecordSeal, text: &str| {
            seal.id(&task(), &place, &RawRecord::Text(text.to_owned()))
                .unwrap()
        };
        assert_eq!(id(&sealed("k"), "Ada"), id(&sealed("k"), "Ada"));
        assert_ne!(id(&sealed("k"), "Ada"), id(&sealed("k"), "Bob"));
        assert_ne!(id(&sealed("k"), "Ada"), id(&sealed("l"), "Ada"));
        assert_ne!(id(&sealed("k"), "Ada"), id(&RecordSeal::Open, "Ada"));
        assert_eq!(
            id(&RecordSeal::Withheld, "Ada"),
            id(&RecordSeal::Withheld, "Bob")
        );
    }
}
