//! Runs the commands on every page of `docs/`, in the README and in those of examples, and compares
//! their output with the page.
//!
//! `docs/README.md` explains the comments that control this test. `TOWPATH_BLESS=1` writes the output of
//! the demo into the README.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use towpath_testkit::http::{HttpAnswer, HttpServer, ScriptServer};
use towpath_testkit::mariadb::{self, MariadbServer};
use towpath_testkit::postgres::PostgresServer;
use towpath_testkit::s3::S3Server;
use towpath_testkit::singer;

/// What an HTML comment before a block says of it.
#[derive(Default)]
struct BlockOptions {
    file: Option<String>,
    exits: i32,
    output: bool,
    not_run: bool,
}

/// The folder in which a page's blocks run.
struct PageFolder {
    folder: tempfile::TempDir,
    cwd: PathBuf,
    variables: Vec<(String, String)>,
    said: String,
    /// Runs as long as the page needs it.
    server: Option<Arc<PostgresServer>>,
    mariadb: Option<Arc<MariadbServer>>,
    bucket: Option<S3Server>,
    api: Option<ScriptServer>,
    channel: Option<HttpServer>,
}

impl PageFolder {
    fn new(setup: &str, place: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Self {
            cwd: folder.path().to_path_buf(),
            folder,
            variables: Vec::new(),
            said: String::new(),
            server: None,
            mariadb: None,
            bucket: None,
            api: None,
            channel: None,
        };
        match setup {
            "empty" => {}
            "alerts" => {
                let server = HttpServer::start(|_| HttpAnswer::new(204, "")).unwrap();
                let hook = |name: &str| format!("{}/{name}", server.url());
                desk.variables = vec![
                    ("ON_CALL_URL".to_owned(), hook("on-call")),
                    ("ON_CALL_KEY".to_owned(), "example-key".to_owned()),
                    ("SLACK_URL".to_owned(), hook("slack")),
                ];
                desk.channel = Some(server);
            }
            "bucket" => {
                let server = S3Server::start("lake").unwrap();
                for (month, rows) in [("01", "1,12.50\n2,8.00\n"), ("02", "3,40.00\n")] {
                    let key = format!("landing/orders-2026-{month}.csv");
                    let text = format!("order_id,amount\n{rows}");
                    server.put("lake", &key, text.as_bytes()).unwrap();
                }
                desk.variables = S3Server::variables(&server.endpoint());
                desk.bucket = Some(server);
            }
            "nycflights" => {
                desk.cwd = desk.folder.path().join("nycflights");
                copy(&root().join("examples/nycflights"), &desk.cwd);
            }
            "api" => desk.script("api", ["ORDERS_API_URL", "ORDERS_API_TOKEN"], "example"),
            "reverse-etl" => {
                let variables = ["CRM_API_URL", "CRM_API_TOKEN"];
                desk.script("reverse-etl", variables, "token-of-the-crm");
            }
            "replicate" => desk.replicate(),
            "logs" | "nested-json" => {
                desk.cwd = desk.folder.path().join(setup);
                copy(&root().join("examples").join(setup), &desk.cwd);
            }
            "lake-on-s3" => {
                desk.cwd = desk.folder.path().join(setup);
                copy(&root().join("examples").join(setup), &desk.cwd);
                let server = S3Server::start("lake").unwrap();
                desk.variables = S3Server::variables(&server.endpoint());
                desk.bucket = Some(server);
            }
            "singer" => {
                desk.cwd = desk.folder.path().join("singer");
                copy(&root().join("examples/singer"), &desk.cwd);
                for name in ["tap-dbf", "target-csv"] {
                    let folder = singer::programs(name).unwrap().display().to_string();
                    desk.variables = vec![("SINGER_BIN".to_owned(), folder)];
                }
            }
            "postgres" => desk.database("docs/setup/shop.sql"),
            "mariadb" => desk.mariadb_database(Some("docs/setup/shop-mariadb.sql")),
            "shop" => {
                desk.cwd = desk.folder.path().join("shop");
                copy(&root().join("examples/shop"), &desk.cwd);
                desk.database("examples/shop/seed.sql");
                let key = (
                    "SHOP_MASK_KEY".to_owned(),
                    "a secret of the test".to_owned(),
                );
                desk.variables.push(key);
            }
            _ => panic!("{place}: there is no setup `{setup}`"),
        }
        desk
    }

