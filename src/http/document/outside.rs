//! What is served outside the base, as it stands in the document: webhooks in, and the health of the process.
//!
//! Owns descriptions by hand: whoever serves these paths is a stranger here. Must not serve anything.
#![expect(dead_code, reason = "describes what is read and answered elsewhere")]

use serde::Serialize;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};

use super::{each, problem_body};
use crate::http::schema::Time;

/// A "Call Webhook" step in Marketo. Quotes that Marketo doubles are mended, the declared content type is not looked at, and
/// other fields are ignored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"v": 1, "event": "program_member.changed", "leadId": 318592, "programId": 1044, "email": "a@b.c",
    "newStatus": "Attended", "sentAt": "2026-11-23 08:36:13"}))]
struct MarketoWebhook {
    /// The version of this body; 1 is known.
    #[schema(required = false)]
    v: MarketoNumber,
    event: MarketoEvent,
    /// Needed but for `program.changed`.
    #[schema(required = false)]
    lead_id: MarketoNumber,
    /// Needed but for `person.deleted` and `person.deleting`.
    #[schema(required = false)]
    program_id: MarketoNumber,
    /// A hint.
    email: Option<String>,
    /// A hint.
    new_status: Option<String>,
    sent_at: Option<String>,
}

/// A number, or digits in a string.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum MarketoNumber {
    Number(i64),
    Text(String),
}

#[derive(Serialize, ToSchema)]
enum MarketoEvent {
    #[serde(rename = "program_member.changed")]
    MemberChanged,
    #[serde(rename = "program_member.status_changed")]
    MemberStatusChanged,
    #[serde(rename = "program_member.added")]
    MemberAdded,
    #[serde(rename = "program_member.removed")]
    MemberRemoved,
    #[serde(rename = "sfdc_campaign_member.removed")]
    CampaignMemberRemoved,
    #[serde(rename = "person.deleted")]
    PersonDeleted,
    #[serde(rename = "person.deleting")]
    PersonDeleting,
    #[serde(rename = "program.changed")]
    ProgramChanged,
}

/// Never empty, since Marketo logs an error for an empty body.
#[derive(ToSchema)]
#[schema(example = json!({"accepted": true, "events": 1}))]
struct MarketoReceipt {
    accepted: bool,
    #[schema(required = false)]
    events: u64,
    /// Why it was not accepted: `unmapped`.
    #[schema(required = false)]
    reason: String,
}

/// Records of one object, from Apex, a flow or an event relay.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SalesforceWebhook {
    object: SalesforceKind,
    operation: SalesforceOperation,
    /// Refused when it is another organisation's.
    org_id: Option<String>,
    #[schema(min_items = 1, max_items = 200)]
    records: Vec<SalesforceRecord>,
}

#[derive(Serialize, ToSchema)]
enum SalesforceKind {
    CampaignMember,
    Lead,
    Contact,
    Campaign,
    CampaignMemberStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SalesforceOperation {
    Insert,
    Update,
    Delete,
    Undelete,
}

/// The fields that are read, of any object; others are ignored. Ids of 15 or 18 characters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({"Id": "00v5g000000XYZAAA2", "CampaignId": "7015g000000XYZABCD", "LeadId": "00Q5g000000XYZAAA2",
    "ContactId": null, "Status": "Attended", "SystemModstamp": "2026-11-23T20:05:00.000+0000",
    "LastModifiedById": "0055g000000XYZAAA2"}))]
struct SalesforceRecord {
    id: String,
    campaign_id: Option<String>,
    lead_id: Option<String>,
    contact_id: Option<String>,
    status: Option<String>,
    system_modstamp: Option<Time>,
    last_modified_by_id: Option<String>,
    /// Of a lead or contact that was merged into this one.
    master_record_id: Option<String>,
    is_converted: Option<bool>,
    converted_contact_id: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"accepted": true, "events": 3, "ignored": 1}))]
struct SalesforceReceipt {
    accepted: bool,
    events: u64,
    /// Records of campaigns and people that concern no mapping.
    ignored: u64,
}

#[derive(ToSchema)]
struct Health {
    #[schema(example = "ok")]
    status: String,
}

/// Tell of a change in Marketo
#[utoipa::path(
    post, path = "/webhooks/marketo", operation_id = "receive_from_marketo", tag = "webhooks", request_body = MarketoWebhook,
    security(("marketo_token" = []), ("marketo_token_header" = [])),
    responses((status = 200, description = "Stored; or of a program that is not mapped", body = MarketoReceipt))
)]
fn marketo() {}

