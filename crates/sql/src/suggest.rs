//! "Did you mean": the nearest known name, if one is near enough.
//!
//! It ignores case, and does not know what the names mean.

/// The candidate that is nearest to `word`, if it was probably meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (nearness(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(nearness, _)| *nearness >= 0.75)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))
        .map(|(_, candidate)| candidate)
}

/// From 0 (nothing in common) to 1 (equal). A name that starts with the whole word counts as near:
/// `customer` for `customer_id`.
fn nearness(wanted: &str, candidate: &str) -> f64 {
    if wanted == candidate {
        return 1.0;
    }
    let similar = strsim::normalized_damerau_levenshtein(wanted, candidate)
        .max(strsim::jaro(wanted, candidate) - 0.05);
    let shorter = wanted.chars().count().min(candidate.chars().count());
    let starts = shorter >= 3 && (candidate.starts_with(wanted) || wanted.starts_with(candidate));
    if starts { similar.max(0.9) } else { similar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["order_id", "customer_id", "total", "status", "updated_at"];
        assert_eq!(closest("customer", names), Some("customer_id"));
        assert_eq!(closest("totl", names), Some("total"));
        assert_eq!(closest("STATUS", names), Some("status"));
        assert_eq!(closest("updatedat", names), Some("updated_at"));
        assert_eq!(closest("weather", names), None);
    }
}
