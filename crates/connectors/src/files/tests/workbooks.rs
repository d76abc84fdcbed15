//! Excel workbooks, written by another library and read as tables.

use std::io::{Cursor, Read as _, Write as _};

use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};

use super::*;
use crate::files::workbook::Area;

/// What writes a sheet.
type Fill<'a> = &'a dyn Fn(&mut Worksheet);

/// A workbook with these sheets, in this order.
fn workbook(sheets: &[(&str, Fill<'_>)]) -> Vec<u8> {
    let mut workbook = Workbook::new();
    for (name, fill) in sheets {
        let sheet = workbook.add_worksheet();
        sheet.set_name(*name).unwrap();
        fill(sheet);
    }
    workbook.save_to_buffer().unwrap()
}

/// Texts and numbers: what reads as a number is one.
fn fill(sheet: &mut Worksheet, at: (u32, u16), rows: &[&[&str]]) {
    for (row, cells) in (at.0..).zip(rows) {
        for (column, cell) in (at.1..).zip(*cells) {
            match cell.parse::<f64>() {
                Ok(number) => sheet.write_number(row, column, number).unwrap(),
                Err(_) => sheet.write_string(row, column, *cell).unwrap(),
            };
        }
    }
}

fn day(text: &str) -> ExcelDateTime {
    ExcelDateTime::parse_from_str(text).unwrap()
}

fn types_of(sheet: &mut Worksheet) {
    let (date, time, length) = ("yyyy-mm-dd", "dd.mm.yyyy hh:mm", "[h]:mm:ss");
    let [date, time, length] = [date, time, length].map(|code| Format::new().set_num_format(code));
    fill(
        sheet,
        (0, 0),
        &[&["id", "price", "name", "day", "seen", "took", "good", "code"]],
    );
    for (row, id) in (1_u32..).zip([1.0, 2.0, 3.0]) {
        sheet.write_number(row, 0, id).unwrap();
        sheet.write_number(row, 1, id + 0.125).unwrap();
        sheet.write_boolean(row, 6, id > 1.0).unwrap();
        sheet.write_string(row, 7, format!("00{id}")).unwrap();
    }
    sheet.write_string(1, 2, "a, \"b\"\nc").unwrap();
    sheet.write_string(2, 2, " ü ").unwrap();
    sheet
        .write_datetime_with_format(1, 3, day("2026-01-28"), &date)
        .unwrap();
    sheet
        .write_datetime_with_format(2, 3, day("1900-01-01"), &date)
        .unwrap();
    sheet
        .write_datetime_with_format(1, 4, day("2026-01-28T13:45:30.250"), &time)
        .unwrap();
    sheet
        .write_datetime_with_format(2, 4, day("2026-01-29"), &time)
        .unwrap();
    sheet.write_number_with_format(1, 5, 1.5, &length).unwrap();
    sheet.write_number_with_format(2, 5, 0.25, &length).unwrap();
}

#[test]
fn a_sheet_is_a_table_with_its_types() {
    let project = Project::new().file("t.xlsx", workbook(&[("Data", &types_of)]));
    let outcome = project.read("t.xlsx");
    assert_eq!(
        outcome.columns,
        [
            "id bigint",
            "price decimal(4,3)",
            "name text",
            "day date",
            "seen timestamp",
            "took text",
            "good boolean",
            "code text"
        ]
        .map(|column| column
            .replace("decimal(4,3)", "double")
            .replace("boolean", "bool"))
    );
    assert_eq!(
        outcome.rows,
        [
            "1|1.125|a, \"b\"\nc|2026-01-28|2026-01-28T13:45:30.250|36:00:00|false|001",
            "2|2.125| ü |1900-01-01|2026-01-29T00:00:00|06:00:00|true|002",
            "3|3.125|∅|∅|∅|∅|true|003",
        ]
    );
    // Places are rows of the sheet, also where a cell has lines.
    assert_eq!(outcome.place(2).line, Some(4));
    assert_eq!(text(&outcome.raw(2)), "3,3.125,,,,,true,\"003\"");
    assert_eq!(project.read("t").rows.len(), 3);
}

#[test]
fn sheets_and_ranges_are_chosen() {
    let first = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["hidden"], &["1"]]);
        sheet.set_hidden(true);
    };
    let second = |sheet: &mut Worksheet| {
        // Excel hides no sheet that is the active one.
        sheet.set_active(true);
        fill(sheet, (0, 0), &[&["Sales of the year 2026"]]);
        fill(
            sheet,
            (2, 1),
            &[&["id", "v"], &["1", "x"], &["2", "y"], &["", "total"]],
        );
        fill(sheet, (7, 6), &[&["a note"]]);
    };
    let third = |sheet: &mut Worksheet| fill(sheet, (0, 0), &[&["a"], &["7"]]);
    let bytes = workbook(&[("Old", &first), ("Sales", &second), ("2", &third)]);
    let read = |options: &[(&str, &str)]| {
        let project = Project::new().file("b.xlsx", &bytes);
        let mut spec = spec("b.xlsx");
        let options = options.iter();
        spec.options = options
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        project.try_read(&spec)
    };
    let sales = read(&[("range", "B3:C5")]).unwrap();
    assert_eq!(
        (sales.columns, sales.rows),
        (
            vec!["id bigint".into(), "v text".into()],
            vec!["1|x".into(), "2|y".into()]
        )
    );
    let note =
        "the sheet `Sales` of `data/b.xlsx` is read; `sheet: NAME` reads another one: `Old`, `2`";
    assert!(
        sales.notes.iter().any(|said| said == note),
        "{:?}",
        sales.notes
    );
    assert_eq!(read(&[("sheet", "2")]).unwrap().rows, ["7"]);
    assert_eq!(read(&[("sheet", "old")]).unwrap().rows, ["1"]);
    assert_eq!(read(&[("sheet", "1")]).unwrap().rows, ["1"]);
    assert_eq!(
        read(&[("sheet", "Old")]).unwrap().columns,
        ["hidden bigint"]
    );
    let rows = read(&[("range", "b:c"), ("skip_lines", "2")]).unwrap().rows;
    assert_eq!(rows, ["1|x", "2|y", "∅|total"]);
    for (option, value, code) in [
        ("sheet", "Nope", "R0172"),
        ("sheet", "9", "R0172"),
        ("range", "3:4", "R0103"),
        ("range", "C3:B2", "R0103"),
        ("range", "B0", "R0103"),
        ("delimiter", ";", "R0103"),
        ("encoding", "utf-8", "R0103"),
        ("decimal", ",", "R0103"),
    ] {
        let failure = read(&[(option, value)]).unwrap_err();
        assert_eq!(failure.code, code, "{option}: {value} {}", failure.message);
        if code == "R0172" {
            assert_eq!(failure.help, ["there are: `Old`, `Sales`, `2`"]);
        }
    }
    // A CSV file has no sheets.
    let mut of_csv = spec("a.csv");
    of_csv.options.insert("sheet".to_owned(), json!("x"));
    let failure = Project::new().file("a.csv", "a\n1\n").try_read(&of_csv);
    assert_eq!(failure.unwrap_err().code, "R0103");
}

