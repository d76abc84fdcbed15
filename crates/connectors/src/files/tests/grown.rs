//! Text files that grow and logs that are rotated: each record is read once, whatever happens between the reads.

use std::collections::BTreeSet;
use std::io::Write as _;

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use towpath_vocab::Position;

use super::*;

/// Rows, notes and the position behind an incremental read.
struct Read {
    rows: Vec<String>,
    notes: Vec<String>,
    rejects: Vec<Reject>,
    position: Position,
}

fn incremental(project: &Project, selection: &str, from: &Position) -> Result<Read, Failure> {
    run(read(project, selection, from, || ()))
}

async fn read(
    project: &Project,
    selection: &str,
    from: &Position,
    meanwhile: impl FnOnce(),
) -> Result<Read, Failure> {
    let mut spec = spec(selection);
    spec.mode = ReadMode::Incremental;
    spec.batch_bytes = 64;
    let mut reader = project.source().open(&spec, Some(from)).await?;
    meanwhile();
    let mut read = Read {
        rows: Vec::new(),
        rejects: Vec::new(),
        notes: reader.notes(),
        position: from.clone(),
    };
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment? else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            match event? {
                Event::Rows(rows) => read.rows.extend(lines(&rows.batch)),
                Event::Rejects(rejects) => read.rejects.extend(rejects),
                Event::Boundary(position) => read.position.advance(&split.id, position),
                _ => {}
            }
        }
    }
    Ok(read)
}

