//! Looks around in an API: its endpoints are what the connection says, their columns what a page shows.
//!
//! Promise: it reads the first pages only, of an endpoint that depends on another those for a few of its
//! records, and infers types as a load does. It changes nothing. Read next: `source.rs`, and `probe/` for
//! endpoints that no table declares.

use std::collections::BTreeMap;

use async_trait::async_trait;
use glob::Pattern;
use towpath_ports::{Discover, Discovered, Proposal, ReadSpec, Result, TestReport};
use towpath_vocab::{ReadMode, Selection, TableName};

use super::client::Client;
use super::error::RestError;
use super::probe;
use super::source::{Fetched, ReadScope, RestSource};

/// Records that are looked at.
const LOOKED_AT: u64 = 1_000;
/// Records of a parent that are looked at.
const PARENTS: usize = 5;

/// An API to look around in.
pub(super) struct RestDiscover {
    pub(super) source: RestSource,
}

fn sample_spec(connection: &str, table: &str, limit: u64) -> ReadSpec {
    ReadSpec {
        table: TableName::new(connection, table),
        selection: Selection::Object(table.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: Some(limit),
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

impl RestDiscover {
    /// The first records of an endpoint.
    async fn first(&self, spec: &ReadSpec) -> Result<Fetched> {
        let chain = self.source.chain(spec)?;
        let extent = ReadScope {
            cursor: None,
            limit: spec.limit,
            most_parents: Some(PARENTS),
            ..ReadScope::default()
        };
        self.source.fetch(&chain, extent).await
    }

    /// The endpoint that a test asks: one that depends on no other, if there is one.
    fn tested(&self) -> Result<String, RestError> {
        let options = &self.source.options;
        let mut found = None;
        for name in options.read_names() {
            let chain = options.chain(name, &BTreeMap::new())?;
            let has_job = chain.iter().any(|endpoint| endpoint.job.is_some());
            if chain.len() == 1 && !has_job {
                return Ok(name.clone());
            }
            // A test should not start a job.
            found = found.filter(|_| has_job).or(Some(name.clone()));
        }
        found.ok_or_else(|| RestError::NoTable {
            connection: self.source.plan.name.clone(),
            table: "*".to_owned(),
            known: Vec::new(),
        })
    }
}

#[async_trait]
impl Discover for RestDiscover {
    async fn tables(&self, pattern: &str) -> Result<Vec<String>> {
        let glob = Pattern::new(pattern).map_err(|_| RestError::NoTable {
            connection: self.source.plan.name.clone(),
            table: pattern.to_owned(),
            known: self.source.options.names().cloned().collect(),
        })?;
        let names = self
            .source
            .options
            .read_names()
            .filter(|name| glob.matches(name));
        Ok(names.cloned().collect())
    }

    async fn describe(&self, object: &str) -> Result<Discovered> {
        let spec = sample_spec(&self.source.plan.name, object, LOOKED_AT);
        let fetched = self.first(&spec).await?;
        if fetched.records == 0 {
            return Err(RestError::NoColumns {
                table: object.to_owned(),
            }
            .into());
        }
        let files = self.source.files(&fetched.spool, object);
        let (settled, _) = files.settle(&super::source::of_file(&spec), true).await?;
        let names = || {
            settled
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
        };
        Ok(Discovered {
            object: object.to_owned(),
            key: names().filter(|name| name == "id").collect(),
            cursor: names()
                .find(|name| matches!(name.as_str(), "updated_at" | "modified_at" | "updated")),
            schema: settled.schema.clone(),
            rows: None,
            notes: settled.notes,
        })
    }

    async fn propose(&self, path: &str) -> Result<Option<Proposal>> {
        probe::propose(&self.source, path).await.map(Some)
    }

    async fn test(&self) -> Result<TestReport> {
        let options = &self.source.options;
        if options.read_names().next().is_none() && options.names().next().is_some() {
            // Secrets and options are looked at; a request could write.
            let RestSource { plan, context, .. } = &self.source;
            Client::open(plan, options, context).await?;
            return Ok(TestReport {
                system: options.url.to_string(),
                notes: vec![
                    "rows are only sent to its tables, so the API was not asked".to_owned(),
                ],
            });
        }
        let table = self.tested()?;
        let spec = sample_spec(&self.source.plan.name, &table, 1);
        let fetched = self.first(&spec).await?;
        let records = match fetched.records {
            0 => "no record",
            _ => "records",
        };
        Ok(TestReport {
            system: self.source.options.url.to_string(),
            notes: vec![format!("`{table}` gives {records}")],
        })
    }
}
