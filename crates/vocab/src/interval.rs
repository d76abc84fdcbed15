//! Formats an interval as text, as PostgreSQL does.
//!
//! Promise: each part has its own sign, larger units come first, and a part that is zero is left out. It
//! does not parse intervals and does not compute with them.

/// `1 year 2 mons 3 days 04:05:06.5`.
pub fn text(months: i32, days: i32, micros: i64) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut before_is_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let sign = if before_is_negative && value > 0 {
                "+"
            } else {
                ""
            };
            let many = if value == 1 { "" } else { "s" };
            out.push(format!("{sign}{value} {unit}{many}"));
            before_is_negative = value < 0;
        }
    }
    if micros != 0 || out.is_empty() {
        let sign = match (micros < 0, before_is_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let size = micros.unsigned_abs();
        let (seconds, rest) = (size / 1_000_000, size % 1_000_000);
        let mut time = format!(
            "{sign}{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        if rest != 0 {
            time.push_str(format!(".{rest:06}").trim_end_matches('0'));
        }
        out.push(time);
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn parts_have_their_own_sign() {
        assert_eq!(
            text(14, -3, 14_706_500_000),
            "1 year 2 mons -3 days +04:05:06.5"
        );
        assert_eq!(text(1, 0, 0), "1 mon");
        assert_eq!(text(0, 0, 0), "00:00:00");
        assert_eq!(text(0, 2, -1), "2 days -00:00:00.000001");
    }
}
