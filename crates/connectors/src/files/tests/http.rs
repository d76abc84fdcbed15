//! Files of a server: ranges of one version, servers without ranges, cut answers, redirects, who asks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};
use towpath_vocab::{Position, Remedy};

use super::columnar::fixture;
use super::*;

/// A file of a server, with its ETag.
type Served = Arc<Mutex<(Vec<u8>, String)>>;

fn served(bytes: impl AsRef<[u8]>) -> Served {
    Arc::new(Mutex::new((bytes.as_ref().to_vec(), "\"one\"".to_owned())))
}

/// Answers as servers of files do, with ranges.
fn in_ranges(request: &HttpRequest, file: &Served) -> HttpAnswer {
    let (bytes, e_tag) = file.lock().unwrap().clone();
    if request
        .header("if-match")
        .is_some_and(|wanted| wanted != e_tag)
    {
        return HttpAnswer::new(412, "");
    }
    let range = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="));
    let Some((from, last)) = range.and_then(|range| range.split_once('-')) else {
        return HttpAnswer::new(200, bytes).header("etag", &e_tag);
    };
    let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
    if from >= bytes.len() {
        return HttpAnswer::new(416, "")
            .header("content-range", &format!("bytes */{}", bytes.len()));
    }
    let last = last.min(bytes.len() - 1);
    let placed = format!("bytes {from}-{last}/{}", bytes.len());
    HttpAnswer::new(206, &bytes[from..=last])
        .header("content-range", &placed)
        .header("etag", &e_tag)
}

fn project(url: &str) -> Project {
    Project::new().with("path", json!(url))
}

fn fails(project: &Project, selection: &str) -> (String, Remedy, String) {
    let failure = project.fail(selection);
    (failure.code.clone(), failure.remedy, failure.message)
}

/// The requests that came; a connection that was opened beside another one may be closed without any.
fn asked_of(server: &HttpServer) -> Vec<HttpRequest> {
    let mut all = server.requests();
    all.retain(|request| request.method == "GET");
    all
}

fn many_lines(count: usize) -> String {
    let lines: Vec<String> = (0..count)
        .map(|at| format!("{at},{}\n", "x".repeat(90)))
        .collect();
    format!("n,t\n{}", lines.concat())
}

#[test]
fn every_format_is_read_as_from_a_folder() {
    for (name, bytes) in [
        ("t.csv", b"a,b\n1,x\n2,y\n".to_vec()),
        ("t.csv.gz", gzip(b"a,b\n1,x\n2,y\n")),
        ("long.csv", many_lines(9_000).into_bytes()),
        ("t.jsonl", b"{\"a\":1}\n{\"a\":2}\n".to_vec()),
        ("t.parquet", fixture("parquet/types.parquet")),
        ("t.avro", fixture("avro/types.avro")),
        ("t.arrow", fixture("arrow/types.arrow")),
    ] {
        let local = Project::new().file(name, &bytes).read(name);
        let file = served(&bytes);
        let with_ranges = {
            let file = Arc::clone(&file);
            HttpServer::start(move |request| in_ranges(request, &file)).unwrap()
        };
        let without = HttpServer::start(move |_| {
            HttpAnswer::new(200, file.lock().unwrap().0.clone()).header("etag", "W/\"weak\"")
        });
        for server in [&with_ranges, &without.unwrap()] {
            let remote = project(&format!("{}/data", server.url()));
            let read = remote.read(name);
            assert_eq!(
                (&read.rows, &read.columns),
                (&local.rows, &local.columns),
                "{name}"
            );
            let place = read.place(0).object;
            assert_eq!(place, format!("{}/data/{name}", server.url()));
            // What was got whole is gone with the read.
            drop(read);
            let left = remote.dir.path().join(".towpath/http");
            assert!(!left.exists() || std::fs::read_dir(left).unwrap().next().is_none());
        }
        let asked = asked_of(&with_ranges);
        assert!(
            asked
                .iter()
                .all(|request| request.header("range").is_some()),
            "{name}"
        );
    }
}

#[test]
fn braces_name_several_files_and_globs_are_refused() {
    let server = HttpServer::start(|request| match request.path() {
        "/d/2024.csv" => HttpAnswer::new(200, "a\n1\n"),
        "/d/2025.csv" => HttpAnswer::new(200, "a\n2\n"),
        _ => HttpAnswer::new(404, "no"),
    });
    let server = server.unwrap();
    let url = server.url();
    let below = project(&format!("{url}/d/"));
    assert_eq!(below.read("{2025,2024}.csv").rows, ["2", "1"]);
    let named = project(&format!("{url}/d/{{2024,2025}}.csv"));
    for selection in ["*", "*.csv", "{2024,2025}.csv"] {
        assert_eq!(named.read(selection).rows, ["1", "2"], "{selection}");
    }
    assert_eq!(named.read("2025").rows, ["2"]);
    assert_eq!(
        project(&format!("{url}/d/2024.csv?token=secret"))
            .read("*")
            .rows,
        ["1"]
    );
    assert_eq!(
        below.read("2024.csv?token=secret").place(0).object,
        format!("{url}/d/2024.csv")
    );
    let (code, _, message) = fails(&below, "*.csv");
    assert_eq!(code, "R0185", "{message}");
    let (code, remedy, message) = fails(&below, "2026.csv?token=secret");
    assert_eq!((code.as_str(), remedy), ("R0182", Remedy::FixConfig));
    assert!(
        message.contains("404") && !message.contains("secret"),
        "{message}"
    );
    assert_eq!(fails(&below, "../x.csv").0, "R0104");
    assert_eq!(fails(&below, "%2e%2e/x.csv").0, "R0185");
    let (code, _, message) = fails(&named, "2026.csv?sig=secret");
    assert!(code == "R0101" && !message.contains("secret"), "{message}");
}

