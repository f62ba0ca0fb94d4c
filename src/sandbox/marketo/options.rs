//! What an operator or a test can switch on this Marketo.
//!
//! Owns the defaults. A limit has the documented value. A behaviour that no public page settles is a field of its own whose doc
//! begins with UNVERIFIED; its default is the one that a careful client survives and a careless one does not.

use serde::{Deserialize, Serialize};

/// Switches of the emulator; every field may be changed while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Client id of the custom service that exists from the start.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The API-only user of that service, as shown in `scope` and in the usage report.
    pub api_user: String,
    /// Prefix of the subscription's host name.
    pub munchkin_id: String,
    /// Seed of everything that is drawn: tokens, webhook mishaps.
    pub seed: u64,
    /// Lifetime of an access token in seconds (documented: 3600).
    pub token_seconds: i64,
    /// Time that every API call takes, in milliseconds.
    pub latency_ms: u64,
    /// Calls that are allowed in a window (documented: 100); `None` switches the limit off.
    pub rate_limit: Option<usize>,
    /// Length of that window in seconds (documented: 20). UNVERIFIED whether it slides; it does here, which is stricter.
    pub rate_window_seconds: i64,
    /// Calls in flight at once (documented: 10); `None` switches the limit off.
    pub concurrency_limit: Option<usize>,
    /// Calls a day, reset at midnight US Central (documented: 50,000 typically); `None` switches the limit off.
    pub daily_quota: Option<u64>,
    /// Members of a program above which only `filterType=leadId` may be asked (documented: 100,000).
    pub member_query_limit: usize,
    /// People above which a filter is refused (documented: 1,000).
    pub lead_match_limit: usize,
    /// Rows of the activity log that one page looks at before it answers, full or not.
    pub activity_scan_rows: usize,
    /// How many of the next pages of activities or members come back empty with `moreResult` true, though there are rows.
    pub empty_pages: u32,
    /// Age in seconds that an activity must have before it is shown.
    pub activity_lag_seconds: i64,
    /// Days after which deletions are pruned from `deletedleads` (documented: "may be pruned" after 14).
    pub deleted_leads_days: i64,
    /// UNVERIFIED (removal dates differ between pages): a token in the query string is accepted.
    pub token_in_query: bool,
    /// UNVERIFIED: 1025 and 1013 of the member calls come per record and not for the whole call.
    pub member_errors_per_record: bool,
    /// UNVERIFIED: error for the status "Not in Program" in a status upsert, 1025 or 1003.
    pub not_in_program_code: u16,
    /// UNVERIFIED: removing a member through the API logs activity 104.
    pub removal_is_logged: bool,
    /// UNVERIFIED: a change to the same status made in Marketo logs a 104 row ("Attended" to "Attended" rows were recorded).
    pub no_op_changes_are_logged: bool,
    /// Seconds that an export job waits, and then runs, at least (documented: its status moves at most once in 60).
    pub export_step_seconds: i64,
    /// Bytes that exports may write in a day (documented: 500 MB).
    pub export_daily_bytes: usize,
    /// Exports take the filter `updatedAt`; "not available in all subscriptions", which answer 1035.
    pub export_filters_by_update: bool,
    /// UNVERIFIED: folders, tags and costs of the Asset API may be lenient JSON, as marketorestpython writes them.
    pub lenient_asset_json: bool,
    /// UNVERIFIED: an empty page of activities has `"result": []`; without it the answer has no `result` at all.
    pub empty_activity_pages_have_result: bool,
    /// UNVERIFIED: a merge logs activity 37 for the loser as well.
    pub merge_logs_delete: bool,
    /// UNVERIFIED: when both merged people were members the higher step is kept; otherwise the winner's status.
    pub merge_keeps_higher_status: bool,
    /// UNVERIFIED: `GET program/{id}` fills `costs`; `byName` with `includeCosts` always does.
    pub program_get_has_costs: bool,
    /// UNVERIFIED: a new cost moves the program's `updatedAt`.
    pub cost_moves_updated_at: bool,
    /// UNVERIFIED: `sfdcLeadId` and `sfdcContactId` may be written through the API when they are not the lookup field.
    pub sfdc_ids_writable: bool,
    /// Upserts in flight at once do not see each other's new people, so that the same key twice makes duplicates (documented).
    pub racing_upserts_duplicate: bool,
    /// Activities carry no `id`, as on some subscriptions; `marketoGUID` is always there.
    pub activities_without_id: bool,
    /// UNVERIFIED: "Program Status is Changed" with any status fires on a removal too.
    pub any_status_includes_removal: bool,
    /// Time zone of the account, for `{{system.dateTime}}`.
    pub time_zone: String,
    /// What goes wrong with Call Webhook deliveries.
    pub webhook_mishaps: Mishaps,
    /// Calls to webhooks at once (observed: 20 for a whole subscription).
    pub webhook_concurrency: usize,
    /// Seconds after which a webhook call is given up (documented: 30).
    pub webhook_timeout_seconds: u64,
}

/// Chances, each out of 1,000, that a Call Webhook delivery goes astray.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mishaps {
    /// Never sent, as when the trigger campaign was deactivated for being idle.
    pub drop_per_mille: u64,
    /// Sent twice.
    pub duplicate_per_mille: u64,
    /// Sent late.
    pub delay_per_mille: u64,
    /// How late at most, in milliseconds.
    pub delay_ms: u64,
    /// Sent before those that wait ahead of it.
    pub reorder_per_mille: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: "sandbox-marketo-client".into(),
            client_secret: "sandbox-marketo-secret".into(),
            api_user: "api@sandbox.example".into(),
            munchkin_id: "123-ABC-456".into(),
            seed: 1,
            token_seconds: 3600,
            latency_ms: 0,
            rate_limit: Some(100),
            rate_window_seconds: 20,
            concurrency_limit: Some(10),
            daily_quota: Some(50_000),
            member_query_limit: 100_000,
            lead_match_limit: 1_000,
            activity_scan_rows: 10_000,
            empty_pages: 0,
            activity_lag_seconds: 0,
            deleted_leads_days: 14,
            token_in_query: false,
            member_errors_per_record: false,
            not_in_program_code: 1025,
            removal_is_logged: true,
            no_op_changes_are_logged: true,
            export_step_seconds: 60,
            export_daily_bytes: 500 * 1024 * 1024,
            export_filters_by_update: false,
            lenient_asset_json: true,
            empty_activity_pages_have_result: false,
            merge_logs_delete: false,
            merge_keeps_higher_status: true,
            program_get_has_costs: false,
            cost_moves_updated_at: false,
            sfdc_ids_writable: false,
            racing_upserts_duplicate: true,
            activities_without_id: false,
            any_status_includes_removal: false,
            time_zone: "America/Chicago".into(),
            webhook_mishaps: Mishaps::default(),
            webhook_concurrency: 20,
            webhook_timeout_seconds: 30,
        }
    }
}
