//! Formats whose record is a line: access logs, syslog, patterns, fixed fields.

use towpath_vocab::Remedy;

use super::super::{FilesSource, Root};
use super::*;

fn lines(format: &str) -> Project {
    Project::new().with("format", json!(format))
}

fn read(project: Project, text: impl AsRef<[u8]>) -> Outcome {
    project.file("t.log", text).read("t.log")
}

fn messages(outcome: &Outcome) -> Vec<String> {
    let reasons = outcome.rejects.iter().flat_map(|reject| &reject.reasons);
    reasons.map(|reason| reason.text()).collect()
}

/// Rejected records once more.
fn again(project: &Project, spec: &ReadSpec, rejects: &[Reject]) -> Outcome {
    let records = rejects.iter().map(|reject| RejectedRecord {
        place: reject.place.clone(),
        raw: reject.raw.clone(),
    });
    let records = records.collect();
    run(async {
        let reader = project.source().replay(spec, records).await.unwrap();
        drain(reader).await.unwrap()
    })
}

const APACHE: &str = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
::1 - - [29/Feb/2024:00:00:00 +0000] "-" 408 -
10.0.0.1 - a b [01/Jan/2024:23:59:59 +0530] "GET /a\"b c HTTP/1.1" 404 0
10.0.0.2 - - [01/Jan/2024:00:00:00 +0000] "\x16\x03\x01" 400 150
"#;

#[test]
fn the_common_log_format() {
    let outcome = read(lines("common"), APACHE);
    assert_eq!(
        outcome.columns,
        [
            "remote_host text",
            "ident text",
            "remote_user text",
            "time timestamptz",
            "request text",
            "method text",
            "path text",
            "protocol text",
            "status bigint",
            "bytes bigint",
        ]
    );
    assert_eq!(
        outcome.rows,
        [
            "127.0.0.1|∅|frank|2000-10-10T20:55:36Z|GET /apache_pb.gif HTTP/1.0|GET|/apache_pb.gif|HTTP/1.0|200|2326",
            "::1|∅|∅|2024-02-29T00:00:00Z|∅|∅|∅|∅|408|∅",
            r#"10.0.0.1|∅|a b|2024-01-01T18:29:59Z|GET /a\"b c HTTP/1.1|GET|/a\"b c|HTTP/1.1|404|0"#,
            r"10.0.0.2|∅|∅|2024-01-01T00:00:00Z|\x16\x03\x01|∅|∅|∅|400|150",
        ]
    );
    assert_eq!(outcome.rejects, []);
}

