//! `decide` against a model too simple to be wrong, over random graphs of at most five tasks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use towpath_ports::{RunRecord, RunState, TaskState};
use towpath_vocab::{PlannedPipeline, Remedy, RetryPlan, TriggerRule};

use crate::decide::{DecisionContext, DriverCommand, DriverEvent, EndKind, backoff_us, decide};
use crate::fixture::{fresh, pipeline, recorded, retry, task};
use crate::trigger::ParentCounts;
use crate::view::RunView;

#[derive(Clone, Debug)]
struct Scripted {
    parents: Vec<usize>,
    when: TriggerRule,
    retries: u32,
    ends: Vec<EndKind>,
}

fn scripted(position: usize) -> impl Strategy<Value = Scripted> {
    let rules = prop_oneof![
        3 => Just(TriggerRule::AllSuccess),
        1 => Just(TriggerRule::AllDone),
        1 => Just(TriggerRule::OneFailed),
        1 => Just(TriggerRule::OneSuccess),
        1 => Just(TriggerRule::NoneFailed),
    ];
    let ends = prop_oneof![
        Just(EndKind::Succeeded),
        Just(EndKind::Unchanged),
        Just(EndKind::Failed(Remedy::Retry)),
        Just(EndKind::Failed(Remedy::Unreachable)),
        Just(EndKind::Failed(Remedy::FixData)),
        Just(EndKind::Failed(Remedy::Cancelled)),
    ];
    (
        vec(any::<bool>(), position),
        rules,
        0..3_u32,
        vec(ends, 0..5),
    )
        .prop_map(|(edges, when, retries, ends)| {
            let parents = edges
                .iter()
                .enumerate()
                .filter(|(_, edge)| **edge)
                .map(|(parent, _)| parent)
                .collect();
            Scripted {
                parents,
                when,
                retries,
                ends,
            }
        })
}

fn graphs() -> impl Strategy<Value = Vec<Scripted>> {
    (1..=5_usize).prop_flat_map(|count| (0..count).map(scripted).collect::<Vec<_>>())
}

fn planned(graph: &[Scripted], parallel: usize) -> PlannedPipeline {
    let tasks = graph.iter().enumerate();
    pipeline(
        tasks
            .map(|(n, one)| task(n, &one.parents, one.when, retry(one.retries)))
            .collect(),
        parallel,
    )
}

/// Where each task of a graph must end, and whether something above it failed.
fn model(graph: &[Scripted]) -> Vec<(TaskState, bool)> {
    let mut ends: Vec<(TaskState, bool)> = Vec::new();
    for one in graph {
        let parents: Vec<(TaskState, bool)> =
            one.parents.iter().map(|parent| ends[*parent]).collect();
        let good = |(state, _): &(TaskState, bool)| {
            matches!(state, TaskState::Succeeded | TaskState::Unchanged)
        };
        let bad = |(state, blocked): &(TaskState, bool)| {
            *state == TaskState::Failed || (*state == TaskState::Skipped && *blocked)
        };
        let runs = parents.is_empty()
            || match one.when {
                TriggerRule::AllSuccess => parents.iter().all(good),
                TriggerRule::AllDone => true,
                TriggerRule::OneFailed => parents.iter().any(bad),
                TriggerRule::OneSuccess => parents.iter().any(good),
                TriggerRule::NoneFailed => !parents.iter().any(bad),
            };
        let state = if runs {
            last_state(one)
        } else {
            TaskState::Skipped
        };
        ends.push((state, parents.iter().any(bad)));
    }
    ends
}

fn last_state(one: &Scripted) -> TaskState {
    let mut left = one.retries;
    for end in &one.ends {
        match end {
            EndKind::Succeeded => return TaskState::Succeeded,
            EndKind::Unchanged => return TaskState::Unchanged,
            EndKind::Failed(remedy) if remedy.may_pass() && left > 0 => left -= 1,
            EndKind::Failed(_) => return TaskState::Failed,
        }
    }
    TaskState::Succeeded
}

/// Plays a graph and watches every step.
struct Play<'a> {
    graph: &'a [Scripted],
    pipeline: PlannedPipeline,
    view: RunView,
    attempts: Vec<usize>,
    now_us: i64,
    random: u64,
}

