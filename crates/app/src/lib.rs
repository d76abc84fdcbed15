//! Use cases as functions: check, plan, run, query, replay, and the reports about past runs.
//!
//! Promise: each takes values and returns a report; nothing here prints, parses arguments or speaks HTTP.
//! It reads the project folder, joins connector specs with factories, and connects the ports. Read next:
//! `services.rs` (what is connected), `run.rs` (a run, from the folder to the report), `tasks/` (one task).

mod alerts;
mod api_tokens;
mod backfill;
mod cancel;
mod check;
mod codes;
mod connected_check;
mod copy;
mod discovery;
mod editor;
mod external_systems;
mod facts;
mod folder;
mod init;
mod known_secrets;
mod lake;
mod lake_maintenance;
mod lake_verify;
mod limited_plan;
mod lineage;
mod lists;
mod live_project;
mod log_pages;
mod logs;
mod memory;
mod metrics;
mod names;
mod new_file;
mod new_notes;
mod opening;
mod option_values;
mod pages;
mod pause;
mod pipeline_lock;
mod plan;
mod private_files;
mod proposal;
mod quarantine;
mod query;
mod reference;
mod report;
mod rerun;
mod run;
mod run_history;
mod schedule;
mod select;
mod serve;
mod services;
mod sessions;
mod submissions;
mod system;
mod table_pages;
mod tasks;

pub use alerts::{AlertChannelLine, AlertsReport, SentAlerts, alert_test, alerts, send_alerts};
pub use api_tokens::{
    CreatedToken, TokensReport, token_create, token_of, token_revoke, tokens, valid_token,
};
pub use backfill::{
    BackfillDetails, BackfillReport, BackfillRequest, backfill, backfill_change, backfill_show,
    backfills,
};
pub use cancel::{CancelReport, CancelRequest, cancel};
pub use check::{CheckReport, CheckRequest, check, check_connected, explained};
pub use copy::{CopyReport, CopyRequest, Verified, Waits, copy};
pub use editor::{ProjectFile, json_schema};
pub use external_systems::{
    ColumnLine, ConnectionLine, ConnectionTest, DiscoverReport, DiscoverRequest, TableLine,
    connection_test, connection_types, connections, discover,
};
pub use folder::{ProjectFolder, find_project};
pub use init::{InitReport, InitRequest, Variable, init};
pub use lake::{LakeColumn, LakeTable, lake_describe};
pub use lake_maintenance::{
    LakeCompacted, LakeDropped, LakeRestored, LakeVacuumed, VacuumRequest, lake_compact, lake_drop,
    lake_restore, lake_vacuum,
};
pub use lake_verify::{LakeDamage, LakeVerified, LakeVerifiedTable, lake_verify};
pub use limited_plan::limited_plan;
pub use lineage::{Direction, LineageReport, influence_word, lineage};
pub use lists::{
    BackfillsReport, LogsReport, QuarantineReport, RejectedReasons, RejectedRows, RunsReport,
    SchedulesReport, TableVersions, backfills_report, quarantine_report, rejected_rows,
    runs_report, schedules_report, table_versions,
};
pub use live_project::{LiveProject, RerunOptions, RunOptions, SubmittedRunDetails, Submitter};
pub use log_pages::{LogPage, log_page};
pub use logs::{LogPiece, Logs, LogsRequest, ProgramOutput, follow, has_ended, logs};
pub use memory::peak_rss_bytes;
pub use metrics::{KnownRows, metrics};
pub use opening::is_begun_elsewhere;
pub use pages::{
    GraphNode, PageRequest, PipelineDetails, PipelineLine, PipelinesReport, RunDetails,
    RunPageLine, RunsPage, RunsPageRequest, TaskPageLine, TaskWait, backfills_page,
    pipeline_details, pipelines_page, run_details, runs_page, schedules_page,
};
pub use pause::{
    PauseLine, PauseRequest, PausedSchedule, ResumedSchedule, ScheduleEvents, schedule_events,
    schedule_pause, schedule_resume,
};
pub use plan::forecast;
pub use proposal::{ProposalReport, ProposeRequest, propose};
pub use quarantine::{
    QuarantineLine, ReasonCount, RejectedCell, RejectedRecord, ReplayReport, quarantine_discard,
    quarantine_replay,
};
pub use query::{QueryRequest, query};
pub use reference::{all_codes, codes_page, connector_facts, connectors_page, project_files_page};
pub use report::{RowChanges, RunReport, StepReport, TableReport, UpToDateTasks};
pub use rerun::{RerunRequest, RerunScope, rerun};
pub use run::{RunObserver, RunRequest, RunResult, Wait, run};
pub use run_history::{
    LostCheckResults, QualityLine, QualityReport, RowCounts, RunLine, TaskExplanation, quality, why,
};
pub use schedule::{
    PreviewedRun, ScheduleLine, SchedulePreview, WaitingInterval, pause_of, schedule_preview,
    schedule_words, waiting_intervals,
};
pub use select::{pipelines_in_order, selected_plan};
pub use serve::{
    ProjectServer, ServeObserver, ServeRequest, ServerOpening, StopSignals, open_server,
};
pub use services::ProjectServices;
pub use sessions::{Session, Sessions};
pub use submissions::is_submitted_elsewhere;
pub use system::{LocalSystem, time_text};
pub use table_pages::{
    CheckCounts, ChecksPage, LakeTableLine, LakeTables, checks_page, lake_tables_page,
    quarantine_page, rejected_rows_page, table_versions_page,
};
pub use tasks::{Forecast, PlannedEffect};
pub use towpath_project::{TaskSelection, memory_bytes, threshold};
pub use towpath_schedule::local_text;

/// The result of a use case.
pub type Result<T, E = towpath_vocab::Failure> = std::result::Result<T, E>;
