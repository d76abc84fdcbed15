//! Columns from the paths of files: Hive partitions and the path itself.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field, Schema};
use towpath_vocab::Remedy;

use super::*;

fn partitioned() -> Project {
    Project::new().with("hive_partitioning", json!(true))
}

fn parquet(project: &Project, name: &str, columns: &[(&str, ArrayRef)]) {
    let path = project.data().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let to = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(to, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The rejected records, read again with other options or files.
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

#[test]
fn folders_are_columns_of_every_format() {
    let project = partitioned().with("file_column", json!("_file"));
    let names = [
        "day=2024-01-31/city=S%C3%A3o%20Paulo/1",
        "day=2024-02-01/city=__HIVE_DEFAULT_PARTITION__/2",
    ];
    for (name, id) in names.into_iter().zip(1..) {
        project.put(&format!("csv/{name}.csv"), format!("id\n{id}\n"));
        project.put(&format!("json/{name}.json"), format!("[{{\"id\":{id}}}]"));
        project.put(&format!("lines/{name}.jsonl"), format!("{{\"id\":{id}}}\n"));
        parquet(
            &project,
            &format!("parquet/{name}.parquet"),
            &[("id", ids(&[id]))],
        );
    }
    for (folder, end) in [
        ("csv", "csv"),
        ("json", "json"),
        ("lines", "jsonl"),
        ("parquet", "parquet"),
    ] {
        let outcome = project.read(&format!("{folder}/**/*.{end}"));
        assert_eq!(
            outcome.columns,
            ["id bigint", "day date", "city text", "_file text"]
        );
        let path = |at: usize| format!("{folder}/{}.{end}", names[at]);
        let rows = [
            format!("1|2024-01-31|São Paulo|{}", path(0)),
            format!("2|2024-02-01|∅|{}", path(1)),
        ];
        assert_eq!(outcome.rows, rows, "{folder}");
        assert_eq!(outcome.rejects, []);
    }
}

#[test]
fn folders_are_columns_of_avro_and_arrow() {
    let project = partitioned();
    for (name, end) in [("avro/types.avro", "avro"), ("arrow/types.arrow", "arrow")] {
        project.put(&format!("folder=7/a.{end}"), columnar::fixture(name));
        let mut spec = spec(&format!("*/a.{end}"));
        spec.projection = Some(vec!["bool".to_owned(), "folder".to_owned()]);
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.columns, ["bool bool", "folder bigint"]);
        assert_eq!((outcome.rows.len(), outcome.rejects.len()), (5, 0));
        assert!(
            outcome.rows.iter().all(|row| row.ends_with("|7")),
            "{:?}",
            outcome.rows
        );
    }
}

#[test]
fn a_known_number_of_a_folder_keeps_its_zeros_in_every_format() {
    let project = partitioned();
    let put = |n: &str, id: i64| {
        project.put(&format!("csv/n={n}/a.csv"), format!("id\n{id}\n"));
        let name = format!("parquet/n={n}/a.parquet");
        parquet(&project, &name, &[("id", ids(&[id]))]);
    };
    put("1", 1);
    let mut specs = [spec("csv/*/a.csv"), spec("parquet/*/a.parquet")];
    for spec in &mut specs {
        let outcome = project.read_as(spec);
        assert_eq!(outcome.columns, ["id bigint", "n bigint"]);
        spec.observed = outcome.schema;
    }
    put("02", 2);
    for spec in &mut specs {
        let outcome = project.read_as(spec);
        assert_eq!(outcome.rows, ["1|1"]);
        assert_eq!(outcome.rejects.len(), 1);
        let said = outcome.rejects[0].reasons[0].text();
        assert!(said.contains("has leading zeros"), "{said}");
        // A replay rejects it too, until the type is declared.
        let replayed = again(&project, spec, &outcome.rejects);
        let said = replayed.rejects[0].reasons[0].text();
        assert!(said.contains("has leading zeros"), "{said}");
        spec.declared = declared(&[("n", "bigint")]);
        assert_eq!(again(&project, spec, &outcome.rejects).rows, ["2|2"]);
        let mut rows = project.read_as(spec).rows;
        rows.sort();
        assert_eq!(rows, ["1|1", "2|2"]);
    }
}

#[test]
fn types_of_folders_are_inferred_declared_or_known() {
    let project = partitioned()
        .file("n=1/m=01/x=1.5/a.csv", "id\n1\n")
        .file("n=20/m=12/x=2/a.csv", "id\n2\n");
    let outcome = project.read("**/*.csv");
    assert_eq!(
        outcome.columns,
        ["id bigint", "n bigint", "m text", "x double"]
    );
    assert_eq!(outcome.rows, ["1|1|01|1.5", "2|20|12|2.0"]);
    let mut spec = spec("**/*.csv");
    spec.declared = declared(&[("m", "int"), ("n", "text")]);
    spec.projection = Some(vec!["m".to_owned(), "n".to_owned()]);
    let declared_types = project.read_as(&spec);
    assert_eq!(declared_types.columns, ["n text", "m int"]);
    assert_eq!(declared_types.rows, ["1|1", "20|12"]);
    // A folder that does not fit the type so far: its records are rejected, and come back when it fits.
    project.put("n=x/m=02/x=3/a.csv", "id\n3\n4\n");
    spec.declared.clear();
    spec.projection = None;
    spec.observed = outcome.schema;
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["1|1|01|1.5", "2|20|12|2.0"]);
    assert_eq!(outcome.reasons(), ["2: type n", "3: type n"]);
    let said = outcome.rejects[0].reasons[0].text();
    assert!(
        said.starts_with("n: `x` is not a valid `bigint`, the type"),
        "{said}"
    );
    spec.declared = declared(&[("n", "text")]);
    assert_eq!(
        again(&project, &spec, &outcome.rejects).rows,
        ["3|x|02|3.0", "4|x|02|3.0"]
    );
}

