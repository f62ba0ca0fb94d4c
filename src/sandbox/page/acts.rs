//! The forms of the page, one row each: what a person or an administrator does on either side, and what goes wrong.
//!
//! Owns the table and nothing else; every row is a call of the control API.

use super::forms::Form;
use super::forms::Kind::{self, Body, Choice, List, Number, Text};
use super::forms::World::{self, Both, Marketo, Salesforce};

const YES_NO: Kind = Choice(&["true", "false"]);

const fn form(
    world: World,
    title: &'static str,
    method: &'static str,
    path: &'static str,
    fields: &'static [super::forms::Field],
) -> Form {
    Form { world, title, method, path, fields, fixed: "{}" }
}

const fn with(form: Form, fixed: &'static str) -> Form {
    let Form { world, title, method, path, fields, .. } = form;
    Form { world, title, method, path, fields, fixed }
}

/// All of them.
pub const FORMS: &[Form] = &[
    with(
        form(
            Salesforce,
            "Add a campaign",
            "POST",
            "/salesforce/records/Campaign",
            &[("Name", "name", Text), ("Type", "type", Text)],
        ),
        r#"{"IsActive":true}"#,
    ),
    form(
        Salesforce,
        "Add a status",
        "POST",
        "/salesforce/records/CampaignMemberStatus",
        &[("CampaignId", "campaign", Text), ("Label", "label", Text), ("HasResponded", "responded", YES_NO)],
    ),
    form(
        Salesforce,
        "Rename a status in Salesforce",
        "POST",
        "/salesforce/statuses/{id}/rename",
        &[("{id}", "id of the status", Text), ("label", "new label", Text)],
    ),
    form(
        Salesforce,
        "Add a lead",
        "POST",
        "/salesforce/records/Lead",
        &[
            ("FirstName", "first name", Text),
            ("LastName", "last name", Text),
            ("Email", "e-mail", Text),
            ("Company", "company", Text),
        ],
    ),
    form(
        Salesforce,
        "Add a contact",
        "POST",
        "/salesforce/records/Contact",
        &[("FirstName", "first name", Text), ("LastName", "last name", Text), ("Email", "e-mail", Text)],
    ),
    form(
        Salesforce,
        "Add a member",
        "POST",
        "/salesforce/records/CampaignMember",
        &[
            ("CampaignId", "campaign", Text),
            ("LeadId", "lead", Text),
            ("ContactId", "or contact", Text),
            ("Status", "status", Text),
        ],
    ),
    form(
        Salesforce,
        "Change the status of a member",
        "PATCH",
        "/salesforce/record/{id}",
        &[("{id}", "member", Text), ("Status", "status", Text)],
    ),
    form(
        Salesforce,
        "Set the cost of a campaign",
        "PATCH",
        "/salesforce/record/{id}",
        &[("{id}", "campaign", Text), ("ActualCost", "actual cost", Number)],
    ),
    form(
        Salesforce,
        "Change any record",
        "PATCH",
        "/salesforce/record/{id}",
        &[("{id}", "id", Text), ("", "fields as JSON", Body)],
    ),
    form(
        Salesforce,
        "Delete a record",
        "DELETE",
        "/salesforce/record/{id}",
        &[("{id}", "member, lead, contact, campaign, status", Text)],
    ),
    form(
        Salesforce,
        "Take a record out of the recycle bin",
        "POST",
        "/salesforce/record/{id}/undelete",
        &[("{id}", "id", Text)],
    ),
    form(Salesforce, "Purge a deleted record", "POST", "/salesforce/record/{id}/purge", &[("{id}", "id", Text)]),
    form(
        Salesforce,
        "Convert a lead",
        "POST",
        "/salesforce/leads/{id}/convert",
        &[("{id}", "lead", Text), ("contact_id", "into this contact, else a new one", Text)],
    ),
    form(
        Salesforce,
        "Merge leads or contacts",
        "POST",
        "/salesforce/merge",
        &[("winner", "who stays", Text), ("losers", "who goes", List)],
    ),
    form(
        Salesforce,
        "Marketing User licence",
        "PATCH",
        "/salesforce/options",
        &[("marketing_user", "the API user has it", YES_NO)],
    ),
    form(
        Salesforce,
        "Duplicate rule",
        "PATCH",
        "/salesforce/options",
        &[("duplicate_rule", "rule", Choice(&["off", "alert", "block"]))],
    ),
    with(
        form(
            Salesforce,
            "Validation rule",
            "PATCH",
            "/salesforce/options",
            &[
                ("validation_rules.0.object", "object", Text),
                ("validation_rules.0.field", "field", Text),
                ("validation_rules.0.equals", "is refused when it is (empty: blank)", Text),
                ("validation_rules.0.message", "message", Text),
            ],
        ),
        r#"{"validation_rules":[]}"#,
    ),
    form(
        Salesforce,
        "Lock a record or a campaign",
        "POST",
        "/salesforce/locks",
        &[("id", "id", Text), ("times", "writes refused", Number)],
    ),
    form(Salesforce, "Calls left today in Salesforce", "PUT", "/salesforce/quota", &[("left", "calls", Number)]),
    form(Salesforce, "Expire all sessions of Salesforce", "POST", "/salesforce/tokens/expire", &[]),
    form(
        Salesforce,
        "Noise on webhooks of Salesforce",
        "PUT",
        "/salesforce/webhooks/noise",
        &[
            ("drop", "lost (0 to 1)", Number),
            ("duplicate", "twice", Number),
            ("delay", "late", Number),
            ("delay_millis", "late by at most ms", Number),
            ("reorder", "out of order", Number),
        ],
    ),
    form(Salesforce, "Any option of Salesforce", "PATCH", "/salesforce/options", &[("", "options as JSON", Body)]),
    form(
        Marketo,
        "Add a program",
        "POST",
        "/marketo/programs",
        &[("name", "name", Text), ("channel", "channel", Text)],
    ),
    form(
        Marketo,
        "Add a person",
        "POST",
        "/marketo/people",
        &[
            ("firstName", "first name", Text),
            ("lastName", "last name", Text),
            ("email", "e-mail", Text),
            ("company", "company", Text),
        ],
    ),
    form(
        Marketo,
        "Add members or change their status",
        "POST",
        "/marketo/programs/{id}/members",
        &[("{id}", "program", Number), ("lead_ids", "people", List), ("status", "status", Text)],
    ),
    form(
        Marketo,
        "Remove a member",
        "DELETE",
        "/marketo/programs/{id}/members/{lead}",
        &[("{id}", "program", Number), ("{lead}", "person", Number)],
    ),
    form(
        Marketo,
        "Change a person",
        "PATCH",
        "/marketo/people/{id}",
        &[("{id}", "person", Number), ("", "fields as JSON", Body)],
    ),
    form(Marketo, "Delete a person", "DELETE", "/marketo/people/{id}", &[("{id}", "person", Number)]),
    form(
        Marketo,
        "Merge people",
        "POST",
        "/marketo/people/{id}/merge",
        &[("{id}", "who stays", Number), ("losers", "who goes", List)],
    ),
    form(
        Marketo,
        "Rename a status in Marketo",
        "PATCH",
        "/marketo/channels/{id}",
        &[("{id}", "channel", Number), ("rename.from", "status", Text), ("rename.to", "new name", Text)],
    ),
    form(
        Marketo,
        "Add a period cost",
        "POST",
        "/marketo/programs/{id}/costs",
        &[("{id}", "program", Number), ("start_date", "first day, 2026-11-01", Text), ("cost", "cost", Number)],
    ),
    form(Marketo, "Delete a program", "DELETE", "/marketo/programs/{id}", &[("{id}", "program", Number)]),
    form(Marketo, "Calls used today in Marketo", "POST", "/marketo/quota", &[("used_today", "calls", Number)]),
    form(Marketo, "Expire all tokens of Marketo", "POST", "/marketo/tokens/expire", &[]),
    form(Marketo, "Any option of Marketo", "PATCH", "/marketo/options", &[("", "options as JSON", Body)]),
    form(Both, "Move the clock", "POST", "/clock", &[("advance_seconds", "seconds forward", Number)]),
    form(
        Both,
        "Answer the next calls with a fault",
        "POST",
        "/faults",
        &[
            ("vendor", "vendor", VENDOR),
            ("method", "method, else any", Text),
            ("path_contains", "part of the path, else any", Text),
            ("skip", "let pass first", Number),
            ("times", "times", Number),
            ("action.answer.status", "status", Number),
            ("action.answer.content_type", "content type", Text),
            ("action.answer.body", "body", Text),
        ],
    ),
    form(
        Both,
        "Answer the next calls late",
        "POST",
        "/faults",
        &[
            ("vendor", "vendor", VENDOR),
            ("path_contains", "part of the path, else any", Text),
            ("times", "times", Number),
            ("action.delay.ms", "ms", Number),
        ],
    ),
    form(
        Both,
        "Carry out the next calls and lose the answer, or lose the calls",
        "POST",
        "/faults",
        &[
            ("vendor", "vendor", VENDOR),
            ("method", "method, else any", Text),
            ("path_contains", "part of the path, else any", Text),
            ("times", "times", Number),
            ("action", "what", Choice(&["applied_but_lost", "drop"])),
        ],
    ),
    form(Both, "Take all faults away", "DELETE", "/faults", &[]),
];

const VENDOR: Kind = Choice(&["salesforce", "marketo"]);
