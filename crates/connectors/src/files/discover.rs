//! Discovers a folder or a bucket: its files, their formats and columns.
//!
//! Promise: it only reads, and infers types in the same way as a load (`infer.rs`). It does not choose
//! how to load a file: `app/src/init` does.

use async_trait::async_trait;
use towpath_ports::{Discover, Discovered, ReadSpec, Result, TestReport};
use towpath_vocab::{ReadMode, Selection, TableName};

use super::names::name_parts;
use super::root::Root;
use super::source::FilesSource;

/// A place to look around in.
pub(crate) struct FilesDiscover {
    pub(crate) source: FilesSource,
}

#[async_trait]
impl Discover for FilesDiscover {
    async fn tables(&self, pattern: &str) -> Result<Vec<String>> {
        let mut names = self.source.root.matching(pattern).await?;
        names.retain(|name| {
            name_parts(name.rsplit('/').next().unwrap_or(name))
                .format
                .is_some()
        });
        Ok(names)
    }

    async fn describe(&self, object: &str) -> Result<Discovered> {
        let spec = ReadSpec {
            table: TableName::new(self.source.connection.name.clone(), object),
            selection: Selection::Object(object.to_owned()),
            mode: ReadMode::Full,
            cursor: None,
            declared: Vec::new(),
            known: None,
            observed: None,
            projection: None,
            limit: None,
            options: std::collections::BTreeMap::new(),
            parallel: 1,
            batch_rows: 8192,
            batch_bytes: 4 << 20,
            may_repeat: false,
        };
        let (settled, _) = self.source.settle(&spec, true).await?;
        Ok(Discovered {
            object: object.to_owned(),
            schema: settled.schema,
            key: Vec::new(),
            cursor: None,
            rows: settled.rows,
            notes: settled.notes,
        })
    }

    async fn test(&self) -> Result<TestReport> {
        if let Root::Server(server) = &self.source.root
            && !server.names_files()
        {
            return Ok(TestReport {
                system: self.source.root.system(),
                notes: vec!["it was not asked: a server does not list its files".to_owned()],
            });
        }
        let names = match &self.source.root {
            Root::Server(server) => server.asked(&self.source.connection).await?,
            root => root.matching("*").await?,
        };
        let readable = names
            .iter()
            .filter(|name| name_parts(name).format.is_some())
            .count();
        let files = if names.len() == 1 { "file" } else { "files" };
        Ok(TestReport {
            system: self.source.root.system(),
            notes: vec![format!(
                "{} {files}, {readable} of a known format",
                names.len()
            )],
        })
    }
}
