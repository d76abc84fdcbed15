//! What a naive writer writes is read back, whatever the chunks; and no bytes at all break a reader.

use proptest::prelude::*;

use super::*;

/// Writes a table the plainest way that is right.
fn write(
    rows: &[Vec<Option<String>>],
    newline: &str,
    always_quote: bool,
    last_newline: bool,
) -> String {
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells = row.iter().map(|cell| match cell {
            None => String::new(),
            Some(text)
                if always_quote || text.is_empty() || text.contains(['"', ',', '\n', '\r']) =>
            {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Some(text) => text.clone(),
        });
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        if at + 1 < rows.len() || last_newline {
            out.push_str(newline);
        }
    }
    out
}

fn cell() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::string::string_regex("[a-c ,\"\\n\\rä€😀0-9]{0,12}").unwrap())
}

fn table() -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
    (2_usize..5).prop_flat_map(|width| {
        proptest::collection::vec(proptest::collection::vec(cell(), width), 0..30)
    })
}

fn texts(width: usize) -> Vec<ColumnPlan> {
    let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    declared(
        &names
            .iter()
            .map(|name| (name.as_str(), "text"))
            .collect::<Vec<_>>(),
    )
}

fn shown(rows: &[Vec<Option<String>>]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            row.iter()
                .map(|cell| cell.clone().unwrap_or_else(|| "∅".to_owned()))
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        rows in table(),
        crlf in any::<bool>(),
        always_quote in any::<bool>(),
        last_newline in any::<bool>(),
        batch_bytes in 64_usize..600,
        batch_rows in 1_usize..20,
        packed in any::<bool>(),
    ) {
        let width = rows.first().map_or(2, Vec::len);
        // A file whose last record is a lone empty line cannot be told from one that ends before it.
        let header: Vec<Option<String>> = (0..width).map(|column| Some(format!("c{column}"))).collect();
        let all: Vec<Vec<Option<String>>> = std::iter::once(header).chain(rows.clone()).collect();
        let text = write(&all, if crlf { "\r\n" } else { "\n" }, always_quote, last_newline);
        let project = Project::new();
        let bytes = if packed { gzip(text.as_bytes()) } else { text.clone().into_bytes() };
        project.put(if packed { "t.csv.gz" } else { "t.csv" }, bytes);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        spec.batch_rows = batch_rows;
        spec.declared = texts(width);
        let outcome = project.read_as(&spec);
        prop_assert_eq!(&outcome.rows, &shown(&rows), "{:?}", text);
        prop_assert!(outcome.rejects.is_empty());
        prop_assert_eq!(&outcome.boundaries, &vec![text.len() as u64]);
        for (row, ordinal) in outcome.ordinals.iter().enumerate() {
            let at = usize::try_from(*ordinal).unwrap();
            prop_assert!(text[at..].starts_with(&super::text(&outcome.raw(row))));
            let line = 1 + text[..at].bytes().filter(|byte| *byte == b'\n').count() as u64;
            prop_assert_eq!(outcome.place(row).line, Some(line));
        }
    }

    #[test]
    fn chunks_never_change_a_result(
        text in proptest::string::string_regex("([a1]{0,3}[,\"\\n]{1,3}){0,60}").unwrap(),
        batch_bytes in 64_usize..200,
        trim in any::<bool>(),
    ) {
        let project = Project::new().with("trim", json!(trim)).file("t.csv", format!("x,y\n{text}"));
        let whole = project.read("t");
        let mut small = spec("t");
        small.batch_bytes = batch_bytes;
        small.batch_rows = 3;
        let parts = project.read_as(&small);
        prop_assert_eq!(whole.columns, parts.columns);
        prop_assert_eq!(whole.rows, parts.rows);
        prop_assert_eq!(whole.ordinals, parts.ordinals);
        prop_assert_eq!(whole.rejects, parts.rejects);
    }

    #[test]
    fn every_byte_is_a_row_or_a_reject_or_blank(bytes in proptest::collection::vec(prop_oneof![
        Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'1'), Just(0xC3_u8), Just(0xA4), Just(0)], 0..200),
        batch_bytes in 64_usize..300,
    ) {
        let mut text = b"x,y\n".to_vec();
        text.extend(&bytes);
        let project = Project::new().file("t.csv", &text);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        // Foreign bytes in several lines are another encoding, which a note names.
        let label = outcome.notes.iter().find_map(|note| note.split("`encoding: ").nth(1)?.split('`').next());
        let encoding = label.map(|label| encoding_rs::Encoding::for_label(label.as_bytes()).unwrap());
        let text = match encoding {
            Some(encoding) => encoding.decode_without_bom_handling(&text).0.into_owned().into_bytes(),
            None => text,
        };
        // Records, rejects and blank lines lie behind each other and leave nothing out.
        let mut pieces: Vec<(usize, usize)> = outcome
            .ordinals.iter().copied().zip(outcome.raws()).chain(outcome.rejects.iter().map(|reject| (reject.place.ordinal, reject.raw.clone())))
            .map(|(at, raw)| (usize::try_from(at).unwrap(), super::super::readable::from_readable(&super::text(&raw), None).len()))
            .collect();
        pieces.sort_unstable();
        let mut at = 4;
        for (start, length) in pieces {
            prop_assert!(start >= at);
            prop_assert!(text[at..start].iter().all(|byte| matches!(byte, b'\r' | b'\n')), "{} {}", at, start);
            at = start + length;
        }
        prop_assert!(text[at..].iter().all(|byte| matches!(byte, b'\r' | b'\n')));
    }

    #[test]
    fn inferred_types_keep_every_value(values in proptest::collection::vec(prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        (-1000_i64..1000).prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        "-?[0-9]{1,5}\\.[0-9]{1,4}",
        "[0-9]{17,22}",
        "-?0?[0-9]{1,3}(e-?[0-9])?",
    ], 1..8)) {
        let text: String = values.iter().map(|value| format!("{value},x\n")).collect();
        let outcome = Project::new().file("t.csv", format!("v,w\n{text}")).read("t");
        prop_assert!(outcome.rejects.is_empty(), "{:?} {:?}", outcome.columns, outcome.rejects);
        for (row, value) in outcome.rows.iter().zip(&values) {
            let kept = row.trim_end_matches("|x");
            prop_assert!(same_number(kept, value), "{} {} {:?}", kept, value, outcome.columns);
        }
    }
}

/// Equal as exact decimals.
pub(super) fn same_number(one: &str, other: &str) -> bool {
    one == other || exact(one).is_some() && exact(one) == exact(other)
}

fn exact(text: &str) -> Option<(bool, String, i64)> {
    let (negative, rest) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let mut power = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?;
    let mut digits = digits.trim_start_matches('0').to_owned();
    while digits.ends_with('0') {
        digits.pop();
        power += 1;
    }
    // Zero has neither size nor, as a decimal, a sign.
    let power = if digits.is_empty() { 0 } else { power };
    let negative = negative && !digits.is_empty();
    Some((negative, digits, power))
}
