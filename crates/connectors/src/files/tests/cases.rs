//! Single CSV files, from the plain to the nasty.

use super::*;

#[test]
fn the_first_line_of_excel_names_the_delimiter() {
    let right = (
        vec!["a bigint".to_owned(), "b text".to_owned()],
        vec!["1|x,y".to_owned()],
    );
    for text in [
        "sep=;\r\na;b\r\n1;x,y\r\n",
        "\u{feff}SEP=|\na|b\n1|x,y\n",
        "\"sep=\t\"\na\tb\n1\tx,y\n",
        "sep=,\na,b\n1,\"x,y\"\n",
    ] {
        let outcome = Project::new().file("t.csv", text).read("t");
        assert_eq!((outcome.columns, outcome.rows), right, "{text}");
        assert_eq!(outcome.notes.len(), 1, "{:?}", outcome.notes);
        assert!(outcome.notes[0].contains("`skip_lines: 1` set this"));
    }
    // What the project says wins, and a header or a row is not taken for the line.
    let other = Project::new()
        .with("delimiter", json!(","))
        .file("t.csv", "sep=;\na,b\n1,\"x,y\"\n")
        .read("t");
    assert_eq!((other.columns, other.rows), right);
    assert!(other.notes[0].contains("`delimiter` sets `,`"));
    let none = Project::new().file("t.csv", "sep=a;b\n1;2\n").read("t");
    assert_eq!(none.columns, ["sep=a bigint", "b bigint"]);
    let bare = Project::new()
        .with("header", json!(false))
        .file("t.csv", "sep=;\n1;x,y\n")
        .read("t");
    assert_eq!(bare.rows, ["1|x,y"]);
    let empty = Project::new().file("t.csv", "sep=;").fail("t");
    assert_eq!(empty.code, "R0108", "{empty:?}");
}

#[test]
fn types_are_inferred_over_all_rows() {
    let outcome = csv(
        "id,price,big,when,at,ok,zip,name\n1,2.50,9223372036854775808,2013-01-01,2013-01-01T06:00:00Z,true,01234,a\n-2,,1,2013-12-31,2013-01-01 07:00:00+01:00,false,99999,\n",
    );
    assert_eq!(
        outcome.columns,
        [
            "id bigint",
            "price decimal(18,2)",
            "big decimal(38,0)",
            "when date",
            "at timestamptz",
            "ok bool",
            "zip text",
            "name text",
        ]
    );
    assert_eq!(
        outcome.rows,
        [
            "1|2.50|9223372036854775808|2013-01-01|2013-01-01T06:00:00Z|true|01234|a",
            "-2|∅|1|2013-12-31|2013-01-01T06:00:00Z|false|99999|∅",
        ]
    );
    assert_eq!(
        outcome.notes,
        ["`zip` is read as text: some of its numbers have leading zeros or a plus"]
    );
    assert_eq!((outcome.ends, outcome.rejects.len()), (1, 0));
}

#[test]
fn quotes_as_the_standard_says() {
    let outcome = csv("a,b\r\n\"x, \"\"y\"\"\r\nz\",\"\"\r\n,\"NA\"\r\n\"1\"\"\",5\" pipe\r\n");
    assert_eq!(outcome.rows, ["x, \"y\"\r\nz|", "∅|NA", "1\"|5\" pipe"]);
    let places: Vec<Option<u64>> = (0..3).map(|row| outcome.place(row).line).collect();
    assert_eq!(places, [Some(2), Some(4), Some(5)]);
    assert_eq!(outcome.place(0).object, "data/t.csv");
    assert_eq!(outcome.ordinals, [5, 23, 30]);
    assert_eq!(text(&outcome.raw(0)), "\"x, \"\"y\"\"\r\nz\",\"\"");
    assert_eq!(text(&outcome.raw(2)), "\"1\"\"\",5\" pipe");
}

#[test]
fn null_values_are_unquoted_words() {
    let project = Project::new()
        .with("null_values", json!(["NA", "-"]))
        .file("t.csv", "a,b\nNA,-\n1,\"NA\"\n,x\n");
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["a bigint", "b text"]);
    assert_eq!(outcome.rows, ["∅|∅", "1|NA", "∅|x"]);
    let project = Project::new()
        .with("null_values", json!(""))
        .file("t.csv", "a,b\n\"\",x\n1,\"\"\n");
    assert_eq!(project.read("t").rows, ["∅|x", "1|∅"]);
}

