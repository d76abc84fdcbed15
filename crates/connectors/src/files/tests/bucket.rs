//! Objects of a service that does what a real one should not: a fake, because real servers refuse such keys and
//! obey conditions. A real server is in `cli/tests/bucket_files.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use percent_encoding::percent_decode_str;
use towpath_ports::Secrets;
use towpath_vocab::{Remedy, SecretTemplate};

use super::*;

/// What the service does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Conditions of a request are passed over.
    IgnoresConditions,
    /// There are no ETags.
    NoTags,
    /// A listing has objects of another prefix.
    ForeignKeys,
    /// A listing has a key twice.
    TwiceAKey,
    /// ETags are weak.
    WeakTags,
    /// ETags are weak where an object is read, and not in listings.
    WeakObjects,
    /// Of an object that is not there, it is said that it may not be read.
    HidesMissing,
    /// The same of each look at an object; they may be read and listed.
    DeniesLooks,
}

/// A service with one bucket.
struct Fake {
    port: u16,
    state: Arc<State>,
}

struct State {
    wrong: Wrong,
    objects: Mutex<Vec<(String, Vec<u8>)>>,
    /// The object is another one after so many ranges of it.
    replaced_after: AtomicUsize,
    gets: AtomicUsize,
    lists: AtomicUsize,
}

impl Fake {
    fn new(wrong: Wrong, objects: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let objects = objects
            .iter()
            .map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec()));
        let state = Arc::new(State {
            wrong,
            objects: Mutex::new(objects.collect()),
            replaced_after: AtomicUsize::new(usize::MAX),
            gets: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Self { port, state }
    }

    fn project(&self, path: &str) -> (Project, ConnectorContext) {
        let project = Project::new().with("path", json!(path));
        let secrets = Arc::new(Variables(format!("http://127.0.0.1:{}", self.port)));
        let context = ConnectorContext {
            secrets,
            ..project.context()
        };
        (project, context)
    }

    fn read(&self, path: &str, selection: &str) -> Result<Outcome, Failure> {
        let (project, context) = self.project(path);
        run(async {
            let source = FilesConnector.source(&project.connection(), &context)?;
            drain(source.open(&spec(selection), None).await?).await
        })
    }

    fn rows(&self, path: &str, selection: &str) -> Vec<String> {
        let mut rows = self.read(path, selection).unwrap().rows;
        rows.sort();
        rows
    }
}

/// The environment of a process that may use the service.
struct Variables(String);

#[async_trait::async_trait]
impl Secrets for Variables {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }

    fn variables(&self, begin: &str) -> BTreeMap<String, String> {
        let all = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AWS_ENDPOINT_URL", self.0.as_str()),
        ];
        all.into_iter()
            .filter(|(name, _)| name.starts_with(begin))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

