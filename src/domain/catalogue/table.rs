//! The lines of the catalogue.
//!
//! Data alone: subject, code and mender; what happened; what to do. In the order of the page.

use super::Entry;
use super::Mender::{Engineer, MarketingOperations, MarketoAdmin, Nobody, SalesforceAdmin};
use super::Subject::{FlowAction, Mapping, Member, Request, Webhook};

/// So that a line of the table is three lines and not seven.
macro_rules! catalogue {
    ($($subject:ident $code:literal ($mender:ident): $cause:literal => $how:literal;)+) => {
        &[$(Entry { subject: $subject, code: $code, cause: $cause, mender: $mender, how: $how },)+]
    };
}

/// Every code that is shown to anybody.
pub const CATALOGUE: &[Entry] = catalogue! {
    Member "waiting" (Nobody):
        "its turn has not come"
        => "wait; changes are worked off in seconds";
    Member "retrying" (Nobody):
        "an attempt failed, and the next one has a time"
        => "wait; the error of the change says what failed";
    Member "paused" (MarketingOperations):
        "the mapping is paused"
        => "resume the mapping";
    Member "sync_off" (Engineer):
        "campaign sync as a whole is switched off"
        => "switch campaign sync on";
    Member "removal_waiting" (MarketingOperations):
        "more members would be removed than this mapping usually sees, so the removal waits for a person"
        => "approve or discard the mapping's waiting guard";
    Member "quota" (Engineer):
        "the vendor's calls of the day are used up"
        => "wait for the vendor's new day, or raise the number of calls that may be made";
    Member "regression" (MarketingOperations):
        "Salesforce moved to a lower step, which Marketo cannot follow"
        => "raise the status in Salesforce again, resolve the member by naming the side that is right, or choose the regression policy revert or readd";
    Member "conflict_hold" (MarketingOperations):
        "both sides changed and differ, and the conflict policy is to wait for a person"
        => "resolve the member by naming the side that is right, set both sides to the same status, or choose another conflict policy";
    Member "one_way" (MarketingOperations):
        "somebody changed the target of a mapping that travels one way"
        => "set the target to the source's status, resolve the member with the source as the winner, or let the mapping travel both ways";
    Member "kept_apart" (MarketingOperations):
        "it was removed on one side, and a policy or a person kept it on the other"
        => "add the member where it is missing, or resolve the member by naming the side that is right";
    Member "observe" (MarketingOperations):
        "something would have been written, had the mapping not been observing only"
        => "choose another direction than observe";
    Member "below_gate" (MarketingOperations):
        "its status is not among those that may create a counterpart"
        => "move the member to a status of the gate, or add its status to the gate";
    Member "incompatible_status" (MarketingOperations):
        "its status has no translation on the other side"
        => "add a translation of the status to the status map";
    Member "person_unknown" (MarketingOperations):
        "nobody on the other side is this person, and none may be created"
        => "create the person on the other side, or allow leads to be created";
    Member "ambiguous_person" (MarketingOperations):
        "several people on the other side could be this one"
        => "merge the records that share the address, or choose ambiguous_person oldest";
    Member "person_deleted" (MarketingOperations):
        "the person was deleted in Salesforce and is still in the program"
        => "undelete the person in Salesforce, or remove the member from the program";
    Member "second_record" (MarketingOperations):
        "another record of the same human is in the campaign already"
        => "merge the two records of this person, or remove one of them from the campaign";
    Member "loop_detected" (SalesforceAdmin):
        "writes of this service and of another automation kept undoing each other"
        => "end the other automation that keeps setting the status back, then resolve the member by naming the side that is right";
    Member "unsupported_account" (SalesforceAdmin):
        "an account is a member of the campaign, and there is no person behind it"
        => "use a lead or contact; accounts are not synced";
    Member "vendor_rejected" (SalesforceAdmin):
        "the vendor refuses this record: a validation rule, a required field, a permission"
        => "mend what the vendor's message names, then retry the change";
    Member "unreadable" (Engineer):
        "no attempt to read the member or the person succeeded"
        => "see that our users may read the person on both sides";
    Member "attempts_exhausted" (Engineer):
        "every allowed attempt to write failed; it is tried again at the next reconciliation"
        => "mend what the change's error names, then retry it";
    Mapping "program_gone" (MarketoAdmin):
        "the program was deleted, or our user does not see it any more"
        => "bring the program back or let the API user see its workspace, then resume the mapping; or remove the mapping";
    Mapping "campaign_gone" (SalesforceAdmin):
        "the campaign was deleted, or our user does not see it any more"
        => "undelete the campaign or share it with the integration user, then resume the mapping; or remove the mapping";
    Mapping "channel_gone" (MarketoAdmin):
        "the channel of the program was deleted, or our user does not see it any more"
        => "bring the channel back or give the program another one, then resume the mapping; or remove the mapping";
    FlowAction "already_member" (MarketingOperations):
        "the person is in the campaign already; adding leaves the status as it is"
        => "nothing, or use change-status";
    FlowAction "same_status" (Nobody):
        "the person has that status already"
        => "nothing";
    FlowAction "not_member" (Nobody):
        "the person is not in the campaign, so there is nothing to remove"
        => "nothing";
    FlowAction "left_to_mapping" (Nobody):
        "the flow action names a mapped program, inside which nothing is implied: its mapping brings whom it shall"
        => "nothing; add the person to the program, or leave program_id out";
    Webhook "unmapped" (MarketingOperations):
        "no mapping is about this program or campaign"
        => "map the program, or stop calling the webhook for it";
    Request "already-mapped" (MarketingOperations):
        "the program or the campaign is in another mapping, whose id is in mapping_id"
        => "use that mapping, or remove it first";
    Request "bad-request" (Engineer):
        "the request cannot be understood as HTTP"
        => "see the API reference for the form of the request";
    Request "body-too-large" (Engineer):
        "the body is longer than limits.max_body_bytes"
        => "send less at once, or raise limits.max_body_bytes";
    Request "conflict" (Engineer):
        "the thing is in a state, or was changed at the same moment, so that this cannot be done"
        => "read it again and decide anew";
    Request "incompatible-statuses" (MarketingOperations):
        "statuses of program and campaign do not match by name; differences lists them with the nearest candidates"
        => "name them the same on both sides, or give a status_map";
    Request "insufficient-scope" (Engineer):
        "the API key does not permit this"
        => "use a key with the scope that detail names (campaign-sync keys create)";
    Request "internal" (Engineer):
        "a fault of this service"
        => "find the request_id in the log, and report it";
    Request "invalid-input" (Engineer):
        "a field or parameter is missing or wrong; errors names each"
        => "correct the fields that errors names";
    Request "malformed-body" (Engineer):
        "the body is not JSON, or not the form that was declared"
        => "send well-formed JSON in UTF-8";
    Request "method-not-allowed" (Engineer):
        "the path has other methods"
        => "use one of those that the header Allow or the API reference names";
    Request "native-sync-active" (MarketoAdmin):
        "Marketo's own campaign sync has the program, and the two would fight"
        => "end it there (program > Program Actions > Salesforce Campaign Sync), map with direction observe, or set allow_native_sync";
    Request "mapping-observes" (MarketingOperations):
        "the mapping of the campaign only observes, so that nothing is written for it"
        => "give the mapping another direction, or use another campaign";
    Request "nothing-to-resolve" (Nobody):
        "the member agrees on both sides, or waits for its turn and for no person"
        => "nothing; see its sync_state and reason";
    Request "one-way-mapping" (MarketingOperations):
        "the mapping travels one way, and the side that would be written to is the one that it comes from"
        => "let the other side win, or let the mapping travel both ways";
    Request "no-translation" (MarketingOperations):
        "the status of the winner has no translation on the other side"
        => "add a translation to the status map, or let the other side win";
    Request "person-gone" (SalesforceAdmin):
        "the person is gone from the side that would be written to"
        => "undelete the record, or let that side win, which removes the member from the other one";
    Request "not-found" (Engineer):
        "there is no such thing, or there is none any more"
        => "list what there is, and use an id from that";
    Request "precondition-failed" (Engineer):
        "the mapping was changed since it was read (If-Match)"
        => "read the mapping again, and repeat the change with its ETag";
    Request "not-tracked" (MarketingOperations):
        "no mapping and no flow action has named the campaign, so that its members are not known here"
        => "map a program to it, or name it in a flow action";
    Request "too-many-requests" (Engineer):
        "this key asks more often than limits.requests_per_second, or this address has failed with keys or secrets that are not known more often than limits.failed_attempts_per_minute"
        => "wait as long as Retry-After says; correct the key or secret; ask less often, or in larger pages";
    Request "unauthorized" (Engineer):
        "there is no API key or webhook secret, or one that is not known"
        => "send a key as Authorization: Bearer KEY; for webhooks the configured token, secret or path";
    Request "unavailable" (Nobody):
        "the database does not answer, or the service is overloaded; nothing was changed"
        => "try again after the time in Retry-After";
    Request "unknown-campaign" (SalesforceAdmin):
        "Salesforce has no such campaign, or our user does not see it"
        => "see the id, and share the campaign with the integration user";
    Request "unknown-program" (MarketoAdmin):
        "Marketo has no such program, or our user does not see it"
        => "see the id, and let the API user see the workspace";
    Request "unknown-status" (MarketingOperations):
        "the campaign has no such member status; Salesforce would put its default in its place"
        => "use one of those in statuses, or add the status to the campaign";
    Request "unsupported-media-type" (Engineer):
        "the body is not declared as JSON"
        => "send Content-Type: application/json";
    Request "unsupported-program-type" (MarketingOperations):
        "membership of this type of program sends mail"
        => "map another program, or set allow_program_type when that is meant";
    Request "vendor-error" (Engineer):
        "a vendor refused what this service asked; detail has its code and text"
        => "run campaign-sync check, and mend what it names";
    Request "vendor-unavailable" (Nobody):
        "a vendor is down, or its calls are used up; nothing was changed"
        => "try again after the time in Retry-After";
};
