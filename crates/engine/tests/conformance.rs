//! The lakehouse passes the suite of destinations; it is opened again for each check, as by another
//! process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt as _;
use towpath_engine::Lake;
use towpath_ports::{Assignment, Destination, Event, ReadSpec, Source};
use towpath_testkit::conformance::{DestinationUnderTest, lines_of_batch, read_spec};
use towpath_testkit::destination_conformance;
use towpath_vocab::{TableName, WriteMode, added_fields};

struct TestProject(tempfile::TempDir);

fn project() -> TestProject {
    TestProject(tempfile::tempdir().unwrap())
}

impl TestProject {
    fn lake(&self) -> Lake {
        let root = self.0.path().join("lake");
        Lake::open(root.to_str().unwrap(), 64 << 20).unwrap()
    }
}

#[async_trait]
impl DestinationUnderTest for TestProject {
    fn modes(&self) -> Vec<WriteMode> {
        // Those with history have a suite of their own.
        let modes = Lake::WRITES.iter().copied();
        modes
            .filter(|mode| added_fields(*mode).is_empty())
            .collect()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.lake())
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("raw", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let lake = self.lake();
        lake.schema(table).await.unwrap()?;
        let source = lake.source(table).unwrap();
        let mut reader = source.open(&read_spec("look"), None).await.unwrap();
        let mut splits = reader.splits();
        let mut lines = Vec::new();
        while let Some(assignment) = splits.next().await {
            let Assignment::Assigned(mut split) = assignment.unwrap() else {
                continue;
            };
            while let Some(event) = split.events.next().await {
                if let Event::Rows(rows) = event.unwrap() {
                    lines.extend(lines_of_batch(&rows.batch));
                }
            }
        }
        Some(lines)
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (self.lake().source(table).unwrap(), read_spec("back"))
    }
}

destination_conformance!(lake, project());
