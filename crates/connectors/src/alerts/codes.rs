//! What each code of alert channels means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0340",
        Remedy::FixConfig,
        "An option of a connection for alerts is not valid.",
        "The message names the option and what is wrong with it. `docs/how-to/alerts.md` has an example of each type.",
    ),
    CodeEntry::run(
        "R0341",
        Remedy::Unreachable,
        "A system for alerts gave no answer.",
        "The alert waits and is sent again, first after seconds, then after minutes, for seven days. Check the address and the network, then try: towpath alerts test CONNECTION",
    ),
    CodeEntry::run(
        "R0342",
        Remedy::FixConfig,
        "A system for alerts refused a message.",
        "The message says with which status. The address or the key is wrong, or the channel was removed there. The alert waits and is sent again; after a change of the project try: towpath alerts test CONNECTION",
    ),
    CodeEntry::run(
        "R0343",
        Remedy::Unreachable,
        "A system for alerts cannot take a message at the moment.",
        "It has failed, or gets too many messages. The alert waits and is sent again, first after seconds, then after minutes, for seven days.",
    ),
    CodeEntry::run(
        "R0344",
        Remedy::Refused,
        "A connection for alerts has no tables.",
        "It cannot be loaded from, published into or discovered. Name it in `alerts:` of a pipeline, and to send a test message: towpath alerts test CONNECTION",
    ),
];