impl Play<'_> {
    fn step(&mut self, event: DriverEvent) {
        let now = DecisionContext {
            us: self.now_us,
            random: self.random,
        };
        let commands = decide(&self.view, event, now);
        assert_eq!(commands, decide(&self.view, event, now), "not a function");
        for command in &commands {
            self.check(command);
            self.view.apply(command);
            assert!(self.view.running() <= self.view.parallel());
        }
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.check_view();
    }

    fn check(&self, command: &DriverCommand) {
        match command {
            DriverCommand::Move { task, from, to } => {
                let found = &self.view.tasks()[*task];
                assert_eq!(found.state, *from);
                assert!(!from.is_final(), "a final state was left");
                let allowed = match to {
                    TaskState::Ready => matches!(
                        from,
                        TaskState::Waiting | TaskState::Retrying | TaskState::Running
                    ),
                    TaskState::Running => *from == TaskState::Ready,
                    TaskState::Skipped => *from == TaskState::Waiting,
                    TaskState::Cancelled => true,
                    _ => *from == TaskState::Running,
                };
                assert!(allowed, "{from:?} to {to:?}");
                if *from == TaskState::Waiting && *to == TaskState::Ready {
                    self.assert_may_run(*task);
                }
                assert!(
                    !(self.view.cancelling() && *to == TaskState::Running),
                    "started while stopping"
                );
            }
            DriverCommand::RetryAt { task, at_us } => {
                let found = &self.view.tasks()[*task];
                assert!(found.retries_used < found.retry.retries);
                let bound_us = (1_000_000_i64 << found.retries_used).min(5_000_000);
                assert!((self.now_us..=self.now_us + bound_us).contains(at_us));
            }
            DriverCommand::StopAll { .. } | DriverCommand::Close(_) => {}
        }
    }

    /// The rule, from the states themselves.
    fn assert_may_run(&self, task: usize) {
        let states: Vec<TaskState> = self.graph[task]
            .parents
            .iter()
            .map(|parent| self.view.tasks()[*parent].state)
            .collect();
        let good = |state: &TaskState| matches!(state, TaskState::Succeeded | TaskState::Unchanged);
        let all_final = states.iter().all(|state| state.is_final());
        let holds = states.is_empty()
            || match self.graph[task].when {
                TriggerRule::AllSuccess => states.iter().all(good),
                TriggerRule::AllDone | TriggerRule::NoneFailed => all_final,
                TriggerRule::OneSuccess => states.iter().any(good),
                TriggerRule::OneFailed => states
                    .iter()
                    .any(|state| matches!(state, TaskState::Failed | TaskState::Skipped)),
            };
        assert!(holds, "t{task} started too early: {states:?}");
    }

    /// Nothing is due, nothing hangs, and a view built anew from the states agrees.
    fn check_view(&self) {
        let states: Vec<TaskState> = self.view.tasks().iter().map(|task| task.state).collect();
        let count = |state: TaskState| states.iter().filter(|found| **found == state).count();
        assert_eq!(self.view.running(), count(TaskState::Running));
        assert_eq!(
            self.view.open(),
            states.iter().filter(|state| !state.is_final()).count()
        );
        if self.view.closed().is_some() {
            assert_eq!(self.view.open(), 0);
            return;
        }
        assert!(
            self.view.running() > 0 || self.view.next_due_us().is_some(),
            "it hangs: {states:?}"
        );
        if count(TaskState::Ready) > 0 {
            assert_eq!(
                self.view.running(),
                self.view.parallel(),
                "room, and something ready"
            );
        }
        let mut record = fresh(&self.pipeline);
        for (position, state) in states.iter().enumerate() {
            let still = if *state == TaskState::Running {
                TaskState::Ready
            } else {
                *state
            };
            record.tasks[position] = recorded(&self.pipeline.tasks[position].id, still);
        }
        let anew = RunView::new(&self.pipeline, &record, &HashMap::new()).unwrap();
        let counts = |view: &RunView| {
            view.tasks()
                .iter()
                .map(|task| task.counts)
                .collect::<Vec<ParentCounts>>()
        };
        assert_eq!(counts(&anew), counts(&self.view));
    }

    /// Plays to the end; `choices` say who is next, `cancel_at` at which step the user stops it.
    fn play_out(&mut self, choices: &[u8], cancel_at: Option<usize>) -> RunState {
        self.step(DriverEvent::Opened);
        for turn in 0..200 {
            if let Some(state) = self.view.closed() {
                return state;
            }
            if cancel_at == Some(turn) {
                self.step(DriverEvent::Cancel);
                continue;
            }
            let running: Vec<usize> = self.positions(TaskState::Running);
            let pick = usize::from(choices[turn % choices.len()]) % (running.len() + 1);
            match running.get(pick) {
                Some(task) => self.end_one(*task),
                None => {
                    self.now_us = self.view.next_due_us().unwrap_or(self.now_us);
                    self.step(DriverEvent::Due);
                }
            }
        }
        panic!("no end in sight");
    }

    fn end_one(&mut self, task: usize) {
        let end = self.graph[task]
            .ends
            .get(self.attempts[task])
            .copied()
            .unwrap_or(EndKind::Succeeded);
        self.attempts[task] += 1;
        self.step(DriverEvent::Ended { task, end });
        if self.view.tasks()[task].state != TaskState::Running {
            let again = decide(
                &self.view,
                DriverEvent::Ended { task, end },
                DecisionContext {
                    us: self.now_us,
                    random: 0,
                },
            );
            assert_eq!(again, [], "the same report twice");
        }
    }

    fn positions(&self, state: TaskState) -> Vec<usize> {
        let tasks = self.view.tasks().iter().enumerate();
        tasks
            .filter(|(_, task)| task.state == state)
            .map(|(position, _)| position)
            .collect()
    }
}

