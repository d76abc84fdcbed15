//! What each code of running a graph means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `error.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0701",
        Remedy::FixConfig,
        "The program of a command was not found.",
        "Install it on the machine that runs the pipeline, or write its full path as the first word of `command`. A relative path starts at the working folder of the command.",
    ),
    CodeEntry::run(
        "R0702",
        Remedy::FixConfig,
        "The program of a command could not be started.",
        "The file is there, but this user may not run it. Make it executable (`chmod +x FILE`); a script needs a first line like `#!/bin/sh`.",
    ),
    CodeEntry::run(
        "R0703",
        Remedy::FixConfig,
        "The working folder of a command does not exist.",
        "Create the folder, or change `directory` of the command. A relative folder starts at the project folder.",
    ),
    CodeEntry::run(
        "R0704",
        Remedy::FixConfig,
        "The log of a command cannot be written.",
        "What a command prints is kept under `.towpath/steps`. Free some space there, and allow this user to write in it.",
    ),
    CodeEntry::run(
        "R0705",
        Remedy::Bug,
        "The stored run does not match the graph of the project.",
        "This should not happen. Start a new run with `towpath run`, and please report the message.",
    ),
    CodeEntry::run(
        "R0706",
        Remedy::Refused,
        "Another process has taken over the run.",
        "A process that does not renew its lease for 20 seconds counts as dead, and another process may continue its run. This one stopped at once; no partial result is visible. `towpath runs` shows who runs it now.",
    ),
    CodeEntry::run(
        "R0707",
        Remedy::Retry,
        "A task took longer than its `timeout`.",
        "It was asked to stop and was then terminated. Raise the step's `timeout` if the task needs longer; without one there is no limit.",
    ),
    CodeEntry::run(
        "R0708",
        Remedy::Cancelled,
        "A task was stopped by the user.",
        "No partial result of it is visible. Run the pipeline again to continue from there; after `towpath cancel`, `towpath rerun RUN --failed` does what the run has not done.",
    ),
    CodeEntry::run(
        "R0709",
        Remedy::Bug,
        "A task or a run ended in a panic.",
        "This is a fault in Towpath. No partial result of the task is visible. Please report the message with the lines above it in the log.",
    ),
    CodeEntry::run(
        "R0710",
        Remedy::FixConfig,
        "A command does not name a program.",
        "Give `command` at least one word:\n\n  command: [python3, export.py]",
    ),
    CodeEntry::run(
        "R0711",
        Remedy::Retry,
        "A running program could not be monitored.",
        "The operating system did not report the state of the program, usually because it has too few processes or files left. Run again; if the error stays, raise these limits (`ulimit -n`, `ulimit -u`).",
    ),
    CodeEntry::run(
        "R0714",
        Remedy::Refused,
        "Another server decides about a schedule, with another copy of it.",
        "Of two servers with different copies of a schedule, the one that started later (or read its project later) decides which intervals are due. The other one says so once and decides nothing about this schedule; it still begins the runs that wait. Give all servers the same project and start this one again.",
    ),
    CodeEntry::run(
        "R0715",
        Remedy::FixConfig,
        "The runs of a backfill cannot overlap.",
        "Runs of one pipeline never overlap, so the intervals of a backfill are run one after the other. Leave `--parallel` out. Backfills of different pipelines run at once, as `towpath serve --runs` has room.",
    ),
    CodeEntry::run(
        "R0716",
        Remedy::Refused,
        "A run did not end before its deadline.",
        "`deadline` of a schedule says how long its runs may take from their beginning. The run was stopped and failed; no partial result is visible, and what its tasks had committed stays. Raise `deadline` if the runs need longer, or look with `towpath logs` where the time went. A deadline is no time limit of one task: that is `timeout` of a step.",
    ),
    CodeEntry::run(
        "R0717",
        Remedy::Cancelled,
        "A task was stopped, because the next interval of its schedule is due.",
        "The schedule says `overlap: cancel_running` or `terminate_running`. What the run had committed stays, no partial result is visible, and its interval counts as skipped (`replaced`). With `queue` or `keep_latest` a run ends before the next one begins.",
    ),
    CodeEntry::run(
        "R0718",
        Remedy::Refused,
        "A run that is to be cancelled is not running.",
        "It has ended already; the message says how. `towpath runs` lists the runs and their states.",
    ),
    CodeEntry::run(
        "R0719",
        Remedy::Refused,
        "A run was asked to stop and has not ended within a minute.",
        "The request stays with the run: no task of it begins any more. A task may not stop when it is asked to; `towpath cancel RUN --now` gives it no more time. A process of an older version of Towpath does not know such requests; stop it in its terminal.",
    ),
];
