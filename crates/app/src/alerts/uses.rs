//! What users do with alerts: list the channels, send a test message, send what waits without a server.
//!
//! Promise: a test is sent to one channel and stored nowhere; the list sends nothing. Read next: `sender.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use towpath_ports::{Alert, Clock as _};
use towpath_vocab::{AlertCondition, Failure, Plan, Remedy};

use super::rules::AlertRules;
use super::sender::{AlertSender, SenderEvents, subscriber};
use crate::Result;
use crate::services::ProjectServices;

/// So many waiting alerts of a channel are counted.
const MOST_COUNTED: u64 = 1000;

/// The channels of a project.
#[derive(Clone, Debug, Serialize)]
pub struct AlertsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// One entry per channel and pipeline.
    pub channels: Vec<AlertChannelLine>,
}

/// A channel that a pipeline names.
#[derive(Clone, Debug, Serialize)]
pub struct AlertChannelLine {
    /// The connection.
    pub channel: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The pipeline.
    pub pipeline: String,
    /// When it gets a message.
    pub conditions: Vec<AlertCondition>,
    /// Alerts about the pipeline that wait to be sent; at most 1,000 ends of runs are looked at.
    pub waiting: u64,
}

/// What was sent.
#[derive(Clone, Debug, Serialize)]
pub struct SentAlerts {
    /// Version of this form; 1.
    pub version: u32,
    /// Alerts that channels took.
    pub sent: Vec<SentAlert>,
    /// Why others were not taken: they wait.
    pub failed: Vec<Failure>,
    /// True if another process sends alerts now, so that nothing was sent here.
    pub another_sends: bool,
}

/// An alert that a channel took.
#[derive(Clone, Debug, Serialize)]
pub struct SentAlert {
    /// The channel.
    pub channel: String,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
}

#[derive(Default)]
struct Collected {
    sent: Mutex<Vec<SentAlert>>,
    failed: Mutex<Vec<Failure>>,
}

impl SenderEvents for Collected {
    fn sent(&self, channel: &str, alert: &Alert) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(SentAlert {
            channel: channel.to_owned(),
            alert: alert.clone(),
        });
    }

    fn fails(&self, failure: &Failure) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push(failure.clone());
    }
}

fn sender(services: &ProjectServices, plan: &Plan, events: Arc<dyn SenderEvents>) -> AlertSender {
    AlertSender::new(
        Arc::clone(&services.store),
        Arc::clone(&services.system) as _,
        plan.environment.clone(),
        plan.name.clone(),
        events,
    )
}

/// The channels, with what waits for them.
///
/// # Errors
/// What kept the state store from being read.
pub async fn alerts(services: &ProjectServices, plan: &Plan) -> Result<AlertsReport> {
    let rules = AlertRules::new(services, plan)?;
    let sender = sender(services, plan, Arc::new(Collected::default()));
    let mut channels = Vec::new();
    for name in rules.channels.keys() {
        let subscriber = subscriber(&plan.environment, name);
        let events = services.store.outbox(&subscriber, MOST_COUNTED).await?;
        for pipeline in &plan.pipelines {
            let conditions: Vec<AlertCondition> = AlertCondition::ALL
                .into_iter()
                .filter(|condition| rules.wants(name, &pipeline.name, *condition))
                .collect();
            if conditions.is_empty() {
                continue;
            }
            let mut waiting = 0;
            for event in events
                .iter()
                .filter(|event| event.run.pipeline == pipeline.name)
            {
                waiting += u64::from(sender.alert(&rules, name, event).await?.is_some());
            }
            let kind = plan
                .connections
                .get(name)
                .map(|connection| connection.kind.clone());
            channels.push(AlertChannelLine {
                channel: name.clone(),
                kind: kind.unwrap_or_default(),
                pipeline: pipeline.name.to_string(),
                conditions,
                waiting,
            });
        }
    }
    Ok(AlertsReport {
        version: 1,
        channels,
    })
}

/// Sends what waits, once. From the first time on, the ends of runs wait for the channels.
///
/// # Errors
/// What kept the state store from being used. A channel that does not work is in the report.
pub async fn send_alerts(services: &ProjectServices, plan: &Plan) -> Result<SentAlerts> {
    let rules = AlertRules::new(services, plan)?;
    let collected = Arc::new(Collected::default());
    let sender = sender(services, plan, Arc::clone(&collected) as _);
    sender.subscribe(&rules).await?;
    let mut another_sends = false;
    loop {
        match sender.send_all(&rules).await? {
            Some(0) => break,
            Some(_) => {}
            None => {
                another_sends = true;
                break;
            }
        }
    }
    sender.give_back().await?;
    let take = |failed: &Mutex<Vec<Failure>>| {
        std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let sent = std::mem::take(
        &mut *collected
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    Ok(SentAlerts {
        version: 1,
        sent,
        failed: take(&collected.failed),
        another_sends,
    })
}

/// Sends a test message to a connection.
///
/// # Errors
/// R1152 if there is no such connection, R0730 if it takes no alerts, and why the message did not arrive.
pub async fn alert_test(services: &ProjectServices, plan: &Plan, channel: &str) -> Result<Alert> {
    let Some(connection) = plan.connections.get(channel) else {
        let message = format!("there is no connection `{channel}`");
        return Err(Failure::new("R1152", Remedy::FixConfig, message)
            .help("to list them: towpath connection ls"));
    };
    let now_us = services.system.now_us();
    let alert = Alert {
        id: format!("alert_test_{}", uuid::Uuid::new_v4().simple()),
        conditions: vec![AlertCondition::Failed],
        project: plan.name.clone(),
        environment: plan.environment.to_string(),
        pipeline: "test".to_owned(),
        run: "test#0".to_owned(),
        at_us: now_us,
        title: format!(
            "This is a test of the alerts of project `{}`. Nothing has failed.",
            plan.name
        ),
        details: Vec::new(),
        command: format!("towpath alerts test {channel}"),
    };
    services.alerts(connection)?.send(&alert).await?;
    Ok(alert)
}
