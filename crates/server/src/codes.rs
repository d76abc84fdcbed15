//! What each code of the HTTP API means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R1101",
        Remedy::Refused,
        "`--listen` names an address that other machines reach, and there is no token.",
        "Nothing listens beyond this machine without authentication. Create a token first: `towpath token create NAME --scope read`.",
    ),
    CodeEntry::run(
        "R1102",
        Remedy::Refused,
        "Another process listens on the address of the API.",
        "It may be another `towpath serve`. Choose another port, `--listen 127.0.0.1:7451`, or serve without the API: `--listen none`.",
    ),
    CodeEntry::run(
        "R1103",
        Remedy::FixConfig,
        "The API cannot listen on the address of `--listen`.",
        "It must be an address of this machine with a port that this user may open: `--listen 127.0.0.1:7450`.",
    ),
    CodeEntry::run(
        "R1104",
        Remedy::Refused,
        "A request names a host that the server does not know.",
        "Without this check a web page could reach the server through a name of its own (DNS rebinding). Ask by `localhost` or by address, or name the host: `towpath serve --allow-host NAME`.",
    ),
    CodeEntry::run(
        "R1105",
        Remedy::Refused,
        "A web page of another origin sent a request.",
        "Only pages of the server itself may, and only they may use the cookie of a session. Behind a proxy, name the host that users see: `towpath serve --allow-host NAME`.",
    ),
    CodeEntry::run(
        "R1106",
        Remedy::FixConfig,
        "A request has no valid token and no session.",
        "Send `Authorization: Bearer TOKEN`; browsers log in with a token, or with the link of the first start. The token must be one of this environment and not revoked: `towpath token ls`.",
    ),
    CodeEntry::run(
        "R1107",
        Remedy::Refused,
        "The scope of the token does not allow the request.",
        "`read` looks at everything, `operate` also starts and stops things, `admin` may do all. Create a token with the scope: `towpath token create NAME --scope operate`.",
    ),
    CodeEntry::run(
        "R1108",
        Remedy::FixConfig,
        "The body of a request is too large.",
        "It may have 64 KiB.",
    ),
    CodeEntry::run(
        "R1109",
        Remedy::FixConfig,
        "The body of a request cannot be used.",
        "It is JSON with `Content-Type: application/json` and only the members that `/api/v1/openapi.json` has, or empty.",
    ),
    CodeEntry::run(
        "R1110",
        Remedy::FixConfig,
        "A parameter of a request cannot be used.",
        "`/api/v1/openapi.json` has the parameters of each route and their values.",
    ),
    CodeEntry::run(
        "R1111",
        Remedy::FixConfig,
        "The API has no such route.",
        "`/api/v1/openapi.json` lists the routes and their methods.",
    ),
    CodeEntry::run(
        "R1112",
        Remedy::Retry,
        "A request took too long.",
        "The body must come within 10 s, and an answer within 60 s. A run that was submitted may have begun: ask again with the same `Idempotency-Key`.",
    ),
    CodeEntry::run(
        "R1113",
        Remedy::Retry,
        "Too many clients follow the events.",
        "32 may at once. Ask again when one has ended.",
    ),
    CodeEntry::run(
        "R1114",
        Remedy::Bug,
        "An answer cannot be written as JSON.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R1115",
        Remedy::Retry,
        "The state store does not answer, or not in time.",
        "Who has shown no token hears no more than that. The log of the server has the reason.",
    ),
];