#[test]
fn areas_are_read_as_excel_writes_them() {
    for (text, other) in [
        ("B3:F200", "$b$3:$F$200"),
        ("A", "A:XFD"),
        ("B3", "B3:XFD1048576"),
    ] {
        assert_eq!(Area::parse(text), Area::parse(other), "{text}");
        assert!(Area::parse(text).is_some(), "{text}");
    }
    for wrong in [
        "", ":", "A1:", "1", "XFE1", "A1048577", "A1:B2:C3", "ä1", "AAAA1", "A-1",
    ] {
        assert_eq!(Area::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn errors_merged_cells_and_empty_rows() {
    let fill_sheet = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["id", "v", "of"], &["1", "2", ""]]);
        let error = Formula::new("=NA()").set_result("#N/A");
        sheet.write_formula(3, 1, error).unwrap();
        fill(sheet, (3, 0), &[&["2"], &["3"]]);
        sheet
            .write_formula(4, 1, Formula::new("=1/4").set_result("0.25"))
            .unwrap();
        sheet
            .merge_range(3, 2, 4, 2, "both", &Format::new())
            .unwrap();
        sheet.write_blank(40, 9, &Format::new().set_bold()).unwrap();
    };
    let project = Project::new().file("t.xlsx", workbook(&[("a", &fill_sheet)]));
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["id bigint", "v text", "of text"]);
    assert_eq!(outcome.rows, ["1|2|∅", "2|#N/A|both", "3|0.25|∅"]);
    assert_eq!(outcome.place(1).line, Some(4));
    let project = project.with("null_values", json!(["#N/A"]));
    assert_eq!(project.read("t").rows, ["1|2.0|∅", "2|∅|both", "3|0.25|∅"]);
    // A value that does not fit its type is one reject, with its row in the sheet, and is replayed.
    let project = Project::new().file("t.xlsx", workbook(&[("a", &fill_sheet)]));
    let mut spec = spec("t");
    spec.declared = declared(&[("v", "double")]);
    let outcome = project.read_as(&spec);
    assert_eq!(
        (outcome.rows.len(), outcome.reasons()),
        (2, vec!["4: type v".to_owned()])
    );
    assert_eq!(outcome.raw_rejects(), ["2,\"#N/A\",\"both\""]);
}

