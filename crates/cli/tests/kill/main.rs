//! The kill loop: a process that is killed at every failpoint of a commit, and at random moments, loses no
//! row, duplicates none and shows no partial result, on each destination; the next run completes it, and
//! two more have nothing to do.
//!
//! `TOWPATH_KILLS=100` (`make chaos`) sets how often it is killed at each failpoint and at random. With the
//! token check of the lakehouse disabled, the loop must fail; a test checks this. Read next: `rounds.rs`,
//! `project.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod content;
mod feed;
mod look;
mod maintenance;
mod outside;
mod project;
mod restored;
mod rounds;
mod summary;

use std::io::Write;
use std::time::{Duration, Instant};

use towpath_testkit::Dice;

use crate::project::{Project, VARIANTS, Variant};
use crate::rounds::{
    Aim, Besides, PHASES, Phase, edges, is_settled, kill, moment, round, stretches, watch, window,
};
use crate::summary::Table;

/// Rows of the source when every edge is tried.
const FEW: u64 = 2_000;
/// Rows of the source at first when kills are random; more until a run takes `LONG_ENOUGH`.
const MANY: u64 = 40_000;
const LONG_ENOUGH: Duration = Duration::from_millis(700);
/// Random kills of each variant in `make test`: with nine variants, some ten for each phase.
const AT_RANDOM: usize = 6;
/// Random kills that must hit each phase, over all destinations.
const LEAST: usize = 5;

const OF_THE_COMMAND: &str = "of a command of `lake`, which no run is";
const OF_ITS_OWN: &str = "not of a plain run; killed there in maintenance.rs";
const OF_A_PROGRAM: &str = "of a program of a step; killed there in tests/operate.rs";
const OF_ADBC: &str = "of a write into DuckDB, which no project here publishes into";
const OF_AN_API: &str = "of a publish to an API; killed there in tests/reverse_etl/interrupted.rs";
const OF_A_TARGET: &str =
    "of a publish to a Singer target, which repeats rows; killed there in tests/singer/targets.rs";
const OF_SERVE: &str = "only `towpath serve` decides what is due: tests/serve.rs kills it";

/// Edges no run of these projects passes, each with the reason.
const NEVER_PASSED: &[(&str, &str)] = &[
    ("adbc::write", OF_ADBC),
    ("command::finished", OF_A_PROGRAM),
    ("command::settled", OF_A_PROGRAM),
    ("lake::after_restore", OF_THE_COMMAND),
    ("lake::before_restore", OF_THE_COMMAND),
    ("lake::restore_position_written", OF_THE_COMMAND),
    ("lake::compacted", OF_ITS_OWN),
    ("lake::before_burial", OF_ITS_OWN),
    ("lake::before_checkpoint_name", OF_ITS_OWN),
    (
        "lake::before_deleting_dropped",
        "a table gives way to a view",
    ),
    ("lake::view_stands", "a table gives way to a view"),
    ("orchestrator::before_schedule", OF_SERVE),
    ("orchestrator::after_schedule", OF_SERVE),
    ("singer::delivered", OF_A_TARGET),
    ("rest::delivery_stands", OF_AN_API),
    ("rest::before_request", OF_AN_API),
    ("rest::answered", OF_AN_API),
    ("rest::journaled", OF_AN_API),
    ("rest::between_keys_and_commit", OF_AN_API),
    ("rest::after_commit", OF_AN_API),
];

/// How often each edge is killed, and how often at random.
fn kills(usual: usize) -> usize {
    std::env::var("TOWPATH_KILLS").ok().map_or(usual, |said| {
        said.parse().expect("TOWPATH_KILLS is a number")
    })
}

/// A project whose tables hold a first version.
fn standing(variant: Variant, size: u64) -> Project {
    let mut project = Project::new(variant, size);
    project.next_version();
    project.finish_run();
    is_settled(&project).unwrap_or_else(|wrong| panic!("{}: a first run: {wrong}", variant.name()));
    project
}

/// Says what a summary says also where tests that pass are silent.
fn say(text: &str) {
    let out = &mut std::io::stdout().lock();
    writeln!(out, "{text}").unwrap();
}

#[test]
fn killed_at_every_edge_nothing_is_lost_or_doubled() {
    let started = Instant::now();
    let mut table = Table::new("edge", VARIANTS.iter().map(|variant| variant.name()));
    let mut red = Vec::new();
    for (column, variant) in VARIANTS.into_iter().enumerate() {
        red.extend(at_every_edge(variant, column, &mut table));
    }
    say(&format!(
        "{table}\nkilled at every edge in {:.0?}",
        started.elapsed()
    ));
    assert!(red.is_empty(), "{}", red.join("\n\n"));
    for edge in edges() {
        let is_killed = table.total(edge) > 0;
        let is_listed = NEVER_PASSED.iter().any(|(listed, _)| listed == edge);
        assert!(
            is_killed != is_listed,
            "`{edge}`: killed {is_killed}, listed as never passed {is_listed}"
        );
    }
}

