//! Sends alerts while a server runs: one process at a time, each channel by itself.
//!
//! Promise: an alert stays in the outbox until its channel has taken it, or it is seven days old, which is
//! reported. A channel that does not work holds up no other one, and is tried again after seconds, then after
//! minutes. It sends nothing while another process has the duty. Read next: `state/src/outbox.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Alert, AlertChannel, Clock, OutboxEvent, RunEventKind, RunFilter, RunRecord, RunState,
    StateStore,
};
use towpath_vocab::{Environment, Failure, Remedy};

use super::conditions::{EndedRun, alert};
use super::rules::{AlertRules, subscribers};
use crate::Result;

/// How often the outbox is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether another process still sends.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// For how long this process has the duty to send; several times what one message may take.
const DUTY_US: i64 = 60_000_000;

/// After how long it is renewed.
const RENEW_US: u64 = 20_000_000;

/// The pauses between two tries of a channel.
const FIRST_PAUSE_US: u64 = 5_000_000;
const LONGEST_PAUSE_US: u64 = 300_000_000;

/// After this age an alert is given up.
const LONGEST_AGE_US: i64 = 7 * 86_400_000_000;

/// The most events that are looked at once.
const BATCH: u64 = 100;

/// The ends of runs, which are what channels hear of.
const KINDS: [RunEventKind; 2] = [
    RunEventKind::RunEnded(RunState::Failed),
    RunEventKind::RunEnded(RunState::Succeeded),
];

/// Hears what the sender does.
pub(crate) trait SenderEvents: Send + Sync {
    /// A channel took an alert.
    fn sent(&self, channel: &str, alert: &Alert);

    /// An alert was given up, or a channel does not work: that comes once.
    fn fails(&self, failure: &Failure);
}

/// A channel that did not work.
#[derive(Default)]
struct Tries {
    failed: u32,
    next_us: u64,
    reported: Option<String>,
}

/// Sends the alerts of one environment.
pub(crate) struct AlertSender {
    store: Arc<dyn StateStore>,
    system: Arc<dyn Clock>,
    environment: Environment,
    project: String,
    /// This process, as the state store knows the holder of the duty.
    holder: String,
    events: Arc<dyn SenderEvents>,
    tries: Mutex<BTreeMap<String, Tries>>,
    /// Until when the duty need not be renewed.
    duty_us: Mutex<Option<u64>>,
}

