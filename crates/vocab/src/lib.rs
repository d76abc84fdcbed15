//! The nouns every crate speaks: names, tokens, plans, facts, diagnostics, checks.
//!
//! Promise: plain, serialisable values. It knows Arrow's schema and array types and nothing else;
//! it does no I/O, starts no task, and holds no helper functions that belong to a user of a noun.
//! The one knowledge beside the nouns is how their values read: type words (`types`), text (`text`), what
//! must not be shown of it (`passwords`), and how names and text are written into SQL (`quote`).
//! Read next: `token.rs` (what makes a load exactly-once), `plan.rs` (what crosses from the
//! planning side to the execution side), then the `ports` crate.

#![warn(missing_docs)]

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
mod spec;
pub mod text;
mod token;
pub mod types;

pub use check::{
    Check, CheckKind, CheckResult, Outcome, Rule, RuleKind, Severity, Threshold, Tolerance,
};
pub use code::CodeEntry;
pub use diagnostic::{Diagnostic, Level, RecordLocation, Span};
pub use fact::{FactSource, Facts, TableFact};
pub use failure::{Failure, Remedy};
pub use introspect::{Answer, Introspect, Pending, Question};
pub use lineage::{ColumnEdge, ColumnRef, Influence, TableLineage};
pub use name::{Environment, PipelineName, ProjectId, RunName, StepName, TableName, TaskId};
pub use naming::{Finder, Naming, named_field};
pub use option::{ConnectionPlan, OptionValue, SecretTemplate};
pub use plan::{
    Action, BadRows, ColumnPlan, CommandPlan, CursorPlan, Dedup, LoadPlan, Mask, Materialized,
    ModelPlan, Plan, PlannedPipeline, PlannedTask, PublishPlan, ReadMode, RetryPlan, SchemaChange,
    Selection, TablePlan, TriggerRule, WriteMode, WritePlan,
};
pub use quote::{literal, quote, quote_table};
pub use reject::{RawRecord, Reason, Reject};
pub use spec::{ConnectorSpec, Face, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionVariant};
pub use token::{Annotations, Generation, Mark, Position, SplitId, TaskKey, TaskKind, Token};
