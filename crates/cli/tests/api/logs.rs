//! Logs in pages: everything once, however much a program prints, also while it runs.

use crate::client::{Server, token};
use crate::project;

/// All pages of a log: what was printed, the numbers of the events, and how many pages there were.
fn all(server: &Server, token: &str, run: &str) -> (String, Vec<u64>, usize) {
    let (mut text, mut seqs, mut pages) = (String::new(), Vec::new(), 0);
    let mut cursor = String::new();
    loop {
        let page = server
            .get(token, &format!("/runs/{run}/logs{cursor}"))
            .json();
        pages += 1;
        for one in page["printed"].as_array().unwrap() {
            assert!(one["task"].is_string());
            text.push_str(one["text"].as_str().unwrap());
        }
        let events = page["events"].as_array().unwrap().iter();
        seqs.extend(events.map(|event| event["seq"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return (text, seqs, pages),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_long_log_comes_in_pages_and_whole() {
    let desk = project();
    desk.write("step.sh", "seq 1 400000\necho the end\n");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    server.post(&operate, "/pipelines/often/runs", "");
    // It is followed while it is written.
    let (text, seqs, _) = all(&server, &operate, "often%231");
    assert_eq!(server.end_of(&operate, "often#1"), "succeeded");
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let (again, same, pages) = all(&server, &operate, "often%231");
    assert!(pages >= 3, "{pages}");
    assert_eq!(same, seqs);
    assert!(again == text, "{} {}", again.len(), text.len());
    let mut lines = text.lines();
    for number in 1..=400_000 {
        assert_eq!(lines.next(), Some(number.to_string().as_str()));
    }
    assert_eq!((lines.next(), lines.next()), (Some("the end"), None));
    // The command prints all of it, too.
    let printed = desk.ok(".", &["logs", "often#1"]);
    assert!(printed.contains("the end") && printed.contains("│ 400000"));
    for wrong in ["x", "1~2", "often%231"] {
        let refused = server.get(&operate, &format!("/runs/often%231/logs?cursor={wrong}"));
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "R1131"),
            "{wrong}"
        );
    }
}
