//! What a project may say about how rows of a table are sent: the option `send` as data.
//!
//! Promise: each key is read in `options.rs`.

use towpath_vocab::OptionKind;

use super::super::option_specs::{form, key, required};
use super::options::{BATCH, ROW};

/// The option `send`.
pub(in super::super) fn send() -> OptionKind {
    use OptionKind::{Integer, Text};
    let changes = || {
        vec![
            key(
                "insert",
                Text,
                "The request for rows that the API does not have yet: `POST contacts`.",
            ),
            key(
                "update",
                Text,
                "The request for rows that changed: `PATCH contacts/{id}`, where `{id}` is the value of a column; or `ignore`.",
            ),
            key(
                "delete",
                Text,
                "The request for rows that are gone: `DELETE contacts/{id}`; or `ignore`. Without columns in its path it has the key of the row as its body.",
            ),
            key(
                "upsert",
                Text,
                "The request for new and changed rows, where `insert` or `update` is not there: `PUT contacts/{id}`.",
            ),
            key(
                "records",
                Text,
                "The path in the body where the row, or the list of rows, is: `contact` makes `{\"contact\": {…}}`. Default: the row or list is the body.",
            ),
            key(
                "idempotency_header",
                Text,
                "The header for the key of a request, such as `Idempotency-Key`: the same each time the request is sent again. Default: none is sent.",
            ),
        ]
    };
    let mut batch = changes();
    batch.extend([
        required("size", Integer, "The most rows in a request."),
        key(
            "results",
            Text,
            "The path in the answer of a list with one result for each row, in their order; `status` of a result is that of its row. Default: an answer is about all rows of its request.",
        ),
    ]);
    OptionKind::Variants(vec![
        form(ROW, "One row in each request.", changes()),
        form(
            BATCH,
            "Several rows in each request, as a JSON list. A request with columns in its path has one row all the same.",
            batch,
        ),
    ])
}