fn append(project: &Project, name: &str, text: &str) {
    let path = project.data().join(name);
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Reads step after step: what each adds to a file, the rows it gives, and a part of a note.
fn steps(name: &str, steps: &[(&str, &[&str], &str)]) {
    let project = Project::new();
    let mut position = Position::default();
    for (text, rows, note) in steps {
        append(&project, name, text);
        let read = incremental(&project, name, &position).unwrap();
        assert_eq!(read.rows, *rows, "{name}: {text:?} {:?}", read.notes);
        let notes = read.notes.join("; ");
        assert_eq!(notes.is_empty(), note.is_empty(), "{text:?} {notes}");
        assert!(notes.contains(note), "{text:?} {notes}");
        position = read.position;
    }
}

#[test]
fn a_file_that_grew_is_read_on_and_a_half_line_waits() {
    steps(
        "t.csv",
        &[
            ("a,b\n1,x\n", &["1|x"], ""),
            ("2,y\n3,z\n", &["2|y", "3|z"], ""),
            ("", &[], ""),
            ("4,\"p\nq\"\n5", &["4|p\nq"], "has no line end yet"),
            (",w", &[], "has no line end yet"),
            ("\n", &["5|w"], ""),
        ],
    );
    // Many files end without a line end; what comes behind may begin with it, or be the rest of the line.
    steps(
        "t.csv",
        &[
            ("a,b\n1,x\n2,y", &["1|x", "2|y"], ""),
            ("\r\n3,z\n", &["3|z"], ""),
        ],
    );
    steps(
        "t.csv",
        &[
            ("a,b\n1,x\n2,y", &["1|x", "2|y"], ""),
            ("yy", &[], "has no line end yet"),
            ("y\n3,z\n", &["2|yyyy", "3|z"], "was not complete"),
        ],
    );
    // The same of a program that quotes, and of one that writes a cell in pieces.
    steps(
        "t.csv",
        &[
            ("a,b\n\"1\",\"x\"\n\"2\",\"y\"", &["1|x", "2|y"], ""),
            ("\n\"3\",\"z\"\n", &["3|z"], ""),
            ("4,\"p\n", &[], "is not complete yet"),
            ("q", &[], "no line end yet"),
            (
                "\n\"\n5,v\n6,\"\n",
                &["4|p\nq\n", "5|v"],
                "is not complete yet",
            ),
            ("\"\n", &["6|\n"], ""),
        ],
    );
    steps(
        "t.jsonl",
        &[
            ("{\"a\":1}\n{\"a\"", &["1"], "has no line end yet"),
            (":2}", &["2"], ""),
            ("\r", &[], "no line end yet"),
            ("\n{\"a\":3}\n", &["3"], ""),
        ],
    );
    // An open quote takes in what follows: such a file is read whole again.
    steps(
        "t.csv",
        &[
            ("a,b\n1,x\n2,\"y\n", &["1|x"], ""),
            ("\"\n3,z\n", &["1|x", "2|y\n", "3|z"], "has changed"),
        ],
    );
}

#[test]
fn lines_and_offsets_of_what_is_new_are_those_of_the_whole_file() {
    let project = Project::new().file("t.csv", "\u{feff}a\n1\n2\n");
    let first = incremental(&project, "t.csv", &Position::default()).unwrap();
    append(&project, "t.csv", "3\n4,5\n");
    let next = incremental(&project, "t.csv", &first.position).unwrap();
    assert_eq!(next.rows, ["3"]);
    assert_eq!(next.rejects[0].place.line, Some(5));
    assert_eq!(text(&next.rejects[0].raw), "4,5");
}

#[test]
fn what_did_not_only_grow_is_read_whole() {
    let start = "a\n1\n2\n3\n";
    for (name, then, rows) in [
        ("cut", "a\n1\n", vec!["1"]),
        (
            "changed in its middle",
            "a\n1\n7\n3\n4\n",
            vec!["1", "7", "3", "4"],
        ),
        (
            "changed at its end",
            "a\n1\n2\n5\n4\n",
            vec!["1", "2", "5", "4"],
        ),
    ] {
        let project = Project::new().file("t.csv", start);
        let first = incremental(&project, "t.csv", &Position::default()).unwrap();
        project.put("t.csv", then);
        let next = incremental(&project, "t.csv", &first.position).unwrap();
        assert_eq!(next.rows, rows, "{name}");
        assert!(
            next.notes[0].contains("has changed since it was read"),
            "{:?}",
            next.notes
        );
        // And back again.
        project.put("t.csv", start);
        let back = incremental(&project, "t.csv", &next.position).unwrap();
        // What was cut has grown again; what was changed was changed once more.
        let expected: &[&str] = match name {
            "cut" => &["2", "3"],
            _ => &["1", "2", "3"],
        };
        assert_eq!(back.rows, expected, "{name}");
    }
    // A position of the form before this one: the same file is known, a longer one is read whole.
    let project = Project::new().file("t.csv", start);
    let old = "sha256:3a0e2e3ea4d7f8b6d3e6a8d0c6c8b3a8f1ea0aa1f8c5d7d9e6c2b1a0f9e8d7c6";
    let old = towpath_vocab::SplitPosition {
        order: 3,
        resume: json!(old),
    };
    let first = incremental(&project, "t.csv", &Position::single("data/t.csv", old)).unwrap();
    assert_eq!(first.rows.len(), 3);
    assert!(first.notes[0].contains("has changed"), "{:?}", first.notes);
    let order = first.position.splits().next().unwrap().1.order;
    assert_eq!(order, 4);
}

#[test]
fn a_position_of_the_older_form_knows_its_file() {
    let project = Project::new().file("t.csv", "a\n1\n2\n");
    let version = run(async {
        project
            .source()
            .version(&spec("t.csv"))
            .await
            .unwrap()
            .unwrap()
    });
    let old = towpath_vocab::SplitPosition {
        order: 1,
        resume: json!(version.0),
    };
    let old = Position::single("data/t.csv", old);
    let known = incremental(&project, "t.csv", &old).unwrap();
    assert!(known.rows.is_empty());
    append(&project, "t.csv", "3\n");
    // Its form says nothing of places; the new one does.
    assert_eq!(
        incremental(&project, "t.csv", &old).unwrap().rows,
        ["1", "2", "3"]
    );
    assert_eq!(
        incremental(&project, "t.csv", &known.position)
            .unwrap()
            .rows,
        ["3"]
    );
}

#[test]
fn a_file_with_the_same_beginning_beside_the_first_is_another_one() {
    let project = Project::new().file("t_1.csv", "a\n1\n2\n");
    let first = incremental(&project, "t_*.csv", &Position::default()).unwrap();
    project.put("t_2.csv", "a\n1\n2\n3\n");
    let next = incremental(&project, "t_*.csv", &first.position).unwrap();
    assert_eq!(next.rows, ["1", "2", "3"]);
    // Also when the first is gone: each hour may bring the same rows.
    let project = Project::new().file("hour1.csv", "a\n1\n");
    let first = incremental(&project, "hour*.csv", &Position::default()).unwrap();
    std::fs::remove_file(project.data().join("hour1.csv")).unwrap();
    project.put("hour2.csv", "a\n1\n");
    let next = incremental(&project, "hour*.csv", &first.position).unwrap();
    assert_eq!(next.rows, ["1"]);
}

#[test]
fn a_log_whose_name_is_gone_is_known_by_the_next_name_of_a_rotation() {
    let project = Project::new()
        .with("format", json!("csv"))
        .file("app.log", "a\n1\n2\n");
    let name = |name: &str| project.data().join(name);
    let first = incremental(&project, "app.log*", &Position::default()).unwrap();
    std::fs::rename(name("app.log"), name("app.log.1")).unwrap();
    append(&project, "app.log.1", "3\n");
    let next = incremental(&project, "app.log*", &first.position).unwrap();
    assert_eq!(next.rows, ["3"]);
    assert!(
        next.notes[0].contains("begins with all that was read of `data/app.log`"),
        "{:?}",
        next.notes
    );
    // A copy beside it is another file, though the first name is gone.
    std::fs::copy(name("app.log.1"), name("app.log.2")).unwrap();
    let copied = incremental(&project, "app.log*", &next.position).unwrap();
    assert_eq!(copied.rows, ["1", "2", "3"]);
    assert!(
        incremental(&project, "app.log*", &copied.position)
            .unwrap()
            .rows
            .is_empty()
    );
}

#[test]
fn a_file_that_ends_inside_of_quotes_stays_so_under_another_name() {
    let project = Project::new()
        .with("format", json!("csv"))
        .file("app.log", "a,b\n1,x\n2,\"y\n");
    let name = |name: &str| project.data().join(name);
    let first = incremental(&project, "app.log*", &Position::default()).unwrap();
    assert_eq!(first.rows, ["1|x"]);
    std::fs::rename(name("app.log"), name("app.log.1")).unwrap();
    let moved = incremental(&project, "app.log*", &first.position).unwrap();
    assert!(moved.rows.is_empty());
    append(&project, "app.log.1", "\"\n3,\"z\"\n");
    let all = incremental(&project, "app.log*", &moved.position).unwrap();
    assert_eq!(all.rows, ["1|x", "2|y\n", "3|z"]);
}

const FEW_FILES: &str = "TOWPATH_TEST_FEW_OPEN_FILES";

/// The same test again in a process that may have 100 files open and no more.
#[test]
fn more_files_than_a_process_may_have_open_are_no_matter() {
    if std::env::var_os(FEW_FILES).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "files::tests::grown::more_files_than_a_process_may_have_open_are_no_matter";
        let ran = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" --exact \"$1\""])
            .arg(own)
            .arg(name)
            .env(FEW_FILES, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let project = Project::new();
    for at in 0..300 {
        project.put(&format!("t_{at}.csv"), "a\n1\n");
    }
    let first = incremental(&project, "t_*.csv", &Position::default()).unwrap();
    assert_eq!(first.rows.len(), 300);
    append(&project, "t_7.csv", "2\n");
    let next = incremental(&project, "t_*.csv", &first.position).unwrap();
    assert_eq!(next.rows, ["2"]);
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Csv,
    Jsonl,
    Log,
}

