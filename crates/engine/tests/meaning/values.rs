//! The edge values of each type, as text for both systems.
//!
//! Promise: Towpath's columns are made from the text without its SQL, so a wrong cast cannot hide. `None`
//! is NULL. It does not know functions.

use std::sync::Arc;

use arrow_array::types::IntervalMonthDayNano;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray,
};
use chrono::{NaiveDate, NaiveDateTime};

/// A type with its values.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) values: &'static [Option<&'static str>],
}

macro_rules! kind {
    ($id:ident, $name:literal, $postgres:literal, [$($value:literal),* $(,)?]) => {
        pub(crate) const $id: &Kind = &Kind {
            name: $name, postgres: $postgres, values: &[$(Some($value),)* None],
        };
    };
}

kind!(BOOL, "bool", "boolean", ["true", "false"]);
kind!(
    I4,
    "i4",
    "int",
    [
        "0",
        "1",
        "2",
        "-1",
        "7",
        "-7",
        "60",
        "2147483647",
        "-2147483648"
    ]
);
kind!(
    I8,
    "i8",
    "bigint",
    [
        "0",
        "1",
        "3",
        "-1",
        "10",
        "-13",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808"
    ]
);
kind!(SMALL, "small", "int", ["0", "1", "2", "3", "-1", "-2", "5"]);
kind!(
    N,
    "n",
    "numeric(12,2)",
    [
        "0.00",
        "1.00",
        "-0.01",
        "0.05",
        "2.50",
        "-2.50",
        "3.49",
        "7.00",
        "1234567890.12",
        "-9999999999.99"
    ]
);
kind!(
    N4,
    "n4",
    "numeric(4,2)",
    ["0.00", "0.01", "2.00", "-3.00", "0.07", "99.99", "-0.50"]
);
kind!(
    WIDE,
    "wide",
    "numeric(38,10)",
    [
        "0.0000000000",
        "1.0000000000",
        "-3.0000000000",
        "0.0000000001",
        "123456789012.0000000005",
        "-0.3333333333"
    ]
);
kind!(
    F,
    "f",
    "double precision",
    [
        "0",
        "1",
        "1.5",
        "-2.5",
        "0.1",
        "3.5",
        "100",
        "-7",
        "1e300",
        "1e-7",
        "123456789012345680",
        "NaN",
        "Infinity",
        "-Infinity"
    ]
);
kind!(
    FF,
    "ff",
    "double precision",
    ["0", "0.5", "1", "-1", "-0.25", "2", "10", "1.5"]
);
kind!(
    T,
    "t",
    "text",
    [
        "", "a", "abc", "Abc", "a_c", "a%c", "  pad ", "äöü", "ß", "a,b,,c", "x\ny", "b\\c", "12",
        "a.c", "aa"
    ]
);
kind!(
    PAT,
    "pat",
    "text",
    [
        "", "a", "abc", "a%", "%c", "a_c", "_", "%", "a\\_c", "A%", "%b%", "b\\\\c", "a.c"
    ]
);
kind!(
    RE,
    "re",
    "text",
    [
        "a", "^a", "c$", "a.c", "[a-c]+", "(a|b)c?", "^$", "b*", "\\d", "\\s+", "A", "x.y",
        "^abc$", "a|ab|abc", "(a|ab)c"
    ]
);
kind!(
    SIM,
    "sim",
    "text",
    [
        "abc",
        "a_c",
        "b",
        "%b%",
        "(a|b)%",
        "a{2}",
        "[a-c]+",
        "[^a]%",
        "a|b",
        "",
        "%",
        "a*",
        "a.c",
        "(abc)?",
        "[[:alpha:]]*",
        "[[:alpha:][:digit:]_]+",
        "[^[:space:]]+",
        "[]a]%",
        "[^]]%",
        "\\d+",
        "\\s%",
        "\\Aabc",
        "a\\_c",
        "[a\\-c]+",
        "\\D%",
        "[\\d]+",
        "a\\.c",
        "\\%",
        "a{1,2}",
        "[ab-]%",
        "%[[:punct:]]%",
        "a[[.b.]]c",
        "\\babc",
        "\\mabc\\M"
    ]
);
kind!(SEP, "sep", "text", [",", "", "a", " ", "bc"]);
kind!(
    D,
    "d",
    "date",
    [
        "2024-02-29",
        "1970-01-01",
        "1969-12-31",
        "2023-12-31",
        "2024-03-31",
        "0001-01-01",
        "9999-12-31",
        "2024-10-27",
        "1900-01-07"
    ]
);
kind!(
    TS,
    "ts",
    "timestamp",
    [
        "2024-02-29 12:34:56.789",
        "2024-02-27 10:34:56.789",
        "1970-01-01 00:00:00",
        "1969-12-31 23:59:59.999999",
        "2023-12-31 23:59:59",
        "2024-01-31 00:00:00",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "2024-10-27 02:30:00"
    ]
);
kind!(
    TZ,
    "tz",
    "timestamptz",
    [
        "2024-02-29 12:34:56.789+00",
        "2024-02-27 10:34:56.789+00",
        "1970-01-01 00:00:00+00",
        "1969-12-31 23:59:59.999999+00",
        "2024-03-31 01:30:00+00",
        "2024-10-27 00:30:00+00",
        "0001-01-01 00:00:00+00"
    ]
);
kind!(
    IV,
    "iv",
    "interval",
    [
        "0 0 0",
        "0 2 7200000000",
        "0 0 129600000000",
        "0 1 0",
        "1 0 0",
        "0 30 0",
        "0 -1 0",
        "14 3 14706500000",
        "-1 0 3600000000",
        "0 1 -3600000000",
        "12 0 0",
        "0 0 1"
    ]
);
kind!(
    ZONE,
    "zone",
    "text",
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "+02:00",
        "-05:30",
        "+2",
        "-11",
        "europe/paris"
    ]
);
kind!(
    NUMTEXT,
    "numtext",
    "text",
    [
        "1",
        " 2 ",
        "-3",
        "+4",
        "1.5",
        "abc",
        "",
        "1e3",
        "99999999999",
        "NaN",
        "inf",
        "0x10",
        "1_000",
        "0.1234567891",
        "1.12345678901234",
        "0.00000000001",
        "1e-12",
        "12.500000000000000",
        "١"
    ]
);
kind!(
    BOOLTEXT,
    "booltext",
    "text",
    [
        "t", "true", "TRUE", " yes ", "on", "1", "f", "no", "off", "0", "maybe", "", "tr", "2"
    ]
);
kind!(
    TIMETEXT,
    "timetext",
    "text",
    [
        "2024-02-29",
        "2024-02-29 10:15",
        "2024-02-29 10:15:30",
        "2024-02-29T10:15:30.123456",
        "2024-02-29 10:15:30+02",
        "2024-02-29T10:15:30Z",
        "2024-02-29 10:15:30.1234567",
        "2024-02-30",
        "2024-2-3",
        "20240229",
        "  2024-02-29 ",
        "2024-02-29 10:15:30-05:30",
        "abc",
        "",
        "2024-02-29 24:00:00",
        "9999-12-31 23:59:59.999999",
        "1500-01-01",
        "2024-02-29 10",
        "12:00",
        "2024-13-01",
        "2024/02/29",
        "2024-02-29 10:15:60",
        "2024-02-29 10:15 +01:00",
        "29 Feb 2024",
        "february 29, 2024 10:15",
        "2024-FEB-29 10:15:30",
        "Sept-3-2024",
        "3 May 2024 10:15+02",
        "31 June 2024",
        "29 Fev 2024",
        "infinity"
    ]
);
kind!(
    IVTEXT,
    "ivtext",
    "text",
    [
        "1 day",
        "2 days 3 hours",
        "1 mon",
        "1 year 2 months",
        "-1 day",
        "36 hours",
        "1:30",
        "01:02:03.5",
        "1.5 days",
        "P1DT2H",
        "abc",
        "",
        "1 week",
        "3 d",
        "10 minutes",
        "1.5 hours"
    ]
);
kind!(
    UNIT,
    "unit",
    "text",
    [
        "year", "quarter", "month", "week", "day", "hour", "minute", "second"
    ]
);
kind!(BYTETEXT, "bytetext", "text", ["", "abc", "äöü"]);
kind!(
    JSON,
    "json",
    "text",
    [
        "{\"a\": 1, \"b\": {\"c\": [1, 2.50, null, \"x\"]}}",
        "[1, \"two\", null, {\"k\": true}]",
        "\"text\"",
        "12.50",
        "null",
        "true",
        "{}",
        "[]",
        "{\"a\": null, \"a\": \"last\"}",
        "{\"a\": \"q\\\"uo\\u00e9\\n\"}",
        "{\"a\":1e5,\"\": 3}"
    ]
);
kind!(JSONKEY, "jsonkey", "text", ["a", "b", "", "zz", "0"]);