impl AlertSender {
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        system: Arc<dyn Clock>,
        environment: Environment,
        project: String,
        events: Arc<dyn SenderEvents>,
    ) -> Self {
        Self {
            store,
            system,
            environment,
            project,
            holder: uuid::Uuid::new_v4().to_string(),
            events,
            tries: Mutex::default(),
            duty_us: Mutex::default(),
        }
    }

    /// Sends until it is over, and then once more what the last runs left.
    pub(crate) async fn serve(
        &self,
        mut rules: watch::Receiver<Option<Arc<AlertRules>>>,
        over: CancellationToken,
    ) {
        let mut subscribed: Option<Arc<AlertRules>> = None;
        let mut unreachable = None;
        loop {
            let is_last = over.is_cancelled();
            let now = rules.borrow_and_update().clone();
            let pause = match self.step(now.as_ref(), &mut subscribed).await {
                Ok(true) => POLL_INTERVAL,
                Ok(false) => IDLE_INTERVAL,
                Err(failure) => {
                    let said = Some(failure.to_string());
                    if unreachable != said {
                        self.events.fails(&failure);
                    }
                    unreachable = said;
                    IDLE_INTERVAL
                }
            };
            if is_last {
                // Who takes over need not wait; a store that is away cannot be told.
                let _ = self.give_back().await;
                return;
            }
            tokio::select! {
                () = over.cancelled() => {}
                changed = rules.changed() => if changed.is_err() {
                    return;
                },
                () = self.system.sleep(pause) => {}
            }
        }
    }

    /// Subscribes if the rules have changed, and sends what waits. False while another process sends.
    async fn step(
        &self,
        rules: Option<&Arc<AlertRules>>,
        subscribed: &mut Option<Arc<AlertRules>>,
    ) -> Result<bool> {
        let Some(rules) = rules else {
            return Ok(false);
        };
        if !subscribed
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, rules))
        {
            self.subscribe(rules).await?;
            *subscribed = Some(Arc::clone(rules));
        }
        if rules.channels.is_empty() {
            return Ok(false);
        }
        Ok(self.send_all(rules).await?.is_some())
    }

    /// Creates the outboxes of the channels and removes those of channels that nobody names any more.
    pub(crate) async fn subscribe(&self, rules: &AlertRules) -> Result<()> {
        let begin = subscribers(&self.environment);
        let names: Vec<String> = rules
            .channels
            .keys()
            .map(|name| format!("{begin}{name}"))
            .collect();
        for name in &names {
            self.store.subscribe(name, &KINDS).await?;
        }
        self.store.retain_subscribers(&begin, &names).await
    }

    /// Sends what waits for each channel; the number of alerts sent, and `None` while another process sends.
    pub(crate) async fn send_all(&self, rules: &AlertRules) -> Result<Option<u64>> {
        if !self.has_duty().await? {
            return Ok(None);
        }
        let channels = rules.channels.iter();
        let sending = channels.map(|(name, channel)| self.send_to(rules, name, channel.as_ref()));
        let mut sent = 0;
        for one in join_all(sending).await {
            sent += one?;
        }
        Ok(Some(sent))
    }

    async fn send_to(
        &self,
        rules: &AlertRules,
        name: &str,
        channel: &dyn AlertChannel,
    ) -> Result<u64> {
        if self.with_tries(name, |tries| tries.next_us) > self.system.monotonic_us() {
            return Ok(0);
        }
        let subscriber = format!("{}{name}", subscribers(&self.environment));
        let mut sent = 0;
        for event in self.store.outbox(&subscriber, BATCH).await? {
            if let Some(alert) = self.alert(rules, name, &event).await? {
                if self.is_too_old(&event) {
                    self.events.fails(&given_up(name, &alert));
                } else {
                    if !self.has_duty().await? {
                        return Ok(sent);
                    }
                    if let Err(failure) = channel.send(&alert).await {
                        self.failed(name, &failure);
                        return Ok(sent);
                    }
                    self.with_tries(name, |tries| *tries = Tries::default());
                    self.events.sent(name, &alert);
                    sent += 1;
                }
            }
            self.store.delivered(&subscriber, &[event.id]).await?;
        }
        Ok(sent)
    }

    /// The alert that an event is worth to a channel.
    pub(crate) async fn alert(
        &self,
        rules: &AlertRules,
        channel: &str,
        event: &OutboxEvent,
    ) -> Result<Option<Alert>> {
        if event.environment != self.environment {
            return Ok(None);
        }
        let wanted = |condition| rules.wants(channel, &event.run.pipeline, condition);
        let Some(run) = self.store.run(&event.run, &event.environment).await? else {
            return Ok(None);
        };
        if !run.kind.is_run() {
            return Ok(None);
        }
        let ended = EndedRun {
            project: &self.project,
            before: self.before(&run, event).await?,
            event,
            run: &run,
        };
        Ok(alert(&ended, &wanted))
    }

    /// How the run before this one ended, or this one before it was resumed.
    async fn before(&self, run: &RunRecord, event: &OutboxEvent) -> Result<Option<RunState>> {
        let events = self.store.events(&run.name, &run.environment, 0).await?;
        let earlier = events.iter().rev().filter(|one| one.seq < event.event.seq);
        let state = |kind| match kind {
            RunEventKind::RunEnded(state @ (RunState::Failed | RunState::Succeeded)) => Some(state),
            _ => None,
        };
        if let Some(own) = earlier.filter_map(|one| state(one.kind)).next() {
            return Ok(Some(own));
        }
        let filter = RunFilter {
            pipeline: Some(run.name.pipeline.clone()),
            environment: Some(run.environment.clone()),
            limit: Some(BATCH),
        };
        let is_before = |one: &&RunRecord| one.name.number < run.name.number && one.kind.is_run();
        let runs = self.store.runs(filter).await?;
        let ended = runs.iter().filter(is_before).map(|one| one.state);
        Ok(ended
            .filter(|state| matches!(state, RunState::Failed | RunState::Succeeded))
            .next())
    }

    async fn has_duty(&self) -> Result<bool> {
        let now_us = self.system.monotonic_us();
        let known = *self.duty_us.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|until_us| until_us > now_us) {
            return Ok(true);
        }
        let has = self
            .store
            .take_duty(&self.duty(), &self.holder, DUTY_US)
            .await?;
        let until = has.then(|| now_us.saturating_add(RENEW_US));
        *self.duty_us.lock().unwrap_or_else(PoisonError::into_inner) = until;
        Ok(has)
    }

    /// Gives the duty back.
    pub(crate) async fn give_back(&self) -> Result<()> {
        self.store.leave_duty(&self.duty(), &self.holder).await
    }

    fn duty(&self) -> String {
        format!("alerts/{}", self.environment)
    }

    fn is_too_old(&self, event: &OutboxEvent) -> bool {
        self.system.now_us().saturating_sub(event.event.at_us) > LONGEST_AGE_US
    }

    fn failed(&self, name: &str, failure: &Failure) {
        let now_us = self.system.monotonic_us();
        let is_new = self.with_tries(name, |tries| {
            let pause = FIRST_PAUSE_US << tries.failed.min(16);
            tries.next_us = now_us.saturating_add(pause.min(LONGEST_PAUSE_US));
            tries.failed += 1;
            let said = Some(failure.to_string());
            let is_new = tries.reported != said;
            tries.reported = said;
            is_new
        });
        if is_new {
            self.events.fails(failure);
        }
    }

    fn with_tries<T>(&self, name: &str, change: impl FnOnce(&mut Tries) -> T) -> T {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        change(tries.entry(name.to_owned()).or_default())
    }
}

fn given_up(channel: &str, alert: &Alert) -> Failure {
    let title = &alert.title;
    let message = format!(
        "the alert `{title}` could not be sent to `{channel}` for seven days and is given up"
    );
    Failure::new("R1151", Remedy::FixConfig, message).help(format!(
        "to send a test message: towpath alerts test {channel}"
    ))
}
