//! What each code of `http` steps means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0345",
        Remedy::FixConfig,
        "The request of an `http` step cannot be sent as it is written.",
        "The message says what is wrong: `url` has to begin with `https://` or `http://` and a host, without a user; names of `headers` are letters, digits and `-`, and their values have one line.",
    ),
    CodeEntry::run(
        "R0346",
        Remedy::Unreachable,
        "The server of an `http` step cannot be reached.",
        "Nothing was sent. Towpath tries again for the time of `reconnect` (1m). Check the address and the network.",
    ),
    CodeEntry::run(
        "R0347",
        Remedy::Retry,
        "An `http` step got no answer, or one that says to try again.",
        "The server may have done what the request asks for. The step is tried again as often as its `retries` say; all tries have the same header `Idempotency-Key`, by which a server can tell that they are one. `retries: 0` sends it once.",
    ),
    CodeEntry::run(
        "R0348",
        Remedy::FixConfig,
        "An `http` step got an answer with a status that it does not expect.",
        "The message has the status and the beginning of the answer. Correct the request, or accept the status: `expect: [200-299, 404]`. Redirects (3xx) are not followed: write the address that they name.",
    ),
];