/// A sheet with these rows behind the header `id,v`, each given as the XML of its second cell.
fn sheet_of(cells: &[&str]) -> Vec<u8> {
    let header = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["id", "v"]]);
        for (row, _) in (1..).zip(cells) {
            sheet.write_number(row, 0, row).unwrap();
        }
    };
    let good = workbook(&[("a", &header)]);
    repacked(&good, |name, text| {
        let mut text = text;
        if name.contains("worksheets/") {
            for (row, cell) in (2..).zip(cells) {
                let first = format!("<c r=\"A{row}\"><v>{}</v></c>", row - 1);
                assert!(text.contains(&first), "{text}");
                text = text.replace(&first, &format!("{first}{cell}"));
            }
        }
        text
    })
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text() {
    let rows = |sheet: &mut Worksheet| {
        for (row, (code, mixed)) in (1..).zip([("1E5", "a"), ("2", "b"), ("true", "n/a")]) {
            sheet.write_number(row, 0, row).unwrap();
            sheet.write_string(row, 1, code).unwrap();
            sheet.write_string(row, 2, mixed).unwrap();
        }
        sheet.write_number(1, 2, 7).unwrap();
        sheet.write_string(2, 2, "08").unwrap();
        fill(sheet, (0, 0), &[&["id", "code", "mixed"]]);
    };
    let project = Project::new().file("t.xlsx", workbook(&[("a", &rows)]));
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["id bigint", "code text", "mixed text"]);
    assert_eq!(outcome.rows, ["1|1E5|7", "2|2|08", "3|true|n/a"]);
    // `null_values` are meant for texts, and a declared type reads them.
    let project = project.with("null_values", json!(["n/a"]));
    let mut spec = spec("t");
    spec.declared = declared(&[("code", "text"), ("mixed", "bigint")]);
    assert_eq!(
        project.read_as(&spec).rows,
        ["1|1E5|7", "2|2|8", "3|true|∅"]
    );
}

#[test]
fn lines_above_the_header_are_skipped_with_a_note() {
    let rows = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["Sales of 2026"], &["as of today"]]);
        fill(
            sheet,
            (3, 0),
            &[&["id", "v", "w"], &["1", "x", "2"], &["2", "y", "3"]],
        );
    };
    let outcome = Project::new()
        .file("t.xlsx", workbook(&[("a", &rows)]))
        .read("t");
    assert_eq!(outcome.columns, ["id bigint", "v text", "w bigint"]);
    assert_eq!(outcome.rows, ["1|x|2", "2|y|3"]);
    assert_eq!(outcome.place(0).line, Some(5));
    let is_said = |note: &String| note.contains("`skip_lines: 3` sets this");
    assert!(outcome.notes.iter().any(is_said), "{:?}", outcome.notes);
}

