//! Fills the stage: rows are gathered and sent, by `LOAD DATA LOCAL` where the server allows it, else by `INSERT`.
//!
//! Promise: the server took as many rows as were sent, without a warning: it would report a value that it changed
//! as one. Memory holds the rows of one statement. Read next: `encode.rs`, `writer.rs`.

use arrow_array::{RecordBatch, UInt8Array};
use tokio::sync::Mutex;
use towpath_ports::WriteRequest;
use towpath_vocab::WriteMode;

use super::align::{is_long, key_characters};
use super::encode::{Encoded, Form};
use super::error::{MysqlError, Result};
use super::session::{Done, Session};
use super::sql::{PLACE, STAGE};
use super::target::Facts;
use crate::relational::modes::is_keyed;
use crate::relational::statements::OP;

/// A `LOAD DATA` has about so many bytes.
const LOAD_BYTES: usize = 4 << 20;
/// An `INSERT` has about so many, and at most half of what the server takes.
const INSERT_BYTES: usize = 512 << 10;

/// A warning about how a server writes its own log, not about a value.
const OF_THE_LOG: &str = "1592";
/// A warning that the server does not show.
const UNKNOWN: &str = "unknown";

/// Rows on their way into the stage.
pub(super) struct Filling {
    form: Form,
    /// A statement is sent when it is about as long.
    full: usize,
    /// An `INSERT` is shorter.
    longest: usize,
    /// The columns of the stage.
    columns: String,
    /// Key columns whose length is limited, and to how many characters.
    limited: Vec<String>,
    characters: usize,
    rows: Vec<u8>,
    count: u64,
    bytes: u64,
}

impl Filling {
    pub(super) fn new(intent: &WriteRequest, facts: &Facts) -> Self {
        let fields = intent.schema.fields();
        let mut columns: Vec<String> = vec![PLACE.to_owned()];
        columns.extend((0..fields.len()).map(|at| format!("c{at}")));
        if intent.write.mode == WriteMode::Merge {
            columns.push(OP.to_owned());
        }
        let keys = intent.write.key.iter().filter(|name| {
            let found = intent.schema.field_with_name(name);
            is_keyed(intent.write.mode) && found.is_ok_and(|field| is_long(field.data_type()))
        });
        let (form, full) = match facts.loads {
            true => (Form::Lines, LOAD_BYTES),
            false => (Form::Values, INSERT_BYTES.min(facts.packet / 2)),
        };
        Self {
            form,
            full,
            longest: facts.packet,
            columns: columns.join(", "),
            limited: keys.cloned().collect(),
            characters: key_characters(intent),
            rows: Vec::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// Adds rows; sends them when there are many.
    pub(super) async fn add(
        &mut self,
        session: &Mutex<Session>,
        (batch, ops, before): (RecordBatch, Option<UInt8Array>, u64),
    ) -> Result<()> {
        let most = |name: &str| {
            let is_limited = self.limited.iter().any(|limited| limited == name);
            is_limited.then_some(self.characters)
        };
        let encoded = Encoded::of(&batch, ops, before, most)?;
        for row in 0..encoded.rows() {
            let before = self.rows.len();
            if self.form == Form::Values && self.count > 0 {
                self.rows.push(b',');
            }
            encoded.write_row(row, self.form, &mut self.rows)?;
            if self.form == Form::Values
                && self.count > 0
                && self.statement().len() + self.rows.len() + 1 >= self.longest
            {
                // It has no room beside the others.
                let alone = self.rows.split_off(before);
                self.send(session).await?;
                self.rows
                    .extend_from_slice(alone.get(1..).unwrap_or_default());
            }
            self.count += 1;
            if self.rows.len() >= self.full {
                self.send(session).await?;
            }
        }
        Ok(())
    }

    /// Sends what is left; how many bytes there were.
    pub(super) async fn finish(&mut self, session: &Mutex<Session>) -> Result<u64> {
        self.send(session).await?;
        Ok(self.bytes)
    }

    /// What stands before the values of an `INSERT`.
    fn statement(&self) -> String {
        format!("INSERT INTO {STAGE} ({}) VALUES ", self.columns)
    }

    async fn send(&mut self, session: &Mutex<Session>) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let doing = "filling the stage";
        let mut session = session.lock().await;
        let done = match self.form {
            Form::Lines => {
                let sql = format!(
                    "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {STAGE} CHARACTER SET binary \
                     FIELDS TERMINATED BY 0x09 ENCLOSED BY '' ESCAPED BY 0x5c LINES TERMINATED BY 0x0a ({})",
                    self.columns
                );
                session.load(&sql, &self.rows, doing).await?
            }
            Form::Values => {
                let mut sql = self.statement().into_bytes();
                sql.append(&mut self.rows);
                session.change_by(&sql, doing).await?
            }
        };
        check(&mut session, done, self.count).await?;
        self.bytes += self.rows.len() as u64;
        self.rows.clear();
        self.count = 0;
        Ok(())
    }
}

/// Refuses rows that the server changed or left out: in a `LOAD DATA LOCAL` that is no error for it.
async fn check(session: &mut Session, done: Done, sent: u64) -> Result<()> {
    let codes = warnings(session, done).await?;
    let first = codes.into_iter().find(|code| code != OF_THE_LOG);
    if done.rows == sent && first.is_none() {
        return Ok(());
    }
    Err(MysqlError::Changed {
        table: "the stage".to_owned(),
        reason: format!(
            "of {sent} rows it took {}, with {} warnings (the first is {})",
            done.rows,
            done.warnings,
            first.as_deref().unwrap_or(UNKNOWN)
        ),
    })
}

/// The codes of the warnings about the statement before; a word for those that the server does not show.
pub(super) async fn warnings(session: &mut Session, done: Done) -> Result<Vec<String>> {
    if done.warnings == 0 {
        return Ok(Vec::new());
    }
    let rows = session.rows("SHOW WARNINGS", "asking for warnings").await?;
    let codes = rows
        .into_iter()
        .filter_map(|row| row.into_iter().nth(1).flatten());
    let mut codes: Vec<String> = codes.collect();
    if codes.len() < usize::from(done.warnings) {
        codes.push(UNKNOWN.to_owned());
    }
    Ok(codes)
}