#[test]
fn the_combined_log_format_and_lines_of_other_ones() {
    let good = r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "http://x/?q=\"a\"" "Mozilla/5.0 (X11; \"q\")""#;
    let bad = [
        r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5"#,
        r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "-" "-" "more""#,
        r#"1.2.3.4 - - [10/Okt/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "-" "-""#,
        r#"1.2.3.4 - - [31/Feb/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "-" "-""#,
        r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" OK 5 "-" "-""#,
        "Traceback (most recent call last):",
    ];
    let text = format!("{good}\n\r\n{}\n{good}", bad.join("\r\n"));
    let outcome = read(lines("combined"), text);
    assert_eq!(outcome.columns[10..], ["referer text", "user_agent text"]);
    assert_eq!(outcome.rows.len(), 2);
    assert!(
        outcome.rows[0].ends_with(r#"|200|5|http://x/?q=\"a\"|Mozilla/5.0 (X11; \"q\")"#),
        "{:?}",
        outcome.rows
    );
    assert_eq!(outcome.raw_rejects(), bad);
    assert_eq!(
        outcome.reasons(),
        [
            "3: line",
            "4: line",
            "5: line",
            "6: type time",
            "7: type status",
            "8: line",
        ]
    );
    let said = messages(&outcome);
    assert!(
        said[0].ends_with("there is no referer; `format: common` has none"),
        "{said:?}"
    );
    assert!(said[1].contains("more behind the user agent"), "{said:?}");
    assert!(said[2].contains("`10/Oct/2000:13:55:36 -0700`"), "{said:?}");
    assert_eq!(outcome.place(1).line, Some(9));
}

#[test]
fn lines_with_more_fields_before_the_time_are_rejected() {
    let rest = r#"[10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5"#;
    let bad = [
        "example.com:80 1.2.3.4 - -",
        "example.com:80 1.2.3.4 - frank",
        "example.com:80 1.2.3.4 id frank",
        "1.1.1.1, 2.2.2.2 - -",
        "1.1.1.1, 2.2.2.2, 3.3.3.3 - -",
        "- 1.2.3.4 - -",
    ];
    let bad = bad.map(|fields| format!("{fields} {rest}"));
    let good = format!("1.2.3.4 - john doe {rest}");
    let outcome = read(lines("common"), format!("{}\n{good}\n", bad.join("\n")));
    assert_eq!(outcome.rows.len(), 1);
    assert!(
        outcome.rows[0].starts_with("1.2.3.4|∅|john doe|"),
        "{:?}",
        outcome.rows
    );
    assert_eq!(outcome.raw_rejects(), bad);
    for said in messages(&outcome) {
        assert!(
            said.contains("a host, an ident and a user are expected"),
            "{said}"
        );
    }
}

/// A connection says how its CSV files are read: its logs have other options.
#[test]
fn options_of_a_connection_for_other_formats_do_not_touch_logs() {
    let plain = lines("common").file("t.log", APACHE).read("t.log");
    let project = Project::new()
        .with("skip_lines", json!(1))
        .with("timestamp_format", json!("%d.%m.%Y %H:%M"))
        .with("date_format", json!("%d.%m.%Y"))
        .with("decimal", json!(","))
        .with("null_values", json!(["200"]))
        .with("delimiter", json!(";"))
        .file("t.log", APACHE)
        .file("t.csv", "a title\na;day\n1,5;31.01.2024\n");
    let mut spec = spec("t.log");
    spec.options.insert("format".to_owned(), json!("common"));
    let outcome = project.read_as(&spec);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (4, 0));
    assert_eq!((outcome.columns, outcome.rows), (plain.columns, plain.rows));
    spec.options.insert("format".to_owned(), json!("syslog"));
    let iso = "2024-05-01T10:00:00Z host su: a\n";
    project.put("t.log", iso.repeat(2));
    let outcome = project.read_as(&spec);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (2, 0));
    let outcome = project.read("t.csv");
    assert_eq!(outcome.rows, ["1.5|2024-01-31"]);
}

#[test]
fn rejected_lines_are_read_again() {
    let project = lines("common").file(
        "t.log",
        "no log line\n1.1.1.1 - - [31/Feb/2000:13:55:36 -0700] \"-\" 200 5\n",
    );
    let mut spec = spec("t.log");
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.reasons(), ["1: line", "2: type time"]);
    let replayed = again(&project, &spec, &outcome.rejects);
    assert_eq!(
        (replayed.rows.len(), replayed.reasons()),
        (0, vec!["0: line".to_owned(), "0: type time".to_owned()])
    );
    spec.declared = declared(&[("time", "text")]);
    let replayed = again(&project, &spec, &outcome.rejects);
    assert_eq!(
        replayed.rows,
        ["1.1.1.1|∅|∅|2000-02-31T13:55:36-0700|∅|∅|∅|∅|200|5"]
    );
    assert_eq!(replayed.raws(), [outcome.rejects[1].raw.clone()]);
}

const RFC5424: &str = concat!(
    "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed\n",
    "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.\n",
    "<165>1 2003-10-11T22:14:15Z host evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Appli\\\"cation\" ip=\"1\" ip=\"2\"][x@1] An event\n",
    "<0>1 - - - - - [a b=\"\\]\\q\"]\n",
);

