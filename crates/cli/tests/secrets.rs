//! Nothing shows a secret: clear values of masked columns, secrets that a program prints, and local state
//! that other users of the machine could read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::test_project::{TestProject, has};

const PEOPLE: &str =
    "id,age,ssn\n1,30,111-22-3333\n2,-5,444-55-6666\n3,40,777-88-9999\n4,x,123-45-6789\n";
const CLEAR: [&str; 2] = ["444-55-6666", "123-45-6789"];

/// People with a masked column; two of them are bad.
fn people(mask: &str, key: &str, write: &str) -> TestProject {
    let mut desk = TestProject::with_pipeline(&format!(
        "steps:\n  people:\n    load: data\n    into: raw\n    tables:\n      people:\n        from: people.csv\n        \
         {write}\n        fail_above: 100%\n        columns:\n          id: integer\n          age: {{ type: integer, min: 0 }}\n          \
         ssn: {{ mask: {mask} }}\n"
    ));
    if !key.is_empty() {
        let root = desk.read("towpath.yml");
        desk.write(
            "towpath.yml",
            &format!("{root}mask_key: ${{secret:{key}}}\n"),
        );
        desk.set(key, "a key of the test");
    }
    desk.write("data/people.csv", PEOPLE);
    desk
}

/// What the quarantine of `raw.people` holds, as text.
fn quarantined(desk: &TestProject) -> String {
    let sql = "select form, record, reasons, id from _quarantine.\"raw.people\"";
    desk.ok(".", &["query", "--format", "json", sql])
}

fn ages(desk: &TestProject) -> String {
    let sql =
        "select string_agg(id::varchar || '=' || age::varchar, ' ' order by id) a from raw.people";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    rows[0]["a"].as_str().unwrap_or_default().to_owned()
}

fn hides(text: &str) {
    for value in CLEAR {
        assert!(!text.contains(value), "{value} is shown:\n{text}");
    }
}

#[test]
fn a_masked_column_is_sealed_in_the_quarantine_and_its_records_are_replayed() {
    for write in ["write: append", "key: id"] {
        let desk = people("hash", "MASK_KEY", write);
        let mut said = desk.ok(".", &["run"]);
        said += &quarantined(&desk);
        said += &desk.ok(".", &["quarantine", "show", "raw.people"]);
        said += &desk.ok(
            ".",
            &["quarantine", "show", "raw.people", "--format", "json"],
        );
        said += &desk.ok(".", &["run", "--full-refresh", "--format", "json"]);
        hides(&said);
        hides(&desk.everything(".towpath"));
        has(&quarantined(&desk), &["sealed_text"]);

        let pipeline = desk.read("pipelines/p.yml").replace("min: 0", "min: -10");
        desk.write("pipelines/p.yml", &pipeline);
        has(
            &desk.ok(".", &["quarantine", "replay", "raw.people"]),
            &["1 row replayed, 1 still in the quarantine"],
        );
        let replayed = ages(&desk);
        assert!(replayed.contains("2=-5"), "{replayed}");
        let sql = "select ssn from raw.people where id = 2";
        let rows = desk.json(".", &["query", "--format", "json", sql]);
        assert_eq!(rows[0]["ssn"].as_str().unwrap().len(), 64, "{rows}");
        has(
            &desk.ok(".", &["quarantine", "replay", "raw.people"]),
            &["0 rows replayed, 1 still in the quarantine"],
        );
    }
}

#[test]
fn records_that_another_key_sealed_are_named_and_not_lost() {
    let mut desk = people("hash", "MASK_KEY", "write: append");
    desk.ok(".", &["run"]);
    desk.set("MASK_KEY", "another key");
    let said = desk.exits(2, ".", &["quarantine", "replay", "raw.people"]);
    has(&said, &["R0641", "different `mask_key`"]);
    desk.set("MASK_KEY", "a key of the test");
    has(
        &desk.ok(".", &["quarantine", "replay", "raw.people"]),
        &["0 rows replayed, 2 still in the quarantine"],
    );
    has(
        &desk.ok(".", &["quarantine", "discard", "raw.people"]),
        &["2 rows"],
    );
}

#[test]
fn a_column_that_is_emptied_is_sealed_with_the_key_of_the_project() {
    let desk = people("empty", "MASK_KEY", "write: append");
    hides(&desk.ok(".", &["run"]));
    hides(&quarantined(&desk));
    has(&quarantined(&desk), &["sealed_text"]);
    let pipeline = desk.read("pipelines/p.yml").replace("min: 0", "min: -10");
    desk.write("pipelines/p.yml", &pipeline);
    has(
        &desk.ok(".", &["quarantine", "replay", "raw.people"]),
        &["1 row replayed"],
    );
}

