//! Where `run --limit` writes: a lakehouse and a state store of its own, under `.towpath/`.
//!
//! Promise: a run that reads a part of its sources changes no table, position, quarantine or result of the
//! real environment. It uses the connections, models and checks of the plan. It does not know what a run
//! does with them: see `run.rs`.

use towpath_vocab::{Environment, Plan};

/// The plan with the lakehouse and the state store of the sample.
pub fn limited_plan(plan: &Plan) -> Plan {
    let environment = &plan.environment;
    Plan {
        lakehouse: format!(".towpath/sample/{environment}"),
        environment: Environment::new(format!("{environment}-sample")),
        ..plan.clone()
    }
}