#[test]
fn quoted_empties_make_a_number_text_and_say_so() {
    let outcome = csv("a,b\n\"\",x\n1,y\n");
    assert_eq!(outcome.columns, ["a text", "b text"]);
    assert_eq!(outcome.rows, ["|x", "1|y"]);
    assert_eq!(outcome.notes.len(), 1);
    assert!(outcome.notes[0].contains("null_values"));
}

#[test]
fn ragged_rows_are_set_aside_with_place_and_text() {
    let outcome = csv("a,b\n1,2\n3\n4,5,6\n\n7,8");
    assert_eq!(outcome.rows, ["1|2", "7|8"]);
    assert_eq!(outcome.reasons(), ["3: columns", "4: columns"]);
    assert_eq!(outcome.raw_rejects(), ["3", "4,5,6"]);
    assert_eq!(
        outcome.rejects[0].place,
        RecordLocation {
            object: "data/t.csv".into(),
            line: Some(3),
            ordinal: 8
        }
    );
    assert_eq!(
        outcome.rejects[1].reasons[0].message,
        "the record has 3 fields, the header has 2"
    );
    assert_eq!(outcome.boundaries, [20]);
}

#[test]
fn an_unclosed_quote_costs_its_line_only() {
    let outcome = csv("a,b\n1,2\n3,\"four\n5,6\n7,8\n");
    assert_eq!(outcome.rows, ["1|2", "5|6", "7|8"]);
    assert_eq!(outcome.reasons(), ["3: quote"]);
    assert_eq!(outcome.raw_rejects(), ["3,\"four"]);
    let outcome = csv("a,b\n1,\"x\ny\"z,2\n3,\"4\"\n");
    assert_eq!(outcome.rows, ["3|4"]);
    assert_eq!(outcome.reasons(), ["2: quote", "3: quote"]);
}

#[test]
fn values_that_do_not_fit_are_set_aside_with_all_reasons() {
    let project = Project::new().file(
        "t.csv",
        "a,b,c\n1,2.5,x\ny,z,w\n9223372036854775808,1.234,\n007,+1,v\n",
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("a", "bigint"), ("b", "decimal(6,2)")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["a bigint", "b decimal(6,2)", "c text"]);
    assert_eq!(outcome.rows, ["1|2.50|x", "7|1.00|v"]);
    assert_eq!(
        outcome.reasons(),
        ["3: type a", "3: type b", "4: type a", "4: type b"]
    );
    let messages: Vec<&str> = outcome
        .rejects
        .iter()
        .flat_map(|r| &r.reasons)
        .map(|r| r.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "is not a valid `bigint`",
            "is not a valid `decimal(6,2)`",
            "is out of range for `bigint`",
            "does not fit `decimal(6,2)` exactly",
        ]
    );
    assert_eq!(outcome.rejects[0].reasons[0].value.as_deref(), Some("y"));
}

#[test]
fn every_declared_type_reads() {
    let words = [
        ("tinyint", "-128"),
        ("smallint", "32767"),
        ("int", "-2147483648"),
        ("bigint", "1"),
        ("utinyint", "255"),
        ("usmallint", "65535"),
        ("uint", "4294967295"),
        ("ubigint", "18446744073709551615"),
        ("float", "1.5"),
        ("double", "1e300"),
        ("bool", "YES"),
        ("date", "2020-02-29"),
        ("timestamp", "2020-02-29"),
        ("timestamptz", "2020-02-29 00:00:00.5-01:30"),
        ("decimal(38,10)", "1e-10"),
        ("text", " x "),
        ("list(int)", "[1]"),
        ("struct(a list(int))", "\"{\"\"a\"\": [1, null]}\""),
    ];
    for (word, value) in words {
        let project = Project::new().file("t.csv", format!("c,d\n{value},1\nnonsense!,2\n,3\n"));
        let mut spec = spec("t");
        spec.declared = declared(&[("c", word)]);
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.columns[0], format!("c {word}"));
        let (rows, rejects) = if word == "text" { (3, 0) } else { (2, 1) };
        assert_eq!(
            (outcome.rows.len(), outcome.rejects.len()),
            (rows, rejects),
            "{word}"
        );
        assert_eq!(outcome.rows.last().unwrap(), "∅|3");
    }
    let project = Project::new().file("t.csv", "c\n1\n");
    let mut spec = spec("t");
    spec.declared = declared(&[("c", "list(nothing)")]);
    assert_eq!(project.try_read(&spec).unwrap_err().code, "R0111");
}