/// All of them.
pub(crate) const TYPES: &[&Kind] = &[
    BOOL, I4, I8, SMALL, N, N4, WIDE, F, FF, T, PAT, RE, SIM, SEP, D, TS, TZ, IV, ZONE, NUMTEXT,
    BOOLTEXT, TIMETEXT, IVTEXT, UNIT, BYTETEXT, JSON, JSONKEY,
];

/// A value as PostgreSQL reads it.
pub(crate) fn literal(value: &Option<&str>) -> String {
    let Some(text) = value else {
        return "null".to_owned();
    };
    match interval(text) {
        Some(it) => {
            let micros = it.nanoseconds / 1_000;
            format!(
                "make_interval(months => {}, days => {}, secs => {}.0 / 1000000)",
                it.months, it.days, micros
            )
        }
        None => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Months, days and microseconds.
fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    let parts: Vec<i64> = text
        .split(' ')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        [months, days, micros] => Some(IntervalMonthDayNano::new(
            i32::try_from(*months).ok()?,
            i32::try_from(*days).ok()?,
            micros * 1_000,
        )),
        _ => None,
    }
}

impl Kind {
    /// The values at these places as a column.
    pub(crate) fn column(&self, at: &[usize]) -> ArrayRef {
        let picked = at.iter().map(|at| self.values[*at]);
        match self.postgres {
            "boolean" => Arc::new(
                picked
                    .map(|v| v.map(|v| v == "true"))
                    .collect::<BooleanArray>(),
            ),
            "int" => Arc::new(
                picked
                    .map(|v| v.map(|v| v.parse::<i32>().unwrap()))
                    .collect::<Int32Array>(),
            ),
            "bigint" => Arc::new(
                picked
                    .map(|v| v.map(|v| v.parse::<i64>().unwrap()))
                    .collect::<Int64Array>(),
            ),
            "double precision" => Arc::new(
                picked
                    .map(|v| v.map(|v| v.parse::<f64>().unwrap()))
                    .collect::<Float64Array>(),
            ),
            decimal if decimal.starts_with("numeric(") => {
                let (digits, places) = decimal["numeric(".len()..]
                    .trim_end_matches(')')
                    .split_once(',')
                    .unwrap();
                Arc::new(
                    picked
                        .map(|v| v.map(|v| v.replace('.', "").parse::<i128>().unwrap()))
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(digits.parse().unwrap(), places.parse().unwrap())
                        .unwrap(),
                )
            }
            "date" => Arc::new(
                picked
                    .map(|v| v.map(|v| days(v.parse().unwrap())))
                    .collect::<Date32Array>(),
            ),
            "timestamp" => Arc::new(
                picked
                    .map(|v| v.map(micros))
                    .collect::<TimestampMicrosecondArray>(),
            ),
            "timestamptz" => Arc::new(
                picked
                    .map(|v| v.map(|v| micros(v.trim_end_matches("+00"))))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            "interval" => Arc::new(
                picked
                    .map(|v| v.map(|v| interval(v).unwrap()))
                    .collect::<IntervalMonthDayNanoArray>(),
            ),
            _ => Arc::new(picked.collect::<StringArray>()),
        }
    }
}

fn days(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap()
}

fn micros(text: &str) -> i64 {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .unwrap()
        .and_utc()
        .timestamp_micros()
}