/// Kills one variant at every edge it passes; what went wrong.
fn at_every_edge(variant: Variant, column: usize, table: &mut Table) -> Vec<String> {
    let mut dice = Dice(0x7077_0001 + column as u64);
    let mut red = Vec::new();
    let mut first = Project::new(variant, FEW);
    first.next_version();
    let first = watch(&first).passed;
    let mut project = standing(variant, FEW);
    project.next_version();
    let again = watch(&project).passed;
    for edge in edges() {
        let passes = [&first, &again]
            .map(|passed| passed.iter().filter(|heard| heard.edge == *edge).count());
        if passes == [0, 0] {
            continue;
        }
        if kills(1) > 1 {
            // So many commits on one table would take longer to look at than to make.
            project = standing(variant, FEW);
        }
        for _ in 0..kills(1) {
            // Some edges are passed only, and every one also, while there is no table yet.
            let is_first = passes[1] == 0 || passes[0] > 0 && dice.roll(4) == 0;
            let passes = passes[usize::from(!is_first)] as u64;
            let nth = if is_first { 1 } else { 1 + dice.roll(passes) };
            let besides = match dice.roll(8) {
                0 => Besides::StateLost,
                1 => Besides::TwoAtOnce,
                _ => Besides::Nothing,
            };
            let mut new = is_first.then(|| Project::new(variant, FEW));
            let hit = new.as_mut().unwrap_or(&mut project);
            // Changes of state that come together are committed together: the last may not be reached.
            let done = match round(hit, &Aim::Edge(edge, nth as usize), besides) {
                Ok(None) if !is_first => round(hit, &Aim::Edge(edge, 1), besides),
                done => done,
            };
            let what = format!(
                "{}: {edge}@{nth}, first run {is_first}, {besides:?}",
                variant.name()
            );
            match done {
                Ok(Some(_)) => table.count(edge, column),
                Ok(None) => red.push(format!("{what}: never reached")),
                Err(wrong) => {
                    red.push(format!("{what}: {wrong}"));
                    project = standing(variant, FEW);
                }
            }
        }
    }
    red
}

#[test]
fn killed_at_random_nothing_is_lost_or_doubled() {
    let started = Instant::now();
    let mut table = Table::new("phase", VARIANTS.iter().map(|variant| variant.name()));
    let mut windows = Vec::new();
    for (column, variant) in VARIANTS.into_iter().enumerate() {
        let (mut project, stretches) = long_enough(variant);
        windows.push(format!(
            "{}: {:.1?} with {} rows",
            variant.name(),
            window(&stretches),
            project.size()
        ));
        let mut dice = Dice(0x7077_1001 + column as u64);
        let wanted = kills(AT_RANDOM);
        let mut done = 0;
        for at in 0..wanted * 3 {
            if done == wanted {
                break;
            }
            let aim = moment(&stretches, PHASES[at % PHASES.len()], &mut dice);
            let besides = match at % 10 {
                3 => Besides::StateLost,
                7 => Besides::TwoAtOnce,
                _ => Besides::Nothing,
            };
            let hit = round(&mut project, &aim, besides)
                .unwrap_or_else(|wrong| panic!("{} ({besides:?}): {wrong}", variant.name()));
            if let Some(phase) = hit.filter(|phase| *phase != Phase::Before) {
                table.count(&format!("{phase:?}"), column);
                done += 1;
            }
        }
        assert_eq!(
            done,
            wanted,
            "{}: too many kills came too late",
            variant.name()
        );
    }
    say(&format!(
        "{table}\nruns of {}\nkilled at random in {:.0?}",
        windows.join(", "),
        started.elapsed()
    ));
    for phase in PHASES {
        let hits = table.total(&format!("{phase:?}"));
        assert!(hits >= LEAST, "only {hits} random kills hit {phase:?}");
    }
}

/// A standing project whose run takes at least `LONG_ENOUGH`, and the stretches of that run.
fn long_enough(variant: Variant) -> (Project, Vec<rounds::Stretch>) {
    let mut size = MANY;
    loop {
        let mut project = standing(variant, size);
        project.next_version();
        let stretches = stretches(&watch(&project).passed);
        if window(&stretches) >= LONG_ENOUGH {
            return (project, stretches);
        }
        // A little more than seems enough.
        let share = LONG_ENOUGH.as_millis() * 115 / window(&stretches).as_millis().max(1);
        size = (size * u64::try_from(share).expect("small") / 100).max(size * 5 / 4);
        assert!(
            size < 5_000_000,
            "{}: runs do not get longer",
            variant.name()
        );
    }
}

/// The commit stands, the state store does not know, and the source has moved on: both versions count.
#[test]
fn a_source_that_changes_behind_a_lost_acknowledgement_is_read() {
    for variant in VARIANTS {
        // Only what was sent counts for PostgreSQL and MariaDB, so there the kill waits for the sending.
        let edges = match variant {
            Variant::Postgres => ["postgres::after_commit"].as_slice(),
            Variant::Mysql => ["mysql::after_commit"].as_slice(),
            _ => ["lake::after_commit", "flow::after_commit"].as_slice(),
        };
        for edge in edges {
            let mut project = standing(variant, FEW);
            project.next_version();
            // The quarantine's commit passes the lake's edge first.
            let nth = if edge.starts_with("lake") { 2 } else { 1 };
            assert!(
                kill(&project, &Aim::Edge(edge, nth)).is_some(),
                "{edge} was not reached"
            );
            project.next_version();
            // The first goes on with what was interrupted; what had been read then is not read again.
            project.finish_run();
            project.finish_run();
            is_settled(&project)
                .unwrap_or_else(|wrong| panic!("{} after {edge}: {wrong}", variant.name()));
        }
    }
}

/// Proof that the loop can go red: a lake that does not ask for its token appends twice.
#[test]
fn without_the_token_check_rows_are_doubled() {
    for is_broken in [false, true] {
        let mut project = standing(Variant::LakeAppend, FEW);
        project.next_version();
        assert!(
            kill(&project, &Aim::Edge("flow::after_commit", 1)).is_some(),
            "the edge was not reached"
        );
        let mut command = project.command(&["run"]);
        if is_broken {
            command.env("TOWPATH_BREAK", "lake::token");
        }
        let output = command.output().expect("starts");
        assert!(output.status.success(), "{}", project::said(&output));
        let judged = project.is_done(&project.seen());
        assert_eq!(
            judged.is_err(),
            is_broken,
            "token check {}: {judged:?}",
            if is_broken { "off" } else { "on" }
        );
    }
}
