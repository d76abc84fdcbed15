//! A project that loads from an API: checked before it runs, merged by key, and nothing half-loaded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "rest/exported.rs"]
mod exported;
#[path = "rest/proposed.rs"]
mod proposed;
mod test_project;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer, ScriptServer};

use crate::test_project::{TestProject, has};

const PIPELINE: &str = "steps:
  extract:
    load: billing
    into: raw
    tables:
      invoices: { key: id, cursor: changed }
      lines: {}
";

fn project(url: &str, more: &str) -> TestProject {
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000003
lakehouse: ./lake
connections:
  billing:
    type: rest
    url: {url}/v1
    auth: {{ type: bearer, token: \"${{secret:BILLING_TOKEN}}\" }}
    limits: {{ requests: 1000/s, connections: 2 }}
{more}    tables:
      invoices:
        records: data
        params: {{ since: \"{{cursor}}\" }}
        paginate: {{ type: cursor, at: next, param: after }}
      lines:
        path: invoices/{{invoices.id}}/lines
        include: {{ invoice: invoices.id }}
"
        ),
    );
    desk.write("pipelines/p.yml", PIPELINE);
    desk.set("BILLING_TOKEN", "tok-4711-secret");
    desk
}

/// Five invoices on pages of two; each has a line. From the second state on, invoice 2 is changed and
/// 6 is new. In the third state the second page fails.
fn billing(state: Arc<AtomicU64>) -> HttpServer {
    HttpServer::start(move |request: &HttpRequest| {
        if request.header("authorization") != Some("Bearer tok-4711-secret") {
            return HttpAnswer::new(401, "who are you?");
        }
        let state = state.load(Ordering::SeqCst);
        if let Some(rest) = request.path().strip_prefix("/v1/invoices/") {
            let id = rest.trim_end_matches("/lines");
            return HttpAnswer::json(format!("[{{\"line\": {id}00, \"text\": \"of {id}\"}}]"));
        }
        let invoice = |id: u64| {
            let (amount, changed) = if id == 2 && state > 0 {
                ("9.99", 20)
            } else {
                ("1.50", id)
            };
            (
                id,
                changed,
                format!("{{\"id\":{id},\"amount\":{amount},\"changed\":{changed}}}"),
            )
        };
        let since = request
            .parameter("since")
            .map_or(0, |text| text.parse().unwrap());
        let after: u64 = request
            .parameter("after")
            .map_or(0, |text| text.parse().unwrap());
        if state == 2 && after > 0 {
            return HttpAnswer::new(400, "this cursor is not valid");
        }
        let last = if state > 0 { 6 } else { 5 };
        let found: Vec<_> = (after + 1..=last)
            .map(invoice)
            .filter(|one| one.1 >= since)
            .collect();
        let page: Vec<&str> = found.iter().take(2).map(|one| one.2.as_str()).collect();
        let next = match found.get(2) {
            Some(_) => found[1].0.to_string(),
            None => "null".to_owned(),
        };
        HttpAnswer::json(format!("{{\"data\":[{}],\"next\":{next}}}", page.join(",")))
    })
    .unwrap()
}

fn invoices(desk: &TestProject) -> String {
    let sql = "select string_agg(id::varchar || '=' || amount::varchar, ' ' order by id) a from raw.invoices";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    rows[0]["a"].as_str().unwrap().to_owned()
}

#[test]
fn an_api_is_loaded_and_then_only_what_changed() {
    let state = Arc::new(AtomicU64::new(0));
    let server = billing(Arc::clone(&state));
    let desk = project(&server.url(), "");
    desk.ok(".", &["check"]);
    has(
        &desk.ok(".", &["plan"]),
        &["billing:invoices", "billing:lines"],
    );
    assert!(
        server.requests().is_empty(),
        "check and plan contact nobody"
    );
    let mut said = desk.ok(".", &["run"]);
    assert_eq!(invoices(&desk), "1=1.5 2=1.5 3=1.5 4=1.5 5=1.5");
    let lines = "select string_agg(invoice::varchar || ':' || line::varchar, ' ' order by line) a from raw.lines";
    let lines = desk.json(".", &["query", "--format", "json", lines]);
    assert_eq!(lines[0]["a"], "1:100 2:200 3:300 4:400 5:500");

    state.store(1, Ordering::SeqCst);
    let before = server.requests().len();
    said += &desk.ok(".", &["run"]);
    assert_eq!(invoices(&desk), "1=1.5 2=9.99 3=1.5 4=1.5 5=1.5 6=1.5");
    let asked: Vec<String> = server
        .requests()
        .into_iter()
        .skip(before)
        .map(|one| one.target)
        .collect();
    assert!(
        asked.contains(&"/v1/invoices?since=2".to_owned()),
        "{asked:?}"
    );

    // A page that fails: the table stays as it was, and the next run reads what this one would have.
    state.store(2, Ordering::SeqCst);
    said += &desk.exits(1, ".", &["run", "--full-refresh"]);
    has(&said, &["R0355", "this cursor is not valid"]);
    assert_eq!(invoices(&desk), "1=1.5 2=9.99 3=1.5 4=1.5 5=1.5 6=1.5");
    state.store(1, Ordering::SeqCst);
    said += &desk.ok(".", &["run"]);
    assert_eq!(invoices(&desk), "1=1.5 2=9.99 3=1.5 4=1.5 5=1.5 6=1.5");

    said += &desk.everything(".towpath");
    assert!(!said.contains("tok-4711"), "{said}");
    assert_eq!(
        std::fs::read_dir(desk.path(".towpath/rest"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn an_endpoint_without_records_makes_no_table_until_one_comes() {
    let filled = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&filled);
    let server = HttpServer::start(move |request: &HttpRequest| match request.path() {
        "/v1/lines" if state.load(Ordering::SeqCst) == 0 => HttpAnswer::new(204, ""),
        "/v1/lines" => HttpAnswer::json("[{\"line\":1}]"),
        _ => HttpAnswer::json("[]"),
    })
    .unwrap();
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000004
lakehouse: ./lake
connections:
  billing:
    type: rest
    url: {}/v1
    tables:
      lines: {{}}
      notes: {{}}
",
            server.url()
        ),
    );
    desk.write(
        "pipelines/p.yml",
        "steps:
  extract:
    load: billing
    into: raw
    tables:
      lines: {}
      notes: { columns: { id: bigint, text: text } }
",
    );
    has(
        &desk.ok(".", &["run"]),
        &["was skipped", "`lines` has no records yet"],
    );
    let sql = "select count(*) n from raw.notes";
    assert_eq!(
        desk.json(".", &["query", "--format", "json", sql])[0]["n"],
        0
    );
    filled.store(1, Ordering::SeqCst);
    desk.ok(".", &["run"]);
    let sql = "select count(*) n from raw.lines";
    assert_eq!(
        desk.json(".", &["query", "--format", "json", sql])[0]["n"],
        1
    );
    // A table that is there is emptied, also by a full refresh, and never kept in silence.
    filled.store(0, Ordering::SeqCst);
    for flag in ["--full-refresh", "--quiet"] {
        let said = desk.exits(3, ".", &["run", flag]);
        has(&said, &["R0660", "its source has no rows"]);
    }
}

#[test]
fn what_is_wrong_is_found_before_anything_is_asked() {
    let server = billing(Arc::default());
    let wrong = |from: &str, to: &str| {
        let desk = project(&server.url(), "");
        let root = desk.read("towpath.yml");
        assert!(root.contains(from), "{from}");
        desk.write("towpath.yml", &root.replace(from, to));
        desk.exits(2, ".", &["check"])
    };
    has(
        &wrong("type: bearer, token", "type: bearer, tokn"),
        &["P0102", "`tokn`", "token"],
    );
    has(&wrong("type: bearer", "type: barer"), &["P0111", "bearer"]);
    has(
        &wrong("type: cursor, at: next,", "type: cursor,"),
        &["P0106", "`at`"],
    );
    has(
        &wrong("records: data", "recods: data"),
        &["P0102", "records"],
    );
    has(&wrong("url:", "# url:"), &["C0503", "url"]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_connection_is_tested_and_discovered() {
    let server = billing(Arc::default());
    let mut desk = project(&server.url(), "");
    has(
        &desk.ok(".", &["connection", "test", "billing"]),
        &[&server.url()],
    );
    let found = desk.ok(".", &["connection", "discover", "billing"]);
    has(&found, &["invoices", "amount", "lines", "invoice"]);
    desk.set("BILLING_TOKEN", "another-token");
    let said = desk.exits(2, ".", &["connection", "test", "billing"]);
    has(&said, &["R0353", "who are you?"]);
    assert!(!said.contains("another-token"), "{said}");
}

/// A copy of `examples/api` beside its running server.
struct Example {
    desk: TestProject,
    _server: ScriptServer,
}

/// The orders of a customer of the example.
const fn orders_of(customer: u64) -> u64 {
    customer * 5 % 6
}

impl Example {
    fn open() -> Self {
        let mut desk = TestProject::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/api");
        for file in [
            "towpath.yml",
            "server.py",
            "pipelines/orders.yml",
            "models/marts/revenue_by_country.sql",
        ] {
            desk.write(file, &std::fs::read_to_string(from.join(file)).unwrap());
        }
        let server = ScriptServer::start(&desk.path("server.py")).unwrap();
        desk.set("ORDERS_API_URL", server.url());
        desk.set("ORDERS_API_TOKEN", "example");
        Self {
            desk,
            _server: server,
        }
    }

    /// Tells the server something; the lines that it says.
    fn tell(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("python3");
        command.arg("server.py").args(arguments);
        command.current_dir(self.desk.path("."));
        command.envs(
            self.desk
                .variables
                .iter()
                .map(|(name, value)| (name, value)),
        );
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = test_project::text(&output.stdout);
        said.lines().map(str::to_owned).collect()
    }

    /// Orders and their sum in cents, of a customer or of all.
    fn orders(&self, of: &str) -> (u64, u64) {
        let sql = format!(
            "select count(*) n, coalesce(sum(amount * 100), 0)::bigint cents from raw.orders where {of}"
        );
        let rows = self.desk.json(".", &["query", "--format", "json", &sql]);
        let number = |name: &str| rows[0][name].to_string().trim_matches('"').parse().unwrap();
        (number("n"), number("cents"))
    }
}

#[test]
fn the_example_refetches_only_the_listing_that_failed() {
    let example = Example::open();
    let all: u64 = (1..=30).map(orders_of).sum();
    let cents: u64 = (1..=all).map(|number| number * 375 % 20_000).sum();
    example.tell(&["break", "7"]);
    let said = example.desk.ok(".", &["run"]);
    has(
        &said,
        &[
            "listings of `orders` that failed and that the next run asks for again: 1",
            "/v1/customers/7/orders` failed with status 500, 3 times tried (R0356)",
        ],
    );
    assert_eq!(example.orders("true").0, all - orders_of(7));
    assert_eq!(example.orders("customer_id = 7").0, 0, "half a listing");

    example.tell(&["mend"]);
    example.tell(&["log"]);
    example.desk.ok(".", &["run"]);
    let asked = example.tell(&["log"]);
    let (from_cursor, whole): (Vec<&String>, Vec<&String>) = asked
        .iter()
        .filter(|line| line.contains("/orders"))
        .partition(|line| line.contains("updated_since="));
    let seven = "/v1/customers/7/orders".to_owned();
    let pages = [
        seven.clone(),
        format!("{seven}?cursor=2"),
        format!("{seven}?cursor=4"),
    ];
    assert_eq!(whole, pages.iter().collect::<Vec<_>>());
    assert_eq!(from_cursor.len(), 29, "{asked:?}");
    assert_eq!(example.orders("true"), (all, cents));
    assert_eq!(example.orders("customer_id = 7").0, orders_of(7));

    example.tell(&["change"]);
    example.desk.ok(".", &["run"]);
    assert_eq!(example.orders("true").0, all + 1);
    assert_eq!(example.orders("status = 'returned'").0, 1);
    let said = example.desk.ok(".", &["run"]);
    assert!(!said.contains("failed"), "{said}");
}
