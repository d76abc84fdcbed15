//! Text to values: the exact readings of `vocab::text`, and dates and timestamps by a user's pattern.
//!
//! Promise: a value is exact or refused, by a pattern too. It knows no column and no null: see
//! `column.rs`; what type a column without a declared one has is decided in `infer.rs`.

pub(crate) use towpath_vocab::text::{
    Moment, beyond_doubles, boolean, date, decimal, double, exact_double, exact_single, integer,
    single, timestamp, unsigned,
};

/// How dates and timestamps are written, where not in ISO 8601 (patterns of `chrono`).
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeFormats {
    pub(crate) date: Option<String>,
    pub(crate) timestamp: Option<String>,
    /// The pattern holds an offset.
    pub(crate) offset: bool,
}

impl TimeFormats {
    /// Formats by option.
    pub(crate) fn read(date: Option<String>, timestamp: Option<String>) -> Self {
        let offset = timestamp
            .as_deref()
            .is_some_and(|pattern| pattern.contains("%z") || pattern.contains("%:z"));
        Self {
            date,
            timestamp,
            offset,
        }
    }

    /// Days since 1970.
    #[inline]
    pub(crate) fn date(&self, text: &[u8]) -> Option<i32> {
        match &self.date {
            None => date(text),
            Some(pattern) => {
                let date =
                    chrono::NaiveDate::parse_from_str(std::str::from_utf8(text).ok()?, pattern)
                        .ok()?;
                i32::try_from(
                    date.signed_duration_since(chrono::NaiveDate::default())
                        .num_days(),
                )
                .ok()
            }
        }
    }

    /// A point in time, by the user's pattern or in ISO 8601.
    #[inline]
    pub(crate) fn timestamp(&self, text: &[u8]) -> Option<Moment> {
        let Some(pattern) = &self.timestamp else {
            return timestamp(text);
        };
        let text = std::str::from_utf8(text).ok()?;
        if self.offset {
            let moment = chrono::DateTime::parse_from_str(text, pattern).ok()?;
            whole_micros(moment.timestamp_subsec_nanos())?;
            return Some(Moment {
                micros: moment.timestamp_micros(),
                zoned: true,
            });
        }
        let moment = chrono::NaiveDateTime::parse_from_str(text, pattern)
            .ok()?
            .and_utc();
        whole_micros(moment.timestamp_subsec_nanos())?;
        Some(Moment {
            micros: moment.timestamp_micros(),
            zoned: false,
        })
    }
}

fn whole_micros(nanos: u32) -> Option<()> {
    nanos.is_multiple_of(1_000).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_user() {
        let formats = TimeFormats::read(Some("%d/%m/%Y".into()), Some("%d.%m.%Y %H:%M".into()));
        assert_eq!(formats.date(b"03/02/2013"), date(b"2013-02-03"));
        assert_eq!(formats.date(b"2013-02-03"), None);
        assert_eq!(
            formats.timestamp(b"03.02.2013 07:30"),
            timestamp(b"2013-02-03T07:30:00")
        );
    }
}