#[test]
fn without_a_key_the_text_of_records_is_not_kept_and_check_says_so() {
    let desk = people("empty", "", "write: append");
    has(&desk.ok(".", &["check"]), &["P0140", "mask_key"]);
    hides(&desk.ok(".", &["run"]));
    let held = quarantined(&desk);
    hides(&held);
    has(&held, &["withheld", "the rule says at least 0"]);
    has(
        &desk.ok(".", &["quarantine", "replay", "raw.people"]),
        &[
            "0 rows replayed, 2 still in the quarantine",
            "2 records were not stored",
        ],
    );
    has(
        &desk.ok(".", &["quarantine", "discard", "raw.people"]),
        &["2 rows"],
    );
}

#[test]
fn what_a_program_prints_of_a_secret_is_not_in_its_log() {
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nlakehouse: ./lake\nconnections:\n  shop: { type: postgres, url: \"${secret:SHOP_URL}\" }\n",
    );
    desk.write(
        "pipelines/p.yml",
        "steps:\n  tell:\n    command: [sh, tell.sh]\n    env: { TOKEN: \"${secret:TOKEN}\" }\n  \
         load:\n    load: shop\n    into: raw\n    after: [tell]\n    tables: { orders: {} }\n",
    );
    desk.write(
        "tell.sh",
        "echo \"token=$TOKEN\"\necho \"url $SHOP_URL\" >&2\nprintf 'pw hunter-two\\n'\nprintf 'tail %s' \"$TOKEN\"\nexit 3\n",
    );
    desk.set("TOKEN", "s3cr3t-token-value");
    desk.set("SHOP_URL", "postgres://me:hunter-two@127.0.0.1:1/shop");
    let mut said = desk.exits(1, ".", &["run"]);
    said += &desk.ok(".", &["logs"]);
    said += &desk.everything(".towpath");
    has(&said, &["token=***", "url ***", "pw ***", "tail ***"]);
    for secret in ["s3cr3t-token-value", "hunter-two"] {
        assert!(!said.contains(secret), "{secret} is shown:\n{said}");
    }
}

/// Everything in a folder that others may look at.
fn open_to_others(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::symlink_metadata(&path)
            .unwrap()
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            found.push(path.clone());
        }
        if path.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[test]
fn state_logs_spill_and_quarantine_are_for_their_owner_alone() {
    let desk = people("hash", "MASK_KEY", "write: append");
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &format!("{pipeline}  tell: {{ command: [sh, -c, echo hello] }}\n"),
    );
    // A folder of an earlier version is closed too.
    for folder in [".towpath/spill", ".towpath/steps", "lake/_quarantine"] {
        std::fs::create_dir_all(desk.path(folder)).unwrap();
    }
    desk.write(".towpath/default.db-old", "left by somebody");
    desk.ok(".", &["run"]);
    let mut found = Vec::new();
    for folder in [".towpath", "lake/_quarantine"] {
        let mode = std::fs::metadata(desk.path(folder))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
        open_to_others(&desk.path(folder), &mut found);
    }
    found.retain(|path| !path.ends_with("default.db-old"));
    assert!(found.is_empty(), "others may look at {found:#?}");
    let shared = std::fs::metadata(desk.path("lake/raw"))
        .unwrap()
        .permissions();
    assert_ne!(shared.mode() & 0o077, 0, "tables are shared as before");
}