/// A program that writes a log, and what of it must have been loaded.
struct World {
    project: Project,
    form: Form,
    chance: TestRng,
    next: u64,
    /// Lines with their line ends, and the rest of a line that is written in pieces, by file.
    whole: BTreeSet<String>,
    rest: Option<(String, String, String)>,
    position: Position,
    loaded: Vec<String>,
}

impl World {
    fn new(form: Form, seed: u8) -> Self {
        let project = match form {
            Form::Csv => Project::new().with("format", json!("csv")),
            Form::Jsonl => Project::new().with("format", json!("jsonl")),
            Form::Log => Project::new()
                .with("format", json!("regex"))
                .with("pattern", json!("row (?<a>.*)")),
        };
        let mut world = Self {
            project,
            form,
            chance: TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
            next: 0,
            whole: BTreeSet::new(),
            rest: None,
            position: Position::default(),
            loaded: Vec::new(),
        };
        world.begin();
        world
    }

    fn below(&mut self, most: u64) -> u64 {
        self.chance.next_u64() % most
    }

    /// A new log, never empty: a program writes its first line at once.
    fn begin(&mut self) {
        if self.form == Form::Csv {
            append(&self.project, "app.log", "a\n");
        }
        self.line(false);
    }

    fn line(&mut self, in_pieces: bool) {
        self.next += 1;
        let value = format!("v{:03}", self.next);
        let text = match self.form {
            Form::Csv => format!("{value}\n"),
            Form::Jsonl => format!("{{\"a\":\"{value}\"}}\n"),
            Form::Log => format!("row {value}\n"),
        };
        if !in_pieces {
            append(&self.project, "app.log", &text);
            self.whole.insert(value);
            return;
        }
        let at = 1 + usize::try_from(self.below(text.len() as u64 - 2)).unwrap();
        append(&self.project, "app.log", &text[..at]);
        self.rest = Some(("app.log".to_owned(), text[at..].to_owned(), value));
    }

