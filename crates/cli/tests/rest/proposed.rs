//! `connection discover --path`: an endpoint of each kind is probed, its block is pasted, and the load has
//! every record.

use std::fmt::Write as _;

use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};

use crate::test_project::{TestProject, has};

/// Records of an endpoint.
const COUNT: u64 = 25;

/// Requests that a probe may send.
const MOST_REQUESTS: usize = 60;

fn number(request: &HttpRequest, name: &str) -> Option<u64> {
    request.parameter(name).map(|text| text.parse().unwrap())
}

/// Records in ascending order, from the first one behind `skipped` on.
fn records(skipped: u64, size: u64) -> Vec<String> {
    let numbers = (skipped + 1..=COUNT).take(usize::try_from(size).unwrap());
    let record = |id: u64| {
        let (hour, cents) = (id % 24, id * 7);
        let time = format!("2025-01-{:02}T{hour:02}:00:00Z", 1 + id / 24);
        format!(r#"{{"id":{id},"amount":{cents},"updated_at":"{time}"}}"#)
    };
    numbers.map(record).collect()
}

fn list(records: &[String]) -> String {
    format!("[{}]", records.join(","))
}

fn json_or_null(text: Option<String>) -> String {
    text.unwrap_or_else(|| "null".to_owned())
}

/// Pages that name the next one.
fn by_name(kind: &str, request: &HttpRequest) -> Option<HttpAnswer> {
    let name = match kind {
        "links" | "nexts" => "at",
        "cursors" => "cursor",
        "tokens" => "pageToken",
        "odd_cursors" => "continuation",
        _ => return None,
    };
    let at = number(request, name).unwrap_or(0);
    let page = list(&records(at, 10));
    let next = (at + 10 < COUNT).then_some(at + 10);
    let quoted = json_or_null(next.map(|next| format!("\"{next}\"")));
    let url = next.map(|next| format!("/v1/{kind}?at={next}"));
    Some(match kind {
        "links" => match url {
            Some(url) => HttpAnswer::json(page).header("link", &format!("<{url}>; rel=\"next\"")),
            None => HttpAnswer::json(page),
        },
        "nexts" => {
            let next = json_or_null(url.map(|url| format!("\"{url}\"")));
            HttpAnswer::json(format!(
                r#"{{"result":{{"data":{page},"links":{{"next":{next}}}}}}}"#
            ))
        }
        "cursors" => HttpAnswer::json(format!(
            r#"{{"data":{page},"meta":{{"next_cursor":{quoted}}}}}"#
        )),
        "tokens" => {
            let next = json_or_null(next.map(|next| format!("\"{next}\"")));
            HttpAnswer::json(format!(
                r#"{{"items":{page},"nextPageToken":{next},"total":{COUNT}}}"#
            ))
        }
        _ => HttpAnswer::json(format!(
            r#"{{"rows":{page},"paging":{{"nextKey":{quoted}}}}}"#
        )),
    })
}

/// Pages that a request counts.
fn by_number(kind: &str, request: &HttpRequest) -> Option<HttpAnswer> {
    let page = |first: u64| number(request, "page").map_or(0, |page| page.saturating_sub(first));
    let size = |name: &str, usual: u64| number(request, name).unwrap_or(usual).min(50);
    Some(match kind {
        "pages" => {
            let page = list(&records(page(1) * 10, 10));
            HttpAnswer::json(format!(
                r#"{{"data":{page},"meta":{{"pages":3,"total":{COUNT}}}}}"#
            ))
        }
        "bare_pages" => match records(page(1) * 5, 5) {
            none if none.is_empty() => HttpAnswer::new(404, "no such page"),
            some => HttpAnswer::json(list(&some)),
        },
        "pages_from_zero" => HttpAnswer::json(list(&records(page(0) * 10, 10))),
        "offsets" => {
            let skipped = number(request, "offset").unwrap_or(0);
            let page = list(&records(skipped, size("limit", 10)));
            HttpAnswer::json(format!(r#"{{"total":{COUNT},"items":{page}}}"#))
        }
        "refused_offsets" => match records(number(request, "skip").unwrap_or(0), 5) {
            none if none.is_empty() => HttpAnswer::new(400, "behind the end"),
            some => HttpAnswer::json(list(&some)),
        },
        "last_records" => {
            let after = number(request, "starting_after").unwrap_or(0);
            let page = list(&records(after, 10));
            let more = after + 10 < COUNT;
            HttpAnswer::json(format!(r#"{{"data":{page},"has_more":{more}}}"#))
        }
        "small" => {
            let size = size("per_page", 50);
            HttpAnswer::json(list(&records(page(1) * size, size)))
        }
        _ => return None,
    })
}

/// Endpoints without pages.
fn whole(kind: &str, request: &HttpRequest) -> HttpAnswer {
    let all = records(0, COUNT);
    match kind {
        "singles" => HttpAnswer::json(list(&all)),
        "changes" => {
            let since = request.parameter("updated_since").unwrap_or("");
            let since = since.replace("%3A", ":");
            let is_new = |record: &&String| {
                let (_, time) = record.split_once("updated_at\":\"").unwrap();
                time >= since.as_str()
            };
            let new: Vec<String> = all.iter().filter(is_new).cloned().collect();
            HttpAnswer::json(list(&new))
        }
        "lines" => HttpAnswer::new(200, all.join("\n")),
        "tables" => {
            let mut csv = String::from("id;amount\n");
            for id in 1..=COUNT {
                writeln!(csv, "{id};{}", id * 7).unwrap();
            }
            HttpAnswer::new(200, csv).header("content-type", "text/csv")
        }
        "documents" => {
            let mut xml = String::from("<feed><title>x</title>");
            for id in 1..=COUNT {
                write!(xml, "<entry><id>{id}</id></entry>").unwrap();
            }
            HttpAnswer::new(200, xml + "</feed>").header("content-type", "application/xml")
        }
        _ => HttpAnswer::new(404, "no such endpoint"),
    }
}

fn api() -> HttpServer {
    HttpServer::start(|request: &HttpRequest| {
        if request.method != "GET" {
            return HttpAnswer::new(405, "only GET");
        }
        let kind = request.path().trim_start_matches("/v1/").to_owned();
        let answer = by_name(&kind, request).or_else(|| by_number(&kind, request));
        answer
            .unwrap_or_else(|| whole(&kind, request))
            .header("ratelimit-policy", "6000;w=60")
    })
    .unwrap()
}

fn project(url: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000005
lakehouse: ./lake
connections:
  api:
    type: rest
    url: {url}/v1
"
        ),
    );
    desk
}

/// What is expected of each endpoint: a part of its block, and whether it is a guess.
const KINDS: [(&str, &str, bool); 17] = [
    ("links", "paginate: { type: link_header }", false),
    ("nexts", "{ type: next_url, at: result.links.next }", false),
    (
        "cursors",
        "{ type: cursor, at: meta.next_cursor, param: cursor }",
        false,
    ),
    (
        "tokens",
        "{ type: cursor, at: nextPageToken, param: pageToken }",
        false,
    ),
    (
        "odd_cursors",
        "{ type: cursor, at: paging.nextKey, param: continuation }",
        false,
    ),
    (
        "pages",
        "{ type: page, param: page, pages: meta.pages }",
        false,
    ),
    (
        "bare_pages",
        "{ type: page, param: page, end_status: 404 }",
        false,
    ),
    (
        "pages_from_zero",
        "{ type: page, param: page, start: 0 }",
        false,
    ),
    (
        "offsets",
        "{ type: offset, param: offset, size: 10, size_param: limit }",
        false,
    ),
    (
        "refused_offsets",
        "param: skip, size: 5, size_param: limit, end_status: 400 }",
        false,
    ),
    (
        "last_records",
        "{ type: last_record, param: starting_after, more: has_more }",
        false,
    ),
    ("small", "{ type: page, param: page }", true),
    ("singles", "path: singles", false),
    ("changes", "params: { updated_since: \"{cursor}\" }", false),
    ("lines", "response: { type: jsonl }", false),
    ("tables", "response: { type: csv, delimiter: \";\" }", false),
    ("documents", "records: feed.entry", false),
];

fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}

#[test]
fn what_is_proposed_loads_the_endpoint_whole() {
    let server = api();
    let desk = project(&server.url());
    let (mut tables, mut loads) = (String::from("    tables:\n"), String::new());
    for (kind, part, is_guess) in KINDS {
        let before = server.requests().len();
        let report = desk.json(
            ".",
            &[
                "connection",
                "discover",
                "api",
                "--path",
                kind,
                "--format",
                "json",
            ],
        );
        let sent = server.requests().len() - before;
        assert!(sent <= MOST_REQUESTS, "{kind}: {sent}");
        let block = report["block"].as_str().unwrap();
        assert!(block.contains(part), "{kind}:\n{block}");
        let guesses = report["guesses"].as_array().unwrap();
        let guessed = guesses.iter().any(|key| key == "paginate");
        assert_eq!(guessed, is_guess, "{kind}:\n{block}");
        let notes = report["notes"].to_string();
        has(
            &notes,
            &[&format!("all of them GET: {sent}"), "requests: 6000/m"],
        );
        tables += &indented(block, 6);
        loads += &indented(report["load"].as_str().unwrap(), 6);
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
    desk.write("towpath.yml", &(desk.read("towpath.yml") + &tables));
    let pipeline =
        format!("steps:\n  extract:\n    load: api\n    into: raw\n    tables:\n{loads}");
    desk.write("pipelines/p.yml", &pipeline);
    desk.ok(".", &["run"]);
    for (kind, _, _) in KINDS {
        let sql = format!("select count(*) n, count(distinct id) d, sum(id) s from raw.{kind}");
        let rows = desk.json(".", &["query", "--format", "json", &sql]);
        let number = |name: &str| rows[0][name].to_string().trim_matches('"').parse().unwrap();
        let found: [u64; 3] = [number("n"), number("d"), number("s")];
        assert_eq!(found, [COUNT, COUNT, COUNT * (COUNT + 1) / 2], "{kind}");
    }
}

#[test]
fn what_was_not_seen_is_said() {
    let server = HttpServer::start(|request: &HttpRequest| match request.path() {
        "/v1/empty" => HttpAnswer::json(r#"{"data":[],"total":0}"#),
        "/v1/two" => HttpAnswer::json(r#"{"included":[{"x":1}],"data":[{"id":1},{"id":2}]}"#),
        "/v1/page" => HttpAnswer::new(200, "<html>").header("content-type", "text/html"),
        "/v1/list" => HttpAnswer::json("[1,2]"),
        "/v1/closed" => HttpAnswer::new(403, "not yours"),
        // A time gives what is later: records of the same time would be lost.
        "/v1/later" => {
            let since = request
                .parameter("updated_since")
                .map_or(0, |text| text.parse().unwrap());
            let later = (1..=3).filter(|at| *at > since);
            let later: Vec<String> = later
                .map(|at| format!(r#"{{"id":{at},"updated_at":{at}}}"#))
                .collect();
            HttpAnswer::json(list(&later))
        }
        "/v1/tables/7/rows" => HttpAnswer::json(r#"[{"id":1}]"#),
        _ => HttpAnswer::new(404, "what?"),
    })
    .unwrap();
    let desk = project(&server.url());
    desk.write(
        "towpath.yml",
        &(desk.read("towpath.yml") + "    tables:\n      tables: {}\n"),
    );
    let discover = ["connection", "discover", "api", "--path"];
    let ok = |path: &str| desk.ok(".", &[&discover[..], &[path]].concat());
    has(
        &ok("empty"),
        &[
            "there are no records now",
            "guess: the only list, and it is empty now",
        ],
    );
    has(
        &ok("/v1/two"),
        &[
            "records: data",
            "guess: the longest list: 2; the others: `included`",
        ],
    );
    has(
        &ok("two"),
        &[
            "no second page was found: 2 came at once",
            "likely key: `id`",
        ],
    );
    has(
        &ok("tables/7/rows"),
        &["for each record of `tables`: `path: tables/{tables.id}/rows`"],
    );
    let later = ok("later");
    has(&later, &["likely cursor: `updated_at`", "later: {}"]);
    assert!(!later.contains("updated_since"), "{later}");
    let wrong = |path: &str| desk.exits(2, ".", &[&discover[..], &[path]].concat());
    has(&wrong("page"), &["R0382"]);
    has(&wrong("list"), &["R0384", "items are no maps"]);
    has(&wrong("closed"), &["R0353", "not yours"]);
    has(&wrong("nothing"), &["R0354"]);
    has(&wrong("x/{x.id}"), &["R0384", "placeholder"]);
    has(
        &wrong("https://elsewhere.example/x"),
        &["R0384", "is not below"],
    );
    let both = [&discover[..], &["two", "--write"]].concat();
    assert_eq!(desk.towpath(".", &both).status.code(), Some(2));

    let files = TestProject::with_pipeline("steps: {}\n");
    let said = files.exits(2, ".", &["connection", "discover", "data", "--path", "x"]);
    has(&said, &["R0994", "has no endpoints to probe"]);
}