#[test]
fn offsets_are_demanded_of_instants_and_refused_otherwise() {
    let project = Project::new().file(
        "t.csv",
        "a,b\n2013-01-01T00:00:00Z,2013-01-01T00:00:00\n2013-01-01T00:00:00,2013-01-01T00:00:00Z\n",
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("a", "timestamptz"), ("b", "timestamp")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["2013-01-01T00:00:00Z|2013-01-01T00:00:00"]);
    let messages: Vec<&str> = outcome.rejects[0]
        .reasons
        .iter()
        .map(|reason| reason.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "is not a valid `timestamptz`: it has no offset; declare `timestamp`",
            "is not a valid `timestamp`: it has an offset; declare `timestamptz`",
        ]
    );
}

#[test]
fn foreign_bytes_are_set_aside_and_legible() {
    let outcome = csv(b"city,n\nM\xFCnchen,1\nK\xC3\xB6ln,2\nU\xFFlm\n");
    assert_eq!(outcome.columns, ["city text", "n bigint"]);
    assert_eq!(outcome.rows, ["Köln|2"]);
    assert_eq!(
        outcome.reasons(),
        ["2: encoding city", "4: columns", "4: encoding"]
    );
    assert_eq!(outcome.raw_rejects(), ["M\\xFCnchen,1", "U\\xFFlm"]);
}

#[test]
fn encodings() {
    let latin = Project::new()
        .with("encoding", json!("latin1"))
        .file("t.csv", b"city,n\nM\xFCnchen,1\n");
    assert_eq!(latin.read("t").rows, ["München|1"]);
    let utf16: Vec<u8> = "\u{FEFF}city,n\nMünchen 😀,1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        Project::new().file("t.csv", &utf16).read("t").rows,
        ["München 😀|1"]
    );
    assert_eq!(
        Project::new()
            .with("encoding", json!("utf-16le"))
            .file("t.csv", &utf16)
            .read("t")
            .rows,
        ["München 😀|1"]
    );
    let marked = Project::new()
        .with("encoding", json!("windows-1252"))
        .file("t.csv", "\u{FEFF}city,n\nMünchen,1\n")
        .read("t");
    assert_eq!(marked.columns, ["city text", "n bigint"]);
    assert_eq!(marked.rows, ["München|1"]);
    let outcome = csv("\u{FEFF}city,n\nMünchen,1\n");
    assert_eq!(outcome.columns, ["city text", "n bigint"]);
    assert_eq!(outcome.ordinals, [10]);
    let wrong = Project::new()
        .with("encoding", json!("klingon"))
        .file("t.csv", "a\n");
    let failure = FilesConnector
        .source(&wrong.connection(), &wrong.context())
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0103");
    assert_eq!(
        failure.message,
        "option `encoding` of `files`: `klingon` is not a known encoding"
    );
}