#[test]
fn a_title_above_two_columns_of_a_sheet_is_skipped() {
    let rows = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["Sales report 2024"], &["id", "v"]]);
        for row in 2..4 {
            sheet.write_number(row, 0, f64::from(row)).unwrap();
            sheet.write_number(row, 1, 0.5).unwrap();
        }
    };
    let outcome = Project::new()
        .file("t.xlsx", workbook(&[("a", &rows)]))
        .read("t");
    assert_eq!(outcome.columns[0], "id bigint");
    assert!(
        outcome.columns[1].starts_with("v "),
        "{:?}",
        outcome.columns
    );
    assert_eq!(outcome.rows.len(), 2);
    let is_said = |note: &String| note.contains("`skip_lines: 1` sets this");
    assert!(outcome.notes.iter().any(is_said), "{:?}", outcome.notes);
}

#[test]
fn both_calendars_give_the_same_day() {
    let rows = |sheet: &mut Worksheet| {
        let date = Format::new().set_num_format("yyyy-mm-dd hh:mm");
        fill(sheet, (0, 0), &[&["d", "n"]]);
        for (row, days) in (1..).zip([44_562.0, 44_562.75, 3.0]) {
            sheet.write_number_with_format(row, 0, days, &date).unwrap();
            sheet.write_number(row, 1, days).unwrap();
        }
    };
    let bytes = workbook(&[("a", &rows)]);
    let read = |bytes: Vec<u8>| Project::new().file("t.xlsx", bytes).read("t").rows;
    assert_eq!(
        read(bytes.clone()),
        [
            "2022-01-01T00:00:00|44562.0",
            "2022-01-01T18:00:00|44562.75",
            "1900-01-03T00:00:00|3.0"
        ]
    );
    let later = repacked(&bytes, |_, text| {
        text.replace("<workbookPr", "<workbookPr date1904=\"1\"")
    });
    assert_eq!(
        read(later),
        [
            "2026-01-02T00:00:00|44562.0",
            "2026-01-02T18:00:00|44562.75",
            "1904-01-04T00:00:00|3.0"
        ]
    );
}

#[test]
fn numbers_and_errors_are_what_the_cells_have() {
    let cells = [
        "<c r=\"B2\"><v>0.1</v></c>",
        "<c r=\"B3\" t=\"n\"><v>1234567890123456</v></c>",
        "<c r=\"B4\"><v>5E-324</v></c>",
        "<c r=\"B5\"><f>A1+1</f><v>12.5</v></c>",
        "<c r=\"B6\" t=\"n\"/>",
    ];
    let project = Project::new().file("t.xlsx", sheet_of(&cells));
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["id bigint", "v double"]);
    assert_eq!(
        outcome.rows,
        ["1|0.1", "2|1234567890123456.0", "3|5e-324", "4|12.5", "5|∅"]
    );
    // Errors of today that the library does not know; the cell behind them keeps its place.
    let cells = [
        "<c r=\"B2\" t=\"e\"><v>#SPILL!</v></c><c r=\"C2\"><v>5</v></c>",
        "<c r=\"B3\" t=\"e\"><f>X()</f><v>#CALC!</v></c>",
        "<c r=\"B4\" t=\"e\"><v>#DIV/0!</v></c>",
        "<c r=\"B5\" t=\"str\"><f>A1</f><v></v></c>",
        "<c r=\"B6\" t=\"inlineStr\"><is><t>in &lt;line&gt;</t></is></c>",
    ];
    let project = Project::new().file("t.xlsx", sheet_of(&cells));
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["id bigint", "v text", "column2 bigint"]);
    assert_eq!(
        outcome.rows,
        [
            "1|#SPILL!|5",
            "2|#CALC!|∅",
            "3|#DIV/0!|∅",
            "4|∅|∅",
            "5|in <line>|∅"
        ]
    );
    // Without places of cells nothing could tell where the next one belongs.
    let cells = ["<c t=\"e\"><v>#SPILL!</v></c><c><v>5</v></c>"];
    let project = Project::new().file("t.xlsx", sheet_of(&cells));
    assert_eq!(project.fail("t").code, "R0173");
    let project = Project::new().file("t.xlsx", sheet_of(&["<c r=\"B2\" t=\"e\"><v>what</v></c>"]));
    assert_eq!(project.fail("t").code, "R0173");
}