#[test]
fn syslog_of_rfc_5424() {
    let outcome = read(lines("syslog"), RFC5424);
    assert_eq!(
        outcome.columns,
        [
            "facility bigint",
            "severity bigint",
            "time timestamptz",
            "local_time text",
            "hostname text",
            "app_name text",
            "procid text",
            "msgid text",
            "structured_data text",
            "message text",
        ]
    );
    assert_eq!(outcome.rejects, []);
    assert_eq!(
        outcome.rows,
        [
            "4|2|2003-10-11T22:14:15.003Z|∅|mymachine.example.com|su|∅|ID47|∅|'su root' failed",
            "20|5|2003-08-24T12:14:15.000003Z|∅|192.0.2.1|myproc|8710|∅|∅|%% It's time.",
            "20|5|2003-10-11T22:14:15Z|∅|host|evntslog|∅|ID47|{\"exampleSDID@32473\":{\"iut\":\"3\",\"eventSource\":\"Appli\\\"cation\",\"ip\":[\"1\",\"2\"]},\"x@1\":{}}|An event",
            "0|0|∅|∅|∅|∅|∅|∅|{\"a\":{\"b\":\"]\\\\q\"}}|∅",
        ]
    );
}

const RFC3164: &str = "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8\n\
    Feb  9 05:00:01 host CRON[123]: (root) CMD (x: y)\n\
    Feb 29 05:00:01 host last message repeated 3 times\n\
    2024-05-01T10:00:00.123456+02:00 host systemd[1]: Started.\n";

#[test]
fn syslog_of_rfc_3164_has_no_year() {
    let outcome = read(lines("syslog"), RFC3164);
    assert_eq!(outcome.rejects, []);
    assert_eq!(
        outcome.rows,
        [
            "4|2|∅|Oct 11 22:14:15|mymachine|su|∅|∅|∅|'su root' failed for lonvick on /dev/pts/8",
            "∅|∅|∅|Feb  9 05:00:01|host|CRON|123|∅|∅|(root) CMD (x: y)",
            "∅|∅|∅|Feb 29 05:00:01|host|∅|∅|∅|∅|last message repeated 3 times",
            "∅|∅|2024-05-01T08:00:00.123456Z|∅|host|systemd|1|∅|∅|Started.",
        ]
    );
    assert!(
        outcome.notes[0].contains("have no year"),
        "{:?}",
        outcome.notes
    );
    // Said by the project, they are moments; a day that the year does not have is rejected.
    let project = lines("syslog")
        .with("year", json!(2023))
        .with("offset", json!("-05:00"));
    let outcome = read(project, RFC3164);
    assert_eq!(
        outcome.rows[0],
        "4|2|2023-10-12T03:14:15Z|Oct 11 22:14:15|mymachine|su|∅|∅|∅|'su root' failed for lonvick on /dev/pts/8"
    );
    assert_eq!(
        (outcome.rows.len(), outcome.reasons()),
        (3, vec!["3: type time".to_owned()])
    );
    assert_eq!(outcome.notes, Vec::<String>::new());
    for (options, word) in [
        (vec![("year", json!(2023))], "`offset`"),
        (vec![("offset", json!("Z"))], "`year`"),
        (
            vec![("year", json!("last")), ("offset", json!("Z"))],
            "a year",
        ),
        (
            vec![("year", json!(2023)), ("offset", json!("CET"))],
            "an offset",
        ),
    ] {
        let mut project = lines("syslog").file("t.log", RFC3164);
        for (option, value) in options {
            project = project.with(option, value);
        }
        assert!(
            project.options_fail().contains(word),
            "{}",
            project.options_fail()
        );
    }
}

#[test]
fn a_line_of_syslog_may_have_no_hostname() {
    let text = "<34>Oct 11 22:14:15 su: 'su root' failed\n\
        Oct 11 22:14:15 CRON[12]: x: y\n\
        Oct 11 22:14:15 10.1.1.1: x\n\
        2024-05-01T10:00:00Z app[1]: started\n";
    let outcome = read(lines("syslog"), text);
    assert_eq!(outcome.rejects, []);
    assert_eq!(
        outcome.rows,
        [
            "4|2|∅|Oct 11 22:14:15|∅|su|∅|∅|∅|'su root' failed",
            "∅|∅|∅|Oct 11 22:14:15|∅|CRON|12|∅|∅|x: y",
            "∅|∅|∅|Oct 11 22:14:15|10.1.1.1:|∅|∅|∅|∅|x",
            "∅|∅|2024-05-01T10:00:00Z|∅|∅|app|1|∅|∅|started",
        ]
    );
}

