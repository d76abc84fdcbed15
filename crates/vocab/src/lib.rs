//! The types that all crates share: names, tokens, plans, facts, diagnostics, checks.
//!
//! Promise: they are plain, serialisable values. This crate knows Arrow's schema and array types and no
//! other library of the data path; it does no I/O and starts no task. The only functions are about the
//! values of these types: words for types (`types`), parsing of text (`text`), removal of passwords from
//! text (`passwords`), and quoting of names and text for SQL (`quote`). Read next: `token.rs` (what makes a
//! load exactly once), `plan.rs` (what the planning side gives to the execution side), then the `ports`
//! crate.

#![warn(missing_docs)]

mod absent_rows;
mod alert;
mod audit_columns;
mod check;
mod code;
mod diagnostic;
mod fact;
mod failure;
pub mod interval;
mod introspect;
mod lineage;
mod name;
mod naming;
mod option;
pub mod passwords;
mod plan;
mod quote;
mod reject;
mod row_history;
mod schedule;
mod schema_policy;
mod spec;
pub mod strftime;
pub mod text;
mod token;
pub mod types;

pub use absent_rows::{AbsentRows, DELETED_AT, delete_limit, put_delete_limit};
pub use alert::{AlertCondition, AlertsPlan};
pub use audit_columns::{
    AuditColumn, AuditColumns, is_audit_field, is_written_by_load, previous_column,
};
pub use check::{
    Check, CheckKind, CheckOutcome, CheckResult, DecidedBy, Rule, RuleKind, Severity, Threshold,
    Tolerance,
};
pub use code::CodeEntry;
pub use diagnostic::{Diagnostic, Level, RecordLocation, Span};
pub use fact::{FactSource, Facts, TableFact};
pub use failure::{Failure, Remedy};
pub use introspect::{Introspect, NeedsWarehouse, WarehouseAnswer, WarehouseQuestion};
pub use lineage::{ColumnEdge, ColumnRef, EdgeKind, TableLineage};
pub use name::{Environment, PipelineName, ProjectId, RunName, StepName, TableName, TaskId};
pub use naming::{ColumnFinder, Naming, named_field};
pub use option::{ConnectionPlan, OptionValue, SecretTemplate};
pub use plan::{
    Action, BadRows, ColumnPlan, CommandPlan, CursorPlan, Dedup, HttpBody, HttpPlan, LoadPlan,
    Mask, Materialized, ModelPlan, Plan, PlannedPipeline, PlannedTask, PublishPlan, ReadMode,
    RetryPlan, SchemaChange, Selection, SqlPlan, TablePlan, TriggerRule, WriteMode, WritePlan,
};
pub use quote::{literal, quote, quote_table};
pub use reject::{RawRecord, Reason, Reject};
pub use row_history::{
    IS_CURRENT, RowHistoryPlan, SNAPSHOT_AT, VALID_FROM, VALID_TO, added_fields, is_added_column,
    written_columns,
};
pub use schedule::{Catchup, DstGap, DstOverlap, Interval, Overlap, Recurrence, SchedulePlan};
pub use schema_policy::{ChangePolicy, SchemaPolicy};
pub use spec::{
    Capability, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionUse,
    OptionVariant, Proof, ProvenSystem,
};
pub use token::{
    Annotations, Generation, Position, SplitId, SplitPosition, TaskKey, TaskKind, Token,
};