fn tag(bytes: &[u8]) -> String {
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    format!("\"{}-{sum}\"", bytes.len())
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut range, mut condition) = (String::new(), None, None);
        reader.read_line(&mut line).unwrap();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap();
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.trim().to_owned()),
                "if-match" => condition = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let answer = match query.contains("list-type=2") {
            true => self.list(query),
            false => {
                let key = percent_decode_str(path.trim_start_matches("/b/"));
                let key = key.decode_utf8().unwrap().into_owned();
                self.get(&line, &key, range.as_deref(), condition.as_deref())
            }
        };
        let _ = stream.write_all(&answer);
    }

    fn list(&self, query: &str) -> Vec<u8> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        let named = |name: &str| {
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            let mut pairs = pairs.filter(|(key, _)| key == name);
            pairs.next().map(|(_, value)| value.into_owned())
        };
        let prefix = named("prefix").unwrap_or_default();
        let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
        for (key, bytes) in self.objects.lock().unwrap().iter() {
            let is_foreign = self.wrong == Wrong::ForeignKeys;
            let Some(rest) = key.strip_prefix(&prefix).or(is_foreign.then_some("")) else {
                continue;
            };
            if named("delimiter").is_some()
                && let Some((folder, _)) = rest.split_once('/')
            {
                prefixes.push(format!(
                    "<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>"
                ));
                continue;
            }
            let e_tag = match self.wrong {
                Wrong::NoTags => String::new(),
                Wrong::WeakTags => format!("<ETag>W/{}</ETag>", tag(bytes).replace('"', "&quot;")),
                _ => format!("<ETag>{}</ETag>", tag(bytes).replace('"', "&quot;")),
            };
            let size = bytes.len();
            contents.push(format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size>{e_tag}</Contents>"
            ));
            if self.wrong == Wrong::TwiceAKey {
                contents.extend(contents.clone());
            }
        }
        prefixes.dedup();
        let body = format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{}{}</ListBucketResult>",
            contents.concat(),
            prefixes.concat()
        );
        answer("200 OK", "", body.as_bytes())
    }

    fn get(&self, line: &str, key: &str, range: Option<&str>, condition: Option<&str>) -> Vec<u8> {
        let denied = || {
            answer(
                "403 Forbidden",
                "",
                b"<Error><Code>AccessDenied</Code></Error>",
            )
        };
        if line.starts_with("HEAD") && self.wrong == Wrong::DeniesLooks {
            return denied();
        }
        let mut objects = self.objects.lock().unwrap();
        if self.wrong == Wrong::HidesMissing && !objects.iter().any(|(other, _)| other == key) {
            return denied();
        }
        let Some((_, bytes)) = objects.iter_mut().find(|(other, _)| other == key) else {
            return answer(
                "404 Not Found",
                "",
                b"<Error><Code>NoSuchKey</Code></Error>",
            );
        };
        if line.starts_with("GET") {
            let gets = self.gets.fetch_add(1, Ordering::SeqCst);
            if gets == self.replaced_after.load(Ordering::SeqCst) {
                bytes.make_ascii_uppercase();
            }
        }
        let e_tag = match self.wrong {
            Wrong::NoTags => String::new(),
            Wrong::WeakTags | Wrong::WeakObjects => format!("ETag: W/{}\r\n", tag(bytes)),
            _ => format!("ETag: {}\r\n", tag(bytes)),
        };
        let date = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
        let obeys = self.wrong != Wrong::IgnoresConditions;
        if obeys && condition.is_some_and(|condition| condition != tag(bytes)) {
            return answer("412 Precondition Failed", "", b"");
        }
        if line.starts_with("HEAD") {
            let length = bytes.len();
            return format!(
                "HTTP/1.1 200 OK\r\n{e_tag}{date}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            )
            .into_bytes();
        }
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
            return answer("200 OK", &format!("{e_tag}{date}"), bytes);
        };
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let last = last.min(bytes.len() - 1);
        let headers = format!(
            "{e_tag}{date}Content-Range: bytes {first}-{last}/{}\r\n",
            bytes.len()
        );
        answer("206 Partial Content", &headers, &bytes[first..=last])
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const CSV: &str = "a\n1\n";

#[test]
fn keys_that_cannot_be_asked_for_stop_only_what_means_them() {
    let fake = Fake::new(
        Wrong::Nothing,
        &[
            ("d/1.csv", "a\n1\n"),
            ("d//2.csv", "a\n2\n"),
            ("d/./3.csv", "a\n3\n"),
            ("d/x/", ""),
            ("d/4.csv/", ""),
            ("d/", ""),
            ("d/y/../5.csv", "a\n5\n"),
            ("d/y/6.csv", "a\n6\n"),
        ],
    );
    assert_eq!(fake.rows("s3://b/d", "*.csv"), ["1"]);
    assert_eq!(fake.rows("s3://b/d/", "y/*.csv"), ["6"]);
    assert_eq!(fake.rows("s3://b", "d/[0-9].csv"), ["1"]);
    assert_eq!(fake.rows("s3://b/d", "1"), ["1"]);
    assert_eq!(fake.rows("s3://b/d/1.csv", "1"), ["1"]);
    assert_eq!(fake.rows("s3://b/d/1.csv", "*"), ["1"]);
    for glob in ["**/*.csv", "*/*.csv"] {
        let failure = fake.read("s3://b/d", glob).unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0154", Remedy::FixConfig)
        );
    }
    assert_eq!(fake.read("s3://b/d", "../x.csv").unwrap_err().code, "R0104");
    let folder = fake.read("s3://b/d", "y").unwrap_err();
    assert_eq!(folder.code, "R0105");
    let missing = fake.read("s3://b/d/1.csv", "2.csv").unwrap_err();
    assert_eq!(
        (missing.code.as_str(), missing.remedy),
        ("R0101", Remedy::FixConfig)
    );
}

#[test]
fn an_object_that_is_replaced_between_two_ranges_stops_the_read() {
    let line = "abcdefghijklmnopqrstuvwxyz\n";
    let text = format!("name\n{}", line.repeat(60_000));
    for wrong in [Wrong::Nothing, Wrong::IgnoresConditions] {
        for after in [1, 2, 3, 4] {
            let fake = Fake::new(wrong, &[("t.csv", &text)]);
            fake.state.replaced_after.store(after, Ordering::SeqCst);
            let failure = fake.read("s3://b", "t.csv").unwrap_err();
            assert_eq!(failure.code, "R0116", "{after}: {}", failure.message);
            assert_eq!(failure.remedy, Remedy::Retry);
        }
    }
}

#[test]
fn listings_and_objects_that_cannot_be_told_apart_are_refused() {
    for (wrong, code) in [
        (Wrong::NoTags, "R0153"),
        (Wrong::ForeignKeys, "R0152"),
        (Wrong::TwiceAKey, "R0152"),
        (Wrong::WeakTags, "R0153"),
        (Wrong::WeakObjects, "R0153"),
    ] {
        let fake = Fake::new(wrong, &[("d/1.csv", CSV), ("e/1.csv", CSV)]);
        let failure = fake.read("s3://b/d", "*.csv").unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
    }
    let fake = Fake::new(Wrong::NoTags, &[("d/1.csv", CSV)]);
    assert_eq!(fake.read("s3://b/d", "1.csv").unwrap_err().code, "R0153");
}