    /// An example beside its running server; the variables have its address and a token.
    fn script(&mut self, example: &str, [url, token]: [&str; 2], value: &str) {
        self.cwd = self.folder.path().join(example);
        copy(&root().join("examples").join(example), &self.cwd);
        let server = ScriptServer::start(&self.cwd.join("server.py")).unwrap();
        self.variables = vec![
            (url.to_owned(), server.url().to_owned()),
            (token.to_owned(), value.to_owned()),
        ];
        self.api = Some(server);
    }

    /// The example beside a PostgreSQL database that is filled and a MariaDB database that is empty.
    fn replicate(&mut self) {
        self.cwd = self.folder.path().join("replicate");
        copy(&root().join("examples/replicate"), &self.cwd);
        self.mariadb_database(None);
        let mariadb = std::mem::take(&mut self.variables);
        self.database("examples/replicate/seed.sql");
        for (name, value) in mariadb {
            let name = match name.as_str() {
                "SHOP_DB_URL" => "MARIADB_URL".to_owned(),
                "SHOP_DB_CLIENT" => "MARIADB_CLIENT".to_owned(),
                _ => name,
            };
            self.variables.push((name, value));
        }
    }

    /// A database of its own, filled.
    fn database(&mut self, file: &str) {
        let server = PostgresServer::shared().unwrap();
        let database = server.new_database().unwrap();
        let sql = std::fs::read_to_string(root().join(file)).unwrap();
        server.psql(&database, &sql).unwrap();
        let path = server.programs().display();
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        self.variables = vec![
            ("SHOP_DB_URL".to_owned(), server.url(&database)),
            ("PATH".to_owned(), path),
        ];
        self.server = Some(server);
    }

    /// A database of its own on a MariaDB server, filled by the statements of a file.
    fn mariadb_database(&mut self, file: Option<&str>) {
        let server = MariadbServer::shared().unwrap();
        let database = server.new_database().unwrap();
        if let Some(file) = file {
            let sql = std::fs::read_to_string(root().join(file)).unwrap();
            server.sql(&database, &sql).unwrap();
        }
        let client = format!(
            "--no-defaults --protocol=tcp --host=127.0.0.1 --port={} --user={} {database}",
            server.port(),
            mariadb::USER
        );
        self.variables = vec![
            ("SHOP_DB_URL".to_owned(), server.url(&database)),
            ("SHOP_DB_CLIENT".to_owned(), client),
            ("MYSQL_PWD".to_owned(), mariadb::PASSWORD.to_owned()),
        ];
        self.mariadb = Some(server);
    }

    fn shell(&mut self, block: &str, exits: i32, place: &str) {
        let after = self.folder.path().join(".cwd");
        let script = format!(
            "set -e\nexec 2>&1\ntrap 'pwd > \"{}\"' EXIT\n{block}",
            after.display()
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_towpath")).parent().unwrap();
        let path = self
            .variables
            .iter()
            .find(|(name, _)| name == "PATH")
            .map_or_else(|| std::env::var("PATH").unwrap(), |(_, path)| path.clone());
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&self.cwd)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", format!("{}:{path}", binary.display()))
            .output()
            .unwrap();
        self.said = said(&output);
        assert_eq!(
            output.status.code(),
            Some(exits),
            "{place}\n{block}\n{}",
            self.said
        );
        self.cwd = PathBuf::from(std::fs::read_to_string(after).unwrap().trim_end());
    }

