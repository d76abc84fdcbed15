//! Which functions of the engine are offered, and what to write instead of the others.
//!
//! Promise: a function that nobody has compared with PostgreSQL is not offered. Those below are asked in
//! the suite (`crates/engine/tests/meaning`), or PostgreSQL does not have them and a name of another system
//! says what they do. It does not know our own functions; those are beside this file.

/// Scalar functions of the engine, by their first name.
const SCALAR: &[&str] = &[
    // Numbers.
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh",
    "cot", "degrees", "exp", "factorial", "floor", "gcd", "isnan", "iszero", "lcm", "ln", "log",
    "log10", "log2", "nanvl", "pi", "power", "radians", "random", "round", "signum", "sin", "sinh",
    "sqrt", "tan", "tanh", "trunc",
    // Choice.
    "coalesce", "greatest", "least", "nullif", "nvl", "nvl2",
    // Text.
    "ascii", "bit_length", "btrim", "character_length", "concat", "concat_ws", "contains",
    "ends_with", "find_in_set", "initcap", "left", "levenshtein", "lower", "ltrim", "octet_length",
    "overlay", "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace",
    "repeat", "replace", "reverse", "right", "rtrim", "split_part", "starts_with", "strpos", "substr",
    "substr_index", "translate", "upper", "uuid",
    // Bytes.
    "decode", "digest", "encode", "md5", "sha224", "sha256", "sha384", "sha512",
    // Dates and times.
    "current_date", "current_time", "date_bin", "from_unixtime", "make_time", "now", "to_char",
    "to_date", "to_local_time", "to_time", "to_timestamp", "to_timestamp_micros",
    "to_timestamp_millis", "to_timestamp_nanos", "to_timestamp_seconds", "to_unixtime",
    // Types, and what operators become.
    "arrow_cast", "arrow_try_cast", "arrow_typeof", "get_field", "named_struct", "struct", "version",
    // Lists and maps.
    "array_any_value", "array_append", "array_concat", "array_distance", "array_distinct",
    "array_element", "array_except", "array_has", "array_has_all", "array_has_any",
    "array_intersect", "array_length", "array_max", "array_min", "array_ndims", "array_pop_back",
    "array_pop_front", "array_position", "array_positions", "array_prepend", "array_remove",
    "array_remove_all", "array_remove_n", "array_repeat", "array_replace", "array_replace_all",
    "array_replace_n", "array_resize", "array_reverse", "array_slice", "array_sort",
    "array_to_string", "array_union", "arrays_overlap", "cardinality", "empty", "flatten", "generate_series",
    "make_array", "map", "map_entries", "map_extract", "map_keys", "map_values",
    "range", "string_to_array",
];

/// Aggregate functions of the engine.
const AGGREGATE: &[&str] = &[
    "any_value", "approx_distinct", "approx_median", "approx_percentile_cont",
    "approx_percentile_cont_with_weight", "array_agg", "avg", "bit_and", "bit_or", "bit_xor",
    "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp", "first_value", "grouping",
    "last_value", "max", "median", "min", "nth_value", "percentile_cont", "quantile_cont",
    "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx",
    "regr_sxy", "regr_syy", "stddev", "stddev_pop", "string_agg", "sum", "var", "var_pop",
];

/// Functions that are known and not offered, with what to write instead.
const INSTEAD: &[(&str, &str)] = &[
    ("array_dims", "`array_length(x)` gives the length of one dimension"),
    ("arrow_field", "`arrow_typeof(x)` names a type"),
    ("arrow_metadata", "columns carry no metadata here"),
    ("with_metadata", "columns carry no metadata here"),
    ("input_file_name", "a load can keep the name of the file: `columns: { file: { from: _file } }`"),
    ("file_row_index", "number rows with `row_number() over (order by …)`"),
    ("union_extract", "there are no union types here"),
    ("union_tag", "there are no union types here"),
];

/// True for a scalar function of the engine that is offered.
pub(super) fn scalar(name: &str) -> bool {
    SCALAR.contains(&name)
}

/// True for an aggregate function of the engine that is offered.
pub(super) fn aggregate(name: &str) -> bool {
    AGGREGATE.contains(&name)
}

/// What to write instead of a function that is not offered.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}
