//! Kills of publishes with a history that is not linear: the lakehouse was restored from a backup, two
//! copies of a project write one target in turn, a target is replaced by another one and back.
//!
//! Promise: after every kill a target has either the rows from before or the new ones, and after the next
//! run the new ones. `TOWPATH_KILLS` sets how often each case is killed.

use std::path::Path;
use std::time::Instant;

use towpath_testkit::Dice;

use crate::content::Expected;
use crate::project::{Project, Variant};
use crate::rounds::{Aim, is_settled, kill};
use crate::{FEW, kills, say, standing};

/// What a lakehouse and its project remember.
const REMEMBERED: [&str; 2] = ["lake", ".towpath"];

#[derive(Clone, Copy, Debug)]
enum Case {
    Restored,
    Copied,
    Retargeted,
}

/// Where a publish into this target dies.
fn edges(variant: Variant) -> [&'static str; 5] {
    match variant {
        Variant::Postgres => [
            "publish::looked",
            "postgres::begin",
            "postgres::prepared",
            "postgres::before_commit",
            "postgres::after_commit",
        ],
        Variant::Mysql => [
            "publish::looked",
            "mysql::begin",
            "mysql::prepared",
            "mysql::before_commit",
            "mysql::after_commit",
        ],
        Variant::Sqlite => [
            "publish::looked",
            "sqlite::begin",
            "sqlite::prepared",
            "sqlite::before_commit",
            "sqlite::after_commit",
        ],
        _ => [
            "publish::looked",
            "files::begin",
            "files::before_commit",
            "files::after_commit",
            "files::before_commit",
        ],
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What is remembered, beside the project; what must stand where belongs to it.
fn back_up(project: &Project) -> Expected {
    for folder in REMEMBERED {
        copy(
            &project.dir().join(folder),
            &project.dir().join("kept").join(folder),
        );
    }
    project.new.clone()
}

/// Puts back what was kept, and keeps what was there.
fn swap(project: &mut Project, kept: &mut Expected) {
    for folder in REMEMBERED {
        let (now, then) = (
            project.dir().join(folder),
            project.dir().join("kept").join(folder),
        );
        let between = project.dir().join("between");
        std::fs::rename(&now, &between).unwrap();
        std::fs::rename(&then, &now).unwrap();
        std::fs::rename(&between, &then).unwrap();
    }
    std::mem::swap(&mut project.new, kept);
}

/// The source changes, a run is killed, and its targets hold what they held or what they must hold.
fn killed_and_whole(project: &mut Project, (edge, nth): (&str, usize), what: &str) {
    project.next_version();
    let before = project.seen().sent;
    let hit = kill(project, &Aim::Edge(edge, nth));
    assert!(hit.is_some(), "{what}: never reached");
    for (was, is) in before.iter().zip(project.seen().sent) {
        let must = project.must_be_sent(&is);
        assert!(
            is.rows == was.rows || is.rows == must,
            "{what}: {} holds {} rows, neither the {} of before nor the {} of now",
            is.what,
            is.rows.count,
            was.rows.count,
            must.count
        );
    }
    project.finish_run();
    is_settled(project).unwrap_or_else(|wrong| panic!("{what}, and a rerun: {wrong}"));
}

fn round(project: &mut Project, case: Case, at: (&str, usize)) {
    let what = format!("{}, {case:?}: {}@{}", project.variant.name(), at.0, at.1);
    match case {
        Case::Restored => {
            let mut kept = back_up(project);
            project.next_version();
            project.finish_run();
            swap(project, &mut kept);
            killed_and_whole(project, at, &what);
        }
        Case::Copied => {
            let mut other = back_up(project);
            project.next_version();
            project.finish_run();
            for _ in 0..2 {
                swap(project, &mut other);
                killed_and_whole(project, at, &what);
            }
        }
        Case::Retargeted => {
            let mut other = None;
            for _ in 0..2 {
                project.retarget(&mut other);
                killed_and_whole(project, at, &what);
            }
        }
    }
    let kept = project.dir().join("kept");
    if kept.exists() {
        std::fs::remove_dir_all(kept).unwrap();
    }
}

#[test]
fn killed_after_a_restore_a_copy_or_another_target_publishes_hold_what_they_must() {
    let started = Instant::now();
    let mut dice = Dice(0x7077_2001);
    let mut rounds = 0;
    let variants = [
        Variant::Postgres,
        Variant::Mysql,
        Variant::Sqlite,
        Variant::Files,
    ];
    for variant in variants {
        let mut project = standing(variant, FEW);
        for case in [Case::Restored, Case::Copied, Case::Retargeted] {
            for _ in 0..kills(1) {
                let edge = edges(variant)[rounds % 5];
                // There are two publishes or more, one after the other.
                let nth = 1 + dice.roll(2) as usize;
                round(&mut project, case, (edge, nth));
                rounds += 1;
            }
        }
    }
    let took = started.elapsed();
    say(&format!(
        "killed in {rounds} restored, copied and retargeted projects in {took:.0?}"
    ));
}