    fn finish_line(&mut self) {
        if let Some((file, rest, value)) = self.rest.take() {
            append(&self.project, &file, &rest);
            self.whole.insert(value);
        }
    }

    fn write(&mut self) {
        self.finish_line();
        for _ in 0..self.below(4) {
            self.line(false);
        }
        // The very first look at a CSV file takes a last line without a line end.
        if self.below(3) == 0 && (!self.position.is_empty() || self.form != Form::Csv) {
            self.line(true);
        }
    }

    fn rotate(&mut self) {
        let path = |at: u64| match at {
            0 => self.project.data().join("app.log"),
            at => self.project.data().join(format!("app.log.{at}")),
        };
        for at in (1..9).rev() {
            if path(at).exists() {
                std::fs::rename(path(at), path(at + 1)).unwrap();
            }
        }
        if self.next.is_multiple_of(2) {
            std::fs::rename(path(0), path(1)).unwrap();
        } else {
            std::fs::copy(path(0), path(1)).unwrap();
            std::fs::File::create(path(0)).unwrap();
        }
        // The program ends its line in the file that it has open.
        if let Some((file, ..)) = &mut self.rest {
            "app.log.1".clone_into(file);
        }
        self.finish_line();
        self.begin();
    }

    fn load(&mut self, is_killed: bool) {
        let read = incremental(&self.project, "app.log*", &self.position).unwrap();
        if is_killed {
            return;
        }
        assert!(read.rejects.is_empty(), "{:?}", read.rejects);
        self.loaded.extend(read.rows);
        self.position = read.position;
        let mut loaded = self.loaded.clone();
        loaded.sort();
        let mut expected: Vec<String> = self.whole.iter().cloned().collect();
        // A closed object needs no line end.
        if let Some((_, rest, value)) = &self.rest
            && self.form == Form::Jsonl
            && rest == "\n"
        {
            expected.push(value.clone());
        }
        assert_eq!(loaded, expected, "{:?} {:?}", self.form, read.notes);
    }
}

#[test]
fn rotated_logs_lose_and_double_no_row() {
    for form in [Form::Csv, Form::Jsonl, Form::Log] {
        for seed in 0..12 {
            let mut world = World::new(form, seed);
            for _ in 0..25 {
                match world.below(8) {
                    0..=2 => world.write(),
                    3 => world.rotate(),
                    4 => world.load(true),
                    _ => world.load(false),
                }
            }
            world.finish_line();
            world.load(false);
        }
    }
}

#[test]
fn a_log_that_is_rotated_during_a_read_is_read_again() {
    let project = Project::new().with("format", json!("jsonl"));
    append(&project, "app.log", "{\"a\":1}\n");
    let name = |name: &str| project.data().join(name);
    let read = run(read(&project, "app.log*", &Position::default(), || {
        std::fs::rename(name("app.log"), name("app.log.1")).unwrap();
        append(&project, "app.log", "{\"a\":2}\n");
    }));
    assert_eq!(read.err().unwrap().code, "R0116");
    let again = incremental(&project, "app.log*", &Position::default()).unwrap();
    assert_eq!(again.rows, ["2", "1"]);
}
