//! Types that were inferred, beside those that a plain reading of the same values gives: over columns of
//! every type with strays among them, however the file is written, encoded and cut.

use proptest::prelude::*;

use super::properties::same_number;
use super::*;

/// A cell and how the file has it.
#[derive(Clone, Debug)]
struct Cell {
    text: Option<String>,
    is_quoted: bool,
}

/// What one value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Date,
    Timestamp,
    Instant,
    Number,
    Text,
}

fn kind(text: &str) -> Kind {
    let is = |pattern: &str| {
        let mut bytes = text.bytes();
        let same = pattern.bytes().all(|expected| match expected {
            b'0' => bytes.next().is_some_and(|byte| byte.is_ascii_digit()),
            other => bytes.next() == Some(other),
        });
        same && bytes.next().is_none()
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_code = whole.len() > 1 && whole.starts_with('0');
    if matches!(text, "true" | "false") {
        Kind::Bool
    } else if is("0000-00-00") && is_day(text) {
        Kind::Date
    } else if is("0000-00-00T00:00:00.000000") && is_day(&text[..10]) {
        Kind::Timestamp
    } else if is("0000-00-00T00:00:00Z") && is_day(&text[..10]) {
        Kind::Instant
    } else if !whole.is_empty()
        && !fraction.is_empty()
        && are_digits(whole)
        && are_digits(fraction)
        && !is_code
    {
        Kind::Number
    } else {
        Kind::Text
    }
}

fn is_day(text: &str) -> bool {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// The type of a column, from all its values at once.
fn reference(values: &[&str]) -> String {
    let kinds: Vec<Kind> = values.iter().map(|text| kind(text)).collect();
    let Some(first) = kinds.first().copied() else {
        return "text".to_owned();
    };
    if kinds.iter().any(|kind| *kind != first) {
        return "text".to_owned();
    }
    let word = match first {
        Kind::Bool => "bool",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        Kind::Instant => "timestamptz",
        Kind::Text => "text",
        Kind::Number => return number(values),
    };
    word.to_owned()
}

fn number(values: &[&str]) -> String {
    let unsigned = |text: &'_ str| text.trim_start_matches('-').to_owned();
    let parts = |text: &&str| {
        let text = unsigned(text);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        (whole.len(), fraction.len())
    };
    let whole = values.iter().map(parts).map(|(whole, _)| whole).max();
    let whole = whole.unwrap_or(0);
    let places = || values.iter().map(parts).map(|(_, fraction)| fraction);
    let (most, least) = (places().max().unwrap_or(0), places().min().unwrap_or(0));
    if most == 0 && values.iter().all(|text| text.parse::<i64>().is_ok()) {
        return "bigint".to_owned();
    }
    let ends_in_zero = values.iter().any(|text| text.ends_with('0'));
    if most == least && most >= 2 && ends_in_zero {
        let precision = (whole + most).max(18);
        return match precision > 38 {
            true => "text".to_owned(),
            false => format!("decimal({precision},{most})"),
        };
    }
    let survives = |text: &&str| {
        let double: f64 = text.parse().unwrap();
        let is_wide = !text.contains('.') && text.parse::<i64>().is_err();
        !is_wide && same_number(&format!("{double:e}"), text)
    };
    match (values.iter().all(survives), whole + most) {
        (true, _) => "double".to_owned(),
        (false, 39..) => "text".to_owned(),
        (false, _) if most == 0 => "decimal(38,0)".to_owned(),
        (false, precision) => format!("decimal({precision},{most})"),
    }
}

/// What the reader has to give for a cell.
fn value(text: &str, word: &str) -> String {
    let Some(scale) = word.strip_prefix("decimal(") else {
        return text.to_owned();
    };
    let scale = scale.trim_end_matches(')').split_once(',').unwrap().1;
    let scale: usize = scale.parse().unwrap();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    match scale {
        0 => text.to_owned(),
        _ => format!("{whole}.{fraction:0<scale$}"),
    }
}

/// Values of one sort, with those that another sort would not hold.
fn values(sort: u8) -> BoxedStrategy<String> {
    match sort {
        0 => any::<i64>().prop_map(|value| value.to_string()).boxed(),
        1 => (-999_i64..999).prop_map(|value| value.to_string()).boxed(),
        2 => "[1-9][0-9]{15,21}".boxed(),
        3 => (-99_999_i64..99_999)
            .prop_map(|cents| {
                let sign = if cents < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
            })
            .boxed(),
        4 => (any::<u64>(), 1010_u64..1040)
            .prop_map(|(bits, exponent)| {
                let value = f64::from_bits(bits & ((1 << 52) - 1) | exponent << 52);
                format!("{value:?}")
            })
            .boxed(),
        5 => "-?[1-9][0-9]{0,3}\\.[0-9]{13,20}".boxed(),
        6 => prop_oneof![Just("true".to_owned()), Just("false".to_owned())].boxed(),
        7 => (1900_i32..2100, 1_u32..13, 1_u32..32)
            .prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"))
            .boxed(),
        8 => (1_u32..29, 0_u32..24, 0_u32..60, 0_u32..1000)
            .prop_map(|(day, hour, second, millis)| {
                format!("2024-02-{day:02}T{hour:02}:59:{second:02}.{millis:03}001")
            })
            .boxed(),
        9 => (1_u32..29, 0_u32..24)
            .prop_map(|(day, hour)| format!("2024-02-{day:02}T{hour:02}:00:00Z"))
            .boxed(),
        10 => "x[a-z\u{e4},\"\n]{0,20}".boxed(),
        11 => "x[a-z]{300,900}".boxed(),
        _ => prop_oneof![Just("007".to_owned()), Just("12a".to_owned())].boxed(),
    }
}

/// Values of one column: mostly of one sort, at times with one of another.
fn column(rows: usize) -> impl Strategy<Value = Vec<Cell>> {
    (0_u8..13, 0_u8..13, 0_usize..400).prop_flat_map(move |(sort, stray, at)| {
        let cell = |sort: u8| {
            (proptest::option::weighted(0.9, values(sort)), any::<bool>())
                .prop_map(|(text, is_quoted)| Cell { text, is_quoted })
        };
        let all = proptest::collection::vec(cell(sort), rows);
        (all, cell(stray)).prop_map(move |(mut all, stray)| {
            if let Some(cell) = all.get_mut(at) {
                *cell = stray;
            }
            all
        })
    })
}

fn columns() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    (2_usize..6, 1_usize..40).prop_flat_map(|(width, rows)| {
        // A column of whole numbers in front: no line of the file is blank.
        let numbers = (0..rows).map(|row| Cell {
            text: Some(row.to_string()),
            is_quoted: false,
        });
        let numbers: Vec<Cell> = numbers.collect();
        proptest::collection::vec(column(rows), width - 1)
            .prop_map(move |columns| std::iter::once(numbers.clone()).chain(columns).collect())
    })
}

/// How the file is written.
#[derive(Clone, Debug)]
struct Writing {
    newline: &'static str,
    ends_with_newline: bool,
    /// Before rows at these places a blank line, or one that is no record.
    blank: usize,
    broken: usize,
    encoding: u8,
}

fn writing() -> impl Strategy<Value = Writing> {
    (
        any::<bool>(),
        any::<bool>(),
        0_usize..50,
        0_usize..50,
        0_u8..4,
    )
        .prop_map(
            |(crlf, ends_with_newline, blank, broken, encoding)| Writing {
                newline: if crlf { "\r\n" } else { "\n" },
                ends_with_newline,
                blank,
                broken,
                encoding,
            },
        )
}

impl Writing {
    fn text(&self, columns: &[Vec<Cell>]) -> String {
        let width = columns.len();
        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let mut lines = vec![names.join(",")];
        for row in 0..columns[0].len() {
            if row == self.blank {
                lines.push(String::new());
            }
            if row == self.broken {
                lines.push("broken".to_owned());
            }
            let cells = columns.iter().map(|cells| {
                let Cell { text, is_quoted } = &cells[row];
                match text {
                    None => String::new(),
                    Some(text) if *is_quoted || text.contains([',', '"', '\n']) => {
                        format!("\"{}\"", text.replace('"', "\"\""))
                    }
                    Some(text) => text.clone(),
                }
            });
            lines.push(cells.collect::<Vec<_>>().join(","));
        }
        let mut text = lines.join(self.newline);
        if self.ends_with_newline {
            text.push_str(self.newline);
        }
        text
    }

    fn project(&self, text: &str, batch_bytes: usize) -> (Project, ReadSpec) {
        let project = Project::new();
        let (project, bytes) = match self.encoding {
            0 => (project, text.as_bytes().to_vec()),
            1 => (project, ["\u{feff}".as_bytes(), text.as_bytes()].concat()),
            2 => {
                let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
                (project, units.flat_map(u16::to_le_bytes).collect())
            }
            _ => {
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
                let project = project.with("encoding", json!("windows-1252"));
                (project, bytes.collect())
            }
        };
        project.put("t.csv", bytes);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        (project, spec)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn types_are_those_of_all_values(
        columns in columns(),
        writing in writing(),
        batch_bytes in 64_usize..3000,
        batch_rows in 1_usize..50,
    ) {
        let text = writing.text(&columns);
        let (project, mut spec) = writing.project(&text, batch_bytes);
        spec.batch_rows = batch_rows;
        let outcome = project.read_as(&spec);
        let words: Vec<String> = columns
            .iter()
            .map(|cells| {
                let values: Vec<&str> = cells.iter().filter_map(|cell| cell.text.as_deref()).collect();
                reference(&values)
            })
            .collect();
        let named = words.iter().enumerate().map(|(at, word)| format!("c{at} {word}"));
        prop_assert_eq!(&outcome.columns, &named.collect::<Vec<_>>(), "{}", text);
        let rows = columns[0].len();
        prop_assert_eq!(outcome.rejects.len(), usize::from(writing.broken < rows), "{}", text);
        prop_assert_eq!(outcome.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
        let given: Vec<Vec<String>> = cells_of(&outcome.batches);
        for (cells, (word, given)) in columns.iter().zip(words.iter().zip(&given)) {
            for (cell, given) in cells.iter().zip(given) {
                let expected = cell.text.as_deref().map_or("∅".to_owned(), |text| value(text, word));
                let is_same = *given == expected || word == "double" && same_number(given, &expected);
                prop_assert!(is_same, "{} {} {:?}", given, expected, word);
            }
        }
    }
}

/// The texts of all values, column by column.
fn cells_of(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("∅");
    let mut columns = Vec::new();
    for batch in batches {
        columns.resize(batch.num_columns(), Vec::new());
        for (texts, column) in columns.iter_mut().zip(batch.columns()) {
            let column = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
            texts.extend((0..batch.num_rows()).map(|row| column.value(row).to_string()));
        }
    }
    columns
}