#[test]
fn broken_syslog_is_rejected_line_by_line() {
    for (line, why) in [
        ("<192>Oct 11 22:14:15 h a: b", "priority"),
        ("<>Oct 11 22:14:15 h a: b", "priority"),
        ("Oct 32 22:14:15 h a: b", "a time"),
        ("Okt 11 22:14:15 h a: b", "a time"),
        ("Oct 11 22:14:15 h", "no message"),
        ("<1>2 2003-10-11T22:14:15Z h a - - - x", "a time"),
        ("<1>1 2003-10-11T22:14:15Z h a - -", "message id"),
        (
            "<1>1 2003-10-11T22:14:15Z h a - - [x y=\"z\" b",
            "structured data",
        ),
        (
            "<1>1 2003-10-11T22:14:15Z h a - - [x][x] b",
            "structured data",
        ),
        ("<1>1 2003-10-11T22:14:15Z h a - - [x]b", "no blank"),
        ("    at java.lang.Thread.run", "a time"),
    ] {
        let outcome = read(lines("syslog"), format!("{line}\nOct  1 00:00:00 h a: b\n"));
        assert_eq!(outcome.rows.len(), 1, "{line}");
        assert_eq!(outcome.raw_rejects(), [line]);
        let said = messages(&outcome);
        assert!(said[0].contains(why), "{line}: {said:?}");
    }
}

#[test]
fn a_pattern_of_the_user() {
    let project = lines("regex")
        .with(
            "pattern",
            json!(r"(?<at>\S+) \[(?<level>[A-Z]+)\] (?:user=(?<user>\d+) )?(?<message>.*)"),
        )
        .with("null_values", json!(["-"]));
    let text = "2024-01-31T10:00:00Z [INFO] user=7 started\n2024-01-31T10:00:01Z [WARN] -\nno\nx 2024-01-31T10:00:00Z [INFO] a\n";
    let project = project.file("t.log", text);
    let outcome = project.read("t.log");
    assert_eq!(
        outcome.columns,
        [
            "at timestamptz",
            "level text",
            "user bigint",
            "message text"
        ]
    );
    assert_eq!(
        outcome.rows,
        [
            "2024-01-31T10:00:00Z|INFO|7|started",
            "2024-01-31T10:00:01Z|WARN|∅|∅",
        ]
    );
    assert_eq!(outcome.reasons(), ["3: line", "4: line"]);
    assert_eq!(messages(&outcome)[0], "the line does not match `pattern`");
    // With another pattern the record is a row.
    let mut spec = spec("t.log");
    spec.options
        .insert("pattern".to_owned(), json!("(?<word>[a-z]+)"));
    assert_eq!(again(&project, &spec, &outcome.rejects[..1]).rows, ["no"]);
    spec.declared = declared(&[("words", "text")]);
    assert_eq!(project.try_read(&spec).unwrap_err().code, "R0110");
}

#[test]
fn a_pattern_matches_the_whole_line_and_times_have_formats() {
    let project = lines("regex")
        .with("pattern", json!("(?<at>[^ ]+ [^ ]+) (?<n>a|ab)"))
        .with("timestamp_format", json!("%d/%b/%Y %H:%M:%S"))
        .with("skip_lines", json!(1));
    let outcome = read(
        project,
        "at n\n01/Feb/2024 10:00:00 ab\n01/Feb/2024 10:00:00 abc\n",
    );
    assert_eq!(outcome.columns, ["at timestamp", "n text"]);
    assert_eq!(outcome.rows, ["2024-02-01T10:00:00|ab"]);
    assert_eq!(outcome.reasons(), ["3: line"]);
}

#[test]
fn a_pattern_may_end_with_a_comment() {
    let pattern = r"(?x) (?<n>\d+) \s (?<word>.*) # a number and the rest";
    let outcome = read(lines("regex").with("pattern", json!(pattern)), "1 a b\nx\n");
    assert_eq!(outcome.rows, ["1|a b"]);
    assert_eq!(outcome.reasons(), ["2: line"]);
}

