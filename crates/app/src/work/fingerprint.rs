//! What a task's result depends on, as one hash: the compiled node and the versions of its inputs.
//! Equal fingerprints mean there is nothing to do.

use serde_json::Value;
use sha2::{Digest, Sha256};
use towpath_vocab::{Failure, PlannedTask, Remedy};

use crate::Result;

/// Changes when the meaning of a node changes in a later version of Towpath.
const FORM: &str = "1";

/// The fingerprint of a task over its inputs' versions.
pub(crate) fn fingerprint(task: &PlannedTask, inputs: &[String]) -> Result<String> {
    let mut node = serde_json::to_value(&task.action).map_err(|error| {
        Failure::new(
            "R0930",
            Remedy::Bug,
            format!("task `{}` cannot be hashed: {error}", task.id),
        )
    })?;
    essence(&mut node);
    let mut hash = Sha256::new();
    for part in [FORM.to_owned(), node.to_string()].iter().chain(inputs) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// What a compiled node says, without what does not change what it does: where it stands in a file,
/// and what earlier runs observed.
pub(crate) fn essence(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("span");
            map.remove("lineage");
            map.remove("seen_at");
            map.remove("deferred");
            if map
                .get("known")
                .is_some_and(|known| known.get("source") == Some(&Value::from("observed")))
            {
                map.remove("known");
            }
            map.values_mut().for_each(essence);
        }
        Value::Array(list) => list.iter_mut().for_each(essence),
        _ => {}
    }
}