#[test]
fn a_rejected_record_keeps_the_columns_of_its_path() {
    let project = partitioned()
        .with("file_column", json!("origin"))
        .file("y=1/a.csv", "id,v\n1,x\nbad\n")
        .file("y=2/a.csv", "id,v\nno,y\n2,z\n");
    let mut spec = spec("*/a.csv");
    spec.declared = declared(&[("id", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["1|x|1|y=1/a.csv", "2|z|2|y=2/a.csv"]);
    assert_eq!(outcome.raw_rejects(), ["bad", "no,y"]);
    spec.declared = declared(&[("id", "text")]);
    let replayed = again(&project, &spec, &outcome.rejects);
    assert_eq!(replayed.rows, ["no|y|2|y=2/a.csv"]);
    // The place says which file it was: another place has not the columns.
    let mut moved = outcome.rejects[1].clone();
    moved.place.object = "data/elsewhere/a.csv".to_owned();
    let replayed = again(&project, &spec, &[moved]);
    assert_eq!(
        (replayed.rows.len(), replayed.reasons()),
        (0, vec!["0: path".to_owned()])
    );
}

#[test]
fn a_column_of_the_file_must_agree_with_its_path() {
    let project = partitioned()
        .file("c/y=2024/a.csv", "y,id\n2024,1\n2023,2\n,3\n")
        .file(
            "j/y=2024/a.jsonl",
            "{\"y\":2024,\"id\":1}\n{\"y\":2023,\"id\":2}\n{\"id\":3}\n",
        );
    let outcome = project.read("c/*/a.csv");
    assert_eq!(outcome.columns, ["y bigint", "id bigint"]);
    assert_eq!(outcome.rows, ["2024|1"]);
    assert_eq!(outcome.reasons(), ["3: path y", "4: path y"]);
    assert_eq!(
        outcome.rejects[0].reasons[0].text(),
        "y: is not `2024`, which the path of the file says"
    );
    let outcome = project.read("j/*/a.jsonl");
    assert_eq!(outcome.rows, ["2024|1", "2024|3"]);
    assert_eq!(outcome.reasons(), ["2: path y"]);
    parquet(
        &project,
        "p/y=7/a.parquet",
        &[("y", ids(&[7, 8])), ("id", ids(&[1, 2]))],
    );
    let outcome = project.read("p/*/a.parquet");
    assert_eq!(outcome.rows, ["7|1"]);
    assert_eq!(outcome.rejects[0].reasons[0].code, "path");
    let replayed = again(&project, &spec("p/*/a.parquet"), &outcome.rejects);
    assert_eq!(
        (replayed.rows.len(), replayed.reasons()),
        (0, vec!["0: path y".to_owned()])
    );
}

#[test]
fn a_rejected_row_of_parquet_gets_the_columns_of_its_path() {
    let project = partitioned();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1", "x"]));
    parquet(&project, "y=7/a.parquet", &[("n", texts)]);
    let mut spec = spec("*/a.parquet");
    spec.declared = declared(&[("n", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(
        (outcome.rows, outcome.rejects.len()),
        (vec!["1|7".to_owned()], 1)
    );
    spec.declared.clear();
    assert_eq!(again(&project, &spec, &outcome.rejects).rows, ["x|7"]);
}

#[test]
fn paths_of_one_table_have_the_same_keys() {
    let project = partitioned()
        .file("y=1/a.csv", "id\n1\n")
        .file("y=2/m=3/b.csv", "id\n2\n")
        .file("k=1/k=2/c.csv", "id\n3\n")
        .file("k=%FF/d.csv", "id\n3\n")
        .file("plain/e.csv", "id\n4\n");
    let fail = |selection: &str| {
        let failure = project.fail(selection);
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0132", Remedy::FixConfig)
        );
        failure.message
    };
    assert!(fail("y=*/**/*.csv").contains("none of its folders is named `m=…`"));
    assert!(fail("k=1/k=2/c.csv").contains("two of its folders are named `k=…`"));
    assert!(fail("k=%FF/d.csv").contains("does not decode"));
    assert_eq!(
        project.read("plain/e.csv").notes,
        ["`hive_partitioning` is set, but no folder of these files is named `key=value`"]
    );
    let project = project.with("missing_columns", json!("null"));
    let outcome = project.read("y=*/**/*.csv");
    assert_eq!(outcome.columns, ["id bigint", "y bigint", "m bigint"]);
    assert_eq!(outcome.rows, ["1|1|∅", "2|2|3"]);
}

#[test]
fn the_column_of_the_path_has_a_name_of_its_own() {
    for (name, text) in [("t.csv", "f\n1\n"), ("t.jsonl", "{\"f\":1}\n")] {
        let project = Project::new()
            .with("file_column", json!("f"))
            .file(name, text);
        assert_eq!(project.fail(name).code, "R0133");
    }
    let project = partitioned()
        .with("file_column", json!("y"))
        .file("y=1/t.csv", "a\n1\n");
    assert_eq!(project.fail("y=1/t.csv").code, "R0133");
    let project = Project::new().with("file_column", json!(" "));
    assert!(project.options_fail().contains("`file_column`"));
}

#[test]
fn without_the_option_folders_are_no_columns() {
    let project = Project::new().file("y=1/a.csv", "id\n1\n");
    assert_eq!(project.read("y=1/a.csv").columns, ["id bigint"]);
}

#[test]
fn a_file_without_rows_keeps_the_columns_of_the_table() {
    let project = partitioned()
        .with("file_column", json!("_file"))
        .file("y=1/a.jsonl", "");
    let fields = [
        ("id", DataType::Int64),
        ("y", DataType::Int64),
        ("_file", DataType::Utf8),
    ];
    let fields = fields.map(|(name, of)| Field::new(name, of, true));
    let mut spec = spec("*/a.jsonl");
    spec.observed = Some(Arc::new(Schema::new(fields.to_vec())));
    assert_eq!(
        project.read_as(&spec).columns,
        ["id bigint", "y bigint", "_file text"]
    );
}