#[test]
fn dates_that_are_stored_as_iso_text_are_dates() {
    let read = |values: &[&str]| {
        let cells = (2..).zip(values);
        let cells: Vec<_> = cells
            .map(|(row, value)| format!("<c r=\"B{row}\" t=\"d\"><v>{value}</v></c>"))
            .collect();
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        let outcome = Project::new().file("t.xlsx", sheet_of(&cells)).read("t");
        (outcome.columns[1].clone(), outcome.rows)
    };
    let (column, rows) = read(&["2026-01-28", "2026-01-29T00:00:00"]);
    assert_eq!(
        (column.as_str(), rows),
        ("v date", vec!["1|2026-01-28".into(), "2|2026-01-29".into()])
    );
    let (column, rows) = read(&["2026-01-28", "2026-01-29T13:45:30.250"]);
    assert_eq!(column, "v timestamp");
    assert_eq!(rows, ["1|2026-01-28T00:00:00", "2|2026-01-29T13:45:30.250"]);
    let (column, rows) = read(&["2026-01-28T10:00:00Z", "12:30:00", "2026-02-30"]);
    assert_eq!(column, "v text");
    assert_eq!(
        rows,
        ["1|2026-01-28T10:00:00Z", "2|12:30:00", "3|2026-02-30"]
    );
}

