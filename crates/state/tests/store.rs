//! One suite for both databases: the promises of a state store hold on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "store/api.rs"]
mod api;
#[path = "store/backfills.rs"]
mod backfills;
#[path = "store/competing.rs"]
mod competing;
#[path = "store/duties.rs"]
mod duties;
#[path = "store/place.rs"]
mod place;
#[path = "store/schedules.rs"]
mod schedules;
#[path = "store/server.rs"]
mod server;
#[path = "store/stops.rs"]
mod stops;
#[path = "store/submissions.rs"]
mod submissions;
#[path = "store/suite.rs"]
mod suite;
#[path = "store/workers.rs"]
mod workers;

macro_rules! suite {
    ($($module:ident: $($name:ident),* $(,)?;)*) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::place::TestPlace::sqlite()).await;
                }
            )*)*
        }
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::place::TestPlace::postgres()).await;
                }
            )*)*
        }
    };
}

suite! {
    suite:
        a_run_is_written_and_read_back,
        a_stale_report_changes_nothing,
        a_live_run_is_busy_and_a_dead_one_is_resumed,
        another_graph_supersedes_the_dead_run,
        a_cancelled_run_goes_on_unless_a_newer_one_ended,
        two_that_open_at_once_make_one_run,
        changes_handed_in_together_are_all_kept_in_order,
        generations_and_facts_read_back,
        check_results_and_lineage_read_back,
        tasks_of_a_resumed_run_are_opened_again,
        a_hold_never_takes_the_place_of_an_interrupted_run,
        a_run_goes_on_past_a_hold_that_died,
        a_resumed_run_tries_again_what_had_failed;
    workers:
        a_graph_is_kept_once_and_a_run_tells_what_it_is,
        a_claim_takes_what_the_run_has_room_for,
        a_full_pool_holds_up_nobody_else,
        what_a_lost_worker_had_is_given_to_another_with_a_new_fence,
        a_run_whose_helper_lives_is_not_taken_over,
        a_decision_on_old_news_is_refused_with_what_happened,
        a_subscriber_gets_each_event_until_it_says_so,
        workers_at_once_get_each_task_once;
    duties:
        a_subscriber_gets_the_kinds_it_asked_for,
        the_run_before_is_known_by_its_end,
        a_duty_has_one_holder_until_its_time_is_over;
    schedules:
        a_decision_is_taken_once,
        schedulers_at_once_take_one_decision,
        an_interval_has_one_run,
        a_run_ends_the_interval_that_it_covers,
        an_interrupted_interval_goes_on,
        a_pause_is_obeyed_and_kept_with_its_events;
    stops:
        a_run_that_is_to_stop_begins_no_task,
        a_cancelled_run_leaves_its_interval_skipped,
        a_dead_run_that_is_to_stop_ends,
        a_dead_run_whose_tasks_had_ended_is_not_cancelled,
        a_dead_run_that_is_to_stop_ends_by_itself,
        a_decision_stops_the_run_before_it,
        a_run_that_a_user_goes_on_with_is_not_replaced,
        a_deadline_begins_with_its_run;
    backfills:
        a_backfill_runs_each_interval_once,
        an_interrupted_backfill_goes_on,
        backfills_created_at_once_share_the_intervals;
    competing:
        a_cancelled_backfill_leaves_nothing_running,
        a_run_that_dies_after_the_cancel_ends,
        a_dead_run_keeps_no_interval_from_a_backfill,
        a_run_that_goes_on_decides_when_it_has_ended,
        what_another_backfill_gives_up_is_taken_over,
        what_has_run_meanwhile_is_not_run_again,
        a_run_of_other_intervals_covers_what_it_covers,
        a_backfill_of_many_intervals_is_created_with_few_statements,
        a_run_that_kills_its_processes_is_given_up,
        a_run_that_gets_on_is_not_given_up;
    api:
        a_token_has_its_name_until_it_is_revoked,
        a_key_has_one_run,
        a_key_of_another_request_is_refused,
        a_submitted_run_whose_process_died_goes_on,
        a_submitted_run_that_kills_its_processes_is_given_up,
        servers_that_get_one_key_at_once_begin_one_run,
        pages_of_runs_have_each_run_once,
        the_feed_has_each_event_once_and_goes_on_behind_any_of_them,
        a_feed_that_is_read_meanwhile_misses_nothing;
    submissions:
        a_key_of_another_token_is_another_key,
        a_key_has_one_run_that_may_end_at_once,
        a_submission_takes_over_no_other_run,
        the_schedule_waits_for_a_submitted_run,
        a_terminal_goes_on_with_a_submitted_run,
        a_submitted_run_that_was_asked_to_stop_is_not_begun_again,
        a_run_that_cannot_go_on_fails_with_its_reason,
        old_keys_are_forgotten_when_their_run_has_ended,
        lists_of_the_api_are_read_in_pieces,
        a_reader_of_the_feed_is_past_what_others_do;
}
