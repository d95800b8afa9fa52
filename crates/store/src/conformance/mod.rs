//! The one suite that every backend passes, written from the trait and the rules of storage.
//!
//! A backend's test implements [`Backend`] and calls [`conformance_suite!`](crate::conformance_suite),
//! which makes one test of each case. The cases live in files named by their noun, as the
//! operations do in a backend. [`property`] drives random operations against the store and
//! against `model.rs`, a reference that fits on a page.
//!
//! To add a case: write it as a sentence in the file of its noun, then name it in
//! [`conformance_cases!`](crate::conformance_cases). A case that is not named there does not
//! compile in silence: it is dead code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code that two backends share, so it cannot sit in a test target"
)]

mod backup;
mod claims;
mod close;
mod contact_imports;
pub(crate) mod contact_lists;
mod contacts;
mod crash;
mod enqueue;
mod finishes;
mod fires;
mod fixture;
pub mod gate;
mod keys;
mod leases;
mod lists;
mod model;
mod notes;
mod property;
pub(crate) mod random;
mod retention;
mod run_log;
mod runs;
mod tasks;
mod totals;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::ManualClock;

use crate::Store;
pub use gate::Gate;

/// No case takes a tenth of it; one that does is stuck.
const CASE_DURATION_MAX: Duration = Duration::from_secs(120);

/// How the suite starts, crashes and starts again one store. Each case has its own instance.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The clock that every store of this instance is started with. It stands still until a case
    /// moves it.
    fn clock(&self) -> Arc<ManualClock>;

    /// The observer that the store started last was given. Each start makes its own, so that the
    /// writer of a store that crashed passes no gate of its successor.
    fn gate(&self) -> Arc<Gate>;

    /// Opens what is there: nothing at first, later what the last store left.
    async fn start(&self) -> Arc<dyn Store>;

    /// Ends the store as kill -9 would: what was durable at one moment within this call is what
    /// the next start finds, and nothing that the old store does later touches it. The store may
    /// be busy, and its writer may stand at the gate, so this must not wait for it.
    async fn crash(&self, store: Arc<dyn Store>);

    /// A directory for a backup. It does not exist yet; its parent does.
    fn backup_directory(&self) -> PathBuf;

    /// Opens a backup as the store of its own, beside the one that was copied.
    async fn start_backup(&self, path: &Path) -> Arc<dyn Store>;
}

type RunCase = for<'a> fn(&'a dyn Backend) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One behaviour, named by its file and its sentence.
pub struct Case {
    pub name: &'static str,
    run: RunCase,
}

/// Runs the case of this name; panics where the store breaks it.
pub async fn run(name: &str, backend: &dyn Backend) {
    let case = cases()
        .into_iter()
        .find(|case| case.name == name)
        .expect("a known case");
    let done = tokio::time::timeout(CASE_DURATION_MAX, (case.run)(backend)).await;
    assert!(
        done.is_ok(),
        "{name} is stuck: it did not end within {CASE_DURATION_MAX:?}"
    );
}

/// Makes one test of each case; `$backend` is evaluated anew for each.
#[macro_export]
macro_rules! conformance_suite {
    ($backend:expr) => {
        $crate::conformance_cases!($crate::conformance_tests, ($backend));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (($backend:expr) $($noun:ident: [$($case:ident,)*])*) => {$(
        mod $noun {
            #[allow(unused_imports, reason = "the backend may be named by a full path")]
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let name = concat!(stringify!($noun), "::", stringify!($case));
                $crate::conformance::run(name, &$backend).await;
            })*
        }
    )*};
}

macro_rules! case_list {
    (() $($noun:ident: [$($case:ident,)*])*) => {
        /// Every case, in the order of the files.
        pub fn cases() -> Vec<Case> {
            vec![$($(
                Case {
                    name: concat!(stringify!($noun), "::", stringify!($case)),
                    run: |backend| Box::pin($noun::$case(backend)),
                },
            )*)*]
        }
    };
}

