//! Kills at failpoints that a plain run does not pass: in a compaction, in the cleanup after a killed
//! writer, in the naming of a checkpoint. The rows do not change, and the next commands work as usual.
//!
//! Promise: the destination is the lakehouse only; failpoints of plain runs are in `main.rs`.

use crate::FEW;
use crate::project::{Project, Variant, said};
use crate::rounds::{Aim, is_settled, kill, kill_command};
use crate::standing;

const COMPACT: [&str; 3] = ["lake", "compact", "raw.items"];
/// Every tenth version of a table has a checkpoint.
const VERSIONS: u64 = 10;

/// One more version of the source, with a run that is killed at this edge if it passes it.
fn grows_until_killed(project: &mut Project, edge: &str) -> bool {
    project.next_version();
    let hit = kill(project, &Aim::Edge(edge, 1)).is_some();
    settles(project, edge);
    hit
}

/// Nothing is half there, and a run brings what is missing.
fn settles(project: &Project, edge: &str) {
    project
        .is_whole(&project.seen())
        .unwrap_or_else(|wrong| panic!("after a kill at {edge}: {wrong}"));
    project.finish_run();
    is_settled(project).unwrap_or_else(|wrong| panic!("after a kill at {edge} and a run: {wrong}"));
}

#[test]
fn a_checkpoint_without_its_name_is_none() {
    let edge = "lake::before_checkpoint_name";
    let mut project = standing(Variant::LakeAppend, FEW);
    let hits = (0..VERSIONS)
        .filter(|_| grows_until_killed(&mut project, edge))
        .count();
    assert!(hits > 0, "{edge} was not reached in {VERSIONS} versions");
}

#[test]
fn a_dead_writer_is_cleared_up_after_however_often_that_is_stopped() {
    let edge = "lake::before_burial";
    let mut project = standing(Variant::LakeAppend, FEW);
    for dies_at in ["lake::write", "lake::before_link", "lake::after_commit"] {
        project.next_version();
        assert!(kill(&project, &Aim::Edge(dies_at, 1)).is_some());
        assert!(
            kill(&project, &Aim::Edge(edge, 1)).is_some(),
            "nobody was buried after a death at {dies_at}"
        );
        settles(&project, edge);
        assert_eq!(
            project.attempt_markers(),
            0,
            "markers of attempts after {dies_at}"
        );
    }
}

#[test]
fn a_compaction_that_is_killed_changes_no_row() {
    let edge = "lake::compacted";
    let mut project = standing(Variant::LakeAppend, FEW);
    project.next_version();
    project.finish_run();
    let before = (project.seen(), project.versions());
    assert!(
        kill_command(&project, &COMPACT, edge),
        "{edge} was not reached"
    );
    assert_eq!((project.seen(), project.versions()), before);
    let output = project.command(&COMPACT).output().expect("starts");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(project.seen(), before.0);
    assert_ne!(project.versions(), before.1, "nothing was put together");
    assert_eq!(project.attempt_markers(), 0, "markers of attempts");
    settles(&project, edge);
}
