//! Every offered function has a case, or PostgreSQL does not have it.
//!
//! Promise: a new function in the registry without a case, and without a line here, fails this test. It
//! does not know values.

use std::collections::BTreeSet;

use crate::expressions::EXPRESSIONS;
use crate::statements::{AGGREGATES, STATEMENTS, WINDOWS};

/// Functions PostgreSQL has no counterpart of, or that give another value each time.
const ONLY_HERE: &[(&str, &str)] = &[
    (
        "other systems have them under this name",
        "signum iszero log2 uuid version find_in_set substr_index levenshtein digest",
    ),
    (
        "times of other systems",
        "from_unixtime to_local_time to_time to_unixtime to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds current_date current_time",
    ),
    (
        "types as the engine calls them",
        "arrow_cast arrow_try_cast arrow_typeof struct json_valid",
    ),
    (
        "lists and maps as DuckDB has them",
        "array_any_value array_distance array_distinct array_except array_has array_has_all array_has_any array_intersect array_max array_min array_pop_back array_pop_front array_remove_all array_remove_n array_repeat array_replace_all array_replace_n array_resize array_reverse array_slice array_sort array_union arrays_overlap empty flatten range map map_entries map_extract map_keys map_values array_any_match array_filter array_transform",
    ),
    (
        "what operators and casts become; each is asked by its operator",
        "moment_minus moment_plus moment_back days_plus days_minus days_between interval_plus interval_minus interval_times interval_divide interval_key greatest_interval least_interval text_of truth_letter at_time_zone similar_to like_escape json_get json_get_text json_at json_at_text json_elements json_elements_text json_keys json plain_text get_field array_element in_range not_nan a_number positive at_most series_stop round_moment any_item all_items or_null decimal_divide decimal_multiply as_numeric try_numeric numeric_to_round longest_first nearest_double nearest_real",
    ),
    (
        "approximate or of other systems",
        "approx_distinct approx_median approx_percentile_cont approx_percentile_cont_with_weight median",
    ),
];

#[test]
fn every_function_is_asked_or_is_only_here() {
    let mut asked = String::new();
    for expression in EXPRESSIONS {
        asked.push_str(expression.ours);
        asked.push('\n');
    }
    for text in AGGREGATES.iter().chain(WINDOWS) {
        asked.push_str(text);
        asked.push('\n');
    }
    for (text, _) in STATEMENTS {
        asked.push_str(text);
        asked.push('\n');
    }
    let is_asked = |name: &str| {
        let call = format!("{name}(");
        asked
            .match_indices(&call)
            .any(|(at, _)| !asked[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let only_here: BTreeSet<&str> = ONLY_HERE
        .iter()
        .flat_map(|(_, names)| names.split(' '))
        .collect();
    let functions = towpath_sql::functions();
    let mut names: Vec<Vec<String>> = Vec::new();
    let all = |name: &str, aliases: &[String]| {
        [name.to_owned()]
            .into_iter()
            .chain(aliases.iter().cloned())
            .collect::<Vec<_>>()
    };
    names.extend(functions.scalar.iter().map(|f| all(f.name(), f.aliases())));
    names.extend(
        functions
            .aggregate
            .iter()
            .map(|f| all(f.name(), f.aliases())),
    );
    names.extend(functions.window.iter().map(|f| all(f.name(), f.aliases())));
    let missing: Vec<&String> = names
        .iter()
        .filter(|names| {
            !names
                .iter()
                .any(|name| is_asked(name) || only_here.contains(name.as_str()))
        })
        .filter_map(|names| names.first())
        .collect();
    assert!(missing.is_empty(), "nobody compared: {missing:?}");
}
