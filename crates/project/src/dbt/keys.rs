//! Every key of dbt's files, declared once: what this version does with it.
//!
//! Promise: data only. A key has an effect, describes something for people, or is known but not supported;
//! then the declaration says what that means. It does not know values. Read next: `judge.rs`, which uses
//! it.

/// What this version does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It has the same effect as in dbt.
    Obeyed,
    /// It is a description, or concerns dbt's own program; no table depends on it.
    Describes,
    /// Not supported, and rows or guarantees would differ: an error.
    Refused(&'static str),
    /// Not supported, and rows are the same without it: a warning.
    Warned(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DbtKey {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
}

/// The keys of one place in dbt's files.
#[derive(Debug)]
pub(crate) struct DbtKeys {
    /// The name of the place in messages: `config of a model`.
    pub(crate) noun: &'static str,
    pub(crate) keys: &'static [DbtKey],
}

impl DbtKeys {
    pub(crate) fn find(&self, name: &str) -> Option<&DbtKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

const fn obeyed(name: &'static str) -> DbtKey {
    let effect = Effect::Obeyed;
    DbtKey { name, effect }
}

const fn describes(name: &'static str) -> DbtKey {
    let effect = Effect::Describes;
    DbtKey { name, effect }
}

const fn refused(name: &'static str, why: &'static str) -> DbtKey {
    let effect = Effect::Refused(why);
    DbtKey { name, effect }
}

const fn warned(name: &'static str, why: &'static str) -> DbtKey {
    let effect = Effect::Warned(why);
    DbtKey { name, effect }
}

const HOOK: &str =
    "Towpath runs no statement before or after a model: make it a model, or a `command` step";
const ONE_DATABASE: &str = "all tables are in the project's lakehouse";
const RIGHTS: &str = "permissions are those of the lakehouse's files";
const LAYOUT: &str = "it belongs to a different warehouse; tables here are Delta tables";
const COMMENTS: &str = "descriptions are not written into the lakehouse";
const BATCHES: &str = "models are not built in batches of time";
const FAILURES: &str = "rows that break a test are not stored: ask for them with `towpath query`";

/// `config` of a model: in its file, in YAML, or in `dbt_project.yml`.
pub(crate) static MODEL_CONFIG: DbtKeys = DbtKeys {
    noun: "config of a model",
    keys: &[
        obeyed("materialized"),
        obeyed("enabled"),
        obeyed("schema"),
        obeyed("alias"),
        obeyed("unique_key"),
        obeyed("incremental_strategy"),
        obeyed("on_schema_change"),
        obeyed("full_refresh"),
        refused(
            "merge_update_columns",
            "a merge replaces all columns of a row; leave the others as they are in the model's SQL",
        ),
        refused(
            "merge_exclude_columns",
            "a merge replaces all columns of a row; leave the others as they are in the model's SQL",
        ),
        refused(
            "incremental_predicates",
            "a merge reads the whole table: write the condition into the model's SQL",
        ),
        refused(
            "predicates",
            "a merge reads the whole table: write the condition into the model's SQL",
        ),
        refused("pre_hook", HOOK),
        refused("pre-hook", HOOK),
        refused("post_hook", HOOK),
        refused("post-hook", HOOK),
        refused("sql_header", HOOK),
        refused(
            "contract",
            "columns and types are not compared with a contract: test them, or leave it out",
        ),
        describes("tags"),
        describes("meta"),
        describes("docs"),
        describes("description"),
        describes("group"),
        describes("access"),
        describes("labels"),
        describes("query_tag"),
        warned("database", ONE_DATABASE),
        warned("catalog", ONE_DATABASE),
        warned("grants", RIGHTS),
        warned("copy_grants", RIGHTS),
        warned("persist_docs", COMMENTS),
        warned("event_time", BATCHES),
        warned("begin", BATCHES),
        warned("batch_size", BATCHES),
        warned("lookback", BATCHES),
        warned("concurrent_batches", BATCHES),
        warned("quoting", "Towpath quotes names where they need it"),
        warned("indexes", LAYOUT),
        warned("unlogged", LAYOUT),
        warned("transient", LAYOUT),
        warned("partition_by", LAYOUT),
        warned("partitions", LAYOUT),
        warned("cluster_by", LAYOUT),
        warned("automatic_clustering", LAYOUT),
        warned("snowflake_warehouse", LAYOUT),
        warned("secure", LAYOUT),
        warned("table_type", LAYOUT),
        warned("table_format", LAYOUT),
        warned("dist", LAYOUT),
        warned("sort", LAYOUT),
        warned("sort_type", LAYOUT),
        warned("bind", LAYOUT),
        warned("backup", LAYOUT),
        warned("file_format", LAYOUT),
        warned("location", LAYOUT),
        warned("location_root", LAYOUT),
        warned("partitioned_by", LAYOUT),
        warned("clustered_by", LAYOUT),
        warned("liquid_clustered_by", LAYOUT),
        warned("buckets", LAYOUT),
        warned("tblproperties", LAYOUT),
        warned("kms_key_name", LAYOUT),
        warned("hours_to_expiration", "tables do not expire by themselves"),
        warned("require_partition_filter", LAYOUT),
        warned("packages", "it belongs to models in Python"),
        warned("submission_method", "it belongs to models in Python"),
    ],
};

/// Keys of `config` that only concern incremental models; for other models dbt ignores them too.
pub(crate) const INCREMENTAL_ONLY: &[&str] = &[
    "merge_update_columns",
    "merge_exclude_columns",
    "incremental_predicates",
    "predicates",
];

/// `config` of a seed.
pub(crate) static SEED_CONFIG: DbtKeys = DbtKeys {
    noun: "config of a seed",
    keys: &[
        obeyed("enabled"),
        obeyed("schema"),
        obeyed("alias"),
        obeyed("delimiter"),
        obeyed("quote_columns"),
        obeyed("column_types"),
        refused("pre_hook", HOOK),
        refused("pre-hook", HOOK),
        refused("post_hook", HOOK),
        refused("post-hook", HOOK),
        // A seed is always read as a whole.
        describes("full_refresh"),
        describes("tags"),
        describes("meta"),
        describes("docs"),
        describes("description"),
        describes("group"),
        warned("database", ONE_DATABASE),
        warned("catalog", ONE_DATABASE),
        warned("grants", RIGHTS),
        warned("copy_grants", RIGHTS),
        warned("persist_docs", COMMENTS),
        warned("event_time", BATCHES),
        warned("quoting", "Towpath quotes names where they need it"),
    ],
};

/// `config` of a source, or of one of its tables.
pub(crate) static SOURCE_CONFIG: DbtKeys = DbtKeys {
    noun: "config of a source",
    keys: &[
        obeyed("enabled"),
        describes("tags"),
        describes("meta"),
        describes("docs"),
        warned("freshness", FRESHNESS),
        warned("loaded_at_field", FRESHNESS),
        warned("loaded_at_query", FRESHNESS),
        warned("event_time", BATCHES),
    ],
};

const FRESHNESS: &str =
    "put a check at the table that a step loads: `- freshness: { updated_at: 24h }`";

/// `config` of a test, and the keys that are allowed next to its arguments.
pub(crate) static TEST_CONFIG: DbtKeys = DbtKeys {
    noun: "config of a test",
    keys: &[
        obeyed("enabled"),
        obeyed("severity"),
        obeyed("where"),
        obeyed("warn_if"),
        obeyed("error_if"),
        obeyed("name"),
        refused(
            "fail_calc",
            "a test counts the rows that break it: write the sum into an `expression` check",
        ),
        warned("limit", "all rows that break the test are counted"),
        warned("store_failures", FAILURES),
        warned("store_failures_as", FAILURES),
        describes("description"),
        describes("tags"),
        describes("meta"),
        describes("docs"),
        describes("group"),
        describes("alias"),
        describes("schema"),
        describes("database"),
    ],
};

/// A file of properties: `models/*.yml`, `seeds/*.yml`, `macros/*.yml`.
pub(crate) static PROPERTIES: DbtKeys = DbtKeys {
    noun: "file of properties",
    keys: &[
        obeyed("models"),
        obeyed("sources"),
        obeyed("seeds"),
        describes("version"),
        describes("macros"),
        describes("analyses"),
        describes("exposures"),
        describes("groups"),
        describes("anchors"),
        describes("metrics"),
        describes("semantic_models"),
        describes("saved_queries"),
        warned("snapshots", "this version does not build snapshots"),
        warned("unit_tests", "unit tests are not run in this version"),
        warned(
            "tests",
            "tests in files of their own are not run in this version",
        ),
        warned(
            "data_tests",
            "tests in files of their own are not run in this version",
        ),
        warned(
            "functions",
            "this version does not create functions of a project",
        ),
    ],
};

/// An entry of `models:`.
pub(crate) static MODEL: DbtKeys = DbtKeys {
    noun: "model's entry",
    keys: &[
        obeyed("name"),
        obeyed("config"),
        obeyed("columns"),
        obeyed("tests"),
        obeyed("data_tests"),
        describes("description"),
        describes("docs"),
        describes("meta"),
        describes("tags"),
        describes("group"),
        describes("access"),
        describes("primary_entity"),
        describes("time_spine"),
        describes("agg_time_dimension"),
        describes("semantic_model"),
        warned(
            "constraints",
            "write a test: a constraint without a contract is not enforced",
        ),
        warned(
            "deprecation_date",
            "Towpath gives no warning when the date comes",
        ),
        warned("unit_tests", "unit tests are not run in this version"),
        refused(
            "versions",
            "a model has one version: give each a file and a name of its own",
        ),
        refused("latest_version", "a model has one version"),
    ],
};

/// A column of a model, a seed or a source's table.
pub(crate) static COLUMN: DbtKeys = DbtKeys {
    noun: "column's entry",
    keys: &[
        obeyed("name"),
        obeyed("tests"),
        obeyed("data_tests"),
        describes("description"),
        describes("data_type"),
        describes("docs"),
        describes("meta"),
        describes("tags"),
        describes("quote"),
        describes("config"),
        describes("policy_tags"),
        describes("granularity"),
        describes("entity"),
        describes("dimension"),
        warned(
            "constraints",
            "write a test: a constraint without a contract is not enforced",
        ),
    ],
};

/// An entry of `seeds:`.
pub(crate) static SEED: DbtKeys = DbtKeys {
    noun: "seed's entry",
    keys: &[
        obeyed("name"),
        obeyed("config"),
        obeyed("columns"),
        obeyed("tests"),
        obeyed("data_tests"),
        describes("description"),
        describes("docs"),
        describes("meta"),
        describes("tags"),
        describes("group"),
    ],
};

/// An entry of `sources:`.
pub(crate) static SOURCE: DbtKeys = DbtKeys {
    noun: "source's entry",
    keys: &[
        obeyed("name"),
        obeyed("schema"),
        obeyed("tables"),
        obeyed("config"),
        describes("description"),
        describes("docs"),
        describes("meta"),
        describes("tags"),
        describes("loader"),
        warned("database", ONE_DATABASE),
        warned("freshness", FRESHNESS),
        warned("loaded_at_field", FRESHNESS),
        warned("loaded_at_query", FRESHNESS),
        warned("quoting", "Towpath quotes names where they need it"),
        refused("overrides", "packages are not installed in this version"),
    ],
};

/// A table of a source.
pub(crate) static SOURCE_TABLE: DbtKeys = DbtKeys {
    noun: "source table's entry",
    keys: &[
        obeyed("name"),
        obeyed("identifier"),
        obeyed("columns"),
        obeyed("tests"),
        obeyed("data_tests"),
        obeyed("config"),
        describes("description"),
        describes("docs"),
        describes("meta"),
        describes("tags"),
        describes("loader"),
        warned("external", "a step loads the table: `load: CONNECTION`"),
        warned("freshness", FRESHNESS),
        warned("loaded_at_field", FRESHNESS),
        warned("loaded_at_query", FRESHNESS),
        warned("quoting", "Towpath quotes names where they need it"),
    ],
};

/// `dbt_project.yml`.
pub(crate) static PROJECT: DbtKeys = DbtKeys {
    noun: "dbt project",
    keys: &[
        obeyed("name"),
        obeyed("models"),
        obeyed("seeds"),
        obeyed("vars"),
        obeyed("model-paths"),
        obeyed("source-paths"),
        obeyed("seed-paths"),
        obeyed("data-paths"),
        obeyed("macro-paths"),
        describes("version"),
        describes("config-version"),
        describes("require-dbt-version"),
        describes("profile"),
        describes("target-path"),
        describes("log-path"),
        describes("clean-targets"),
        describes("docs-paths"),
        describes("asset-paths"),
        describes("analysis-paths"),
        describes("test-paths"),
        describes("snapshot-paths"),
        describes("function-paths"),
        describes("packages-install-path"),
        describes("query-comment"),
        describes("flags"),
        describes("exposures"),
        describes("metrics"),
        describes("semantic-models"),
        describes("saved-queries"),
        describes("dbt-cloud"),
        warned("snapshots", "this version does not build snapshots"),
        warned("unit_tests", "unit tests are not run in this version"),
        warned(
            "functions",
            "this version does not create functions of a project",
        ),
        warned("quoting", "Towpath quotes names where they need it"),
        warned("restrict-access", "every model may refer to every other"),
        refused("on-run-start", "use a `command` step"),
        refused("on-run-end", "use a `command` step"),
        refused(
            "dispatch",
            "macros of packages are not searched in this version",
        ),
        refused("tests", "give each test its `config:` in YAML"),
        refused("data_tests", "give each test its `config:` in YAML"),
        refused("sources", "give each source its `config:` in YAML"),
    ],
};
