//! Files that queries name: found, refused, read by the reader of loads.

use towpath_ports::NamedFiles;

use super::super::QueriedFiles;
use super::*;

fn context(project: &Project) -> ConnectorContext {
    ConnectorContext {
        project_dir: project.dir.path().to_path_buf(),
        secrets: Arc::new(NoSecrets),
        memory: Arc::clone(&project.memory),
    }
}

fn below(project: &Project) -> QueriedFiles {
    QueriedFiles::below(project.dir.path(), context(project))
}

/// The rows of a file by name, with these columns; `None` when there is none of that name.
fn rows_of(files: &QueriedFiles, name: &str, columns: Option<&[&str]>) -> Result<Option<Outcome>> {
    run(async {
        let Some(file) = files.find(name).await? else {
            return Ok(None);
        };
        let mut spec = file.spec;
        spec.projection =
            columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        drain(file.source.open(&spec, None).await?).await.map(Some)
    })
}

#[test]
fn a_named_file_is_read_as_a_load_reads_it() {
    let project = Project::new()
        .file("semicolons.csv", "a;b\n1;x\n2;y\n")
        .file("packed.csv.gz", gzip(b"a,b\n01,x\n"))
        .file("t.jsonl", "{\"a\": 5, \"n\": {\"x\": 1}}\n{\"a\": 6}\n")
        .file("ab.json", r#"[{"a":1},{"A":2}]"#)
        .file("many/1.csv", "a\n1\n")
        .file("many/2.csv", "a\n2\n");
    let files = below(&project);
    let read = |name: &str, columns: Option<&[&str]>| rows_of(&files, name, columns).unwrap();
    let semicolons = read("data/semicolons.csv", None).unwrap();
    assert_eq!(
        (semicolons.columns, semicolons.rows),
        (
            vec!["a bigint".to_owned(), "b text".to_owned()],
            vec!["1|x".to_owned(), "2|y".to_owned()]
        )
    );
    assert_eq!(read("data/packed.csv.gz", None).unwrap().rows, ["01|x"]);
    assert_eq!(
        read("data/semicolons.csv", Some(&["b"])).unwrap().rows,
        ["x", "y"]
    );
    assert_eq!(read("data/t.jsonl", Some(&["a"])).unwrap().rows, ["5", "6"]);
    assert_eq!(
        read("data/ab.json", Some(&["a", "A"])).unwrap().rows,
        ["1|∅", "∅|2"]
    );
    assert_eq!(read("data/ab.json", Some(&["A"])).unwrap().rows, ["∅", "2"]);
    assert_eq!(read("data/many/*.csv", None).unwrap().rows, ["1", "2"]);
    // Rows without columns are counted.
    for name in ["data/semicolons.csv", "data/t.jsonl"] {
        assert_eq!(read(name, Some(&[])).unwrap().rows.len(), 2, "{name}");
    }
    for name in ["raw.flights", "flights"] {
        assert!(read(name, None).is_none(), "{name}");
    }
}

#[test]
fn a_column_of_a_named_file_stands_against_its_folder() {
    let project = Project::new()
        .file("csv/region=eu/year=2024/x.csv", "id,region\n1,north\n")
        .file("csv/region=us/year=2025/x.csv", "id,region\n2,south\n")
        .file(
            "json/region=eu/year=2024/x.jsonl",
            "{\"id\":1,\"region\":\"north\"}\n{\"id\":2}\n",
        );
    let files = below(&project);
    for columns in [None, Some(&["id", "region", "year"][..])] {
        let outcome = rows_of(&files, "data/csv/*/*/x.csv", columns)
            .unwrap()
            .unwrap();
        assert_eq!(outcome.rejects, []);
        assert_eq!(outcome.columns, ["id bigint", "region text", "year bigint"]);
        assert_eq!(outcome.rows, ["1|north|2024", "2|south|2025"]);
        let name = "data/json/region=eu/year=2024/x.jsonl";
        let outcome = rows_of(&files, name, columns).unwrap().unwrap();
        assert_eq!(outcome.rejects, []);
        assert_eq!(outcome.rows, ["1|north|2024", "2|∅|2024"]);
    }
}

/// A name that looks like a file is never taken for a table that does not exist.
#[test]
fn what_is_wrong_with_a_named_file_is_said() {
    let project = Project::new()
        .file("orders.csv", "a\n1\n")
        .file("t.txt", "a\n1\n");
    let mut cases = vec![
        ("data/order.csv", "R0101", "there is no `data/order.csv`"),
        ("order.csv", "R0101", "there is no `order.csv`"),
        ("data/*.parquet", "R0101", "there is no `data/*.parquet`"),
        ("nowhere/order.csv", "R0145", "there is no such file"),
        ("data/orders", "R0145", "there is no such file"),
        ("data/t.txt", "R0145", "its name does not end like"),
        ("data", "", ""),
        ("data/", "R0105", "is a folder"),
        ("../nowhere/x.csv", "R0143", "not in the folder"),
        ("/nowhere/x.csv", "R0143", "not in the folder"),
    ];
    #[cfg(unix)]
    {
        let socket = project.data().join("s.csv");
        std::os::unix::net::UnixListener::bind(socket).unwrap();
        cases.push(("data/s.csv", "R0107", "a socket or a device"));
    }
    for (name, code, words) in cases {
        match rows_of(&below(&project), name, None) {
            Ok(found) => assert!(found.is_none() && code.is_empty(), "{name}"),
            Err(failure) => {
                assert_eq!(failure.code, code, "{name}: {}", failure.message);
                assert!(failure.message.contains(words), "{}", failure.message);
            }
        }
    }
    let near = rows_of(&below(&project), "data/order.csv", None).unwrap_err();
    assert_eq!(near.help, ["did you mean `orders.csv`?"]);
}

#[test]
fn files_outside_the_folder_are_refused() {
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("y.csv"), "a\n1\n").unwrap();
    let project = Project::new().file("x.csv", "a\n1\n");
    let away = other.path().file_name().unwrap().to_str().unwrap();
    let mut outside = vec![
        other.path().join("y.csv").to_str().unwrap().to_owned(),
        other.path().join("*.csv").to_str().unwrap().to_owned(),
        format!("../{away}/y.csv"),
        format!("../{away}/*.csv"),
        format!("*/../../{away}/*.csv"),
    ];
    #[cfg(unix)]
    {
        let link = project.data().join("link.csv");
        std::os::unix::fs::symlink(other.path().join("y.csv"), link).unwrap();
        outside.push("data/link.csv".to_owned());
    }
    for name in outside {
        let failure = rows_of(&below(&project), &name, None).unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0143", towpath_vocab::Remedy::Refused),
            "{name}"
        );
    }
    let inside = project.data().join("x.csv").display().to_string();
    assert_eq!(
        rows_of(&below(&project), &inside, None)
            .unwrap()
            .unwrap()
            .rows,
        ["1"]
    );
    let anywhere = QueriedFiles::anywhere(project.dir.path(), context(&project));
    let away = other.path().join("y.csv").display().to_string();
    assert_eq!(
        rows_of(&anywhere, &away, None).unwrap().unwrap().rows,
        ["1"]
    );
}