    fn put(&self, path: &str, block: &str, place: &str) {
        let path = self.cwd.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, block).unwrap();
        if path.extension().is_some_and(|e| e == "yml") && self.cwd.join("towpath.yml").is_file() {
            let checked = Command::new(env!("CARGO_BIN_EXE_towpath"))
                .arg("check")
                .current_dir(&self.cwd)
                .envs(self.variables.iter().map(|(name, value)| (name, value)))
                .output()
                .unwrap();
            assert!(checked.status.success(), "{place}\n{}", said(&checked));
        }
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["lake", "out", ".towpath"].iter().any(|own| name == *own) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Runs every block of a page; gives how many were run or compared.
fn run_page(page: &Path) -> usize {
    let text = std::fs::read_to_string(page).unwrap();
    let name = page.strip_prefix(root()).unwrap().display().to_string();
    let _server = PostgresServer::shared().unwrap();
    let mut desk: Option<PageFolder> = None;
    let mut options = BlockOptions::default();
    let mut lines = text.lines().enumerate();
    let mut done = 0;
    while let Some((number, line)) = lines.next() {
        let place = format!("{name}:{}", number + 1);
        if let Some(comment) = comment(line) {
            match comment.split_once(": ").unwrap_or((comment, "")) {
                ("setup", setup) => desk = Some(PageFolder::new(setup, &place)),
                ("file", path) => options.file = Some(path.to_owned()),
                ("exits", code) => options.exits = code.parse().unwrap(),
                ("output", "") => options.output = true,
                ("not run", why) => {
                    assert!(!why.is_empty(), "{place}: say why");
                    options.not_run = true;
                }
                _ => {}
            }
            continue;
        }
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        let block = block.join("\n") + "\n";
        let options = std::mem::take(&mut options);
        if options.not_run {
            continue;
        }
        let needs = || format!("{place}: no `<!-- setup: … -->` before it");
        match (language, &options.file, options.output) {
            ("text", None, true) => {
                let desk = desk.as_ref().unwrap_or_else(|| panic!("{}", needs()));
                assert_shown(&block, &desk.said, &place);
            }
            ("sh", None, _) => {
                let desk = desk.as_mut().unwrap_or_else(|| panic!("{}", needs()));
                desk.shell(&block, options.exits, &place);
            }
            (_, Some(path), _) => {
                let desk = desk.as_ref().unwrap_or_else(|| panic!("{}", needs()));
                desk.put(path, &block, &place);
            }
            ("yaml" | "sql", None, _) => {
                panic!("{place}: a block of {language} names its file, or why it is not run")
            }
            _ => continue,
        }
        done += 1;
    }
    done
}

fn comment(line: &str) -> Option<&str> {
    Some(line.strip_prefix("<!-- ")?.strip_suffix(" -->")?.trim())
}

/// Every line that is shown stands in what was said, in that order; `…` stands for anything.
fn assert_shown(shown: &str, said: &str, place: &str) {
    let said_lines: Vec<String> = said.lines().map(normal).collect();
    let mut from = 0;
    for line in shown.lines().map(normal) {
        if line.is_empty() || line == "…" {
            continue;
        }
        let parts: Vec<&str> = line.split('…').map(str::trim).collect();
        let found = said_lines[from..].iter().position(|candidate| {
            if parts.len() == 1 {
                return *candidate == line;
            }
            let mut rest = candidate.as_str();
            parts.iter().all(|part| match rest.find(part) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        });
        match found {
            Some(at) => from += at + 1,
            None => panic!("{place}: not said (in this order): {line}\n{said}"),
        }
    }
}

/// A line without what differs from run to run: times, memory, days, who was slowest.
fn normal(line: &str) -> String {
    const UNITS: &[&str] = &["s", "ms", "kB", "MB", "GB", "rows/s"];
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_number = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_digit());
        !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || ".,".contains(c))
    };
    let is_unit = |word: &str| UNITS.contains(&word.trim_matches([',', '.', ')', '(', ':']));
    let is_moment = |word: &str| word.len() >= 20 && word.ends_with('Z') && word.contains("T");
    let mut out = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let measured = is_number(word) && words.get(index + 1).is_some_and(|next| is_unit(next));
        let slowest = index > 0 && words[index - 1] == "Slowest:";
        out.push(if measured || slowest || is_moment(word) {
            "#"
        } else if word.chars().all(|c| c == '─') {
            "─"
        } else {
            word
        });
    }
    out.join(" ")
}

