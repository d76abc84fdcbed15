//! The HTTP API of `towpath serve`, with the real binary over real connections: who may ask, that answers have the
//! form of the commands, browsers, runs that are submitted once, servers that are killed, and the events.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod client;
#[path = "../test_project/mod.rs"]
mod test_project;

mod answers;
mod asking;
mod events;
mod logs;
mod metrics;
mod sessions;
mod submitted;

use crate::test_project::TestProject;

/// A project with one pipeline, which says where it is and waits until it may go on.
pub(crate) fn project() -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: shop\nid: 5f0c2a1e\nlakehouse: ./lake\n",
    );
    desk.write(
        "pipelines/often.yml",
        "steps: { s: { command: [sh, step.sh] } }\n",
    );
    desk.write(
        "step.sh",
        "echo begun >> begun.txt\nwhile test -e hold; do sleep 0.05; done\necho \"$TOWPATH_RUN_ID\" >> seen.txt\n",
    );
    desk
}
