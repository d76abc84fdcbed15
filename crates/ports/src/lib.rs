//! The interfaces between the code that moves data and the systems it moves data between.
//!
//! Promise: one set of traits and values serves batch, incremental, CDC and streams
//! (`docs/decisions/0003`). It knows no connector, no engine and no async runtime. `testkit` has the
//! conformance suite that every implementation passes. Read next: `source.rs`, `destination.rs`, then the
//! `flow` crate.

#![warn(missing_docs)]

mod alert;
mod api;
mod backfill;
mod checkpoint;
mod codes;
mod commit_log;
mod connector;
mod destination;
mod engine;
mod exact;
mod exact_json;
mod memory;
mod new_run;
mod operator;
mod outcome;
mod process;
mod redact;
mod rows;
mod run_event;
mod run_states;
mod run_stop;
mod schedule;
mod source;
mod spellings;
mod state;
mod state_before_write;
mod statements;
mod system;

pub use alert::{Alert, AlertChannel};
pub use api::{
    ApiStore, ApiToken, FeedEvent, FeedPiece, FeedPosition, NewApiToken, RunPage, RunSummary,
    StoredCheck, Submission, SubmittedRun, TokenScope,
};
pub use backfill::{
    BackfillChange, BackfillInterval, BackfillOrder, BackfillPlan, BackfillRecord, BackfillSkip,
    BackfillState, IntervalRun, NewBackfill, OnExisting, PastRuns,
};
pub use checkpoint::Checkpoint;
pub use codes::CODES;
pub use commit_log::CommitLog;
pub use connector::{
    Connector, ConnectorContext, Discover, Discovered, Proposal, ProposedKey, TableOptions,
    TestReport,
};
pub use destination::{
    Candidate, CandidateRows, Commit, Committed, DELETE_ABSENT, Destination, FINISH_DELIVERY,
    Leftover, ONLY_CHANGES, Prepared, PreparedStats, Receipt, RefusedRows, StagedFile, TableState,
    TableStates, WriteRequest, Writer,
};
pub use engine::{
    ExpressionCompiler, ModelEngine, ModelRequest, ModelRun, NamedFile, NamedFiles, Query,
    QueryResult, RowExpression,
};
pub use exact::{ExactKind, ExactValues, exact_moment, has_exact_text};
pub use exact_json::{exact_json, json_string};
pub use memory::{Memory, ReservedMemory};
pub use new_run::{MOST_LOST_PROCESSES, NewRun, Opened};
pub use operator::{Operator, OperatorOutput};
pub use outcome::TaskOutcome;
pub use process::{ProcessExit, ProcessRunner, ProcessSpec};
pub use redact::Redaction;
pub use rows::{BatchOrigin, Op, OpColumn, Origin, Rows, row_as_json, value_as_json};
pub use run_event::{OutboxEvent, RunEvent, RunEventKind, Subscription};
pub use run_states::{RunState, TaskState};
pub use run_stop::{RunStop, StopReason, StopResult};
pub use schedule::{
    IntervalDecision, IntervalState, ScheduleEvent, ScheduleEventDetails, ScheduleEventKind,
    SchedulePause, ScheduleRecord, ScheduleRecords, ScheduleUpdate, ScheduledInterval, SkipReason,
};
pub use source::{
    Assignment, BoxStream, Event, InputVersion, ReadSpec, Reader, RejectedRecord, Source, Split,
    TableSchema,
};
pub use state::{
    AttemptEnd, CompiledGraph, GraphTask, RunFilter, RunKind, RunRecord, RunUpdate,
    RunUpdateResult, StateStore, TaskClaim, TaskRecord, Transition,
};
pub use state_before_write::StateBeforeWrite;
pub use statements::{GoesOn, Statements, StopSignal, failed_statement, unanswered_commit};
pub use system::{Clock, Secrets, System};
pub use towpath_vocab::Interval;

/// The result of a port's method.
pub type Result<T, E = towpath_vocab::Failure> = std::result::Result<T, E>;
