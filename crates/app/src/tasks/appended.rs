//! Finds the rows that came into a table since a version of it: what a publish with `write: append` sends.
//!
//! Promise: each row is sent once, also if it is in another file by now (compaction, a table that is written
//! anew with the rows that it had). An append takes nothing back: rows that were sent and are gone or changed
//! stay in the target, and a note says so. If nobody can tell which rows were sent, nothing is sent. It writes
//! nothing. Read next: `publish.rs`, `changes.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Schema;
use futures::{TryStreamExt as _, future};
use towpath_engine::lake::LakeCandidate;
use towpath_flow::can_compare;
use towpath_ports::{BoxStream, Candidate, OpColumn, Query as _, Reader, Result};
use towpath_vocab::{Failure, PublishPlan, Remedy, TableName};

use super::changes::{
    Changes, Pinned, SCHEMA, common, counted, filter_text, quoted, seen_as, sent_columns,
};
use crate::services::ProjectServices;

/// The code of the note about rows that changed after they were sent.
const CHANGED_SINCE: &str = "R0664";

/// The versions of a table between which rows came.
pub(super) struct Appended<'a> {
    pub(super) services: &'a ProjectServices,
    pub(super) publish: &'a PublishPlan,
    pub(super) now: &'a Pinned,
    pub(super) before: u64,
}

impl Appended<'_> {
    /// The rows that came; `None` if none did.
    ///
    /// # Errors
    /// R0665 if this cannot be told.
    pub(super) async fn rows(&self, notes: &mut Vec<String>) -> Result<Option<Box<dyn Reader>>> {
        let (from, lake) = (&self.publish.from, &self.services.lake);
        let unknown = |why: &str| {
            let version = self.before;
            cannot_tell(
                self.publish,
                &format!("version {version} of `{from}`, which was sent, {why}"),
            )
        };
        let Ok(then) = lake.snapshot_at(from, self.before).await else {
            return Err(unknown("cannot be read any more"));
        };
        let (gone, new) = (then.without(&self.now.table), self.now.table.without(&then));
        if gone.files.is_empty() && new.files.is_empty() {
            return Ok(None);
        }
        if gone.files.is_empty() {
            let new = new.with_columns(&self.now.table.schema);
            return self.sent(&[("new", new)], &format!("{SCHEMA}.new")).await;
        }
        if !gone.is_all_there().await? {
            return Err(unknown("was vacuumed"));
        }
        let Some(schema) = common(&then.schema, &self.now.table.schema) else {
            return Err(unknown("has columns of other types"));
        };
        if !can_compare(&schema) {
            return Err(unknown("has columns of a type that cannot be compared"));
        }
        let files = [
            ("gone", gone.with_columns(&schema)),
            ("new", new.with_columns(&schema)),
        ];
        let text = Numbered::of(&schema);
        let lost = self.count(&files, &text.only("gone", "new")).await?;
        if lost > 0 {
            notes.push(self.stay(lost));
        }
        let added = text.only("new", "gone");
        match self.count(&files, &added).await? {
            0 => Ok(None),
            _ => self.sent(&files, &format!("({added}) added")).await,
        }
    }

    /// The note about rows that were sent and are not in the table any more.
    fn stay(&self, lost: u64) -> String {
        let (before, from, target) = (self.before, &self.publish.from, &self.publish.table.target);
        let (rows, stay) = match lost {
            1 => ("1 row".to_owned(), "it stays"),
            lost => (format!("{lost} rows"), "they stay"),
        };
        format!(
            "{rows} of version {before} of `{from}` changed or went since; {stay} in `{target}`, because `append` only adds rows ({CHANGED_SINCE}): with a `key` changes are sent as changes"
        )
    }

    fn candidates(
        &self,
        files: &[(&str, LakeCandidate)],
    ) -> Result<BTreeMap<TableName, Candidate>> {
        let candidate = |(name, files): &(&str, LakeCandidate)| {
            let candidate = Candidate {
                schema: Arc::clone(&files.schema),
                source: self.services.lake.source(&self.publish.from)?,
                native: Arc::new(files.clone()),
            };
            Ok::<_, Failure>((seen_as(name), candidate))
        };
        files.iter().map(candidate).collect()
    }

    async fn count(&self, files: &[(&str, LakeCandidate)], rows: &str) -> Result<u64> {
        let sql = format!("select count(*) as n from ({rows}) counted");
        let candidates = self.candidates(files)?;
        let answer = self.services.engine.query(&sql, &candidates).await?;
        Ok(counted(answer).await?.unwrap_or_default())
    }

    /// A reader of those of these rows that the publish sends.
    async fn sent(
        &self,
        files: &[(&str, LakeCandidate)],
        rows: &str,
    ) -> Result<Option<Box<dyn Reader>>> {
        let schema = &self.now.table.schema;
        let columns = sent_columns(self.publish, schema);
        let filter = filter_text(self.publish.table.filter.as_deref(), schema)?;
        let sql = format!("select {} from {rows}{filter}", names(&columns));
        let candidates = self.candidates(files)?;
        let rows = self.services.engine.query(&sql, &candidates).await?.batches;
        let rows = rows.try_filter_map(|batch| {
            future::ready(Ok(
                (batch.num_rows() > 0).then_some((batch, None::<OpColumn>))
            ))
        });
        let rows: BoxStream<_> = Box::pin(rows);
        Ok(Some(Box::new(Changes::of(
            self.publish,
            &columns,
            &[],
            rows,
        ))))
    }
}

fn names(columns: &Schema) -> String {
    let names = columns.fields().iter().map(|field| quoted(field.name()));
    names.collect::<Vec<_>>().join(", ")
}

/// Rows of which equal ones are told apart by a number, so that they can be compared as often as they come.
struct Numbered {
    names: String,
}

impl Numbered {
    fn of(schema: &Schema) -> Self {
        Self {
            names: names(schema),
        }
    }

    /// The rows of one table that the other does not have.
    fn only(&self, one: &str, other: &str) -> String {
        let Self { names } = self;
        let numbered = |table: &str| {
            format!(
                "select {names}, row_number() over (partition by {names}) as \"towpath:number\" from {SCHEMA}.{table}"
            )
        };
        format!("{} except {}", numbered(one), numbered(other))
    }
}

/// The ways on for an append that does not know what it sent.
const HELP: &str = "`towpath run --full-refresh` makes the target equal to the source, if only this step wrote it; if the target is empty, all rows are sent; with a `key` rows are compared by it";

/// The failure if nobody can tell which rows came since the last publish.
pub(super) fn cannot_tell(publish: &PublishPlan, why: &str) -> Failure {
    let (from, target) = (&publish.from, &publish.table.target);
    let message = format!(
        "which rows of `{from}` are not yet in `{target}` is not known: {why}; nothing was sent"
    );
    Failure::new("R0665", Remedy::FixConfig, message).help(HELP)
}
