//! `x AT TIME ZONE zone`, with PostgreSQL's results.
//!
//! A timestamp without a zone is local time in that zone and becomes an instant; an instant becomes local
//! time in that zone. A local time that occurs twice is the later instant. A local time that is skipped is
//! read with the offset before the change. Names of zones are not case-sensitive.

use std::sync::Arc;

use arrow_array::timezone::Tz;
use arrow_array::{Array, TimestampMicrosecondArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::TZ_VARIANTS;
use datafusion_common::cast::{as_string_array, as_timestamp_microsecond_array};
use datafusion_common::{Result, exec_datafusion_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function in place of `AT TIME ZONE`.
pub(crate) const AT_TIME_ZONE: &str = "at_time_zone";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(AtTimeZone::new()))]
}

/// `at_time_zone(moment, zone)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl AtTimeZone {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

fn instants() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn wall() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

pub(super) fn zone(text: &str) -> Result<Tz> {
    // An offset counts to the west, as in POSIX: `+02:00` is two hours behind Greenwich. The library counts
    // to the east, so it is not asked about other texts with a sign.
    let known = match text.starts_with(['+', '-']) {
        true => to_the_west(text).and_then(|offset| offset.parse().ok()),
        false => text.parse().ok().or_else(|| {
            let mut all = TZ_VARIANTS.iter().map(|zone| zone.name());
            let name = all.find(|name| name.eq_ignore_ascii_case(text))?;
            name.parse().ok()
        }),
    };
    known.ok_or_else(|| {
        exec_datafusion_err!(
            "`{text}` is not a time zone; examples of time zones are `Europe/Berlin`, `UTC` and `+02:00`"
        )
    })
}

/// `+2` and `+02:30` as the offset to the east with the same meaning.
fn to_the_west(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => ('-', rest),
        None => ('+', text.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let is_part = |part: &str| {
        (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_part(hours) && is_part(minutes)).then(|| format!("{sign}{hours:0>2}:{minutes:0>2}"))
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        AT_TIME_ZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [moment, zone] = types else {
            return plan_err!("`AT TIME ZONE` takes a timestamp and a zone");
        };
        if !zone.is_string() && !zone.is_null() {
            return plan_err!("`AT TIME ZONE` takes the name of a zone, here is {zone}");
        }
        let moment = match moment {
            DataType::Timestamp(_, Some(_)) => instants(),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Null => wall(),
            other if other.is_string() => wall(),
            other => return plan_err!("`AT TIME ZONE` takes a timestamp, here is {other}"),
        };
        Ok(vec![moment, DataType::Utf8])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first() {
            Some(DataType::Timestamp(_, Some(_))) => wall(),
            _ => instants(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [moments, zones] = args.args.as_slice() else {
            return plan_err!("`AT TIME ZONE` takes a timestamp and a zone");
        };
        let moments = moments.to_array(args.number_rows)?;
        let to_wall = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
        let moments = as_timestamp_microsecond_array(&moments)?;
        let zones = zones.to_array(args.number_rows)?;
        let zones = as_string_array(&zones)?;
        let mut known: Option<(&str, Tz)> = None;
        let mut out = Vec::with_capacity(moments.len());
        for row in 0..moments.len() {
            if moments.is_null(row) || zones.is_null(row) {
                out.push(None);
                continue;
            }
            let name = zones.value(row);
            let there = match known {
                Some((last, there)) if last == name => there,
                _ => zone(name)?,
            };
            known = Some((name, there));
            let at = DateTime::from_timestamp_micros(moments.value(row))
                .ok_or_else(|| {
                    exec_datafusion_err!("`AT TIME ZONE` gives a value outside the calendar")
                })?
                .naive_utc();
            out.push(Some(match to_wall {
                true => seen_there(at, there)?,
                false => instant_of(at, there)?,
            }));
        }
        let moved = TimestampMicrosecondArray::from(out);
        Ok(ColumnarValue::Array(cast(
            &moved,
            args.return_field.data_type(),
        )?))
    }
}

pub(super) fn seen_there(at: NaiveDateTime, there: Tz) -> Result<i64> {
    let offset = there.offset_from_utc_datetime(&at).fix();
    at.checked_add_offset(offset)
        .map(|wall| wall.and_utc().timestamp_micros())
        .ok_or_else(|| exec_datafusion_err!("`AT TIME ZONE` gives a value outside the calendar"))
}

pub(super) fn instant_of(wall: NaiveDateTime, there: Tz) -> Result<i64> {
    let offset = match there.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => Some(offset.fix()),
        LocalResult::None => before_skipped(wall, there),
    };
    offset
        .and_then(|offset| wall.checked_sub_offset(offset))
        .map(|at| at.and_utc().timestamp_micros())
        .ok_or_else(|| exec_datafusion_err!("`AT TIME ZONE` gives a value outside the calendar"))
}

/// The offset before a skipped local time. Read as UTC, the time one day later is after the change in every
/// zone; minus the offset of that moment, it leads to the moment directly before the change.
fn before_skipped(wall: NaiveDateTime, there: Tz) -> Option<FixedOffset> {
    let later = wall.checked_add_signed(TimeDelta::days(1))?;
    let after = there.offset_from_utc_datetime(&later).fix();
    let before = wall.checked_sub_offset(after)?;
    Some(there.offset_from_utc_datetime(&before).fix())
}