fn play(graph: &[Scripted], parallel: usize) -> Play<'_> {
    let pipeline = planned(graph, parallel);
    let view = RunView::new(&pipeline, &fresh(&pipeline), &HashMap::new()).unwrap();
    Play {
        graph,
        pipeline,
        view,
        attempts: vec![0; graph.len()],
        now_us: 1_000,
        random: 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_order_of_events_leads_where_the_model_says(
        graph in graphs(), parallel in 1..4_usize, choices in vec(any::<u8>(), 40)
    ) {
        let expected = model(&graph);
        let mut play = play(&graph, parallel);
        let end = play.play_out(&choices, None);
        let found: Vec<TaskState> = play.view.tasks().iter().map(|task| task.state).collect();
        prop_assert_eq!(&found, &expected.iter().map(|(state, _)| *state).collect::<Vec<_>>());
        let failed = found.contains(&TaskState::Failed);
        prop_assert_eq!(end, if failed { RunState::Failed } else { RunState::Succeeded });
        for (one, attempts) in graph.iter().zip(&play.attempts) {
            prop_assert!(*attempts <= 1 + one.retries as usize);
        }
    }

    #[test]
    fn a_stopped_run_ends_and_starts_nothing_more(
        graph in graphs(), parallel in 1..4_usize, choices in vec(any::<u8>(), 40), cancel_at in 0..8_usize
    ) {
        let mut play = play(&graph, parallel);
        let end = play.play_out(&choices, Some(cancel_at));
        let states: Vec<TaskState> = play.view.tasks().iter().map(|task| task.state).collect();
        prop_assert!(states.iter().all(|state| state.is_final()));
        prop_assert_eq!(end == RunState::Cancelled, states.contains(&TaskState::Cancelled));
    }

    #[test]
    fn waits_double_up_to_their_bound(used in 0..200_u32, random in any::<u64>(), backoff_ms in any::<u64>()) {
        let plan = RetryPlan { retries: 9, backoff_ms, backoff_max_ms: 60_000, timeout_ms: None, reconnect_ms: 0 };
        let bound_us = backoff_ms.saturating_mul(2_u64.saturating_pow(used)).min(60_000) * 1_000;
        prop_assert!(backoff_us(&plan, used, random) <= bound_us);
        prop_assert_eq!(backoff_us(&plan, used, bound_us), bound_us);
    }
}

#[test]
fn an_empty_graph_succeeds_at_once() {
    let mut play = play(&[], 1);
    assert_eq!(play.play_out(&[0], None), RunState::Succeeded);
}

#[test]
fn a_graph_that_does_not_fit_its_record_is_refused() {
    let good = pipeline(
        vec![
            task(0, &[], TriggerRule::AllSuccess, retry(0)),
            task(1, &[0], TriggerRule::AllSuccess, retry(0)),
        ],
        1,
    );
    let backwards = pipeline(good.tasks.iter().rev().cloned().collect(), 1);
    let build = |pipeline: &PlannedPipeline, record: RunRecord| {
        RunView::new(pipeline, &record, &HashMap::new()).map(|_| ())
    };
    assert!(build(&good, fresh(&good)).is_ok());
    assert!(
        build(&backwards, fresh(&good))
            .unwrap_err()
            .to_string()
            .contains("`t0` is in the place of `t1`")
    );
    assert!(
        build(&backwards, fresh(&backwards))
            .unwrap_err()
            .to_string()
            .contains("`t1` waits for `t0`")
    );
    let short = pipeline(good.tasks[..1].to_vec(), 1);
    assert!(
        build(&good, fresh(&short))
            .unwrap_err()
            .to_string()
            .contains("2 tasks planned, 1 recorded")
    );
}
