//! The connector as data: what a project may say about a `rest` connection and its tables.
//!
//! Generated docs and the check of a project read this. Promise: each option is read somewhere; what they
//! do is in `connection.rs`, `endpoint.rs`, `auth.rs` and `paginate_options.rs`.

use towpath_vocab::{
    Capability, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionUse,
    OptionVariant, Proof, ProvenSystem, ReadMode, WriteMode,
};

use super::option_specs::{form, key, required, words};
use super::write::{SEND, send};
use super::{auth_spec, job_options};

fn of_table(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
    OptionSpec {
        per_table: true,
        table_only: true,
        used_by: OptionUse::Reads,
        ..key(name, kind, doc)
    }
}

/// How a response says that it is the last one.
fn end() -> [OptionSpec; 2] {
    [
        key(
            "more",
            OptionKind::Text,
            "The path of a value that is false on the last page, such as `has_more`. It alone decides then.",
        ),
        key(
            "absent_at_end",
            OptionKind::Boolean,
            "Whether the API leaves `at` and `more` out of the last page also where that is the only one; default false, and a first page without them is a failure.",
        ),
    ]
}

fn with_end(mut keys: Vec<OptionSpec>) -> Vec<OptionSpec> {
    keys.extend(end());
    keys
}

/// The status behind the last page, where no response names a next one.
fn end_status() -> OptionSpec {
    key(
        "end_status",
        OptionKind::Integer,
        "The status of the refusal with which the API answers behind the last page, such as 400 or 404. It is the end if the page before it is still there, and does not say that there are more.",
    )
}

/// Where parameters of a page are.
fn place() -> OptionSpec {
    key(
        "in",
        words(&["query", "body"]),
        "Where the parameters are: in the URL, the default, or in the JSON body of a POST. `param` is then a path in the body, such as `page.after`, and the value keeps the type it has in the response.",
    )
}

/// A count that does not count.
fn ignore_count() -> OptionSpec {
    key(
        "ignore_count",
        OptionKind::Boolean,
        "Whether a count in the response, such as `total`, is of other records than the request asks for; default false, and a read of fewer records is a failure.",
    )
}

/// Pages that have numbers.
fn by_number() -> [OptionVariant; 2] {
    use OptionKind::{Integer, Text};
    let page = vec![
        key(
            "param",
            Text,
            "The parameter of the page's number; default `page`.",
        ),
        key("start", Integer, "The number of the first page; default 1."),
        key(
            "size",
            Integer,
            "Records of a full page. Without it the last page is the first empty one.",
        ),
        key(
            "size_param",
            Text,
            "The parameter that asks for `size` records.",
        ),
        key(
            "pages",
            Text,
            "The path of the number of pages in the response.",
        ),
        end_status(),
        ignore_count(),
        place(),
    ];
    let offset = vec![
        key(
            "param",
            Text,
            "The parameter of the first record's number; default `offset`.",
        ),
        required("size", Integer, "Records of a full page."),
        key(
            "size_param",
            Text,
            "The parameter that asks for `size` records; default `limit`.",
        ),
        end_status(),
        ignore_count(),
        place(),
    ];
    [
        form(
            "page",
            "Pages have numbers. The last one is empty, unless `more`, `pages` or `total` says which it is.",
            with_end(page),
        ),
        form(
            "offset",
            "Records have numbers. The last page is empty, unless `more` or `total` says which it is.",
            with_end(offset),
        ),
    ]
}

/// Pages that name the next one.
fn by_name() -> [OptionVariant; 5] {
    use OptionKind::Text;
    let cursor = vec![
        key(
            "param",
            Text,
            "The parameter of the cursor; default `cursor`.",
        ),
        required(
            "at",
            Text,
            "The path of the next cursor, such as `meta.next_cursor`.",
        ),
        place(),
    ];
    let page_info = vec![
        required(
            "at",
            Text,
            "The path of `pageInfo`, such as `data.issues.pageInfo`.",
        ),
        key(
            "param",
            Text,
            "The variable of the cursor; default `after`. `input.after` is a value inside a variable.",
        ),
    ];
    let last = vec![
        required("param", Text, "The parameter, such as `starting_after`."),
        key("at", Text, "The path inside a record; default `id`."),
        end_status(),
        place(),
    ];
    let at = "The path of the URL, such as `links.next`.";
    [
        form(
            "cursor",
            "Each response holds the cursor of the next page; the last one holds none.",
            with_end(cursor),
        ),
        form(
            "page_info",
            "GraphQL: `pageInfo` of each response has `hasNextPage` and `endCursor`.",
            page_info,
        ),
        form(
            "last_record",
            "The next page begins behind a record: `starting_after=ID`. The last page is empty.",
            with_end(last),
        ),
        form(
            "next_url",
            "Each response holds the URL of the next page; the last one holds none.",
            with_end(vec![required("at", Text, at)]),
        ),
        form(
            "link_header",
            "The header `Link` holds the URL of the next page, with `rel=\"next\"`.",
            Vec::new(),
        ),
    ]
}

