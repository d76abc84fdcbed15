//! Formats of dates and times: those of strftime, with `%`, and the letters that other programs use.
//!
//! Promise: pure text. It knows neither who reads a format nor with which library.

/// The letters of PostgreSQL and of spreadsheets, the longer ones first, and ours.
const LETTERS: &[(&str, &str)] = &[
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("Month", "%B"),
    ("Mon", "%b"),
    ("Day", "%A"),
    ("DDD", "%j"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("mm", "%M"),
    ("SS", "%S"),
    ("ss", "%S"),
    ("YY", "%y"),
    ("Dy", "%a"),
    ("US", "%6f"),
    ("MS", "%3f"),
];

/// The format that was probably meant by one without `%`; `None` where nothing in it is a known letter.
pub fn meant(format: &str) -> Option<String> {
    if format.contains('%') {
        return None;
    }
    let ours = LETTERS
        .iter()
        .fold(format.to_owned(), |text, (theirs, ours)| {
            text.replace(theirs, ours)
        });
    (ours != format).then_some(ours)
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn letters_of_others_are_recognised() {
        assert_eq!(meant("DD.MM.YYYY").as_deref(), Some("%d.%m.%Y"));
        assert_eq!(
            meant("YYYY-MM-DD HH24:MI:SS").as_deref(),
            Some("%Y-%m-%d %H:%M:%S")
        );
        assert_eq!(meant("%d.%m.%Y"), None);
        assert_eq!(meant("now"), None);
    }
}
