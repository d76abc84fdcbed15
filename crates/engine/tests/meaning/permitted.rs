//! The permitted differences, each with its reason.
//!
//! An entry names the expression, and the types if it is for some only. It must say why the difference
//! misleads nobody.

use crate::compare::{Difference, What};

/// A permitted difference.
#[derive(Debug)]
pub(crate) struct Permitted {
    what: What,
    /// The expression, or its start before a `*`.
    expression: &'static str,
    /// Types of the columns; empty for all.
    kinds: &'static str,
    /// Read by people.
    _reason: &'static str,
}

const fn p(
    what: What,
    expression: &'static str,
    kinds: &'static str,
    reason: &'static str,
) -> Permitted {
    Permitted {
        what,
        expression,
        kinds,
        _reason: reason,
    }
}

/// It fails with a message instead of giving another value.
const BEYOND: &str = "more than the type holds here; it fails, it gives no other value";
const MISSING: &str = "not offered; it is refused with a code";

#[rustfmt::skip]
const PERMITTED: &[Permitted] = &[
    // Not offered.
    p(What::Refused, "a # b", "", MISSING),
    p(What::Refused, "~a", "", MISSING),
    p(What::Refused, "a between symmetric b and c", "", MISSING),
    p(What::Refused, "a - interval '1 year 2 days 03:00'", "", "an interval is written in words: `interval '1 year 2 days 3 hours'`"),
    p(What::Refused, "extract(julian from a)", "", MISSING),
    p(What::Refused, "extract(timezone_hour from a)", "", MISSING),
    p(What::Refused, "make_interval(days => a)", "", "arguments have no names here: `make_interval(0, 0, 0, a)`"),
    p(What::Refused, "make_timestamp*", "", MISSING),
    p(What::Refused, "(a, a) overlaps (b, b)", "", MISSING),
    p(What::Refused, "isfinite(a)", "", "no type has infinity but floating point"),
    p(What::Refused, "to_char(a, 'YYYY-MM-DD')", "", "formats are those of strftime; the message says which"),
    p(What::Refused, "to_char(a, 'HH24:MI')", "", "formats are those of strftime; the message says which"),
    p(What::Refused, "to_char(a, 'Mon DD')", "", "formats are those of strftime; the message says which"),
    p(What::Refused, "to_char(a, '999D99')", "", MISSING),
    p(What::Refused, "to_char(a, 'FM000')", "", "numbers are filled with `lpad`"),
    p(What::Refused, "to_date(a, 'YYYY-MM-DD')", "", "formats are those of strftime; the message says which"),
    p(What::Refused, "to_timestamp(a, 'YYYY-MM-DD HH24:MI:SS')", "", "formats are those of strftime; the message says which"),
    p(What::Refused, "(repeat*", "", "a UUID is text here"),
    p(What::Refused, "div(a, b)", "", "write `trunc(a / b)`"),
    p(What::Refused, "array[a, b] < array[b, c]", "", "lists have no order here: NULL would sort first in them"),
    p(What::Refused, "array[a, b] >= array[b, c]", "", "lists have no order here: NULL would sort first in them"),
    p(What::Refused, "width_bucket*", "", MISSING),
    p(What::Refused, "scale(a)", "", MISSING),
    p(What::Refused, "quote_*", "", MISSING),
    p(What::Refused, "format(*", "", MISSING),
    p(What::Refused, "substring(a from 'b.')", "", "write `regexp_match`"),
    p(What::Refused, "regexp_substr*", "", "write `regexp_match`"),
    p(What::Refused, "regexp_split_to_array*", "", MISSING),
    p(What::Refused, "date_part('hour', a)", "d", "a date has no time of day; `extract` refuses it in PostgreSQL too"),
    p(What::Refused, "date_part('second', a)", "d", "a date has no time of day; `extract` refuses it in PostgreSQL too"),
    // Fails where PostgreSQL has a value.
    p(What::Strict, "log(a, b)", "", "a logarithm of zero fails although its base is NULL"),
    p(What::Strict, "a * b", "iv,n", BEYOND),
    p(What::Strict, "date_bin*", "", "the engine counts in nanoseconds: before 1677 it fails"),
    p(What::Strict, "make_date*", "", "years before Christ are not made"),
    p(What::Strict, "to_timestamp(a)", "f", "nanoseconds and infinity are no timestamps here"),
    p(What::Strict, "to_char(a, '%H:%M:%S')", "tz", "the engine counts in nanoseconds: before 1677 it fails"),
    p(What::Strict, "to_date(a, '%Y-%m-%d')", "", "a format has to match the whole text"),
    p(What::Strict, "a::numeric*", "f", "a decimal has no NaN"),
    p(What::Strict, "a::numeric*", "numtext", "a decimal has no NaN"),
    p(What::Strict, "a::numeric = *", "numtext", "more than 10 digits after the point fail, they are not rounded"),
    p(What::Strict, "round(a::numeric, 2)", "numtext", "a decimal has no NaN"),
    p(What::Strict, "a::double precision", "numtext", "numbers in base 16 are not read"),
    p(What::Strict, "a::interval", "ivtext", "an interval is written in words"),
    p(What::Strict, "a::date", "timetext", "no date has infinity"),
    p(What::Strict, "a::timestamp", "timetext", "no timestamp has infinity"),
    p(What::Strict, "a::timestamptz", "timetext", "no timestamp has infinity"),
    p(What::Strict, "a::time", "timetext", "24:00 is no time of day here"),
    p(What::Strict, "a / 3 + b", "n4,i8|n,i8", BEYOND),
    p(What::Strict, "a / 3 = b", "n4,i8|n,i8", BEYOND),
    p(What::Strict, "coalesce(a / b, c)", "n4,n4,i8|n4,small,i8", BEYOND),
    p(What::Strict, "round(a, -1)", "i4", BEYOND),
    // Gives a value where PostgreSQL fails.
    p(What::Lenient, "date_bin(interval '1 month', a, timestamp '2001-01-01')", "", "months are counted here; PostgreSQL does not"),
    p(What::Lenient, "gcd(a, b)", "", "the result is a bigint here, so it does not overflow"),
    p(What::Lenient, "lcm(a, b)", "", "the result is a bigint here, so it does not overflow"),
    p(What::Lenient, "a + 1", "i4", "a written number is a bigint here, so it does not overflow"),
    // Another value.
    p(What::Value, "date_trunc*", "d", "a timestamp without a zone, not the same in UTC: a date has no zone"),
    p(What::Value, "to_timestamp(a)", "", "a timestamp without a zone, not the same in UTC"),
    p(What::Value, "a / b * 100", "", "PostgreSQL multiplies a quotient of 18 to 20 digits after the point, here of 24"),
    p(What::Value, "a::real", "n", "the last digit of a single"),
    p(What::Value, "a::numeric(38,0)", "f", "PostgreSQL takes 15 digits of a double, here all count"),
    p(What::Value, "initcap(a)", "", "PostgreSQL's letters depend on its locale, which is C in the suite"),
    p(What::Value, "right(a, b)", "t,i4", "PostgreSQL's count overflows at its smallest number"),
    p(What::Value, "regexp_replace(a, b, 'X', 'g*", "", "an empty match right behind another match is not found"),
    p(What::Value, "regexp_count(a, b)", "", "an empty match right behind another match is not found"),
];

/// Those nobody permitted, and permissions nobody needs.
pub(crate) fn judge(differences: &[Difference]) -> (Vec<&Difference>, Vec<&'static str>) {
    let allowed = |permitted: &Permitted, difference: &Difference| {
        let kinds: Vec<&str> = difference.case.kinds.iter().map(|kind| kind.name).collect();
        permitted.what == difference.what
            && match permitted.expression.strip_suffix('*') {
                Some(start) => difference.case.ours.starts_with(start),
                None => difference.case.ours == permitted.expression,
            }
            && (permitted.kinds.is_empty()
                || permitted.kinds.split('|').any(|one| one == kinds.join(",")))
    };
    let unexpected = differences
        .iter()
        .filter(|difference| {
            !PERMITTED
                .iter()
                .any(|permitted| allowed(permitted, difference))
        })
        .collect();
    let unneeded = PERMITTED
        .iter()
        .filter(|permitted| {
            !differences
                .iter()
                .any(|difference| allowed(permitted, difference))
        })
        .map(|permitted| permitted.expression)
        .collect();
    (unexpected, unneeded)
}