#[test]
fn rejected_records_of_a_copy_are_for_their_owner_alone() {
    let desk = TestProject::new();
    desk.write("in.csv", "id,n\n1,2\n2,x\n");
    desk.ok(
        ".",
        &[
            "copy",
            "in.csv",
            "out.csv",
            "--type",
            "n=integer",
            "--fail-above",
            "100%",
        ],
    );
    let mode = |name: &str| {
        std::fs::metadata(desk.path(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("out.csv.rejected.jsonl") & 0o777, 0o600);
    assert_ne!(
        mode("out.csv") & 0o077,
        0,
        "the copy itself is shared as before"
    );
}

const PASSWORD: &str = "S3cretPw";

/// Addresses of databases that are no URL, and URLs with the password at other places.
const ADDRESSES: [&str; 9] = [
    "host=127.0.0.1 port=1 user=u password=S3cretPw dbname=x",
    "host = 127.0.0.1 password = 'S3cretPw \\' x' user=u",
    "host=127.0.0.1 port=1 options='-c my.password=S3cretPw'",
    "service=shop PGPASSWORD=S3cretPw",
    "postgresql:host=127.0.0.1 password=S3cretPw",
    "postgres:u:S3cretPw@127.0.0.1/x",
    "postgres://127.0.0.1:1/x?user=u&password=S3cretPw&colour=red",
    "postgres://u:S3cretPw/y@127.0.0.1:x/y",
    "jdbc:postgresql://127.0.0.1:1/x?p%61ssword=S3cretPw",
];

/// Runs a command, whatever it comes to, and looks for the password in what it said and left.
fn keeps_it(desk: &TestProject, arguments: &[&str]) {
    let output = desk.towpath(".", arguments);
    for said in [&output.stdout, &output.stderr] {
        let said = String::from_utf8_lossy(said);
        assert!(!said.contains(PASSWORD), "{arguments:?}:\n{said}");
    }
}

/// The names of all files, and what they hold besides the project's own.
fn leaves_none(desk: &TestProject) {
    for file in files(&desk.path(".")) {
        let name = file.display().to_string();
        assert!(!name.contains(PASSWORD), "{name}");
        let held = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(name.ends_with(".yml") || !held.contains(PASSWORD), "{name}");
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn a_copy_never_shows_the_password_of_an_address() {
    let desk = TestProject::new();
    desk.write("in.csv", "id\n1\n");
    for address in ADDRESSES.iter().chain(&["u:S3cretPw@127.0.0.1/x"]) {
        if address.starts_with("postgres://127") {
            continue; // Waits for the server.
        }
        keeps_it(&desk, &["copy", address, "out.csv", "--table", "t"]);
        keeps_it(&desk, &["copy", "in.csv", address, "--into", "t"]);
        keeps_it(&desk, &["init", "new", "--from", address]);
        leaves_none(&desk);
    }
    let said = desk.exits(2, ".", &["copy", ADDRESSES[0], "out.csv", "--table", "t"]);
    has(&said, &["R0948", "not a URL", "postgres://USER"]);
    // A folder of a partition is not an address.
    desk.write("user=5/in.csv", "id\n1\n");
    desk.ok(".", &["copy", "user=5/in.csv", "out.csv"]);
}

#[test]
fn no_command_shows_the_password_of_an_address() {
    let settings: [&dyn Fn(&str) -> String; 7] = [
        &|address| format!("connections: {{ data: {{ type: postgres, url: {address} }} }}\n"),
        &|address| format!("connections: {{ data: {{ type: sqlite, path: {address} }} }}\n"),
        &|address| format!("connections: {{ data: {{ type: files, path: {address} }} }}\n"),
        &|address| format!("connections: {{ data: {{ type: {address} }} }}\n"),
        &|address| {
            format!("connections: {{ data: {{ type: postgres, url: x, password: {address} }} }}\n")
        },
        &|address| {
            format!("state: {address}\nconnections: {{ data: {{ type: files, path: . }} }}\n")
        },
        &|address| {
            format!("lakehouse: {address}\nconnections: {{ data: {{ type: files, path: . }} }}\n")
        },
    ];
    for (address, literal) in [(0, true), (1, false), (6, true)] {
        let address = ADDRESSES[address];
        for setting in settings {
            let mut desk = TestProject::with_pipeline(
                "steps:\n  people:\n    load: data\n    into: raw\n    tables: { people: {} }\n",
            );
            desk.set("ADDRESS", address);
            let quoted = format!("\"{}\"", address.replace('\\', "\\\\"));
            {
                let text = setting(if literal { &quoted } else { "${env:ADDRESS}" });
                let lake = if text.starts_with("lakehouse") {
                    ""
                } else {
                    "lakehouse: ./lake\n"
                };
                desk.write(
                    "towpath.yml",
                    &format!("towpath: 1\nname: q\nid: 8d2f6a31-4c0e-4b57-a6d9-3e51c7b0f924\n{lake}{text}"),
                );
                for arguments in [
                    &["check"][..],
                    &["check", "--connect", "--format", "json"],
                    &["plan", "--format", "json"],
                    &["connection", "ls"],
                    &["connection", "test", "data"],
                    &["-vv", "query", "select 1"],
                    &["why", "raw.people"],
                ] {
                    keeps_it(&desk, arguments);
                }
                leaves_none(&desk);
            }
        }
    }
}

#[test]
fn a_password_among_the_arguments_of_a_command_is_hidden_and_warned_of() {
    let command =
        "    command: [sh, -c, 'echo $0 $PGPASSWORD; exit 1', 'host=h password=S3cretPw']";
    let desk = TestProject::with_pipeline(&format!(
        "steps:\n  e:\n{command}\n    env: {{ PGPASSWORD: S3cretPw2 }}\n"
    ));
    let said = desk.ok(".", &["check"]);
    has(&said, &["C0509", "a password of step `e`"]);
    for arguments in [
        &["check"][..],
        &["plan", "--format", "json"],
        &["run"],
        &["logs"],
        &["why", "e"],
    ] {
        keeps_it(&desk, arguments);
    }
    leaves_none(&desk);
}
