//! Sends alerts while a server runs: one process at a time, each channel by itself.
//!
//! Promise: an alert stays in the outbox until its channel has taken it, or has refused it when it was seven days
//! old, which is reported. A channel that does not work or is slow holds up no other one, and one that does not
//! work is tried again after seconds, then after minutes. It sends nothing while another process has the duty, and
//! takes nothing away from other processes that know other channels. Read next: `state/src/outbox.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use towpath_ports::{Alert, Clock, OutboxEvent, RunEventKind, RunState, StateStore, Subscription};
use towpath_vocab::{AlertCondition, Environment, Failure, Remedy};

use super::conditions::{EndedRun, alert, possible};
use super::rules::AlertRules;
use crate::Result;

/// How often the outbox is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether another process still sends.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// For how long this process has the duty to send.
const DUTY_US: i64 = 20_000_000;

/// After how long it is renewed: a message that begins just before may take its 10 seconds.
const RENEW_US: u64 = 6_000_000;

/// How often the subscriptions are renewed.
const SUBSCRIBE_US: u64 = 3_600_000_000;

/// The pauses between two tries of a channel.
const FIRST_PAUSE_US: u64 = 5_000_000;
const LONGEST_PAUSE_US: u64 = 300_000_000;

/// An alert of this age that is not taken is given up, and so is a channel that nobody has named for so long.
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

    /// An alert was given up, or a channel does not work: the same reason comes once.
    fn fails(&self, failure: &Failure);
}

/// A channel that did not work.
#[derive(Default)]
struct Tries {
    failed: u32,
    next_us: u64,
    reported: Option<String>,
}

/// What a server knows while it sends.
#[derive(Default)]
struct Serving {
    /// The rules whose channels were subscribed, and when.
    subscribed: Option<(Arc<AlertRules>, u64)>,
    /// The channels that are being sent to.
    busy: BTreeSet<String>,
    sending: JoinSet<(String, Result<()>)>,
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
        self: Arc<Self>,
        mut rules: watch::Receiver<Arc<AlertRules>>,
        over: CancellationToken,
    ) {
        let mut serving = Serving::default();
        let mut unreachable = None;
        loop {
            let is_last = over.is_cancelled();
            let now = Arc::clone(&rules.borrow_and_update());
            let pause = match self.step(&now, &mut serving).await {
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
                while serving.sending.join_next().await.is_some() {}
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

    /// Subscribes where that is due, and begins to send what waits for each channel that is not being sent to.
    /// False while another process sends.
    async fn step(
        self: &Arc<Self>,
        rules: &Arc<AlertRules>,
        serving: &mut Serving,
    ) -> Result<bool> {
        let now_us = self.system.monotonic_us();
        let is_known = serving.subscribed.as_ref().is_some_and(|(known, at_us)| {
            Arc::ptr_eq(known, rules) && now_us.saturating_sub(*at_us) < SUBSCRIBE_US
        });
        if !is_known {
            self.subscribe(rules).await?;
            serving.subscribed = Some((Arc::clone(rules), now_us));
        }
        if rules.channels.is_empty() || !self.has_duty().await? {
            return Ok(false);
        }
        if !is_known {
            self.store
                .forget_subscribers(SUBSCRIBERS, LONGEST_AGE_US)
                .await?;
        }
        while let Some(ended) = serving.sending.try_join_next() {
            // One that panicked begins anew.
            let Ok((name, sent)) = ended else {
                serving.busy.clear();
                continue;
            };
            serving.busy.remove(&name);
            sent?;
        }
        for name in rules.channels.keys() {
            if serving.busy.insert(name.clone()) {
                let (sender, rules, name) = (Arc::clone(self), Arc::clone(rules), name.clone());
                serving.sending.spawn(async move {
                    let sent = sender.send_to(&rules, &name).await.map(|_| ());
                    (name, sent)
                });
            }
        }
        Ok(true)
    }

    /// Creates the outboxes of the channels.
    pub(crate) async fn subscribe(&self, rules: &AlertRules) -> Result<()> {
        for name in rules.channels.keys() {
            let subscription = Subscription {
                name: subscriber(&self.environment, name),
                environment: Some(self.environment.clone()),
                kinds: KINDS.to_vec(),
            };
            self.store.subscribe(&subscription).await?;
        }
        Ok(())
    }

    /// Sends what waits for each channel, one after the other; the number of alerts sent, and `None` while another
    /// process sends.
    pub(crate) async fn send_all(&self, rules: &AlertRules) -> Result<Option<u64>> {
        if !self.has_duty().await? {
            return Ok(None);
        }
        let mut sent = 0;
        for name in rules.channels.keys() {
            sent += self.send_to(rules, name).await?;
        }
        Ok(Some(sent))
    }

    async fn send_to(&self, rules: &AlertRules, name: &str) -> Result<u64> {
        let Some(channel) = rules.channels.get(name) else {
            return Ok(0);
        };
        if self.with_tries(name, |tries| tries.next_us) > self.system.monotonic_us() {
            return Ok(0);
        }
        let subscriber = subscriber(&self.environment, name);
        let mut sent = 0;
        for event in self.store.outbox(&subscriber, BATCH).await? {
            if let Some(alert) = self.alert(rules, name, &event).await? {
                if !self.has_duty().await? {
                    return Ok(sent);
                }
                match channel.send(&alert).await {
                    Ok(()) => {
                        self.with_tries(name, |tries| *tries = Tries::default());
                        self.events.sent(name, &alert);
                        sent += 1;
                    }
                    Err(failure) if self.is_too_old(&event) => {
                        self.events.fails(&given_up(name, &alert, &failure));
                    }
                    Err(failure) => {
                        self.failed(name, &failure);
                        return Ok(sent);
                    }
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
        let wanted = |condition| rules.wants(channel, &event.run.pipeline, condition);
        let possible = possible(event.event.kind);
        if !possible.iter().any(|condition| wanted(*condition)) {
            return Ok(None);
        }
        let Some(run) = self.store.run(&event.run, &event.environment).await? else {
            return Ok(None);
        };
        if !run.kind.is_run() {
            return Ok(None);
        }
        let is_recovery = possible.contains(&AlertCondition::Recovered);
        let before = match is_recovery && wanted(AlertCondition::Recovered) {
            true => {
                let (run, environment) = (&event.run, &event.environment);
                self.store
                    .ended_before(run, environment, event.event.seq)
                    .await?
            }
            false => None,
        };
        let ended = EndedRun {
            project: &self.project,
            before,
            event,
            run: &run,
        };
        Ok(alert(&ended, &wanted))
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

fn given_up(channel: &str, alert: &Alert, why: &Failure) -> Failure {
    let title = &alert.title;
    let message = format!(
        "the alert `{title}` is older than seven days and is given up, because `{channel}` does not take it: {why}"
    );
    Failure::new("R1151", Remedy::FixConfig, message).help(format!(
        "to send a test message: towpath alerts test {channel}"
    ))
}

/// How the names of all subscribers for alerts begin.
pub(crate) const SUBSCRIBERS: &str = "alerts/";

/// The subscriber of a channel.
pub(crate) fn subscriber(environment: &Environment, channel: &str) -> String {
    format!("{SUBSCRIBERS}{environment}/{channel}")
}