fn paginate() -> OptionKind {
    let single = form("single", "The response is all there is.", Vec::new());
    let named = by_number().into_iter().chain(by_name());
    OptionKind::Variants([single].into_iter().chain(named).collect())
}

/// How answers are written.
fn response() -> OptionKind {
    use OptionKind::{Boolean, Text, TextList};
    let packed = || {
        vec![
            key(
                "unpack",
                words(&["none", "gzip", "zip"]),
                "How the answer itself is packed; default `none`. What HTTP packs is unpacked anyway.",
            ),
            key(
                "member",
                Text,
                "The files of a zip archive, such as `*.csv`; default all. CSV and lines of JSON may be in several.",
            ),
            key(
                "encoding",
                Text,
                "The encoding, such as `windows-1252`; default what the answer says, or UTF-8.",
            ),
        ]
    };
    let mut csv = vec![
        key(
            "delimiter",
            Text,
            "One ASCII character between fields, or `tab`; default `,`.",
        ),
        key(
            "quote",
            Text,
            "One ASCII character around fields, or empty for none; default `\"`.",
        ),
        key(
            "header",
            Boolean,
            "Whether the first line of each answer names the columns; default true.",
        ),
        key(
            "null_values",
            TextList,
            "Unquoted texts that mean NULL, in addition to the empty one; `\"\"` also makes quoted empty fields NULL.",
        ),
    ];
    csv.extend(packed());
    OptionKind::Variants(vec![
        form("json", "JSON.", packed()),
        form("jsonl", "One JSON record in each line.", packed()),
        form("csv", "CSV, read by the rules of CSV files.", csv),
        form(
            "xml",
            "XML. `records` is the path of elements, such as `feed.entry`. An element is a map of its attributes (`@name`), of the elements in it, and of its text (`#text`); one with text alone is that text.",
            packed(),
        ),
    ])
}

/// The options of a connection.
fn of_connection() -> Vec<OptionSpec> {
    use OptionKind::{Integer, Text, TextList, TextMap};
    vec![
        required(
            "url",
            Text,
            "Where the API begins: `https://api.example.com/v1`. Paths of tables follow it.",
        ),
        key(
            "auth",
            auth_spec::auth(),
            "How requests show who asks; default none.",
        ),
        key(
            "headers",
            TextMap,
            "Headers of each request. Secrets belong in `auth`.",
        ),
        key(
            "timeout_s",
            Integer,
            "How long a request may take, in seconds; default 60.",
        ),
        key(
            "retries",
            Integer,
            "How often a request is tried again that failed or was refused for a while (408, 425, 429, 5xx, and 403 when a header says that a limit is used up); default 5.",
        ),
        key(
            "max_wait_s",
            Integer,
            "The longest time that a request waits because the server asks to, all together; longer is a failure. Default 900.",
        ),
        key(
            "max_page_bytes",
            Integer,
            "A larger response is a failure; default 67108864.",
        ),
        key(
            "hosts",
            TextList,
            "Other hosts that links and redirects may lead to. They are sent no credentials.",
        ),
    ]
}

