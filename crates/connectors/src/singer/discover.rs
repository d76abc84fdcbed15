//! Looks around in a tap: its streams are what its catalog says, their columns what their schemas say.
//!
//! Promise: the tap is asked for its catalog, and started for a stream only if the connection says that it has
//! none. A target is never started. Whether times have an offset only records tell, so a note says which
//! columns have them. Read next: `catalog.rs`, `source.rs`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use glob::Pattern;
use towpath_ports::{Discover, Discovered, ReadSpec, Result, TestReport};
use towpath_vocab::{ReadMode, Selection, TableName};

use super::catalog::Catalog;
use super::columns::StreamColumns;
use super::error::SingerError;
use super::source::SingerSource;

/// A tap to look around in.
pub(super) struct SingerDiscover {
    pub(super) source: SingerSource,
}

fn sample(connection: &str, stream: &str) -> ReadSpec {
    ReadSpec {
        table: TableName::new(connection, stream),
        selection: Selection::Object(stream.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 1_000,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

impl SingerDiscover {
    /// The catalog; `None` if the connection says that the tap has none.
    async fn asked(&self) -> Result<Option<Catalog>, SingerError> {
        let settings = &self.source.tap.settings;
        match settings.writable {
            true => Err(SingerError::Catalog {
                program: settings.program(),
                why: "is not asked for: a connection with `writable: true` is a target, which has none"
                    .to_owned(),
            }),
            false => self.source.tap.catalog().await,
        }
    }

    async fn catalog(&self) -> Result<Catalog, SingerError> {
        let catalog = self.asked().await?;
        catalog.ok_or_else(|| SingerError::Catalog {
            program: self.source.tap.settings.program(),
            why: "is not asked for, because the connection says `discover: false`: name streams as they are"
                .to_owned(),
        })
    }
}

#[async_trait]
impl Discover for SingerDiscover {
    async fn tables(&self, pattern: &str) -> Result<Vec<String>> {
        let catalog = self.catalog().await?;
        let ids: Vec<String> = catalog.streams().map(|stream| stream.id()).collect();
        let glob = Pattern::new(pattern).map_err(|_| SingerError::NoStream {
            connection: self.source.tap.settings.connection.clone(),
            stream: pattern.to_owned(),
            known: ids.clone(),
        })?;
        Ok(ids.into_iter().filter(|id| glob.matches(id)).collect())
    }

    async fn describe(&self, object: &str) -> Result<Discovered> {
        let catalog = self.asked().await?;
        let connection = &self.source.tap.settings.connection;
        let spec = sample(connection, object);
        let settled = self.source.look(&spec, catalog.as_ref()).await?;
        let settled = settled.ok_or_else(|| SingerError::Schema {
            stream: object.to_owned(),
            why: "is not known: the tap gave none".to_owned(),
        })?;
        let mut notes = settled.notes;
        let mut key = Vec::new();
        if let Some(catalog) = &catalog {
            let found = catalog.find(connection, object)?;
            key = found.key();
            let unsupported = found.unsupported().into_iter();
            notes.extend(unsupported.map(|name| format!("the tap does not support `{name}`")));
            let columns = StreamColumns::read(object, &found.schema(), &Vec::new())?;
            let times: Vec<&str> = columns.times().collect();
            if !times.is_empty() {
                let times = times.join("`, `");
                notes.push(format!(
                    "`{times}`: a load finds out from the first records whether these times have an offset"
                ));
            }
        }
        Ok(Discovered {
            object: object.to_owned(),
            schema: settled.columns.schema,
            key,
            // Connections of this type take no `cursor`: the tap keeps its own state.
            cursor: None,
            rows: None,
            notes,
        })
    }

    async fn test(&self) -> Result<TestReport> {
        let program = self.source.tap.settings.program();
        if self.source.tap.settings.writable {
            return Ok(TestReport {
                system: format!("Singer target {program}"),
                notes: vec!["a target is started by a publish only: nothing was asked".to_owned()],
            });
        }
        let notes = match self.source.tap.catalog().await? {
            Some(catalog) => vec![format!("streams: {}", catalog.streams().count())],
            None => vec!["its catalog is not asked for: `discover: false`".to_owned()],
        };
        Ok(TestReport {
            system: format!("Singer tap {program}"),
            notes,
        })
    }
}