#[test]
fn small_objects_are_asked_for_once_and_large_ones_not_kept() {
    let many: Vec<(String, String)> = (0..200)
        .map(|at| (format!("d/{at}.csv"), format!("a\n{at}\n")))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(key, text)| (key.as_str(), text.as_str()))
        .collect();
    let fake = Fake::new(Wrong::Nothing, &many);
    assert_eq!(fake.rows("s3://b/d", "*.csv").len(), 200);
    assert_eq!(fake.state.gets.load(Ordering::SeqCst), 200);
    assert_eq!(fake.state.lists.load(Ordering::SeqCst), 1);
}

#[test]
fn what_a_folder_has_not_committed_is_not_read_from_its_copy() {
    let manifest = r#"{"files": [{"name": "part-000001-0a0b0c0d.csv"}]}"#;
    let fake = Fake::new(
        Wrong::Nothing,
        &[
            ("t/_manifest.json", manifest),
            ("t/part-000001-0a0b0c0d.csv", "a\n1\n"),
            ("t/part-000002-0a0b0c0d.csv", "a\n2\n"),
        ],
    );
    assert_eq!(fake.rows("s3://b", "t/part-*.csv"), ["1"]);
}

#[test]
fn a_copy_that_lacks_what_its_manifest_names_is_not_read() {
    let manifest = r#"{"files": [{"name": "part-000001-0a0b0c0d.csv"}, {"name": "part-000002-0a0b0c0d.csv"}]}"#;
    let first = ("t/part-000001-0a0b0c0d.csv", "a\n1\n");
    let objects = [("t/_manifest.json", manifest), ("u/1.csv", CSV), first];
    for objects in [&objects[..2], &objects[..]] {
        let fake = Fake::new(Wrong::Nothing, objects);
        for glob in ["t/*.csv", "t/part-*.csv", "**/*.csv", "*/*.csv"] {
            let failure = fake.read("s3://b", glob).err().unwrap();
            assert_eq!(failure.code, "R0116", "{glob}: {}", failure.message);
        }
        // These do not mean what is lost.
        assert_eq!(fake.rows("s3://b", "u/*.csv"), ["1"]);
        if objects.len() == 3 {
            assert_eq!(fake.rows("s3://b", "t/part-000001*.csv"), ["1"]);
        }
    }
}

#[test]
fn who_may_not_look_at_a_key_finds_it_in_the_listing() {
    let part = "d/part-000001-0a0b0c0d.csv";
    let objects = [
        ("d/1.csv", "a\n1\n"),
        ("d/[1].csv", "a\n2\n"),
        (part, "a\n3\n"),
    ];
    for wrong in [Wrong::Nothing, Wrong::HidesMissing, Wrong::DeniesLooks] {
        let fake = Fake::new(wrong, &objects);
        let selections = ["*.csv", "?.csv", "1", "1.csv", "[1].csv", "part-*.csv"];
        let all: Vec<String> = selections
            .iter()
            .map(|selection| fake.rows("s3://b/d", selection).concat())
            .collect();
        assert_eq!(all, ["123", "1", "1", "1", "2", "3"]);
        assert_eq!(fake.rows("s3://b/d/1.csv", "*"), ["1"]);
        let missing = fake.read("s3://b/d", "3.csv").unwrap_err();
        assert_eq!(missing.code, "R0101", "{}", missing.message);
    }
}

#[test]
fn elements_of_objects_are_those_of_files() {
    let rows: String = (0..5_000).map(|n| format!("<i><n>{n}</n></i>\n")).collect();
    let text = format!("<r>{rows}</r>");
    let objects = [
        ("d/1.xml", text.as_str()),
        ("d/2.xml", "<r><i><n>x</n></i>"),
    ];
    let fake = Fake::new(Wrong::Nothing, &objects);
    let found = fake.rows("s3://b/d", "1.xml");
    // They are sorted as texts.
    assert_eq!((found.len(), found[4_999].as_str()), (5_000, "999"));
    assert_eq!(fake.read("s3://b/d", "2.xml").unwrap_err().code, "R0176");
}

#[test]
fn avro_and_arrow_objects_give_what_files_give() {
    for name in [
        "avro/types_deflate.avro",
        "arrow/types.arrow",
        "arrow/types.arrows",
    ] {
        let bytes = super::columnar::fixture(name);
        let local = Project::new().file(name, &bytes).read(name);
        let fake = Fake::new(Wrong::Nothing, &[]);
        let object = (name.to_owned(), bytes);
        fake.state.objects.lock().unwrap().push(object);
        let outcome = fake.read("s3://b", name).unwrap();
        assert_eq!(outcome.rows, local.rows, "{name}");
        assert_eq!(outcome.rows.len(), 5);
    }
}
