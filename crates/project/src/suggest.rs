//! Finds the word that the user probably meant.
//!
//! Promise: a suggestion has nearly the same spelling, or there is none. It does not know what words mean.

/// The nearest known word, if it is similar enough to be a typing mistake.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = match word.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

/// The distance of two words; words with the same start are nearer, so `customer` finds `customer_id`.
fn distance(word: &str, candidate: &str) -> usize {
    let edits = strsim::damerau_levenshtein(word, candidate);
    let starts = word.len() >= 4
        && (candidate.starts_with(word) || word.starts_with(candidate) && candidate.len() >= 4);
    if starts { edits.min(2) } else { edits }
}

/// A list of words, cut after twelve.
pub(crate) fn listing(known: &[&str]) -> String {
    let shown: Vec<&str> = known.iter().take(12).copied().collect();
    let rest = known.len().saturating_sub(shown.len());
    if rest == 0 {
        shown.join(", ")
    } else {
        format!("{}, and {rest} more", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["cursor", "columns", "key", "customer_id", "checks"];
        assert_eq!(nearest("curser", known), Some("cursor"));
        assert_eq!(nearest("customer", known), Some("customer_id"));
        assert_eq!(nearest("kye", known), Some("key"));
        assert_eq!(nearest("watermark", known), None);
        assert_eq!(listing(&known), "cursor, columns, key, customer_id, checks");
    }
}
