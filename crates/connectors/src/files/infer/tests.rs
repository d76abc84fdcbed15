//! What types come of which values; every case is also looked at backwards and in parts.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::files::value;

fn guess(values: &[&str], commas: bool) -> Guess {
    separated(values, if commas { b'\t' } else { b',' })
}

/// The same in a file whose fields are separated by `delimiter`.
fn separated(values: &[&str], delimiter: u8) -> Guess {
    let times = TimeFormats::default();
    let infer = InferOptions {
        times: &times,
        typed: false,
        numbers: None,
        commas: delimiter != b',',
        semicolons: delimiter == b';',
    };
    let mut guess = Guess::default();
    for value in values {
        guess.value(value.as_bytes(), false, &infer);
    }
    let mut backwards = Guess::default();
    for value in values.iter().rev() {
        let mut one = Guess::default();
        one.value(value.as_bytes(), false, &infer);
        backwards.merge(one);
    }
    assert_eq!(
        guess.verdict("c", Hint::default(), true),
        backwards.verdict("c", Hint::default(), true)
    );
    guess
}

fn shown(verdict: Verdict) -> String {
    let note = verdict.note.map_or("", |_| "!");
    format!("{}{note}", types::name(&verdict.data_type))
}

fn verdict(values: &[&str]) -> String {
    shown(guess(values, false).verdict("c", Hint::default(), true))
}

/// In a file whose fields are not separated by commas.
fn local(values: &[&str]) -> String {
    shown(guess(values, true).verdict("c", Hint::default(), true))
}

#[test]
fn numbers() {
    assert_eq!(verdict(&[]), "text");
    assert_eq!(verdict(&["0", "-7", "9223372036854775807"]), "bigint");
    assert_eq!(verdict(&["1", "9223372036854775808"]), "decimal(38,0)");
    assert_eq!(verdict(&[&"9".repeat(39)]), "text!");
    assert_eq!(verdict(&["1", "2.50", "1e-7", ".5"]), "double");
    assert_eq!(verdict(&["10.357019999999999", "1"]), "double");
    assert_eq!(verdict(&["0.1234567890123456789", "12"]), "decimal(21,19)");
    assert_eq!(verdict(&["9007199254740993", "0.5"]), "decimal(17,1)");
    assert_eq!(verdict(&["9007199254740992", "0.5"]), "double");
    assert_eq!(verdict(&["9007199254740993", "1e-7"]), "text!");
    assert_eq!(verdict(&["1", "NaN", "-inf"]), "double");
    assert_eq!(verdict(&["NaN"]), "text");
    assert_eq!(verdict(&["0.1234567890123456789", "NaN"]), "text!");
    assert_eq!(verdict(&["-0", "1"]), "double");
    assert_eq!(verdict(&["007", "12"]), "text!");
    assert_eq!(verdict(&["+5", "12"]), "text!");
    assert_eq!(verdict(&["00.5"]), "text");
    assert_eq!(verdict(&["1", "x"]), "text");
    assert_eq!(verdict(&["1", "-"]), "text");
    assert_eq!(verdict(&["1e999"]), "text!");
    assert_eq!(verdict(&["1", ""]), "text!");
}

#[test]
fn numbers_with_the_same_fraction_keep_their_zeros() {
    assert_eq!(verdict(&["1.10", "12.00"]), "decimal(18,2)");
    assert_eq!(verdict(&["1.15", "12.05"]), "double");
    assert_eq!(verdict(&["1.10", "12.5"]), "double");
    assert_eq!(verdict(&["1.10", "12"]), "double");
    assert_eq!(verdict(&["1.0", "12.5"]), "double");
    let json = guess(&["1.10"], false).verdict("c", Hint::default(), false);
    assert_eq!(json.data_type, DataType::Float64);
}