#[test]
fn each_file_of_a_glob_has_its_own_encoding() {
    let wide: Vec<u8> = "city,n\nKöln,4\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let project = Project::new()
        .file("1.csv", "city,n\nZürich,1\n")
        .file("2.csv", b"city,n\nM\xFCnchen,2\nD\xFCsseldorf,2\n")
        .file("3.csv", b"city,n\nUlm,3\n")
        .file("4.csv", wide);
    let outcome = project.read("*.csv");
    let rows = ["Zürich|1", "München|2", "Düsseldorf|2", "Ulm|3", "Köln|4"];
    assert_eq!(outcome.rows, rows);
    assert_eq!(
        outcome.notes,
        [
            "`data/2.csv` is read as windows-1252, as its bytes show; `encoding: windows-1252` sets this for all files",
            "`data/4.csv` is read as utf-16le, as its bytes show; `encoding: utf-16le` sets this for all files",
        ]
    );
    // The same for JSON, also packed or with the rows inside an object.
    let lines = b"{\"a\": \"M\xFCnchen\"}\n{\"a\": \"D\xFCsseldorf\"}\n";
    let json = Project::new()
        .file("1.jsonl", lines)
        .file("2.jsonl", "{\"a\": \"Köln\"}\n");
    assert_eq!(json.read("*.jsonl").rows, ["München", "Düsseldorf", "Köln"]);
    // One that is declared is refused where a file certainly has another one.
    for (encoding, refused, found) in [
        ("windows-1252", "data/1.csv", "utf-8"),
        ("utf-16le", "data/1.csv", "utf-8"),
    ] {
        let project = Project::new()
            .with("encoding", json!(encoding))
            .file("0.csv", wide_of(encoding))
            .file("1.csv", "city,n\nZürich,1\n");
        let failure = project.fail("*.csv");
        assert_eq!(failure.code, "R0174", "{failure:?}");
        assert_eq!(
            failure.message,
            format!("`{refused}` is {found}, and `encoding` says {encoding}")
        );
    }
    // Bytes of UTF-8 may be Russian: only a file that is not UTF-8 is read as another one.
    let project = Project::new()
        .with("encoding", json!("utf-8"))
        .file("1.csv", b"city,n\nM\xFCnchen,2\nD\xFCsseldorf,2\n");
    assert_eq!(project.read("1.csv").reasons().len(), 2);
}

/// A file of this encoding.
fn wide_of(encoding: &str) -> Vec<u8> {
    let text = "city,n\nKöln,1\nMünchen,2\n";
    match encoding {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => encoding_rs::WINDOWS_1252.encode(text).0.into_owned(),
    }
}

#[test]
fn line_ends() {
    for text in [
        "a,b\n1,2\n3,4\n",
        "a,b\r\n1,2\r\n3,4\r\n",
        "a,b\r1,2\r3,4\r",
        "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n3,4",
        "a,b\r1,2\r3,4",
    ] {
        let outcome = csv(text);
        assert_eq!(outcome.rows, ["1|2", "3|4"], "{text:?}");
        assert_eq!(outcome.columns, ["a bigint", "b bigint"], "{text:?}");
        assert_eq!(outcome.place(1).line, Some(3), "{text:?}");
        assert_eq!(text_of(&outcome), ["1,2", "3,4"], "{text:?}");
    }
}

fn text_of(outcome: &Outcome) -> Vec<String> {
    outcome.raws().iter().map(text).collect()
}

#[test]
fn nothing_and_next_to_nothing() {
    for bytes in [&b""[..], b"\xEF\xBB\xBF", b"\n\n", b"\r\n"] {
        let failure = Project::new().file("t.csv", bytes).fail("t.csv");
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("R0108", "`data/t.csv` is empty and has no header")
        );
        assert!(!failure.help.is_empty());
    }
    for text in ["a,b", "a,b\n", "a,b\r\n", "\u{FEFF}a,b\n\n"] {
        let outcome = csv(text);
        assert_eq!(
            (outcome.columns, outcome.rows.len(), outcome.ends),
            (vec!["a text".to_owned(), "b text".to_owned()], 0, 1)
        );
    }
    let outcome = csv("a\n1\n\n2\n");
    assert_eq!(outcome.rows, ["1", "∅", "2"]);
    let outcome = csv("a,b\nx\0y,\0\n");
    assert_eq!(outcome.rows, ["x\0y|\0"]);
}

#[test]
fn names_that_are_missing_or_there_twice_are_made() {
    let outcome = csv("id,name,id,id_1\n1,2,3,4\n");
    assert_eq!(
        outcome.columns,
        ["id bigint", "name bigint", "id_2 bigint", "id_1 bigint"]
    );
    assert_eq!(
        outcome.notes,
        ["columns of `data/t.csv` with a repeated name are named `id_2`"]
    );
    // As pandas writes its index.
    let outcome = csv(",a,\n0,x,1\n");
    assert_eq!(
        outcome.columns,
        ["column0 bigint", "a text", "column2 bigint"]
    );
    assert_eq!(
        outcome.notes,
        ["columns of `data/t.csv` without a name are named `column0`, `column2`"]
    );
    let outcome = csv("column1,\n0,x\n");
    assert_eq!(outcome.columns, ["column1 bigint", "column1_1 text"]);
    let outcome = csv("Größe (cm),\"a, \"\"b\"\"\"\n1,2\n");
    assert_eq!(outcome.columns, ["Größe (cm) bigint", "a, \"b\" bigint"]);
    let open = Project::new().file("t.csv", "id,\"name\n1,2\n").fail("t");
    assert_eq!(open.code, "R0109");
}

