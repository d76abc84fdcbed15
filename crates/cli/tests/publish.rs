//! `publish` into files, as a user writes it down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod desk;

use crate::desk::{Desk, has};

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000002
lakehouse: ./lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: out, writable: true }
";

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  send: { publish: raw, into: out, tables: { t: { format: jsonl } } }
";

#[test]
fn a_file_whose_name_tells_no_format_takes_the_tables_own() {
    let desk = Desk::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", PIPELINE);
    desk.write("data/t.csv", "id,v\n1,x\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t"), "{\"id\":1,\"v\":\"x\"}\n");
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/t.csv", "id,v\n1,x\n2,y\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t").lines().count(), 2);
}