fn pages(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

#[test]
fn every_block_of_every_page_does_what_the_page_says() {
    let mut all = vec![root().join("README.md")];
    pages(&root().join("docs"), &mut all);
    all.sort();
    // Pages do not stop each other: all that is wrong is reported at once.
    let done: Vec<Option<usize>> = all
        .iter()
        .map(|page| std::panic::catch_unwind(|| run_page(page)).ok())
        .collect();
    let wrong = done.iter().filter(|page| page.is_none()).count();
    assert_eq!(wrong, 0, "pages that do not hold, see above");
    let blocks: usize = done.iter().flatten().sum();
    assert!(blocks >= 60, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_an_api_does_what_it_says() {
    let blocks = run_page(&root().join("examples/api/README.md"));
    assert!(blocks >= 8, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_reverse_etl_does_what_it_says() {
    let blocks = run_page(&root().join("examples/reverse-etl/README.md"));
    assert!(blocks >= 6, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_logs_does_what_it_says() {
    let blocks = run_page(&root().join("examples/logs/README.md"));
    assert!(blocks >= 6, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_copied_databases_does_what_it_says() {
    let blocks = run_page(&root().join("examples/replicate/README.md"));
    assert!(blocks >= 8, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_nested_json_does_what_it_says() {
    let blocks = run_page(&root().join("examples/nested-json/README.md"));
    assert!(blocks >= 6, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_a_lakehouse_in_a_bucket_does_what_it_says() {
    let blocks = run_page(&root().join("examples/lake-on-s3/README.md"));
    assert!(blocks >= 6, "only {blocks} blocks were run");
}

#[test]
fn the_page_of_the_example_of_singer_does_what_it_says() {
    let blocks = run_page(&root().join("examples/singer/README.md"));
    assert!(blocks >= 5, "only {blocks} blocks were run");
}

#[test]
fn every_link_leads_to_a_file() {
    let mut all = vec![
        root().join("README.md"),
        root().join("examples/api/README.md"),
        root().join("examples/logs/README.md"),
        root().join("examples/replicate/README.md"),
        root().join("examples/reverse-etl/README.md"),
        root().join("examples/nested-json/README.md"),
        root().join("examples/lake-on-s3/README.md"),
        root().join("examples/singer/README.md"),
    ];
    pages(&root().join("docs"), &mut all);
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let target = page.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn the_readme_shows_what_the_demo_says() {
    const START: &str = "<!-- demo:start -->\n";
    const END: &str = "<!-- demo:end -->";
    let mut desk = PageFolder::new("nycflights", "README.md");
    let mut demo = String::from("```text\n");
    for _ in 0..2 {
        desk.shell("towpath run\n", 0, "README.md");
        let lines: Vec<&str> = desk.said.lines().map(str::trim_end).collect();
        demo.push_str(&format!(
            "$ towpath run\n{}\n\n",
            lines.join("\n").trim_end()
        ));
    }
    let demo = demo.trim_end().to_owned() + "\n```\n";
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("TOWPATH_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{START}{demo}{END}{after}")).unwrap();
        return;
    }
    let lines = |text: &str| text.lines().map(normal).collect::<Vec<_>>();
    assert_eq!(lines(shown), lines(&demo), "TOWPATH_BLESS=1 writes it anew");
}

#[test]
fn what_differs_between_runs_is_left_out_and_nothing_else() {
    assert_eq!(
        normal("Done in 1.9 s. Slowest: a/b, 0.9 s."),
        "Done in # s. Slowest: # # s."
    );
    assert_eq!(
        normal(" raw.flights   336,776  3 ok"),
        "raw.flights 336,776 3 ok"
    );
    assert_shown("a\n…\nc … e\n", "a\nb\nc d e\n", "here");
    let wrong = std::panic::catch_unwind(|| assert_shown("b\na\n", "a\nb\n", "here"));
    assert!(wrong.is_err());
}