#[test]
fn fields_of_fixed_width() {
    let project = lines("fixed")
        .with(
            "fields",
            json!(["id 1-4", "name 8", "amount 14-20", "day 10"]),
        )
        .with("decimal", json!(","));
    let text = "0001 Müller    1,50 2024-01-31\n0002Ann     x 12,25 2024-02-01  \n0003\n0004Bob        1,00 2024-02-01x\n";
    let project = project.file("t.txt", text);
    let mut spec = spec("t.txt");
    let outcome = project.read_as(&spec);
    assert_eq!(
        outcome.columns,
        ["id text", "name text", "amount decimal(18,2)", "day date"]
    );
    assert_eq!(
        outcome.rows,
        ["0001|Müller|1.50|2024-01-31", "0002|Ann|12.25|2024-02-01"]
    );
    assert_eq!(outcome.reasons(), ["3: line", "4: line"]);
    let said = messages(&outcome);
    assert_eq!(
        said[0],
        "the line has 4 characters, but its fields end at 30; `short_lines: pad` takes what is missing as blanks"
    );
    assert_eq!(
        said[1],
        "the line has text behind character 30, where its last field ends"
    );
    spec.options.insert("short_lines".to_owned(), json!("pad"));
    spec.options.insert("trim".to_owned(), json!(false));
    spec.declared = declared(&[("amount", "text"), ("day", "text")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows[0], "0001| Müller |  1,50 |2024-01-31");
    assert_eq!(outcome.rows[2], "0003|∅|∅|∅");
}

#[test]
fn what_lines_need_is_asked_for() {
    for (project, code, word) in [
        (lines("regex"), "R0134", "`pattern`"),
        (lines("fixed"), "R0134", "`fields`"),
        (
            lines("regex").with("pattern", json!("(?<a>")),
            "R0103",
            "a regular expression",
        ),
        (
            lines("regex").with("pattern", json!("(a)")),
            "R0103",
            "named groups",
        ),
        (
            lines("fixed").with("fields", json!(["id"])),
            "R0103",
            "a name with places",
        ),
        (
            lines("fixed").with("fields", json!(["id 5-4"])),
            "R0103",
            "a name with places",
        ),
        (
            lines("fixed").with("fields", json!(["id 0-4"])),
            "R0103",
            "a name with places",
        ),
        (
            lines("fixed").with("fields", json!(["id 1 - 4"])),
            "R0103",
            "a name with places",
        ),
        (
            lines("fixed").with("fields", json!(["id- 4"])),
            "R0103",
            "a name with places",
        ),
        (
            lines("fixed").with("fields", json!(["id 4", "id 5"])),
            "R0103",
            "no other field",
        ),
        (
            lines("common").with("delimiter", json!(";")),
            "R0103",
            "format `common`",
        ),
        (
            lines("combined").with("pattern", json!("(?<a>.)")),
            "R0103",
            "format `combined`",
        ),
        (
            lines("syslog").with("date_format", json!("%d.%m.%Y")),
            "R0103",
            "format `syslog`",
        ),
        (
            lines("regex")
                .with("pattern", json!("(?<a>.)"))
                .with("year", json!(2024))
                .with("offset", json!("Z")),
            "R0103",
            "format `regex`",
        ),
    ] {
        let project = project.file("t.log", "x\n");
        let opened = FilesConnector.source(&project.connection(), &project.context());
        let failure = match opened {
            Err(failure) => failure,
            Ok(_) => project.fail("t.log"),
        };
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            (code, Remedy::FixConfig),
            "{}",
            failure.message
        );
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    // And of a table, whatever the connection says.
    let project = Project::new().file("t.log", APACHE);
    let mut spec = spec("t.log");
    spec.options.insert("format".to_owned(), json!("common"));
    spec.options.insert("pattern".to_owned(), json!("(?<a>.)"));
    assert_eq!(project.try_read(&spec).unwrap_err().code, "R0103");
}

#[test]
fn packed_logs_in_other_encodings_and_folders() {
    let line = "Oct 11 22:14:15 h caf\u{e9}: x";
    let wide: Vec<u8> = format!("{line}\n{line}\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let project = lines("syslog")
        .with("hive_partitioning", json!(true))
        .file(
            "day=2024-01-31/a.log.gz",
            gzip(&[&[0xFF, 0xFE][..], &wide].concat()),
        )
        .file(
            "day=2024-02-01/a.log",
            b"Oct 11 22:14:15 h caf\xE9: x\nOct 11 22:14:15 h a\xFF: x\nnone\n",
        );
    let outcome = project.read("*/a.log*");
    assert_eq!(outcome.rows.len(), 4);
    assert_eq!(
        outcome.rows[0],
        "∅|∅|∅|Oct 11 22:14:15|h|café|∅|∅|∅|x|2024-01-31"
    );
    assert!(
        outcome.rows[2].ends_with("h|café|∅|∅|∅|x|2024-02-01"),
        "{:?}",
        outcome.rows
    );
    assert_eq!(outcome.reasons(), ["3: line"]);
    let project = lines("syslog").with("encoding", json!("utf-8")).file(
        "a.log",
        b"Oct 11 22:14:15 h caf\xE9: x\nOct 11 22:14:15 h a: x\n",
    );
    let outcome = project.read("a.log");
    assert_eq!(
        (outcome.rows.len(), outcome.reasons()),
        (1, vec!["1: encoding".to_owned()])
    );
    assert_eq!(outcome.raw_rejects(), ["Oct 11 22:14:15 h caf\\xE9: x"]);
}

#[test]
fn chunks_of_any_size_give_the_same_rows_in_order() {
    let mut text = String::new();
    for line in 0..3_000 {
        match line % 7 {
            3 => text.push_str(&format!("broken {line}\n")),
            5 => text.push('\n'),
            _ => text.push_str(&format!(
                "<{}>Oct 11 22:14:15 h app[{line}]: message {line}\n",
                line % 192
            )),
        }
    }
    let project = lines("syslog").file("t.log", &text);
    let mut spec = spec("t.log");
    let whole = project.read_as(&spec);
    assert_eq!(whole.rows.len() + whole.rejects.len(), 3_000 - 3_000 / 7);
    for (batch_bytes, batch_rows) in [(64, 1), (200, 7), (5_000, 100_000)] {
        (spec.batch_bytes, spec.batch_rows) = (batch_bytes, batch_rows);
        let parts = project.read_as(&spec);
        assert_eq!(parts.rows, whole.rows);
        assert_eq!(parts.reasons(), whole.reasons());
        assert_eq!(parts.ordinals, whole.ordinals);
        assert_eq!(parts.raws(), whole.raws());
    }
    let long = format!(
        "Oct 11 22:14:15 h a: {}\nOct 11 22:14:15 h a: b\n",
        "x".repeat(5_000)
    );
    let project = lines("syslog")
        .with("max_record_bytes", json!(100))
        .file("t.log", long);
    for batch_bytes in [64, 1 << 20] {
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(
            (outcome.rows.len(), outcome.reasons()),
            (1, vec!["1: too_long".to_owned()])
        );
    }
}

#[test]
fn known_lines_are_not_surveyed_and_keep_their_types() {
    let project = lines("common").file("t.log", APACHE);
    let mut spec = spec("t.log");
    spec.observed = project.read_as(&spec).schema;
    let outcome = project.read_as(&spec);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (4, 0));
    spec.projection = Some(vec!["status".to_owned(), "remote_host".to_owned()]);
    assert_eq!(
        project.read_as(&spec).columns,
        ["remote_host text", "status bigint"]
    );
}

#[test]
fn known_lines_of_partitions_are_not_surveyed() {
    let project = lines("common")
        .with("hive_partitioning", json!(true))
        .file("n=1/day=2024-01-31/t.log", APACHE)
        .file("n=2/day=2024-02-01/t.log", APACHE);
    let mut spec = spec("**/t.log");
    let first = project.read_as(&spec);
    assert_eq!(first.columns[10..], ["n bigint", "day date"]);
    spec.observed = first.schema;
    let rows = run(async {
        let connection = project.connection();
        let context = project.context();
        let path = connection.text("path").unwrap();
        let source = FilesSource {
            root: Root::of(&context.project_dir, path, BTreeMap::new).unwrap(),
            connection: connection.clone(),
            context,
        };
        source.settle(&spec, false).await.unwrap().0.rows
    });
    // Only a survey counts the rows.
    assert_eq!(rows, None);
    assert_eq!(project.read_as(&spec).rows, first.rows);
}