#[test]
fn a_file_that_changes_during_a_read_stops_it() {
    for ignores_conditions in [false, true] {
        let file = served(many_lines(9_000));
        let (there, asked) = (Arc::clone(&file), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let server = HttpServer::start(move |request| {
            // The third range is of another version.
            if counted.fetch_add(1, Ordering::SeqCst) == 2 {
                *there.lock().unwrap() = (many_lines(9_001).into_bytes(), "\"two\"".to_owned());
            }
            let mut request = request.clone();
            if ignores_conditions {
                request.headers.remove("if-match");
            }
            in_ranges(&request, &there)
        });
        let server = server.unwrap();
        let (code, remedy, message) = fails(&project(&server.url()), "t.csv");
        assert_eq!(
            (code.as_str(), remedy),
            ("R0116", Remedy::Retry),
            "{message}"
        );
        assert!(asked.load(Ordering::SeqCst) > 2);
    }
}

#[test]
fn what_is_cut_off_or_refused_for_a_while_is_asked_for_again() {
    let text = many_lines(9_000);
    for is_ranged in [true, false] {
        let (file, tries) = (served(&text), AtomicUsize::new(0));
        let server = HttpServer::start(move |request| {
            let answer = match is_ranged {
                true => in_ranges(request, &file),
                false => HttpAnswer::new(200, file.lock().unwrap().0.clone()),
            };
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => HttpAnswer::new(503, "").header("retry-after", "0"),
                1 => HttpAnswer::none(),
                // The third of four answers with bytes.
                3 => answer.cut_after(1000),
                _ => answer,
            }
        });
        let server = server.unwrap();
        assert_eq!(project(&server.url()).read("t.csv").rows.len(), 9_000);
    }
    // It stays so.
    let server =
        HttpServer::start(move |_| HttpAnswer::new(200, "a\n1\n2\n").cut_after(4)).unwrap();
    let (code, remedy, message) = fails(&project(&server.url()), "t.csv");
    assert_eq!(
        (code.as_str(), remedy),
        ("R0183", Remedy::Retry),
        "{message}"
    );
    assert!(message.contains("cut off"), "{message}");
    let tries = asked_of(&server).len();
    assert_eq!(tries, 6, "one look and five tries");
}

#[test]
fn what_a_server_packs_for_the_way_is_unpacked() {
    let server = HttpServer::start(|request| {
        let packed = gzip(b"a\n1\n2\n");
        match request.path() {
            "/cut.csv" => HttpAnswer::new(200, &packed[..packed.len() - 6]),
            "/br.csv" => return HttpAnswer::new(200, packed).header("content-encoding", "br"),
            _ => HttpAnswer::new(200, packed),
        }
        .header("content-encoding", "gzip")
    });
    let server = server.unwrap();
    let project = project(&server.url());
    assert_eq!(project.read("t.csv").rows, ["1", "2"]);
    // Some servers say so of a file that is packed itself.
    assert_eq!(project.read("t.csv.gz").rows, ["1", "2"]);
    let (code, _, message) = fails(&project, "cut.csv");
    assert_eq!(code, "R0183", "{message}");
    let (code, _, message) = fails(&project, "br.csv");
    assert!(code == "R0187" && message.contains("`br`"), "{message}");
}