#[test]
fn a_decimal_comma_is_taken_where_commas_do_not_separate() {
    assert_eq!(local(&["1,5", "12"]), "double");
    assert_eq!(local(&["1.234,56", "7,00", "0,10"]), "decimal(18,2)");
    assert_eq!(local(&["1.234.567", "1"]), "bigint");
    assert_eq!(local(&["1.5", "1,5"]), "text!");
    assert_eq!(local(&["1,234"]), "text!");
    assert_eq!(local(&["1.234"]), "double!");
    assert_eq!(verdict(&["1,5", "2"]), "text");
    assert_eq!(verdict(&["1,234,567.5", "2"]), "double");
    assert_eq!(verdict(&["1,234", "2.5"]), "double");
    assert_eq!(verdict(&["1,234", "2"]), "text!");
}

/// Points in threes are thousands where the file is written as Germans do, and that is not certain.
#[test]
fn points_in_threes_are_not_decimal_points_without_a_word() {
    let with = |values: &[&str], hint| shown(separated(values, b';').verdict("c", hint, true));
    let none = Hint::default();
    assert_eq!(with(&["1.000", "2.500", "10"], none), "text!");
    assert_eq!(with(&["-1.000"], none), "text!");
    assert_eq!(with(&["1.000", "1.5"], none), "double");
    assert_eq!(with(&["1.000", "1,5"], none), "double");
    assert_eq!(with(&["0.125", "1.000"], none), "decimal(18,3)");
    assert_eq!(with(&["1000.125", "1.000"], none), "decimal(18,3)");
    assert_eq!(with(&["1.000", "x"], none), "text");
    let mut hint = Hint::default();
    separated(&["1.5"], b';').hint(&mut hint);
    assert_eq!(with(&["1.000"], hint), "decimal(18,3)");
    let mut hint = Hint::default();
    separated(&["1.234,50"], b';').hint(&mut hint);
    assert_eq!(with(&["1.000"], hint), "bigint");
    let note = separated(&["1.000"], b';').verdict("c", none, true).note;
    assert!(note.unwrap().contains("separate thousands"));
}

#[test]
fn other_columns_say_how_numbers_are_written() {
    let mut hint = Hint::default();
    guess(&["1,5"], true).hint(&mut hint);
    let with = |values: &[&str], hint| shown(guess(values, true).verdict("c", hint, true));
    assert_eq!(with(&["1.234"], hint), "bigint");
    assert_eq!(with(&["1,234"], hint), "double");
    guess(&["1.5"], true).hint(&mut hint);
    assert_eq!(with(&["1.234"], hint), "double");
    assert_eq!(with(&["1,234"], hint), "text!");
}

#[test]
fn one_day_above_twelve_settles_the_order() {
    assert_eq!(verdict(&["28.01.2026", "1.2.2026"]), "date");
    assert_eq!(verdict(&["28.01.2026", "2026-01-28"]), "date");
    assert_eq!(verdict(&["28/01/2026", "03/04/2026"]), "date");
    assert_eq!(verdict(&["01/28/2026", "03/04/2026"]), "date");
    assert_eq!(verdict(&["28/01/2026", "01/28/2026"]), "text!");
    assert_eq!(
        verdict(&["28/01/2026 14:30", "03/04/2026 07:00"]),
        "timestamp"
    );
    assert_eq!(verdict(&["28.01.2026 14:30"]), "timestamp");
    assert_eq!(verdict(&["28.01.26"]), "text!");
    assert_eq!(verdict(&["31.02.2026"]), "text");
    let order = |values: &[&str]| guess(values, false).written(Hint::default()).1;
    assert_eq!(order(&["28/01/2026"]), Some(DateOrder::DayFirst));
    assert_eq!(order(&["01/28/2026"]), Some(DateOrder::MonthFirst));
    assert_eq!(order(&["01/02/2026"]), None);
}

#[test]
fn a_few_texts_among_many_values_are_named() {
    let mut values = vec!["2026-01-01"; 11];
    values.push("2026-13-01");
    let verdict = guess(&values, false).verdict("born", Hint::default(), true);
    assert_eq!(
        verdict.note.as_deref(),
        Some(
            "`born` is read as text: 1 of 12 values is not a valid `date`; declare `born: date` to reject such rows"
        )
    );
    assert_eq!(
        guess(&["a", "b", "1"], false)
            .verdict("c", Hint::default(), true)
            .note,
        None
    );
}

