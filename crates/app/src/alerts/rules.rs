//! Who gets which alerts: the plans of all pipelines and the opened channels.
//!
//! Promise: opening a channel contacts nobody. Read next: `sender.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_ports::AlertChannel;
use towpath_vocab::{AlertCondition, AlertsPlan, PipelineName, Plan};

use crate::Result;
use crate::services::ProjectServices;

/// The alerts of a project in one environment.
#[derive(Clone, Default)]
pub(crate) struct AlertRules {
    pipelines: BTreeMap<PipelineName, AlertsPlan>,
    pub(crate) channels: BTreeMap<String, Arc<dyn AlertChannel>>,
}

impl AlertRules {
    /// Reads the plan and opens the channels that a pipeline names.
    pub(crate) fn new(services: &ProjectServices, plan: &Plan) -> Result<Self> {
        let pipelines: BTreeMap<_, _> = plan
            .pipelines
            .iter()
            .filter(|pipeline| !pipeline.alerts.is_empty())
            .map(|pipeline| (pipeline.name.clone(), pipeline.alerts.clone()))
            .collect();
        let names: BTreeSet<&String> = pipelines
            .values()
            .flat_map(AlertsPlan::values)
            .flatten()
            .collect();
        let mut channels = BTreeMap::new();
        for name in names {
            if let Some(connection) = plan.connections.get(name) {
                channels.insert(name.clone(), services.alerts(connection)?);
            }
        }
        Ok(Self {
            pipelines,
            channels,
        })
    }

    /// Whether a channel gets alerts of this condition about a pipeline.
    pub(crate) fn wants(
        &self,
        channel: &str,
        pipeline: &PipelineName,
        condition: AlertCondition,
    ) -> bool {
        let plan = self.pipelines.get(pipeline);
        let channels = plan.and_then(|plan| plan.get(&condition));
        channels.is_some_and(|channels| channels.iter().any(|one| one == channel))
    }
}
