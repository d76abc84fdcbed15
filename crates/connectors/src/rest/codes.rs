//! What each code of REST means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0350",
        Remedy::FixConfig,
        "An option of a `rest` connection or table is missing or not valid.",
        "The message names the option and what is wrong with it. `docs/reference/connectors.md` lists all options.",
    ),
    CodeEntry::run(
        "R0351",
        Remedy::FixConfig,
        "The connection has no such endpoint.",
        "Endpoints are the `tables` of the connection:\n\n  connections:\n    billing:\n      type: rest\n      url: https://api.example.com/v1\n      tables:\n        invoices: { path: invoices, records: data }",
    ),
    CodeEntry::run(
        "R0352",
        Remedy::Unreachable,
        "The server gave no answer, or only a part of one.",
        "Towpath tries again, `retries` times for each request and then as `reconnect` says. Check the address, the network and certificates.",
    ),
    CodeEntry::run(
        "R0353",
        Remedy::FixConfig,
        "The server refused the credentials (401 or 403).",
        "Check `auth` of the connection, and what the user or token may read.",
    ),
    CodeEntry::run(
        "R0354",
        Remedy::FixConfig,
        "There is no such endpoint on the server (404, 405 or 410).",
        "Check `url` of the connection, and `path` and `method` of the table. If the API answers so behind its last page: `end_status: 404` in `paginate`.",
    ),
    CodeEntry::run(
        "R0355",
        Remedy::FixConfig,
        "The server refused the request.",
        "The message has the status and the beginning of the answer. Check `params`, `headers` and `body` of the table. If the API answers so behind its last page: `end_status` in `paginate` names the status.",
    ),
    CodeEntry::run(
        "R0356",
        Remedy::Unreachable,
        "The server failed, or refused for the moment, more often than `retries` allows.",
        "Towpath tries again as `reconnect` says. Set `limits: { requests: 10/s }` if the server refuses because of too many requests.",
    ),
    CodeEntry::run(
        "R0357",
        Remedy::Refused,
        "The server asks to wait longer than `max_wait_s`.",
        "Run again later, or set `max_wait_s` of the connection. `limits: { requests: 5000/h }` spreads requests over time.",
    ),
    CodeEntry::run(
        "R0358",
        Remedy::FixConfig,
        "The answer is not JSON.",
        "A page for people, such as a login page, is the usual reason: check `url`, `path` and `auth`.",
    ),
    CodeEntry::run(
        "R0359",
        Remedy::FixConfig,
        "A response is larger than `max_page_bytes`.",
        "Ask for smaller pages with `size` of `paginate`, or set `max_page_bytes` of the connection.",
    ),
    CodeEntry::run(
        "R0360",
        Remedy::FixConfig,
        "The response has no array of records where it should be.",
        "`records` is the path of the array, such as `data.items`. `records: $` reads a response that is one record. Null is no array: with `records_may_be_null: true` it means that there are no records. Without `records` the first response decides where the array is, and each page must have it there.",
    ),
    CodeEntry::run(
        "R0361",
        Remedy::FixConfig,
        "The pagination does not end: a page or its cursor came twice, or there are more than `max_pages`.",
        "The parameter of `paginate` is probably not the one that the API knows, so that each request gives the first page. Nothing was loaded.",
    ),
    CodeEntry::run(
        "R0362",
        Remedy::FixConfig,
        "The response says that there are more records, and the table does not say how to read them.",
        "A URL or cursor of a next page, a flag such as `has_more`, or a total above the records that are there is such a sign. Write the `paginate` that the message proposes. `paginate: { type: single }` reads the first page only.",
    ),
    CodeEntry::run(
        "R0363",
        Remedy::Retry,
        "The number of records is not the one that the API says in `total`.",
        "Records that came or went while pages were read can cause this: Towpath reads again. If it stays, `paginate` or `total` is not right: a `total` that counts other records than the request asks for, such as those of the whole table, must be left out. Of numbered pages set `ignore_count: true` in `paginate` then, so that the count in the response is not looked at.",
    ),
    CodeEntry::run(
        "R0364",
        Remedy::Refused,
        "A link or redirect leads to a host that the connection does not name.",
        "If the host is right, add it to `hosts` of the connection. It is sent no credentials.",
    ),
    CodeEntry::run(
        "R0365",
        Remedy::FixConfig,
        "Responses cannot be kept on disk while they are read.",
        "They are in `.towpath/rest` of the project until the read ends: check rights and free space there.",
    ),
    CodeEntry::run(
        "R0366",
        Remedy::FixData,
        "A record has no value for the path of an endpoint that depends on it.",
        "Use a column that every record of the parent table has, such as its key.",
    ),
    CodeEntry::run(
        "R0367",
        Remedy::FixData,
        "Records without a value of the cursor were read incrementally.",
        "They could be missed later. Choose a cursor that every record has, or read with `mode: full`.",
    ),
    CodeEntry::run(
        "R0368",
        Remedy::FixConfig,
        "Values of the cursor cannot be compared with each other.",
        "A cursor is a number, a date or a time in ISO 8601, in every record in the same form.",
    ),
    CodeEntry::run(
        "R0369",
        Remedy::FixConfig,
        "An endpoint is read incrementally without a key.",
        "APIs give the records at the cursor again. With a `key` they are merged: set `key` and `write: merge`.",
    ),
    CodeEntry::run(
        "R0370",
        Remedy::FixConfig,
        "A query was asked of an API.",
        "Declare an endpoint under `tables` of the connection and load it by its name.",
    ),
    CodeEntry::run(
        "R0371",
        Remedy::FixConfig,
        "Rows are to be sent to an endpoint that does not say how.",
        "The table needs `send` below `tables` of the connection, or in the `publish` step:\n\n  tables:\n    contacts:\n      send: { type: row, insert: POST contacts, update: \"PATCH contacts/{id}\", delete: \"DELETE contacts/{id}\" }",
    ),
    CodeEntry::run(
        "R0372",
        Remedy::FixConfig,
        "A field that `paginate` names is not in the response, or is not what it must be.",
        "A wrong path would end the read early, so it is an error. Check `at`, `more` and `pages` of `paginate`. Once a page had the field, a later page without it is the last one. If the API leaves it out of an only page too, set `absent_at_end: true`.",
    ),
    CodeEntry::run(
        "R0373",
        Remedy::FixConfig,
        "The response says that there are more records, and the pagination of the table ends.",
        "`paginate` is probably not of the kind that the API uses. Where `more` or `total` is set, it alone decides. If it is a count of other records than the request asks for, such as of the whole table: `ignore_count: true` in `paginate`.",
    ),
    CodeEntry::run(
        "R0374",
        Remedy::FixData,
        "A value that goes into a path, of another record or the id of a job, is `.` or `..`.",
        "A URL cannot hold such a part: it would lead to another address. Use another column, or send the value in `params`. An API that gives such an id to a job cannot be asked for it: check `id` of `job`.",
    ),
    CodeEntry::run(
        "R0375",
        Remedy::FixData,
        "An endpoint was discovered that has no records.",
        "Columns of an API are known from its records only. A load of such an endpoint makes no table until a record comes; with `columns` and their types in the pipeline it makes an empty one.",
    ),
    CodeEntry::run(
        "R0376",
        Remedy::FixConfig,
        "A GraphQL API answered with `errors`.",
        "The message has the first of them. Data beside errors is not complete, so nothing is loaded. Check `graphql` and `params` of the table.",
    ),
    CodeEntry::run(
        "R0377",
        Remedy::FixConfig,
        "The stored position of an incremental read cannot be read.",
        "The position has the cursor, the listings that were read and those that failed. If `path`, `params`, `body` or `include` of the table now use another value of the parent, a listing that failed before cannot be asked for. `--full-refresh` reads the table from its beginning.",
    ),
    CodeEntry::run(
        "R0378",
        Remedy::FixConfig,
        "A refresh token was sent to the OAuth 2 server, and its answer was lost.",
        "A server that accepts each refresh token once has perhaps given a new one, which did not arrive. Towpath does not send the old one again in the same process, because such servers take that for theft and revoke all tokens. If the server accepts a refresh token more than once, run again in a new process. If it accepts each one once, get a new refresh token and set `refresh_token` of `auth`.",
    ),
    CodeEntry::run(
        "R0379",
        Remedy::FixConfig,
        "An endpoint that is read by a cursor has listings for more than 100,000 records of its parent.",
        "Towpath remembers which listings were read, because one that is new has to be read from its beginning. Read the table with `mode: full`, or declare several tables whose parents are a part of the records each, such as by `params: { status: open }` of the parent.",
    ),
    CodeEntry::run(
        "R0380",
        Remedy::FixConfig,
        "A record of a GraphQL table has a list inside it that has another page.",
        "Only the first page of such a list is in the answer, so the record is not complete. Read the list as a table of its own, with a query for each record: `params: { id: \"{issues.id}\" }`. Or ask for more of it at once, such as `comments(first: 100)`. If the first page is enough: `lists_inside: first_page` of the table.",
    ),
    CodeEntry::run(
        "R0381",
        Remedy::FixConfig,
        "The answer to a login does not have the token or cookie that `auth` names.",
        "Some servers answer a wrong password with a page and the status 200: check `login`, `user` and `password`. Else check `token_at`, the path of the token in the answer, or `cookies`, the names of the cookies it sets.",
    ),
    CodeEntry::run(
        "R0382",
        Remedy::FixConfig,
        "An answer cannot be read as `response` of the table says.",
        "The message says what is wrong and, for text, in which line. Nothing of the answer was loaded: a part of it would be missing. A page for people, such as a login page, is a usual reason: check `path` and `auth`. Else check `type`, `unpack`, `member`, `delimiter`, `quote`, `header` and `encoding` of `response`. CSV pages must all have the same header, or none with `header: false`.",
    ),
    CodeEntry::run(
        "R0383",
        Remedy::FixConfig,
        "The folder for refresh tokens cannot be used.",
        "A new refresh token of an OAuth 2 server is kept in `.towpath/rest-tokens` of the project, for the next process. Check rights and free space there. Only one process at a time asks for a token of a connection: another one may hang.",
    ),
    CodeEntry::run(
        "R0384",
        Remedy::FixConfig,
        "An endpoint cannot be probed.",
        "`connection discover --path` asks one endpoint that exists, such as `customers/7/orders`, below the connection's `url`, and needs an answer with records. Choose a path or parameters that give some, or write the table by hand: `docs/how-to/rest.md`.",
    ),
    CodeEntry::run(
        "R0385",
        Remedy::Retry,
        "A job of an API that prepares records has failed.",
        "The answer about its state has one of the states in `failed` of `job`; the message shows its beginning. Nothing was loaded, and the next run starts a new job. If the state does not mean a failure, take it out of `failed`.",
    ),
    CodeEntry::run(
        "R0386",
        Remedy::Refused,
        "A job of an API that prepares records is not done after `timeout_s`.",
        "Nothing was loaded. The next run within 24 hours asks for the same job, so run again later, or raise `timeout_s` of `job`. If the state that the message shows means that it is done or has failed, add it to `done` or `failed`.",
    ),
    CodeEntry::run(
        "R0387",
        Remedy::FixConfig,
        "The folder for jobs of an API cannot be used.",
        "A job that was started is kept in `.towpath/rest-jobs` of the project, so that another process goes on with it. Check rights and free space there.",
    ),
    CodeEntry::run(
        "R1160",
        Remedy::FixConfig,
        "What was sent to an API cannot be kept in the project, or cannot be read there.",
        "Towpath remembers in `.towpath/rest-writes` which rows the API has. Make the folder writable, or free disk space. If a file is damaged, restore the folder from a backup: without it, every row is sent again as a new one. That is what deleting the folder means, too.",
    ),
    CodeEntry::run(
        "R1161",
        Remedy::FixConfig,
        "An endpoint gets only the changes of a table with a key.",
        "An API takes single rows, so Towpath must know which of them changed:\n\n  steps:\n    send: { publish: marts, into: crm, tables: { contacts: { key: id } } }",
    ),
    CodeEntry::run(
        "R1162",
        Remedy::FixConfig,
        "Rows have to be sent in a way for which the table has no request.",
        "Nothing was sent. `send` of the table names a request for each change:\n\n  send: { type: row, insert: POST contacts, update: \"PATCH contacts/{id}\", delete: \"DELETE contacts/{id}\" }\n\n`update: ignore` or `delete: ignore` leaves such rows as they are.",
    ),
    CodeEntry::run(
        "R1163",
        Remedy::FixData,
        "Two rows that are to be sent have the same key.",
        "Nothing was sent. The API would get both, and nobody could tell which one it has. Choose a `key` that is unique, or make the model unique by it.",
    ),
    CodeEntry::run(
        "R1164",
        Remedy::FixConfig,
        "An answer does not tell which rows of its request the API has taken.",
        "A status for each row (207) needs `results` of `send`: the path of a list with one result for each row of the request, in their order. Each has a `status`. After it is set, the same request is sent again by the next run.",
    ),
    CodeEntry::run(
        "R1165",
        Remedy::Retry,
        "Another process has sent rows of the same task to the API.",
        "Towpath tries again with what is left.",
    ),
    CodeEntry::run(
        "R1166",
        Remedy::Unreachable,
        "The API took some rows of a request, and others not for the moment.",
        "Towpath tries again as `reconnect` says; the rows that were taken are not sent again.",
    ),
    CodeEntry::run(
        "R1167",
        Remedy::Bug,
        "Rows for an API cannot be written as JSON.",
        "This is a fault in Towpath. Please report it with the types of the columns.",
    ),
    CodeEntry::run(
        "R1168",
        Remedy::Bug,
        "A write to an API was used in a way that it does not support.",
        "This is a fault in Towpath. Please report it.",
    ),
    CodeEntry::run(
        "R1169",
        Remedy::FixConfig,
        "The key of a publish to an API is another one than that by which rows were sent.",
        "Which rows the API has is remembered by their keys, so by another key every row would be taken for a new one. Set the key that it was, or publish in a step with another name, which sends all rows as new ones.",
    ),
];