#[test]
fn a_column_more_than_the_header_has_is_an_index_or_empty() {
    let outcome = csv("a,b\n1,x,2\n2,y,3\n");
    assert_eq!(outcome.columns, ["column0 bigint", "a text", "b bigint"]);
    assert_eq!(outcome.rows, ["1|x|2", "2|y|3"]);
    let outcome = csv("a,b\n1,x,\n2,y,\n");
    assert_eq!(outcome.columns, ["a bigint", "b text", "column2 text"]);
    let outcome = csv("a,b\n1,x,2\n2,y\n");
    assert_eq!(outcome.columns, ["a bigint", "b text"]);
    assert_eq!(outcome.reasons(), ["2: columns"]);
}

#[test]
fn lines_above_the_header_are_passed_over_and_named() {
    for (text, lines) in [
        ("Umsatz 2026\n\nid;name\n1;x\n2;y\n", 2),
        ("Umsatz 2026;;\n;;\nid;name;wert\n1;x;2\n", 2),
        ("Report of today\nid,name\n1,x\n", 1),
    ] {
        let outcome = csv(text);
        assert_eq!(outcome.columns[..2], ["id bigint", "name text"], "{text}");
        let note = outcome
            .notes
            .iter()
            .any(|note| note.contains(&format!("`skip_lines: {lines}`")));
        assert!(note, "{:?}", outcome.notes);
        assert_eq!(outcome.rejects.len(), 0);
        assert_eq!(outcome.place(0).line, Some(lines + 2));
    }
    for text in [
        "name\nSmith, John\nDoe, Jane\n",
        "full name\nSmith, John\nDoe, Jane\n",
        "a b\n1,2\n3,4\n",
        ",a\n1,2\n",
    ] {
        let outcome = csv(text);
        assert!(
            !outcome.notes.iter().any(|note| note.contains("skip_lines")),
            "{text}"
        );
    }
}

#[test]
fn a_title_above_two_columns_is_no_header() {
    for text in [
        "Sales\nid,v\n1,2\n3,4\n",
        "Sales,\nid,v\n1,2\n3,4\n",
        "sales_report_2024;\nid;v\nx;2\ny;4\n",
    ] {
        let outcome = csv(text);
        assert_eq!(outcome.columns.len(), 2, "{text}");
        assert!(
            outcome.columns[0].starts_with("id "),
            "{text}: {:?}",
            outcome.columns
        );
        assert_eq!(outcome.columns[1], "v bigint", "{text}");
        assert_eq!(outcome.rows.len(), 2, "{text}");
        let is_said = |note: &String| note.contains("`skip_lines: 1`");
        assert!(
            outcome.notes.iter().any(is_said),
            "{text}: {:?}",
            outcome.notes
        );
    }
    // A column without a name, and an index, stay columns.
    for (text, columns) in [
        ("name,\nBob,Smith\nAnn,Lee\n", ["name text", "column1 text"]),
        ("id,\n1,x\n2,y\n", ["id bigint", "column1 text"]),
        ("v\n1,5\n2,6\n", ["column0 bigint", "v bigint"]),
    ] {
        assert_eq!(csv(text).columns, columns, "{text}");
    }
}

#[test]
fn a_header_of_values_is_named() {
    for (text, values) in [
        ("1,Ann,5.5\n2,Bob,6.5\n3,Cid,7.5\n", "`1`, `5.5` there"),
        ("2024-01-01,x\n2024-01-02,y\n", "`2024-01-01` there"),
        ("a,2024-01-01\nb,2024-01-02\n", "`2024-01-01` there"),
    ] {
        let outcome = csv(text);
        let is_said = |note: &String| note.contains(values) && note.contains("set `header: false`");
        assert!(
            outcome.notes.iter().any(is_said),
            "{text}: {:?}",
            outcome.notes
        );
    }
    for text in [
        "a,b\n1,2\n",
        "1,b\nx,2\n",
        "2024-01-01,b\n5,2\n",
        "true,b\ntrue,2\n",
        "5\n",
    ] {
        let notes = csv(text).notes;
        assert!(
            !notes.iter().any(|note| note.contains("header: false")),
            "{text}: {notes:?}"
        );
    }
    let without = Project::new()
        .with("header", json!(false))
        .file("t.csv", "1,Ann\n2,Bob\n")
        .read("t");
    assert_eq!(without.notes, [""; 0]);
}

