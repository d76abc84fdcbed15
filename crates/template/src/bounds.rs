//! How much a template may do, and the mistakes of one that does more.
//!
//! Promise: these are numbers and texts only. `limits.rs` and `weight.rs` check them; `session.rs` counts.
//! Read next: `limits.rs`.

use crate::problem::Raised;

/// The most steps of one template, with those of its macros.
pub(crate) const MOST_STEPS: u64 = 2_000_000;
/// The most bytes of one text, and of all output.
pub(crate) const MOST_BYTES: usize = 16 << 20;
/// The most items of one list.
pub(crate) const MOST_ITEMS: usize = 1_000_000;

/// The mistake of a template with too many steps.
pub(crate) fn too_many_steps() -> Raised {
    Raised::new(
        "T0410",
        format!("the template runs more than {MOST_STEPS} steps, or a loop writes too much text"),
    )
    .help("loop over fewer items; let SQL make rows: `generate_series`, `cross join`")
}

fn too_much(what: &str) -> Raised {
    Raised::new("T0411", format!("the template makes {what}"))
        .help("build smaller pieces; a loop that adds a value to itself doubles it each time")
}

/// The mistake of a text that is too long.
pub(crate) fn too_long() -> Raised {
    too_much(&format!("a text of more than {} MB", MOST_BYTES >> 20))
}

/// The mistake of a list with too many items.
pub(crate) fn too_many() -> Raised {
    too_much(&format!("a list of more than {MOST_ITEMS} items"))
}

/// The mistake of lists that are too deep in each other.
pub(crate) fn too_deep(deepest: usize) -> Raised {
    too_much(&format!("lists in lists, more than {deepest} deep"))
}