/// Tell of changes in Salesforce
///
/// Signed after Standard Webhooks. A delivery that was seen before, by its `webhook-id`, gets the first answer.
#[utoipa::path(
    post, path = "/webhooks/salesforce", operation_id = "receive_from_salesforce", tag = "webhooks", request_body = SalesforceWebhook,
    params(
        ("webhook-id" = String, Header, description = "Of the delivery"),
        ("webhook-timestamp" = i64, Header, description = "Seconds since 1970, near our time"),
    ),
    security(("salesforce_signature" = [])),
    responses((status = 200, description = "Stored", body = SalesforceReceipt))
)]
fn salesforce() {}

/// Take an outbound message of Salesforce
///
/// SOAP 1.1, up to 100 notifications, of whose records only `sf:Id` has to be there. A notification that was seen before is
/// acknowledged again. A DOCTYPE is refused.
#[utoipa::path(
    post, path = "/webhooks/salesforce/outbound-message/{token}", operation_id = "receive_outbound_message", tag = "webhooks",
    params(("token" = String, Path, description = "One of `webhooks.salesforce_path_tokens`")),
    request_body(content = String, content_type = "text/xml"),
    responses((status = 200, description = "The Ack", body = String, content_type = "text/xml"))
)]
fn outbound_message() {}

/// Whether the process is alive
#[utoipa::path(
    get, path = "/healthz", operation_id = "is_alive", tag = "health",
    responses((status = 200, description = "It is", body = Health))
)]
fn live() {}

/// Whether the process can serve
///
/// A vendor that is down does not make it unready.
#[utoipa::path(
    get, path = "/readyz", operation_id = "is_ready", tag = "health",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "The database is away (`unavailable`)"),
    )
)]
fn ready() {}

/// Show the metrics
#[utoipa::path(
    get, path = "/metrics", operation_id = "show_metrics", tag = "health",
    responses((status = 200, description = "In the text format of Prometheus", body = String, content_type = "text/plain"))
)]
fn metrics() {}

#[derive(utoipa::OpenApi)]
#[openapi(paths(marketo, salesforce, outbound_message, live, ready, metrics))]
struct Outside;

/// The paths outside the base, with the schemes by which each is let in.
pub(super) fn openapi() -> OpenApi {
    let mut document = Outside::openapi();
    for (path, item) in &mut document.paths.paths {
        for operation in each(item) {
            // Nothing, where no scheme of its own is named: the key of the API is for the API.
            operation.security.get_or_insert_default();
            if path.starts_with("/webhooks/") {
                refusals(operation, path.contains("/outbound-message/"));
            }
            if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("503") {
                fault_or_problem(response, path.contains("/outbound-message/"));
            }
        }
    }
    if let Some(components) = &mut document.components {
        components.security_schemes.extend(schemes());
    }
    document
}

fn schemes() -> impl Iterator<Item = (String, RefOr<SecurityScheme>)> {
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    let signature = "`v1,` and the signature of id, time and body (Standard Webhooks); several, apart by spaces";
    let schemes = [
        ("marketo_token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
        ("marketo_token_header", header("X-Webhook-Token", "One of `webhooks.marketo_tokens`")),
        ("salesforce_signature", header("webhook-signature", signature)),
    ];
    schemes.into_iter().map(|(name, scheme)| (name.to_owned(), RefOr::T(scheme)))
}

/// In the order in which they are checked; none of them leaves a trace.
fn refusals(operation: &mut Operation, soap: bool) {
    for (status, description) in [
        ("429", "This address keeps coming without a valid secret (`too-many-requests`); see Retry-After."),
        ("413", "The body is too long (`body-too-large`)."),
        ("401", "No token or signature that is known (`unauthorized`)."),
        ("400", "The body cannot be read (`malformed-body`)."),
        ("422", "A field is wrong (`invalid-input`)."),
        ("503", "It could not be stored (`unavailable`); see Retry-After."),
    ] {
        let mut response = ResponseBuilder::new().description(description).build();
        fault_or_problem(&mut response, soap);
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
}

/// Salesforce reads a SOAP 1.1 fault, everybody else a problem.
fn fault_or_problem(response: &mut utoipa::openapi::Response, soap: bool) {
    if soap {
        let text = utoipa::openapi::Object::with_type(utoipa::openapi::Type::String);
        let content = utoipa::openapi::Content::new(Some(text));
        response.content.insert("text/xml".to_owned(), RefOr::T(content));
    } else {
        problem_body(response);
    }
}