#[test]
fn credentials_go_to_the_host_of_the_connection_alone() {
    let other = HttpServer::start(|_| HttpAnswer::new(200, "a\n1\n")).unwrap();
    let target = format!("{}/signed.csv?key=secret", other.url());
    let server = HttpServer::start(move |request| match request.header("authorization") {
        None => HttpAnswer::new(401, ""),
        Some(_) if request.path() == "/moved.csv" => {
            HttpAnswer::new(302, "").header("location", "/at.csv")
        }
        Some(_) if request.path() == "/away.csv" => {
            HttpAnswer::new(307, "").header("location", &target)
        }
        Some(_) if request.path() == "/file.csv" => {
            HttpAnswer::new(302, "").header("location", "file:///etc/passwd")
        }
        Some(_) if request.path() == "/round.csv" => {
            HttpAnswer::new(302, "").header("location", "/round.csv")
        }
        Some(_) => HttpAnswer::new(200, "a\n2\n"),
    });
    let server = server.unwrap();
    let asked = |options: &[(&str, &str)], name: &str| {
        let mut project = project(&server.url());
        for (option, value) in options {
            project = project.with(option, json!(value));
        }
        project.try_read(&spec(name)).map(|outcome| outcome.rows)
    };
    let bearer = [("auth.type", "bearer"), ("auth.token", "t0ken")];
    assert_eq!(asked(&[], "at.csv").unwrap_err().code, "R0182");
    assert_eq!(asked(&bearer, "moved.csv").unwrap(), ["2"]);
    assert_eq!(asked(&bearer, "away.csv").unwrap(), ["1"]);
    let away = other.requests();
    assert!(!away.is_empty());
    assert!(
        away.iter()
            .all(|request| request.header("authorization").is_none())
    );
    for (options, sent) in [
        (bearer.as_slice(), "Bearer t0ken"),
        (
            &[
                ("auth.type", "basic"),
                ("auth.user", "me"),
                ("auth.password", "pw"),
            ],
            "Basic bWU6cHc=",
        ),
        (
            &[
                ("auth.type", "header"),
                ("auth.name", "Authorization"),
                ("auth.value", "x"),
            ],
            "x",
        ),
    ] {
        assert_eq!(asked(options, "at.csv").unwrap(), ["2"]);
        let last = asked_of(&server).pop().unwrap();
        assert_eq!(last.header("authorization"), Some(sent));
    }
    let failure = asked(&bearer, "file.csv").unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0184", Remedy::FixConfig)
    );
    assert!(!failure.message.contains("passwd"), "{failure:?}");
    assert_eq!(asked(&bearer, "round.csv").unwrap_err().code, "R0183");
    // A folder has no credentials.
    let folder = Project::new()
        .with("auth.type", json!("bearer"))
        .options_fail();
    assert!(
        folder.contains("`auth`") && folder.contains("https://"),
        "{folder}"
    );
    let user = project("https://me:secret@example.com/t.csv").options_fail();
    assert!(user.contains("basic") && !user.contains("secret"), "{user}");
}

#[test]
fn an_incremental_read_knows_a_file_by_its_bytes_whatever_the_server_says_of_it() {
    for always_ranged in [true, false] {
        let file = served("a\n1\n2\n");
        let there = Arc::clone(&file);
        // A server may call a version sure once the file is a minute old.
        let is_ranged = Arc::new(AtomicBool::new(always_ranged));
        let asked = Arc::clone(&is_ranged);
        let server = HttpServer::start(move |request| match asked.load(Ordering::SeqCst) {
            true => in_ranges(request, &there),
            false => HttpAnswer::new(200, there.lock().unwrap().0.clone()),
        });
        let server = server.unwrap();
        let project = project(&server.url());
        let mut spec = spec("t.csv");
        spec.mode = ReadMode::Incremental;
        let read = |from: &Position| {
            run(async {
                let mut reader = project.source().open(&spec, Some(from)).await.unwrap();
                let (mut rows, mut position) = (Vec::new(), from.clone());
                let mut splits = reader.splits();
                while let Some(assignment) = splits.next().await {
                    let Assignment::Assigned(mut split) = assignment.unwrap() else {
                        continue;
                    };
                    while let Some(event) = split.events.next().await {
                        match event.unwrap() {
                            Event::Rows(batch) => rows.extend(lines(&batch.batch)),
                            Event::Boundary(reached) => position.advance(&split.id, reached),
                            _ => {}
                        }
                    }
                }
                (rows, position)
            })
        };
        let (rows, first) = read(&Position::default());
        assert_eq!(rows, ["1", "2"]);
        is_ranged.store(true, Ordering::SeqCst);
        assert!(read(&first).0.is_empty());
        *file.lock().unwrap() = (b"a\n1\n2\n3\n".to_vec(), "\"two\"".to_owned());
        assert_eq!(read(&first).0, ["3"]);
    }
}

#[test]
fn an_answer_that_only_ends_with_its_connection_is_refused() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\na\n1\n");
        }
    });
    let (code, remedy, message) = fails(&project(&url), "t.csv");
    assert_eq!(
        (code.as_str(), remedy),
        ("R0187", Remedy::FixConfig),
        "{message}"
    );
}

#[test]
fn a_test_of_a_connection_asks_for_its_files() {
    let server = HttpServer::start(|request| match request.path() {
        "/a.csv" => HttpAnswer::new(200, "a\n1\n"),
        _ => HttpAnswer::new(404, ""),
    });
    let server = server.unwrap();
    let test = |path: &str| {
        let project = project(&format!("{}{path}", server.url()));
        run(async { project.discover().test().await })
    };
    let report = test("/a.csv").unwrap();
    assert!(report.notes[0].contains("1 file"), "{:?}", report.notes);
    assert_eq!(test("/b.csv").unwrap_err().code, "R0182");
    assert!(test("").unwrap().notes[0].contains("not asked"));
}

#[test]
fn nothing_is_written_to_a_server() {
    let project = project("https://example.com/data");
    let mut connection = project.connection();
    connection.writable = true;
    let destination = FilesConnector
        .destination(&connection, &project.context())
        .unwrap();
    let failure = run(destination.schema(&TableName::new("out", "t.csv"))).unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0120", Remedy::FixConfig)
    );
    assert!(failure.message.contains("only read"), "{failure:?}");
}
