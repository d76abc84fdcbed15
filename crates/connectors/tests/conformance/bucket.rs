//! Files in a bucket: one object, and one object per commit, looked at through the server behind it. How files are
//! read from a bucket is in `cli/tests/bucket_files.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde_json::json;
use towpath_ports::{ConnectorContext, Destination, ReadSpec, Result, Secrets, Source};
use towpath_testkit::conformance::{Ample, DestinationUnderTest, Limits, read_spec};
use towpath_testkit::destination_conformance;
use towpath_testkit::s3::S3Server;
use towpath_vocab::{ConnectionPlan, OptionValue, SecretTemplate, TableName, WriteMode};

use super::connector;
use super::files::rows_of;

static PREFIXES: AtomicU32 = AtomicU32::new(0);

const BUCKET: &str = "lake";

/// A prefix of its own on the shared server.
struct Prefix {
    server: Arc<S3Server>,
    prefix: String,
    /// The folder of the project, where files are on their way.
    project: tempfile::TempDir,
    format: &'static str,
    /// A table is a folder with one object per commit.
    many: bool,
}

fn prefix(format: &'static str, many: bool) -> Prefix {
    let number = PREFIXES.fetch_add(1, Ordering::SeqCst);
    Prefix {
        server: S3Server::shared().unwrap(),
        prefix: format!("out {number}"),
        project: tempfile::tempdir().unwrap(),
        format,
        many,
    }
}

/// The environment of a process that may use the server.
struct Environment(Vec<(String, String)>);

#[async_trait]
impl Secrets for Environment {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }

    fn variables(&self, begin: &str) -> BTreeMap<String, String> {
        let meant = self.0.iter().filter(|(name, _)| name.starts_with(begin));
        meant.cloned().collect()
    }
}

impl Prefix {
    fn context(&self) -> ConnectorContext {
        let variables = S3Server::variables(&self.server.endpoint());
        ConnectorContext {
            secrets: Arc::new(Environment(variables)),
            ..Ample::context(self.project.path())
        }
    }

    fn plan(&self) -> ConnectionPlan {
        let path = json!(format!("s3://{BUCKET}/{}", self.prefix));
        ConnectionPlan {
            name: "out".to_owned(),
            kind: "files".to_owned(),
            writable: true,
            options: BTreeMap::from([("path".to_owned(), OptionValue::Plain(path))]),
        }
    }

    /// The rows of one object.
    fn rows(&self, name: &str) -> Option<Vec<String>> {
        let key = format!("{}/{name}", self.prefix);
        let bytes = self.server.get(BUCKET, &key).unwrap()?;
        let file = self.project.path().join("looked-at");
        fs::write(&file, bytes).unwrap();
        Some(rows_of(&file, self.format))
    }
}

#[async_trait]
impl DestinationUnderTest for Prefix {
    fn modes(&self) -> Vec<WriteMode> {
        connector("files").spec().writes
    }

    fn limits(&self) -> Limits {
        Limits {
            new_columns: self.format != "csv" || self.many,
            types: self.format == "parquet",
            ..Limits::default()
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        connector("files")
            .destination(&self.plan(), &self.context())
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        let end = if self.many {
            "/".to_owned()
        } else {
            format!(".{}", self.format)
        };
        TableName::new("out", format!("{name}{end}"))
    }

    fn options(&self) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::from([("format".to_owned(), json!(self.format))])
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        if !self.many {
            return self.rows(table.table());
        }
        let folder = format!("{}/{}", self.prefix, table.table().trim_end_matches('/'));
        let names = self.server.names(BUCKET, &folder).unwrap();
        let parts: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with("part-"))
            .collect();
        let rows = parts
            .iter()
            .flat_map(|part| self.rows(&format!("{}{part}", table.table())).unwrap());
        (!parts.is_empty()).then(|| rows.collect())
    }

    fn reading(&self, table: &TableName, known: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        let object = match self.many {
            true => format!("{}*.{}", table.table(), self.format),
            false => table.table().to_owned(),
        };
        let spec = ReadSpec {
            known: (self.format != "parquet").then(|| Arc::clone(known)),
            ..read_spec(&object)
        };
        let source = connector("files").source(&self.plan(), &self.context());
        (source.unwrap(), spec)
    }
}

destination_conformance!(into_a_csv_object, prefix("csv", false));
destination_conformance!(into_a_parquet_object, prefix("parquet", false));
destination_conformance!(into_objects_of_jsonl, prefix("jsonl", true));
destination_conformance!(into_objects_of_parquet, prefix("parquet", true));
