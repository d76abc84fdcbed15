//! Lists the tables of external systems before a run whose table patterns need the list.
//!
//! A pattern such as `"ref_*"` cannot be resolved before the tables are listed. What is found is stored as
//! an observed fact. `towpath connection discover --write` turns it into a file that the user reviews and
//! commits. Read next: `external_systems.rs`.

use towpath_ports::Clock;
use towpath_vocab::{Environment, FactSource, Plan, TableFact};

use crate::Result;
use crate::facts::external_key;
use crate::services::ProjectServices;
use crate::system::time_text;

/// The code of a pattern without known tables.
pub(crate) const PATTERN_WITHOUT_FACTS: &str = "P0121";

/// Stores the tables of every connection that can be reached. A connection that cannot be reached is
/// skipped; a load from it fails with the reason.
pub(crate) async fn observe_all(services: &ProjectServices, plan: &Plan) -> Result<()> {
    for (name, connection) in &plan.connections {
        let Ok(discover) = services.discover(connection) else {
            continue;
        };
        let objects = match discover.tables("*").await {
            Ok(objects) => objects,
            Err(failure) => {
                tracing::debug!(code = failure.code, "`{name}` could not be read: {failure}");
                continue;
            }
        };
        for object in objects {
            let found = discover.describe(&object).await?;
            let fact = TableFact {
                schema: found.schema,
                key: found.key,
                source: FactSource::Observed,
                seen_at: time_text(services.system.now_us()),
            };
            put(services, &plan.environment, name, &object, &fact).await?;
        }
    }
    Ok(())
}

async fn put(
    services: &ProjectServices,
    environment: &Environment,
    connection: &str,
    object: &str,
    fact: &TableFact,
) -> Result<()> {
    let key = external_key(connection, object);
    services.store.put_fact(environment, &key, fact).await
}
