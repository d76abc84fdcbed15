//! One round: the source changes, a run is killed, there is no partial result, a second run completes it,
//! two more runs change nothing. Rounds differ in the moment of the kill.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use towpath_testkit::Dice;
use towpath_testkit::kill::{Ended, Passed, Traced, failpoints};

use crate::project::{Project, said};

/// Doors that change what the program does; they are no edges.
const DOORS: &[&str] = &["lake::token"];

/// Every edge of the sources.
pub(crate) fn edges() -> &'static BTreeSet<String> {
    static EDGES: OnceLock<BTreeSet<String>> = OnceLock::new();
    EDGES.get_or_init(|| {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("crates/");
        let mut edges = failpoints(crates).expect("the sources can be read");
        edges.retain(|edge| !DOORS.contains(&edge.as_str()));
        edges
    })
}

/// How far a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    Before,
    Read,
    Prepare,
    Audit,
    Commit,
    After,
}

pub(crate) const PHASES: [Phase; 5] = [
    Phase::Read,
    Phase::Prepare,
    Phase::Audit,
    Phase::Commit,
    Phase::After,
];

/// The phase an edge begins.
fn begins(edge: &str) -> Option<Phase> {
    match edge {
        "files::read" | "flow::rows" | "flow::write" => Some(Phase::Read),
        "flow::prepare" => Some(Phase::Prepare),
        "flow::audit" => Some(Phase::Audit),
        "flow::between_quarantine_and_table" => Some(Phase::Commit),
        "flow::after_commit" => Some(Phase::After),
        _ => None,
    }
}

/// The phase after these edges: tasks follow one another, so the last edge says it.
pub(crate) fn phase(passed: &[Passed]) -> Phase {
    passed
        .iter()
        .rev()
        .find_map(|p| begins(&p.edge))
        .unwrap_or(Phase::Before)
}

/// A stretch of a run within one phase.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) phase: Phase,
    edge: String,
    nth: usize,
    length: Duration,
}

/// The stretches of a whole run between the first byte read and the run's end.
pub(crate) fn stretches(passed: &[Passed]) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    let mut began = Duration::ZERO;
    for (at, heard) in passed.iter().enumerate() {
        let now =
            begins(&heard.edge).unwrap_or(out.last().map_or(Phase::Before, |last| last.phase));
        if out.last().map(|last| last.phase) == Some(now) || now == Phase::Before {
            continue;
        }
        if let Some(last) = out.last_mut() {
            last.length = heard.at - began;
        }
        began = heard.at;
        let nth = passed[..=at]
            .iter()
            .filter(|p| p.edge == heard.edge)
            .count();
        out.push(Stretch {
            phase: now,
            edge: heard.edge.clone(),
            nth,
            length: Duration::ZERO,
        });
    }
    if let (Some(last), Some(end)) = (out.last_mut(), passed.last()) {
        last.length = end.at - began;
    }
    out
}

/// From the first byte read to the last commit acknowledged.
pub(crate) fn window(stretches: &[Stretch]) -> Duration {
    stretches.iter().map(|stretch| stretch.length).sum()
}

/// How a run is to be killed.
pub(crate) enum Aim<'a> {
    /// At a failpoint, by the binary itself.
    Edge(&'a str, usize),
    /// So long after an edge, by SIGKILL.
    Moment(&'a Stretch, Duration),
}

/// A random moment of a phase, longer stretches more often.
pub(crate) fn moment<'a>(stretches: &'a [Stretch], phase: Phase, dice: &mut Dice) -> Aim<'a> {
    let of_phase = || stretches.iter().filter(|stretch| stretch.phase == phase);
    let total: u128 = of_phase().map(|stretch| stretch.length.as_micros()).sum();
    let mut rest = u128::from(dice.roll(u64::try_from(total).expect("a short run")));
    for stretch in of_phase() {
        let length = stretch.length.as_micros();
        if rest < length {
            return Aim::Moment(
                stretch,
                Duration::from_micros(u64::try_from(rest).expect("short")),
            );
        }
        rest -= length;
    }
    panic!("a run has no {phase:?}")
}