#[test]
fn numbers_that_can_lose_digits_are_named_in_a_note() {
    let cells = [
        "<c r=\"B2\"><v>9007199254740991</v></c>",
        "<c r=\"B3\"><v>9007199254740993</v></c>",
        "<c r=\"B4\"><v>-1234567890123456789</v></c>",
    ];
    let noted = |cells: &[&str]| {
        let outcome = Project::new().file("t.xlsx", sheet_of(cells)).read("t");
        let mut notes = outcome.notes.into_iter();
        notes.find(|note| note.contains("2^53"))
    };
    let note = noted(&cells).unwrap();
    assert!(
        note.contains("has 2 numbers of 2^53 (9007199254740992) or more, the first one in B3"),
        "{note}"
    );
    assert_eq!(noted(&cells[..1]), None);
    // Declared as whole numbers, such records are rejected.
    let project = Project::new().file("t.xlsx", sheet_of(&cells));
    let mut spec = spec("t");
    spec.declared = declared(&[("v", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["1|9007199254740991"]);
    assert_eq!(outcome.reasons(), ["3: type v", "4: type v"]);
}

#[test]
fn a_formula_without_a_stored_value_stops_the_read() {
    let cells = [
        "<c r=\"B2\"><v>7</v></c>",
        "<c r=\"B3\"><f>A1+1</f><v></v></c>",
        "<c r=\"B4\"><f>A1+2</f><v/></c>",
        "<c r=\"B5\" t=\"n\"><f>A1+3</f></c>",
        "<c r=\"B6\" t=\"e\"><f>X()</f><v>#CALC!</v></c>",
        "<c r=\"B7\" t=\"str\"><f>A1</f><v></v></c>",
    ];
    let project = Project::new().file("t.xlsx", sheet_of(&cells));
    let failure = project.fail("t");
    assert_eq!(failure.code, "R0175");
    let said =
        "the sheet `a` of `data/t.xlsx` has 3 formulas without a stored value, the first one in B3";
    assert_eq!(failure.message, said);
    assert!(failure.help[0].contains("save it"), "{failure:?}");
    // Cells that are not read do not matter.
    let project = project.with("range", json!("A1:A7"));
    assert_eq!(project.read("t").rows, ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_small_file_cannot_fill_the_memory() {
    let rows = |sheet: &mut Worksheet| fill(sheet, (0, 0), &[&["a"], &["t"]]);
    let good = workbook(&[("a", &rows)]);
    let fails = |part: &'static str, from: &'static str, to: String| {
        let bytes = repacked(&good, |name, text| match name.ends_with(part) {
            true => {
                assert!(text.contains(from), "{text}");
                text.replacen(from, &to, 1)
            }
            false => text,
        });
        assert!(bytes.len() < 2_000_000);
        let failure = Project::new().file("t.xlsx", bytes).fail("t.xlsx");
        assert_eq!(failure.code, "R0173", "{failure:?}");
        failure.message
    };
    // Few bytes each, much more in memory.
    let texts = fails(
        "sharedStrings.xml",
        "</sst>",
        "<si/>".repeat(6_000_000) + "</sst>",
    );
    assert!(texts.contains("more than 256 MB"), "{texts}");
    let styles = fails(
        "styles.xml",
        "</cellXfs>",
        "<xf/>".repeat(600_000) + "</cellXfs>",
    );
    assert!(styles.contains("more than 256 MB"), "{styles}");
    let long = "x".repeat(17 << 20);
    let cell = fails(
        "sheet1.xml",
        "<row r=\"1\"",
        format!("<row a=\"{long}\" r=\"1\""),
    );
    assert!(
        cell.contains("one of its cells is more than 16 MB"),
        "{cell}"
    );
    let cells = "<c ".repeat(6 << 20);
    let cell = fails(
        "sheet1.xml",
        "<row r=\"1\"",
        format!("<row a=\"{cells}\" r=\"1\""),
    );
    assert!(cell.contains("more than 16 MB"), "{cell}");
    // Parts of these folders are not measured.
    for target in [
        "media/sheet1.xml",
        "/xl/Charts/sheet1.xml",
        "customXml/a.xml",
    ] {
        let sheet = fails(
            "workbook.xml.rels",
            "worksheets/sheet1.xml",
            target.to_owned(),
        );
        assert!(sheet.contains("in a folder for other parts"), "{sheet}");
    }
    let hidden = fails(
        "workbook.xml.rels",
        "<Relationship ",
        "<!-- --><Relationship ".to_owned(),
    );
    assert!(hidden.contains("not plain XML"), "{hidden}");
    let document = fails(
        "_rels/.rels",
        "xl/workbook.xml",
        "xl/media/workbook.xml".to_owned(),
    );
    assert!(
        document.contains("in a folder for other parts"),
        "{document}"
    );
    for count in ["18446744073709551615", "900000000000", "many"] {
        let texts = fails(
            "sharedStrings.xml",
            "uniqueCount=",
            format!("uniqueCount='{count}' a="),
        );
        assert!(texts.contains("more than 256 MB"), "{texts}");
    }
}

#[test]
fn a_workbook_without_rows_is_empty() {
    let none = |_: &mut Worksheet| {};
    let project = Project::new().file("t.xlsx", workbook(&[("a", &none)]));
    assert_eq!(project.fail("t.xlsx").code, "R0108");
    let header = |sheet: &mut Worksheet| fill(sheet, (0, 0), &[&["a", "b"]]);
    project.put("t.xlsx", workbook(&[("a", &header)]));
    let outcome = project.read("t.xlsx");
    assert_eq!((outcome.columns.len(), outcome.rows.len()), (2, 0));
}

#[test]
fn many_rows_come_in_their_order() {
    let rows = |sheet: &mut Worksheet| {
        fill(sheet, (0, 0), &[&["n", "t"]]);
        for row in 1..=20_000_u32 {
            sheet.write_number(row, 0, row).unwrap();
            sheet
                .write_string(row, 1, format!("text {}", row % 100))
                .unwrap();
        }
    };
    let project = Project::new().file("t.xlsx", workbook(&[("a", &rows)]));
    let mut spec = spec("t");
    spec.batch_bytes = 20_000;
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows.len(), 20_000);
    assert_eq!(outcome.rows[19_999], "20000|text 0");
    assert_eq!(outcome.place(19_999).line, Some(20_001));
    spec.limit = Some(5);
    assert_eq!(project.read_as(&spec).rows.len(), 5);
}

/// The parts of a workbook, changed and packed anew.
fn repacked(bytes: &[u8], mut change: impl FnMut(&str, String) -> String) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).unwrap();
        let name = part.name().unwrap().into_owned();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        let options = zip::write::SimpleFileOptions::default();
        out.start_file(name.as_str(), options).unwrap();
        out.write_all(change(&name, text).as_bytes()).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn a_damaged_workbook_is_an_error_and_never_a_shorter_table() {
    let rows = |sheet: &mut Worksheet| {
        let rows: Vec<[String; 2]> = (0..300).map(|n| [n.to_string(), format!("t{n}")]).collect();
        for (at, row) in (0_u32..).zip(&rows) {
            fill(sheet, (at, 0), &[&[&row[0], &row[1]]]);
        }
    };
    let good = workbook(&[("a", &rows)]);
    let project = Project::new();
    let code = |bytes: Vec<u8>| {
        project.put("t.xlsx", bytes);
        project.fail("t.xlsx").code
    };
    assert_eq!(code(b"PK".to_vec()), "R0173");
    assert_eq!(code(vec![0xD0, 0xCF, 0x11, 0xE0, 0xA1]), "R0173");
    for length in [good.len() / 2, good.len() - 30, 100] {
        assert_eq!(code(good[..length].to_vec()), "R0173", "{length}");
    }
    let in_sheet = |from: &'static str, to: &'static str| {
        repacked(&good, move |name, text| {
            match name.contains("worksheets/") {
                true => text.replacen(from, to, 1),
                false => text,
            }
        })
    };
    // Cut off, out of order, behind the last row that can be, an unknown text.
    assert_eq!(code(in_sheet("</row><row r=\"150\"", "<!--")), "R0173");
    assert_eq!(code(in_sheet("r=\"A200\"", "r=\"A3\"")), "R0173");
    assert_eq!(code(in_sheet("r=\"A300\"", "r=\"A4000000000\"")), "R0173");
    assert_eq!(
        code(in_sheet("t=\"s\"><v>7<", "t=\"s\"><v>70000<")),
        "R0173"
    );
    // A table of texts that says it has more than memory.
    let many = repacked(&good, |_, text| {
        text.replacen("uniqueCount=\"300\"", "uniqueCount=\"900000000000\"", 1)
    });
    assert_eq!(code(many), "R0173");
    project.put("t.xlsx", &good);
    let all = project.read("t.xlsx").rows;
    assert_eq!(all.len(), 299);
    for at in (30..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        project.put("t.xlsx", &bytes);
        match project.try_read(&spec("t.xlsx")) {
            Ok(outcome) => assert_eq!(outcome.rows, all, "{at}"),
            Err(failure) => assert!(failure.code == "R0173", "{at} {failure:?}"),
        }
    }
}

#[test]
fn damaged_parts_of_a_workbook_are_read_or_refused() {
    let rows = |sheet: &mut Worksheet| {
        let rows: Vec<[String; 2]> = (0..60).map(|n| [n.to_string(), format!("t{n}")]).collect();
        for (at, row) in (0_u32..).zip(&rows) {
            fill(sheet, (at, 0), &[&[&row[0], &row[1]]]);
        }
    };
    let good = workbook(&[("a", &rows)]);
    let project = Project::new();
    let mut dice = crate::damage::Dice::new(3);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    let (mut tried, mut read, mut refused) = (0, 0, 0);
    while tried < 3_000 && std::time::Instant::now() < end {
        tried += 1;
        let wanted = ["worksheets/", "sharedStrings", "styles", "workbook", "rels"][tried % 5];
        let bad = repacked(&good, |name, text| match name.contains(wanted) {
            true => String::from_utf8_lossy(&dice.damaged(text.as_bytes())).into_owned(),
            false => text,
        });
        project.put("t.xlsx", bad);
        match project.try_read(&spec("t.xlsx")) {
            Ok(outcome) => read += usize::from(outcome.rows.len() <= 200),
            Err(failure) => {
                refused += 1;
                assert_ne!(failure.remedy, towpath_vocab::Remedy::Bug, "{failure}");
            }
        }
    }
    assert!(
        tried > 30 && read > 0 && refused > 0,
        "{tried} {read} {refused}"
    );
}

#[test]
fn a_workbook_is_described_and_never_written() {
    let rows = |sheet: &mut Worksheet| fill(sheet, (0, 0), &[&["id", "v"], &["1", "x"]]);
    let project = Project::new()
        .file("t.xlsx", workbook(&[("a", &rows)]))
        .file("~$t.xlsx", "a mark of Excel");
    let found = run(async { project.discover().tables("*").await.unwrap() });
    assert_eq!(found, ["t.xlsx"]);
    let found = run(async { project.discover().describe("t.xlsx").await.unwrap() });
    assert_eq!((found.schema.fields().len(), found.rows), (2, Some(1)));
    assert_eq!(project.read("*.xlsx").rows, ["1|x"]);
}