proptest! {
    #[test]
    fn text_to_type_to_text_keeps_fixed_fractions(cents in proptest::collection::vec(-10_000_000_i64..10_000_000, 1..20)) {
        let texts: Vec<String> = cents.iter().map(|c| {
            let sign = if *c < 0 { "-" } else { "" };
            format!("{sign}{}.{:02}", c.abs() / 100, c.abs() % 100)
        }).collect();
        let of: Vec<&str> = texts.iter().map(String::as_str).collect();
        let verdict = guess(&of, false).verdict("c", Hint::default(), true);
        for (text, cents) in texts.iter().zip(&cents) {
            match &verdict.data_type {
                DataType::Decimal128(precision, 2) => {
                    prop_assert_eq!(value::decimal(text.as_bytes(), *precision, 2), Some(i128::from(*cents)));
                }
                // No zero is dropped from any of them.
                DataType::Float64 => prop_assert!(texts.iter().all(|text| !text.ends_with('0'))),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn local_numbers_read_as_the_plain_ones(whole in 0_u32..2_000_000_000, cents in 0_u32..100, negative in any::<bool>()) {
        let digits = whole.to_string();
        let mut grouped = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at) % 3 == 0 { grouped.push('.'); }
            grouped.push(digit);
        }
        let sign = if negative { "-" } else { "" };
        let local = format!("{sign}{grouped},{cents:02}");
        let plain = format!("{sign}{digits}.{cents:02}");
        let read = |text: &[u8]| value::decimal(text, 18, 2);
        prop_assert_eq!(NumberFormat::COMMA.read(local.as_bytes(), read), read(plain.as_bytes()));
    }
}

#[test]
fn words_and_times() {
    assert_eq!(verdict(&["true", "False"]), "bool");
    assert_eq!(verdict(&["true", "1"]), "text");
    assert_eq!(verdict(&["yes", "no"]), "text");
    assert_eq!(verdict(&["2013-01-01", "2012-02-29"]), "date");
    assert_eq!(verdict(&["2013-02-29"]), "text");
    assert_eq!(
        verdict(&["2013-01-01T00:00:00", "2013-01-01 00:00"]),
        "timestamp"
    );
    assert_eq!(
        verdict(&["2013-01-01T00:00:00Z", "2013-01-01 00:00+02"]),
        "timestamptz"
    );
    assert_eq!(
        verdict(&["2013-01-01T00:00:00Z", "2013-01-01 00:00"]),
        "text!"
    );
    assert_eq!(verdict(&["2013-01-01T00:00:00", "2013-01-01"]), "text!");
    assert_eq!(verdict(&["2013-01-01T00:00:00.1234567"]), "text");
    assert_eq!(verdict(&["03/04/2013"]), "text!");
}

#[test]
fn a_known_type_is_widened_by_all_values_or_stays() {
    let wider = |before: &str, values: &[&str]| {
        let before = types::parse(before).unwrap();
        let wider = guess(values, false).wider(&before, Hint::default(), true);
        wider.map_or("stays".to_owned(), |wider| types::name(&wider))
    };
    for (before, values, now) in [
        ("bigint", ["1", "2.5"], "double"),
        ("bigint", ["1", "9223372036854775808"], "decimal(38,0)"),
        ("bigint", ["1.10", "2.20"], "decimal(21,2)"),
        ("bigint", ["1", "x"], "stays"),
        ("bigint", ["1", "2"], "stays"),
        ("double", ["1", "2"], "stays"),
        ("decimal(18,2)", ["1", "2.5"], "stays"),
        ("decimal(18,2)", ["1.125", "2"], "decimal(19,3)"),
        ("decimal(18,2)", ["1e3", "2"], "stays"),
        (
            "date",
            ["2026-01-01T10:00:00", "2026-01-01T10:00:01"],
            "timestamp",
        ),
        ("date", ["2026-01-01", "x"], "stays"),
        ("text", ["1", "2"], "stays"),
    ] {
        assert_eq!(wider(before, &values), now, "{before} {values:?}");
    }
}
