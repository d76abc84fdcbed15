//! The model destination and the fake sources pass the conformance suites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{Destination, ReadSpec, Source};
use towpath_testkit::conformance::{
    DestinationUnderTest, SourceUnderTest, line_of_json, read_spec,
};
use towpath_testkit::{
    ChangeFeed, MemoryDestination, ScriptedSource, destination_conformance, endless,
    source_conformance,
};
use towpath_vocab::{ReadMode, TableName, WriteMode};

#[async_trait]
impl DestinationUnderTest for Memory {
    fn modes(&self) -> Vec<WriteMode> {
        MemoryDestination::MODES.to_vec()
    }

    fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.0.clone())
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("memory", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        self.0.schema(table).await.unwrap()?;
        let rows = self.0.rows(table);
        Some(rows.iter().map(|row| line_of_json(row)).collect())
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (Arc::new(self.0.source(table)), read_spec("memory"))
    }
}

#[derive(Default)]
struct Memory(MemoryDestination);

destination_conformance!(memory, Memory::default());

/// A fake source and what it gives.
struct Fake {
    source: ScriptedSource,
    expected: Vec<String>,
    mode: ReadMode,
}

const TOTAL: u64 = 1_000;
const PARTITIONS: u64 = 3;

fn partitions() -> Fake {
    let table = TableName::new("raw", "t");
    let ids = (0..PARTITIONS).flat_map(|split| (0..TOTAL).map(move |n| split * 1_000_000 + n));
    Fake {
        source: endless(table, PARTITIONS as usize, 7, TOTAL),
        expected: ids.map(|id| format!("id={id} value=v{id}")).collect(),
        mode: ReadMode::Full,
    }
}

fn changes() -> Fake {
    let feed = ChangeFeed::random(
        vec![TableName::new("raw", "t"), TableName::new("raw", "u")],
        300,
        7,
    );
    let shown = |change: &towpath_testkit::Change| {
        let value = change.value.as_ref().map(|value| format!(" value={value}"));
        let (id, op) = (change.id, change.op);
        format!("id={id}{} op={op}", value.unwrap_or_default())
    };
    Fake {
        expected: feed.changes().map(shown).collect(),
        source: feed.source(),
        mode: ReadMode::Cdc,
    }
}

#[async_trait]
impl SourceUnderTest for Fake {
    fn reads(&self) -> Vec<ReadMode> {
        vec![self.mode]
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.source.clone())
    }

    fn spec(&self, mode: ReadMode) -> ReadSpec {
        ReadSpec {
            mode,
            ..read_spec("fake")
        }
    }

    fn expected(&self) -> Vec<String> {
        self.expected.clone()
    }

    fn is_endless(&self) -> bool {
        true
    }

    async fn grow(&self) -> Option<Vec<String>> {
        None
    }
}

source_conformance!(an_endless_source, partitions());
source_conformance!(a_change_feed, changes());
