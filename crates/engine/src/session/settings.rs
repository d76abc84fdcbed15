//! Configures DataFusion: one bounded pool, a limited spill folder, one set of functions, one dialect.
//!
//! Promise: no session of this crate can use unlimited memory or disk, and every session has exactly the
//! functions with which `sql` checks projects. It knows no table: `catalog.rs` adds the catalog of each
//! statement.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound as _;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionConfig;

use super::exact::ExactArithmetic;
use super::pool::SharedPool;
use super::spill::SpillFolder;
use super::sum::with_exact_sum;

/// The SQL catalog of the lakehouse's tables.
pub(crate) const CATALOG: &str = "lakehouse";
/// The default schema of names.
pub(crate) const DEFAULT_SCHEMA: &str = "public";
/// Rows per batch inside a plan.
const BATCH_ROWS: usize = 8192;
/// The most cells per batch inside a plan: as many as `BATCH_ROWS` rows of 64 columns.
const BATCH_CELLS: usize = BATCH_ROWS * 64;
/// The least rows per batch, for any number of columns.
const LEAST_ROWS: usize = 128;
/// The size of the cache for footers of data files.
const FOOTER_BYTES: usize = 32 << 20;
/// The memory of a sorted run while it is merged, with room for wide rows.
const MERGED_RUN_BYTES: usize = 16 << 20;
/// The number of consumers in the error of an exhausted pool.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// The limits of all statements.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// The memory of all running statements, in bytes.
    pub memory_bytes: usize,
    /// Where operators spill; each process has its own folder in it. It is created if it is missing.
    pub spill_folder: PathBuf,
    /// The size of all spill files together, in bytes.
    pub spill_bytes: u64,
    /// The threads of one statement.
    pub partitions: usize,
    /// The time limit of one statement; `None` for no limit.
    pub statement_timeout: Option<Duration>,
}

/// The time limit of a statement, as an extension of its session.
#[derive(Debug)]
struct StatementTimeout(Option<Duration>);

/// The time limit of a statement in this session.
pub(crate) fn timeout(state: &SessionState) -> Option<Duration> {
    state.config().get_extension::<StatementTimeout>()?.0
}

impl EngineLimits {
    /// How many sorted runs are merged at once. Without this limit, the first sort that merges would take
    /// all memory, and other sorts would fail.
    fn merge_fan_in(&self) -> usize {
        (self.memory_bytes / self.partitions.max(1) / MERGED_RUN_BYTES).clamp(4, 64)
    }
}

/// The memory and disk that all sessions share.
pub(crate) fn runtime(
    limits: &EngineLimits,
    spill: &SpillFolder,
) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool = TrackConsumersPool::new(SharedPool::new(limits.memory_bytes), NAMED_CONSUMERS);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_temp_file_path(spill.path())
        .with_max_temp_directory_size(limits.spill_bytes)
        .with_max_spill_merge_fan_in(limits.merge_fan_in())
        // A file may change between two queries.
        .with_object_list_cache_limit(0)
        // The cache of footers is not a part of the pool.
        .with_metadata_cache_limit((limits.memory_bytes / 16).min(FOOTER_BYTES))
        .build_arc()
}

/// A session without tables.
///
/// # Errors
/// If DataFusion does not know an option that `sql` requires.
pub(crate) fn session(
    limits: &EngineLimits,
    runtime: Arc<RuntimeEnv>,
) -> Result<SessionState, DataFusionError> {
    let functions = towpath_sql::functions();
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(towpath_sql::OrderedIntervals));
    let state = SessionStateBuilder::new()
        .with_config(config(limits)?)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_scalar_functions(functions.scalar.clone())
        .with_aggregate_functions(with_exact_sum(&functions.aggregate))
        .with_window_functions(functions.window.clone())
        .with_higher_order_functions(functions.higher_order.clone())
        .with_expr_planners(functions.planners.clone())
        .with_analyzer_rules(rules)
        .with_physical_optimizer_rules(super::pushdown::rules())
        .with_analyzer_rule(Arc::new(towpath_sql::MergedKeys))
        .with_analyzer_rule(Arc::new(towpath_sql::RoundedCasts))
        .with_analyzer_rule(Arc::new(towpath_sql::PostgresSemantics))
        .with_analyzer_rule(Arc::new(ExactArithmetic));
    Ok(state.build())
}

/// Begins a statement: sets `now()`, in microseconds like every timestamp outside this crate.
pub(crate) fn begin(state: &mut SessionState) {
    state.mark_start_execution();
    let properties = state.execution_props_mut();
    properties.query_execution_start_time = properties
        .query_execution_start_time
        .map(|now| now.trunc_subsecs(6));
}

/// The session for a plan with so many columns that batches of the usual number of rows would need much
/// memory; `None` if they do not.
pub(crate) fn for_columns(state: &SessionState, columns: usize) -> Option<SessionState> {
    let rows = (BATCH_CELLS / columns.max(1)).max(LEAST_ROWS);
    if rows >= state.config().batch_size() {
        return None;
    }
    let mut narrower = state.clone();
    *narrower.config_mut() = state.config().clone().with_batch_size(rows);
    Some(narrower)
}

/// Changes a session for a statement that ran out of memory: joins that spill, fewer threads.
pub(crate) fn tighten(state: &mut SessionState) {
    // With one partition only hash joins are planned, which keep a whole side in memory.
    let partitions = state.config().target_partitions().div_ceil(2).max(2);
    let mut config = state
        .config()
        .clone()
        .with_target_partitions(partitions)
        .with_batch_size(BATCH_ROWS / 4);
    config.options_mut().optimizer.prefer_hash_join = false;
    *state.config_mut() = config;
}

fn config(limits: &EngineLimits) -> Result<SessionConfig, DataFusionError> {
    let partitions = limits.partitions.max(1);
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(BATCH_ROWS)
        // `information.rs` has our own.
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_extension(Arc::new(StatementTimeout(limits.statement_timeout)));
    let options = config.options_mut();
    for (key, value) in towpath_sql::SETTINGS {
        options.set(key, value)?;
    }
    // Each sort reserves this much for merging. A spilling join of three tables has six sorts on two
    // threads, and their reservations must leave memory for sorting.
    let share = limits.memory_bytes / (8 * partitions);
    options.execution.sort_spill_reservation_bytes =
        options.execution.sort_spill_reservation_bytes.min(share);
    Ok(config)
}