/// Runs once without a kill and tells the edges.
pub(crate) fn watch(project: &Project) -> Ended {
    let traced = Traced::start(quiet(project), edges(), &project.socket()).expect("starts");
    traced.finish().expect("ends")
}

fn quiet(project: &Project) -> Command {
    let mut command = project.command(&["run"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Kills one run; None when it ended before the kill came.
pub(crate) fn kill(project: &Project, aim: &Aim<'_>) -> Option<Phase> {
    let mut command = quiet(project);
    let ended = match aim {
        Aim::Edge(edge, nth) => {
            command.env("TOWPATH_FAILPOINT", format!("{edge}@{nth}"));
            Traced::start(command, edges(), &project.socket())
                .expect("starts")
                .finish()
        }
        Aim::Moment(stretch, offset) => {
            let mut traced = Traced::start(command, edges(), &project.socket()).expect("starts");
            if traced.wait_for(&stretch.edge, stretch.nth) {
                traced.go_on(*offset);
            }
            traced.kill()
        }
    };
    let ended = ended.expect("ends");
    // A killed process has no exit code.
    ended.status.code().is_none().then(|| phase(&ended.passed))
}

/// Kills a command at an edge; whether it was reached.
pub(crate) fn kill_command(project: &Project, arguments: &[&str], edge: &str) -> bool {
    let mut command = project.command(arguments);
    command.env("TOWPATH_FAILPOINT", format!("{edge}@1"));
    let output = command.output().expect("starts");
    output.status.code().is_none()
}

/// What a round does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Besides {
    Nothing,
    /// `.towpath/` is deleted before the rerun.
    StateLost,
    /// Two processes are started at once for the rerun.
    TwoAtOnce,
}

/// A whole round; the phase of the kill, or None when the run was quicker than the kill.
pub(crate) fn round(
    project: &mut Project,
    aim: &Aim<'_>,
    besides: Besides,
) -> Result<Option<Phase>, String> {
    project.shrink();
    project.next_version();
    let hit = kill(project, aim);
    let after = project.seen();
    project
        .is_whole(&after)
        .map_err(|wrong| format!("after the kill ({hit:?}): {wrong}"))?;
    match besides {
        Besides::Nothing => project.finish_run(),
        Besides::StateLost => {
            project.forget_state();
            project.finish_run();
        }
        Besides::TwoAtOnce => two_at_once(project)?,
    }
    is_settled(project).map_err(|wrong| format!("after a kill in {hit:?} and a rerun: {wrong}"))?;
    Ok(hit)
}

/// All is there, and two further runs change nothing.
pub(crate) fn is_settled(project: &Project) -> Result<(), String> {
    project.is_done(&project.seen())?;
    let versions = project.versions();
    if !project.knows_its_source() {
        for _ in 0..2 {
            let run = project.run();
            if !run.status.success() {
                return Err(format!("a further run fails: {}", said(&run)));
            }
            project.is_done(&project.seen())?;
        }
        return Ok(());
    }
    for _ in 0..2 {
        let run = project.run();
        if !run.status.success() || !String::from_utf8_lossy(&run.stdout).contains("Nothing to do")
        {
            return Err(format!("a further run had something to do: {}", said(&run)));
        }
    }
    match project.versions() {
        again if again == versions => Ok(()),
        again => Err(format!(
            "further runs changed versions {versions:?} to {again:?}"
        )),
    }
}

fn two_at_once(project: &Project) -> Result<(), String> {
    let spawn = || {
        let mut command = project.command(&["run"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("starts")
    };
    let two = [spawn(), spawn()].map(|child| child.wait_with_output().expect("ends"));
    let codes = two.each_ref().map(|output| output.status.code());
    let is_fine = codes.contains(&Some(0)) && codes.iter().all(|code| matches!(code, Some(0 | 4)));
    if is_fine {
        Ok(())
    } else {
        Err(format!("two at once: {}\n{}", said(&two[0]), said(&two[1])))
    }
}
