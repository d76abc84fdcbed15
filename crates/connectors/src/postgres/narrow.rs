//! Numbers that come in a wider type than the column of a table has: which values the column holds.
//!
//! Promise: the SQL is true exactly for values that a cast to the narrower type would change or refuse, and
//! fails for none. Read next: `align.rs`, which asks.

/// The largest finite `real`.
const LARGEST_REAL: &str = "3.4028234e38";
/// The smallest normal `real`; below it digits are lost.
const SMALLEST_REAL: &str = "1.1754944e-38";

/// SQL that is true where `value`, of the type `stored`, is not held exactly by the narrower type `present`;
/// `None` where `present` is not a narrower type of number.
pub(super) fn lost(stored: &str, present: &str, value: &str) -> Option<String> {
    if (stored, present) == ("double precision", "real") {
        return Some(format!(
            "CASE WHEN {value} IN (0, 'NaN', 'Infinity', '-Infinity') THEN false \
             WHEN abs({value}) NOT BETWEEN {SMALLEST_REAL} AND {LARGEST_REAL} THEN true \
             ELSE {value}::real::double precision <> {value} END"
        ));
    }
    if let (Some(have), Some(want)) = (integer_digits(present), integer_digits(stored)) {
        let (least, most) = range(present)?;
        return (want > have).then(|| format!("{value} NOT BETWEEN {least} AND {most}"));
    }
    let ((whole, fraction), (room, places)) = (digits(stored)??, digits(present)??);
    if !present.starts_with("numeric") || whole <= room && fraction <= places {
        return None;
    }
    let room = usize::try_from(room).ok()?;
    let top = format!("1{}", "0".repeat(room));
    Some(format!(
        "abs({value}::numeric) >= {top} OR round({value}::numeric, {places}) <> {value}::numeric"
    ))
}

fn range(type_name: &str) -> Option<(i64, i64)> {
    Some(match type_name {
        "smallint" => (i16::MIN.into(), i16::MAX.into()),
        "integer" => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}

/// Digits of the largest value of a type of whole numbers.
pub(super) fn integer_digits(type_name: &str) -> Option<i32> {
    Some(match type_name {
        "smallint" => 5,
        "integer" => 10,
        "bigint" => 19,
        _ => return None,
    })
}

/// Digits before and after the point; the inner `None` means as many as one likes.
pub(super) fn digits(type_name: &str) -> Option<Option<(i32, i32)>> {
    if let Some(whole) = integer_digits(type_name) {
        return Some(Some((whole, 0)));
    }
    if type_name == "numeric" {
        return Some(None);
    }
    let (precision, scale) = type_name
        .strip_prefix("numeric(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale): (i32, i32) = (precision.parse().ok()?, scale.parse().ok()?);
    Some(Some((precision - scale, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_narrower_numbers_are_asked_for_their_values() {
        for (stored, present, asked) in [
            ("bigint", "integer", true),
            ("integer", "smallint", true),
            ("integer", "bigint", false),
            ("double precision", "real", true),
            ("numeric(19,3)", "numeric(5,2)", true),
            ("numeric(5,2)", "numeric(19,3)", false),
            ("bigint", "numeric(5,2)", true),
            ("numeric(5,2)", "numeric", false),
            ("numeric(5,2)", "integer", false),
            ("text", "integer", false),
        ] {
            let lost = lost(stored, present, "s.c");
            assert_eq!(lost.is_some(), asked, "{stored} into {present}: {lost:?}");
        }
    }
}