#[test]
fn blanks_around_quoted_fields_are_no_part_of_them() {
    let outcome = csv("a,b,c\n1, \"x, y\" ,2\n3,  z,4\n");
    assert_eq!(outcome.rows, ["1|x, y|2", "3|  z|4"]);
    // Two fields, not three.
    let outcome = csv("a,b,c\n1, \"x,y\"\n");
    assert_eq!(outcome.reasons(), ["2: columns"]);
}

#[test]
fn quotes_that_may_move_cells_are_rejected() {
    let outcome =
        csv("a,b,c\n1,foo \"bar, baz\"\n2,5\" pipe,6\" pipe\n3,a \"b\" c,x\n4,say \"x\",y\n");
    assert_eq!(
        outcome.rows,
        ["2|5\" pipe|6\" pipe", "3|a \"b\" c|x", "4|say \"x\"|y"]
    );
    assert_eq!(outcome.reasons(), ["2: quote"]);
    assert!(
        outcome.rejects[0].reasons[0]
            .message
            .contains("wrong columns")
    );
}

#[test]
fn another_quote_is_found_where_only_it_fits() {
    let outcome = csv("'id','name'\n1,'Smith, John'\n2,'it''s'\n");
    assert_eq!(outcome.columns, ["id bigint", "name text"]);
    assert_eq!(outcome.rows, ["1|Smith, John", "2|it's"]);
    assert!(
        outcome.notes[0].contains("quote: \"'\""),
        "{:?}",
        outcome.notes
    );
    // An apostrophe is no quote.
    let outcome = csv("id,name\n1,'tis\n2,x\n");
    assert_eq!(outcome.rows, ["1|'tis", "2|x"]);
    let project = Project::new().file("t.tsv", "id\tsaid\n1\t\"Well\" he said\n2\t5\"\n");
    let outcome = project.read("t.tsv");
    assert_eq!(outcome.rows, ["1|\"Well\" he said", "2|5\""]);
    assert!(
        outcome.notes[0].contains("plain characters"),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn a_type_once_known_stays() {
    let known = |columns: &[(&str, arrow_schema::DataType)]| {
        let fields = columns
            .iter()
            .map(|(name, data_type)| arrow_schema::Field::new(*name, data_type.clone(), true));
        Some(Arc::new(arrow_schema::Schema::new(
            fields.collect::<Vec<_>>(),
        )))
    };
    let project = Project::new().file("t.csv", "Id,born,new\n1,2026-01-01,1.5\n2,2026-13-01,2\n");
    let mut spec = spec("t");
    spec.observed = known(&[
        ("Id", arrow_schema::DataType::Utf8),
        ("born", arrow_schema::DataType::Date32),
        ("gone", arrow_schema::DataType::Int64),
    ]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["Id text", "born date", "new double"]);
    assert_eq!(outcome.rows, ["1|2026-01-01|1.5"]);
    assert_eq!(outcome.reasons(), ["3: type born"]);
    assert_eq!(
        outcome.rejects[0].reasons[0].message,
        "is not a valid `date`, the type of this column so far; declare a different one to change it"
    );
    // A header alone changes no type.
    let project = Project::new().file("t.csv", "Id,born\n");
    assert_eq!(project.read_as(&spec).columns, ["Id text", "born date"]);
    assert_eq!(project.read("t").columns, ["Id text", "born text"]);
}

#[test]
fn numbers_and_dates_as_germans_write_them() {
    let text =
        "Datum;Betrag;Menge;Preis\n28.01.2026;1.234,50;1.000;0,5\n01.02.2026;-7,00;2.500;12\n";
    let outcome = csv(text);
    assert_eq!(
        outcome.columns,
        [
            "Datum date",
            "Betrag decimal(18,2)",
            "Menge bigint",
            "Preis double"
        ]
    );
    assert_eq!(
        outcome.rows,
        ["2026-01-28|1234.50|1000|0.5", "2026-02-01|-7.00|2500|12.0"]
    );
    let note = "decimal commas were found in `Betrag`, `Menge`, `Preis`";
    assert!(
        outcome.notes.iter().any(|n| n.starts_with(note)),
        "{:?}",
        outcome.notes
    );
    let project = Project::new()
        .with("decimal", json!(","))
        .file("t.csv", text);
    assert_eq!(project.read("t").rows, outcome.rows);
    // Types that are known are read in the same form.
    let mut typed = spec("t");
    typed.declared = declared(&[
        ("Betrag", "decimal(12,2)"),
        ("Datum", "date"),
        ("Menge", "int"),
        ("Preis", "double"),
    ]);
    let project = Project::new().file("t.csv", text);
    assert_eq!(project.read_as(&typed).rows, outcome.rows);
    let project = Project::new()
        .with("thousands", json!("'"))
        .file("t.csv", "a,b\n1'000,1'234.5\n");
    assert_eq!(project.read("t").rows, ["1000|1234.5"]);
    let wrong = Project::new()
        .with("decimal", json!(","))
        .with("thousands", json!(","))
        .file("t.csv", text);
    assert!(wrong.options_fail().contains("different from `decimal`"));
}

#[test]
fn thousands_are_never_read_as_decimals_without_a_word() {
    let text = "id;Menge\n1;1.000\n2;2.500\n3;10\n";
    let outcome = csv(text);
    assert_eq!(outcome.columns, ["id bigint", "Menge text"]);
    assert_eq!(outcome.rows, ["1|1.000", "2|2.500", "3|10"]);
    let note = "`Menge` is read as text: its points may be decimal points or separate thousands";
    assert!(
        outcome.notes.iter().any(|n| n.starts_with(note)),
        "{:?}",
        outcome.notes
    );
    for (decimal, rows) in [
        (",", ["1|1000", "2|2500", "3|10"]),
        (".", ["1|1.0", "2|2.5", "3|10.0"]),
    ] {
        let project = Project::new().with("decimal", json!(decimal));
        assert_eq!(project.file("t.csv", text).read("t").rows, rows);
    }
}

#[test]
fn the_order_of_a_known_column_is_remembered() {
    let first = Project::new().file("t.csv", "d\n28/01/2026\n03/04/2026\n");
    let schema = run(async {
        let reader = first.source().open(&spec("t"), None).await.unwrap();
        Arc::clone(&reader.tables()[0].schema)
    });
    let second = Project::new().file("t.csv", "d\n03/04/2026\n");
    let mut again = spec("t");
    again.observed = Some(schema);
    assert_eq!(second.read_as(&again).rows, ["2026-04-03"]);
    assert_eq!(second.read("t").columns, ["d text"]);
}

#[test]
fn a_header_without_commas_tells_the_delimiter() {
    for (delimiter, word) in [(";", "`;`"), ("\t", "a tab"), ("|", "`|`")] {
        let text = format!("a{delimiter}\"b,{delimiter}\"\n1{delimiter}x,y\n");
        let outcome = csv(&text);
        assert_eq!(
            outcome.columns,
            ["a bigint".to_owned(), format!("b,{delimiter} text")]
        );
        assert_eq!(outcome.rows, ["1|x,y"]);
        assert!(outcome.notes[0].contains(word), "{:?}", outcome.notes);
    }
    // Two of them tell nothing; what the project says holds.
    assert_eq!(csv("a;b|c\n1;2|3\n").columns, ["a;b|c text"]);
    let project = Project::new().with("delimiter", json!(","));
    assert_eq!(project.file("t.csv", "a;b\n1;2\n").read("t").rows, ["1;2"]);
}

#[test]
fn dialects() {
    let project = Project::new()
        .with("delimiter", json!(";"))
        .with("quote", json!("'"))
        .with("escape", json!("\\"))
        .with("comment", json!("#"))
        .with("trim", json!(true))
        .with("skip_lines", json!(2))
        .file(
            "t.csv",
            "made by; someone\nat noon\n# columns\na ; b\n 1 ; 'x\\'y;' \n# '\n2;'z\\\\'\n",
        );
    let outcome = project.read("t");
    assert_eq!(outcome.rows, ["1|x'y;", "2|z\\"]);
    assert_eq!(outcome.columns, ["a bigint", "b text"]);
    assert_eq!(outcome.place(0).line, Some(5));
    let project = Project::new()
        .with("quote", json!(""))
        .file("t.tsv", "a\tb\n\"x\ty\"\n");
    assert_eq!(project.read("t").rows, ["\"x|y\""]);
    let project = Project::new()
        .with("header", json!(false))
        .file("t.csv", "1,x\n2,y\n");
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["column1 bigint", "column2 text"]);
    assert_eq!(outcome.rows, ["1|x", "2|y"]);
    let project = Project::new()
        .with("date_format", json!("%d/%m/%Y"))
        .file("t.csv", "d\n31/01/2013\n01/02/2013\n");
    let outcome = project.read("t");
    assert_eq!(
        (outcome.columns, outcome.rows),
        (
            vec!["d date".to_owned()],
            vec!["2013-01-31".to_owned(), "2013-02-01".to_owned()]
        )
    );
}

#[test]
fn options_of_a_table_win() {
    let project = Project::new()
        .with("delimiter", json!(";"))
        .file("t.csv", "a|b\n1|2\n");
    let mut spec = spec("t");
    spec.options.insert("delimiter".to_owned(), json!("|"));
    assert_eq!(project.read_as(&spec).rows, ["1|2"]);
}

#[test]
fn a_projection_reads_only_what_is_asked() {
    let project = Project::new().file("t.csv", "a,b,c\n1,x,2\n3,y,z\n");
    let mut spec = spec("t");
    spec.projection = Some(vec!["c".to_owned(), "a".to_owned()]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["a bigint", "c text"]);
    assert_eq!(outcome.rows, ["1|2", "3|z"]);
    spec.projection = Some(vec!["cc".to_owned()]);
    let failure = project.try_read(&spec).unwrap_err();
    assert_eq!(failure.code, "R0110");
    assert!(
        failure.help.contains(&"did you mean `c`?".to_owned()),
        "{:?}",
        failure.help
    );
}

#[test]
fn limits_stop_early() {
    let text: String = std::iter::once("a\n".to_owned())
        .chain((0..1000).map(|row| format!("{row}\n")))
        .collect();
    let project = Project::new().file("t1.csv", &text).file("t2.csv", &text);
    for (limit, expected) in [(0, 0), (10, 10), (1500, 1500), (5000, 2000)] {
        let mut spec = spec("t*.csv");
        spec.limit = Some(limit);
        spec.batch_rows = 64;
        let outcome = project.read_as(&spec);
        assert_eq!((outcome.rows.len(), outcome.ends), (expected, 2));
    }
}

#[test]
fn a_bare_return_ends_lines_only_where_no_newline_does() {
    let outcome = csv("a,b\r\r\n1,2\r\r\n3,4\r\r\n");
    assert_eq!(outcome.columns.len(), 2);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (2, 0));
    assert_eq!(outcome.place(1).line, Some(3));
    assert_eq!(csv("a\rb,c\n1,2\n3,4\n").rows, ["1|2", "3|4"]);
    assert_eq!(csv("a,\"b\n\"\r1,2\r3,4\r").rows, ["1|2", "3|4"]);
}