crate::conformance_cases!(case_list, ());

/// The list of cases: calls the macro `$with` with `$arguments` and all of them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($with:path, $arguments:tt) => {
        $with! {
            $arguments
            tasks: [
                a_task_is_read_back_as_it_was_written,
                a_taken_name_is_a_conflict_and_changes_nothing,
                of_two_who_take_one_name_at_once_one_gets_it,
                an_update_is_the_next_revision_of_the_same_task,
                an_unknown_name_is_not_found,
                a_new_schedule_counts_from_its_creation,
                a_changed_schedule_counts_from_its_change,
                an_update_that_keeps_the_schedule_keeps_its_count,
                fires_within_a_pause_are_not_made_up_for,
                a_deleted_task_cancels_its_queued_runs_and_names_the_running,
                a_run_of_a_deleted_task_is_not_tried_again,
                a_backing_off_run_is_cancelled_with_its_task,
                a_deleted_name_can_be_used_again_and_keeps_its_history,
                a_cancelled_run_of_a_deleted_task_ends_once,
                tasks_are_listed_by_name_page_by_page,
                tasks_survive_a_restart_and_a_crash_to_the_letter,
                an_end_recorded_after_the_deletion_stands,
            ]
            enqueue: [
                an_accepted_run_waits_as_it_was_given,
                a_run_without_input_has_none,
                ids_rise_and_stay_below_two_to_the_fifty_third,
                ten_thousand_inputs_come_back_byte_for_byte,
                a_batch_is_claimable_only_when_it_is_whole,
                a_batch_cut_by_a_crash_is_there_whole_or_not_at_all,
                nothing_is_acknowledged_before_its_commit,
                a_small_write_overtakes_a_large_batch,
                too_much_at_once_is_refused_and_the_rest_is_kept,
                runs_enqueued_at_once_are_all_there_once,
            ]
            fires: [
                a_fire_makes_a_run_and_a_row,
                a_planned_time_makes_one_run_for_ever,
                of_racing_schedulers_one_makes_the_run,
                times_of_an_old_revision_make_nothing,
                a_paused_or_deleted_task_fires_nothing,
                skip_leaves_out_a_fire_while_the_last_run_has_not_ended,
                a_run_asked_to_stop_still_holds_its_place,
                runs_of_another_origin_neither_refuse_nor_are_refused,
                allow_runs_them_side_by_side,
                replace_cancels_what_waits_and_asks_what_runs_to_stop,
                missed_times_are_told_as_one_row,
                an_empty_plan_is_answered,
                a_run_of_a_schedule_is_retried_like_any_other,
            ]
            claims: [
                higher_priority_goes_first_then_the_older_run,
                the_order_survives_a_restart,
                a_claim_takes_only_from_the_queues_it_names,
                each_lane_has_its_own_runs,
                a_paused_task_waits_keeps_its_place_and_starves_nobody,
                a_claim_takes_no_more_than_it_asked_for,
                an_attempt_is_counted_when_it_is_claimed,
                epochs_rise_with_every_claim_and_over_a_crash,
                a_run_keeps_the_revision_it_was_queued_with,
                an_empty_answer_means_the_wait_is_over,
                a_waiting_claim_is_answered_when_work_arrives,
                a_waiting_claim_is_answered_when_a_task_resumes,
                a_waiting_claim_is_answered_by_a_retry_and_by_a_lost_lease,
                many_claimers_never_share_a_run,
                a_cancelled_run_in_the_middle_of_a_batch_is_passed_over,
            ]
            finishes: [
                each_terminal_state_is_kept_with_what_it_left,
                a_retry_waits_for_its_time,
                a_retry_far_ahead_is_claimed_at_its_time,
                attempts_that_did_not_end_the_run_are_listed_oldest_first,
                a_stale_end_is_named_counted_and_never_aborts_the_others,
                a_second_end_is_refused_and_the_first_stands,
                of_two_ends_at_once_one_is_accepted,
                an_end_after_a_retry_was_claimed_again_is_stale,
                an_end_of_an_unknown_run_is_stale,
                an_end_from_before_a_crash_is_stale,
                an_empty_list_of_ends_is_answered,
                ends_of_one_claim_may_come_apart_and_in_any_order,
            ]
            runs: [
                a_queued_run_is_cancelled_at_once,
                a_run_that_backs_off_is_cancelled_at_once,
                a_suspect_is_cancelled_at_once,
                a_running_run_goes_on_until_its_executor_has_stopped,
                success_wins_over_a_cancel_that_came_too_late,
                a_run_asked_to_stop_is_not_tried_again,
                a_crash_ends_a_run_that_was_asked_to_stop,
                an_unknown_run_is_not_found,
                a_replay_is_a_new_run_that_names_the_old,
                only_an_ended_run_is_replayed,
                a_run_whose_task_is_gone_is_not_replayed,
            ]
            leases: [
                a_lease_says_how_long_it_holds,
                a_renewed_lease_lives_and_one_that_is_not_is_taken_back,
                a_lease_holds_to_its_end,
                a_run_left_out_of_the_heartbeats_is_lost_while_its_neighbour_lives,
                a_renewal_names_what_is_lost,
                a_lease_that_was_taken_back_is_lost_even_if_claimed_again,
                a_cancel_reaches_the_worker_with_its_next_renewal,
                a_lost_lease_is_settled_by_the_rules_of_its_task,
                lost_attempts_count_until_none_is_left,
                a_reaper_that_overslept_skips_a_round,
                a_lease_is_not_bent_by_a_step_of_the_wall_clock,
                a_reaper_leaves_what_the_owner_of_the_store_holds,
                a_reaper_never_takes_back_what_has_ended,
                after_a_crash_a_remote_lease_is_kept_or_lost_but_never_both,
                a_retry_of_a_remote_worker_frees_its_lease,
            ]
            lists: [
                every_filter_shows_what_it_names_newest_first,
                a_list_tells_each_run_as_it_is_told_alone,
                pages_of_any_size_show_each_run_once,
                pages_show_each_run_once_while_new_ones_arrive,
                since_is_inclusive_and_until_is_not,
                a_filter_that_matches_little_is_answered_in_bounded_pages,
                a_page_of_large_runs_ends_early_and_the_next_one_goes_on,
                an_empty_store_lists_nothing,
            ]
            run_log: [
                output_comes_back_byte_for_byte,
                a_cut_in_the_middle_is_told,
                each_attempt_keeps_its_output,
                a_silent_run_has_no_output,
                output_of_a_stale_end_is_dropped_with_it,
                output_of_many_runs_is_not_mixed_up,
            ]
            totals: [
                a_new_store_has_counted_nothing,
                each_type_is_counted_apart,
                a_count_is_there_with_the_answer_that_made_it,
            ]
            retention: [
                age_drops_the_oldest_and_never_what_is_younger,
                what_is_dropped_stays_counted,
                lists_are_right_after_a_drop,
                an_open_run_outlives_any_age,
                a_bound_on_runs_keeps_the_newest,
                a_bound_on_bytes_keeps_the_newest,
                old_rows_of_the_fire_ledger_leave_and_are_not_fired_again,
                a_generous_policy_drops_nothing,
            ]
            backup: [
                a_backup_is_the_whole_store,
                a_run_in_flight_is_an_attempt_in_the_copy,
                a_backup_is_of_one_moment_while_writes_go_on,
                a_backup_goes_nowhere_else_than_into_a_new_directory,
                a_backup_has_the_contacts_the_keys_and_what_was_noted,
            ]
            contact_imports: [
                a_slice_is_applied_once_and_its_place_survives_a_crash,
                of_two_attempts_at_one_place_one_goes_on,
                each_rule_does_what_it_says,
                failures_are_told_with_their_slice_until_the_next,
                a_rehearsal_counts_like_the_import_and_changes_nothing,
                an_import_is_forgotten_with_its_run,
            ]
            contacts: [
                a_contact_is_read_back_as_it_was_given_by_id_phone_and_email,
                a_taken_phone_or_email_is_refused_naming_the_field_and_the_holder,
                of_two_who_take_one_phone_at_once_one_gets_it,
                an_update_keeps_what_it_leaves_out_and_takes_away_what_is_null,
                the_tags_that_find_a_contact_follow_its_changes,
                a_deleted_contact_frees_its_phone_and_email_but_not_its_id,
                times_of_creation_follow_the_ids_when_the_clock_steps_back,
                the_number_of_contacts_is_exact,
                a_batch_answers_for_each_of_its_items,
                a_batch_is_written_in_slices_and_a_small_write_goes_between,
                a_batch_under_an_idempotency_key_is_there_whole_or_not_at_all,
                a_stamp_moves_between_the_commit_and_the_answer,
                what_is_kept_under_a_stamp_is_never_stale,
            ]
            contact_lists: [
                every_order_shows_each_contact_once_in_both_directions,
                an_offset_leaves_out_so_many,
                pages_neither_repeat_nor_lose_a_contact_while_others_come_and_go,
                a_search_finds_what_begins_so,
                a_page_of_large_contacts_ends_early_and_goes_on,
                lists_agree_with_a_look_at_every_contact,
                fresh_lists_agree_with_a_look_at_every_contact,
                a_cursor_of_another_order_is_refused,
            ]
            keys: [
                a_key_is_found_by_the_hash_of_its_secret,
                a_taken_name_is_a_conflict_and_is_free_after_the_deletion,
                a_deleted_key_is_found_no_more_and_its_id_is_not_used_again,
                the_last_use_of_a_key_is_noted,
                a_key_is_there_from_its_commit_on,
            ]
            notes: [
                an_answer_is_found_by_its_key_and_survives_a_crash,
                each_write_leaves_its_entry_and_its_answer,
                a_key_that_comes_twice_is_a_conflict_and_nothing_is_done,
                a_refused_write_keeps_nothing,
                a_crash_keeps_the_write_with_its_notes_or_neither,
                a_batch_of_runs_keeps_its_notes_with_its_last_slice,
                a_key_taken_between_the_slices_of_a_batch_refuses_the_batch,
                a_deleted_task_is_noted_with_its_deletion,
                of_two_at_once_under_one_key_one_is_done,
                an_answer_is_forgotten_after_a_day,
                the_audit_log_is_read_newest_first_page_by_page,
                entries_of_the_audit_log_leave_by_their_age,
            ]
            close: [
                a_closed_store_answers_that_it_is_unavailable,
                what_was_accepted_before_the_close_is_there_after_it,
                a_write_that_meets_the_close_is_whole_or_refused,
                a_waiting_claim_ends_with_the_store,
                a_run_in_flight_is_an_attempt_after_a_close_too,
            ]
            crash: [
                what_waited_and_what_ended_is_as_it_was,
                a_run_in_flight_is_counted_and_claimed_again,
                a_crash_on_the_last_attempt_fails_the_run,
                on_crash_fail_ends_as_interrupted,
                the_revision_decides_what_a_crash_does,
                suspects_are_claimed_in_halves,
                on_its_last_attempt_a_suspect_goes_alone,
                suspects_hold_up_no_one_else,
                a_poison_pill_fails_alone,
                a_claim_of_thousands_is_given_back_whole,
                a_crash_right_after_a_crash_changes_nothing,
                nothing_acknowledged_is_lost_under_load,
            ]
            property: [
                the_first_known_history_agrees_with_the_model,
                the_second_known_history_agrees_with_the_model,
                the_third_known_history_agrees_with_the_model,
                a_fresh_history_agrees_with_the_model,
            ]
        }
    };
}
