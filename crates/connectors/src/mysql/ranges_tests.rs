//! Cuts of keys, against rows that are sorted and counted here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn column(class: Class) -> KeyColumn {
    KeyColumn {
        sql: "`k`".to_owned(),
        class,
    }
}

fn one(class: Class, low: &str, high: &str) -> Option<String> {
    let mut all = column(class).between(low, high);
    assert!(all.len() < 2, "{all:?}");
    all.pop()
}

#[test]
fn numbers_are_cut_in_the_middle_up_to_the_last_one() {
    let number = |low, high| one(Class::Number { scale: 0 }, low, high);
    assert_eq!(number("0", "10").unwrap(), "5");
    assert_eq!(number("-5", "-4").unwrap(), "-4");
    assert_eq!(number("-1", "0").unwrap(), "0");
    assert_eq!(number("7", "7"), None);
    let (least, most) = (i64::MIN.to_string(), i64::MAX.to_string());
    assert_eq!(number(&least, &most).unwrap(), "0");
    assert_eq!(
        number("18446744073709551613", "18446744073709551615").unwrap(),
        "18446744073709551614"
    );
    let decimal = |low, high| one(Class::Number { scale: 2 }, low, high);
    assert_eq!(decimal("-0.02", "0.01").unwrap(), "0.00");
    assert_eq!(decimal("-0.05", "-0.01").unwrap(), "-0.03");
    assert_eq!(decimal("1.00", "3.00").unwrap(), "2.00");
}

#[test]
fn dates_are_cut_and_the_zero_date_lies_below_all() {
    assert_eq!(
        one(Class::Date, "2024-01-01", "2024-01-03").unwrap(),
        "2024-01-02"
    );
    assert_eq!(
        one(Class::Date, "0000-00-00", "0001-01-02").unwrap(),
        "0001-01-02"
    );
    assert_eq!(one(Class::Date, "2024-01-01", "2024-01-01"), None);
    assert_eq!(
        one(Class::Date, "2015-08-00", "2024-02-30").unwrap(),
        "2019-11-15"
    );
    assert_eq!(
        one(Class::Moment, "2024-01-01 00:00:00", "2024-01-01 00:00:01").unwrap(),
        "2024-01-01 00:00:00.500000"
    );
    let whole = one(
        Class::Moment,
        "0000-00-00 00:00:00",
        "9999-12-31 23:59:59.999999",
    );
    assert!(whole.unwrap().starts_with("5000-"));
}

#[test]
fn a_literal_holds_nothing_but_a_value() {
    let number = column(Class::Number { scale: 0 });
    assert_eq!(number.literal("-12"), Some("-12".to_owned()));
    assert_eq!(number.literal("1 OR 1=1"), None);
    assert_eq!(column(Class::Moment).literal("2024' OR '1"), None);
    assert_eq!(
        column(Class::Bytes).literal("00ff"),
        Some("_binary 0x00ff".to_owned())
    );
    assert_eq!(column(Class::Bytes).literal("0g"), None);
    assert_eq!(
        column(Class::Text).literal("'a").unwrap(),
        "_utf8mb4 0x2761"
    );
    assert_eq!(column(Class::Text).literal(&"a".repeat(300)), None);
}

fn range(from: Option<&str>, to: Option<&str>, rows: u64) -> Range {
    Range {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        ..Range::whole(rows)
    }
}

#[test]
fn neighbours_with_few_rows_are_joined_and_others_are_not() {
    let key = [column(Class::Number { scale: 0 })];
    let all = vec![
        range(None, Some("10"), 5),
        range(Some("10"), Some("20"), 5),
        range(Some("20"), Some("30"), 100),
        range(Some("30"), None, 5),
        // Not a neighbour: rows that have none of these values.
        Range {
            within: vec!["`k` <> 7".to_owned()],
            ..Range::whole(0)
        },
    ];
    let joined = joined(all, 10);
    let conditions: Vec<String> = joined.iter().map(|range| range.condition(&key)).collect();
    assert_eq!(
        conditions,
        [
            "`k` < 20",
            "`k` >= 20 AND `k` < 30",
            "`k` >= 30",
            "`k` <> 7"
        ]
    );
    assert_eq!(Range::whole(1).condition(&key), "");
}

proptest! {
    /// Above the one and not above the other, by the order of bytes: so a cut always makes two smaller ranges.
    #[test]
    fn bytes_are_cut_between(
        mut low in proptest::collection::vec(any::<u8>(), 0..24),
        mut high in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        let digits = |bytes: &[u8]| -> String {
            bytes.iter().map(|byte| format!("{byte:02X}")).collect()
        };
        if let Some(middle) = one(Class::Bytes, &digits(&low), &digits(&high)) {
            let middle = bytes(&middle).unwrap();
            prop_assert!(low < middle && middle <= high, "{low:?} {middle:?} {high:?}");
        } else {
            let zeros = |from: &[u8]| from.iter().all(|byte| *byte == 0);
            let same = low.iter().zip(&high).take_while(|(one, other)| one == other).count();
            prop_assert!(low == high || zeros(&high[same..]) || same + WINDOW < high.len());
        }
    }

    #[test]
    fn numbers_are_cut_between(low in any::<i64>(), high in any::<i64>()) {
        let (low, high) = (low.min(high), low.max(high));
        let middle = one(Class::Number { scale: 0 }, &low.to_string(), &high.to_string());
        match middle.map(|middle| middle.parse::<i64>().unwrap()) {
            Some(middle) => prop_assert!(low < middle && middle <= high),
            None => prop_assert_eq!(low, high),
        }
    }
}