#[test]
fn a_double_is_the_nearest_only_where_declared() {
    let text = "a\n0.1\n9007199254740993\n0.1234567890123456789\n1e999\ninf\n";
    let project = Project::new().file("t.csv", text).file(
        "t.jsonl",
        "{\"a\":0.1}\n{\"a\":9007199254740993}\n{\"a\":1e999}\n",
    );
    let mut spec = spec("t.csv");
    spec.declared = declared(&[("a", "double")]);
    let outcome = project.read_as(&spec);
    assert_eq!(
        outcome.rows,
        ["0.1", "9007199254740992.0", "0.12345678901234568", "inf"]
    );
    assert_eq!(outcome.reasons(), ["5: type a"]);
    assert!(
        outcome.rejects[0].reasons[0]
            .message
            .contains("out of range")
    );
    spec.declared = Vec::new();
    let field = arrow_schema::Field::new("a", arrow_schema::DataType::Float64, true);
    spec.known = Some(Arc::new(arrow_schema::Schema::new(vec![field])));
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["0.1", "inf"]);
    assert_eq!(outcome.reasons(), ["3: type a", "4: type a", "5: type a"]);
    spec.selection = Selection::Object("t.jsonl".to_owned());
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["0.1"]);
    assert_eq!(outcome.reasons(), ["2: type a", "3: type a"]);
}