/// What a table asks.
fn of_requests() -> Vec<OptionSpec> {
    use OptionKind::{Text, TextMap};
    vec![
        of_table(
            "path",
            Text,
            "The path behind the connection's `url`; default the table's name. `{invoices.id}` makes one listing for each record of `invoices`.",
        ),
        of_table(
            "method",
            words(&["GET", "POST"]),
            "The method; default GET.",
        ),
        of_table(
            "params",
            TextMap,
            "Parameters of the URL. `{cursor}` is where the last read ended; a parameter with it is left out of the first read.",
        ),
        of_table(
            "body",
            Text,
            "The JSON body of a POST. `{{` and `}}` are braces. With `{cursor}` it needs `cursor_start`.",
        ),
        of_table(
            "graphql",
            Text,
            "A GraphQL query, sent as a POST to `url` or `path`. `params` and the parameter of `paginate` are its variables, with the types that the query declares. An answer with `errors` is a failure.",
        ),
        of_table(
            "lists_inside",
            words(&["whole", "first_page"]),
            "What a list inside a record of `graphql` must be, where it has a `pageInfo`: `whole`, the default, and one with another page is a failure; or its `first_page` is enough.",
        ),
        of_table(
            "cursor_start",
            Text,
            "The value of `{cursor}` where no read has ended yet, such as `1970-01-01`; default none: a parameter with `{cursor}` is left out, and a path or body with it cannot be read.",
        ),
        of_table(
            "cursor_epoch",
            words(&["seconds", "milliseconds"]),
            "What numbers of the cursor count since 1970, where they are times; default: they are only numbers. Times are limited to the present, and `lookback` is a time of them.",
        ),
    ]
}

/// What a table makes of the answers.
fn of_responses() -> Vec<OptionSpec> {
    use OptionKind::{Integer, Text, TextMap};
    vec![
        of_table(
            "response",
            response(),
            "How answers are written; default `json`.",
        ),
        of_table(
            "records",
            Text,
            "The path of the records in the response, such as `data.items`; default: the response itself if it is an array, else its only array that may hold records. `$` for a response that is one record.",
        ),
        of_table(
            "records_may_be_null",
            OptionKind::Boolean,
            "Whether null at `records` means that there are none; default false, and null is a failure.",
        ),
        of_table(
            "paginate",
            paginate(),
            "How the next page is found; default `single`, and a response that says there is more is then a failure.",
        ),
        of_table(
            "job",
            job_options::job(),
            "The records are prepared by a job: the request of the table starts it, its state is asked for until its files are there, and these are read as `response` says. `method` is POST then, unless it says GET. A job that still goes on, or was not read, when a run ends is asked for by the next run of the next 24 hours.",
        ),
        of_table(
            "total",
            Text,
            "The path of the number of all records; another number of records is then a failure.",
        ),
        of_table(
            "include",
            TextMap,
            "New columns of the records with values of the record the listing belongs to: `{ invoice_id: invoices.id }`.",
        ),
        of_table(
            "failed_listings",
            words(&["stop", "next_run"]),
            "What a failed listing of an endpoint that depends on another does: `stop`, the default, ends the read without a row; `next_run` keeps the rows of the others, says so, and asks for it again in the next run. Only with a `cursor`.",
        ),
        of_table(
            "max_pages",
            Integer,
            "More pages of one listing are a failure; default 100000.",
        ),
    ]
}

/// How rows are sent to a table.
fn of_writes() -> OptionSpec {
    OptionSpec {
        used_by: OptionUse::Writes,
        ..of_table(
            SEND,
            send(),
            "How the rows of a publish are sent: a request for each change. A table that has nothing else is not read.",
        )
    }
}

/// The connector as data.
pub(super) fn spec() -> ConnectorSpec {
    let mut options = of_connection();
    options.extend(of_requests());
    options.extend(of_responses());
    options.push(of_writes());
    ConnectorSpec {
        kind: "rest".to_owned(),
        doc: "A JSON API over HTTP. Its `tables` are endpoints, which are read, or get the rows of publishes: at least once, and once with an idempotency key.".to_owned(),
        objects: ObjectKind::Endpoints,
        capabilities: vec![
            Capability::Source,
            Capability::Destination,
            Capability::Discover,
        ],
        options,
        limits: ["connections", "requests"].map(str::to_owned).to_vec(),
        reads: vec![ReadMode::Full, ReadMode::Incremental],
        needs_cursor: true,
        tells_version: false,
        keeps_text: true,
        writes: vec![WriteMode::Merge],
        guarantee: Guarantee::AtLeastOnce,
        proven: ProvenSystem::all(Proof::RealSystem, ["HTTP servers of the tests"]),
        schemes: Vec::new(),
        endings: Vec::new(),
    }
}
