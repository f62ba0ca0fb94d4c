//! The OpenAPI document, and a page that lists what is in it.
//!
//! Owns what holds of every operation and is therefore said once: the key, the errors that any of them can give. Must not
//! describe a single operation; each does so where it is written.

mod outside;

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, LicenseBuilder, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, ServerBuilder, Type,
};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::events::TriggerEventBody;
use super::{BASE, operations};
use crate::domain::merge::Side;
use crate::problem;
use crate::store::mappings::MappingOrder;

/// One problem (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what is serialised elsewhere")]
struct ProblemBody {
    /// `https://campaign-sync.dev/problems/` and the code.
    r#type: String,
    /// By which clients tell problems apart.
    #[schema(example = "invalid-input")]
    code: String,
    title: String,
    status: u16,
    detail: String,
    /// The same as in the header `X-Request-Id`.
    request_id: String,
    /// What is wrong with which field.
    errors: Vec<FieldErrorBody>,
    /// With `already-mapped` and `mapping-observes`: the mapping that is in the way.
    #[schema(required = false)]
    mapping_id: String,
    /// With `incompatible-statuses`: the statuses without a translation.
    #[schema(required = false)]
    differences: Vec<DifferenceBody>,
    /// With `unknown-status`: those that the campaign has.
    #[schema(required = false)]
    statuses: Vec<String>,
    /// With `not-tracked`: the campaigns of which nothing is recorded.
    #[schema(required = false)]
    campaign_ids: Vec<String>,
}

/// A status that the other side has no counterpart for.
#[derive(ToSchema)]
#[schema(as = StatusDifference)]
#[expect(dead_code, reason = "describes what is serialised elsewhere")]
struct DifferenceBody {
    /// Whose status it is.
    side: Side,
    status: String,
    /// How many hold it; null where they could not be counted.
    members: Option<u64>,
    /// What it probably is on the other side.
    suggestion: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = FieldError)]
#[expect(dead_code, reason = "describes what is serialised elsewhere")]
struct FieldErrorBody {
    #[schema(example = "policies.gate")]
    field: String,
    #[schema(example = "unknown")]
    code: String,
    message: String,
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody, FieldErrorBody, DifferenceBody, TriggerEventBody, MappingOrder)))]
struct Shared;

const DESCRIPTION: &str = "Keeps Marketo programs and Salesforce campaigns the same, both ways. Errors are problems \
    (`application/problem+json`, RFC 9457), told apart by `code`. Times are RFC 3339 in UTC. Lists are paged by `limit` and `cursor`.";

/// The OpenAPI 3.1 document of the REST API.
#[must_use]
pub fn openapi() -> OpenApi {
    let (reading, administration) = operations();
    let nested = OpenApiRouter::with_openapi(Shared::openapi()).nest(BASE, reading.merge(administration));
    let mut document = nested.into_openapi();
    document.info = InfoBuilder::new()
        .title("campaign-sync")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    if let Some(components) = &mut document.components {
        let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.security_schemes.insert("key".to_owned(), RefOr::T(key));
    }
    document.security = Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        let has_id = path.contains('{');
        for operation in each(item) {
            // A step in Marketo declares nothing.
            describe_errors(operation, has_id, !path.contains("/flow-actions/"));
        }
    }
    document.merge(outside::openapi());
    for operation in document.paths.paths.values_mut().flat_map(each) {
        describe_headers(operation);
    }
    if let Some(components) = &mut document.components {
        for (name, description) in HEADERS {
            let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String)));
            let header = header.description(Some(description)).build();
            components.headers.insert(name.to_owned(), RefOr::T(header));
        }
    }
    document
}

const HEADERS: [(&str, &str); 4] = [
    ("X-Request-Id", "By which the request is found in the log: the one that was sent, else a new one."),
    ("Idempotency-Replayed", "`true` where the answer is the first one again; else it is not there."),
    ("WWW-Authenticate", "What is missing (RFC 6750, 3)."),
    ("Retry-After", "In how many seconds to come back."),
];

/// The headers that answers of a kind have.
fn describe_headers(operation: &mut Operation) {
    let is_key = |parameter: &utoipa::openapi::path::Parameter| {
        parameter.parameter_in == ParameterIn::Header && parameter.name == "Idempotency-Key"
    };
    let replays = operation.parameters.iter().flatten().any(|parameter| matches!(parameter, RefOr::T(p) if is_key(p)));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_header(response, "X-Request-Id");
        match status.as_str() {
            "401" | "403" => add_header(response, "WWW-Authenticate"),
            "429" | "503" => add_header(response, "Retry-After"),
            status if replays && status.starts_with('2') => add_header(response, "Idempotency-Replayed"),
            _ => {}
        }
    }
}

fn add_header(response: &mut Response, name: &str) {
    let known = Ref::new(format!("#/components/headers/{name}"));
    response.headers.insert(name.to_owned(), RefOr::Ref(known));
}

fn each(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn describe_errors(operation: &mut Operation, has_id: bool, declared: bool) {
    let has_body = operation.request_body.is_some();
    let has_parameters = operation.parameters.as_ref().is_some_and(|list| list.len() > usize::from(has_id));
    let errors = [
        ("400", "The body is not JSON (`malformed-body`).", has_body),
        ("401", "No key, or one that is not known (`unauthorized`).", true),
        ("403", "The key lacks the scope (`insufficient-scope`).", true),
        ("404", "There is no such thing (`not-found`).", has_id),
        ("413", "The body is too long (`body-too-large`).", has_body),
        ("415", "The body is not declared as JSON (`unsupported-media-type`).", has_body && declared),
        ("422", "A field or parameter is wrong; `errors` names it (`invalid-input`).", has_body || has_parameters),
        (
            "429",
            "Too many requests of this key, or attempts of this address (`too-many-requests`); see Retry-After.",
            true,
        ),
        ("500", "A fault of ours (`internal`).", true),
        ("503", "The database does not answer (`unavailable`); see Retry-After.", true),
    ];
    for (status, description, _) in errors.into_iter().filter(|(.., applies)| *applies) {
        let responses = &mut operation.responses.responses;
        let response = responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
        // Those that an operation names itself get the same body.
        if let RefOr::T(response) = response {
            problem_body(response);
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            problem_body(response);
        }
    }
}

fn problem_body(response: &mut Response) {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    response.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(content));
}

/// The document as it is committed, and printed by `campaign-sync openapi`.
///
/// # Errors
/// Never for a document that this crate builds.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&openapi()).map(|text| text + "\n")
}

pub(super) async fn serve() -> impl IntoResponse {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| openapi_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], document.as_str())
}

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>campaign-sync API</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td { padding: .4rem .6rem; border-top: 1px solid #8884; vertical-align: top }
td:first-child { font-weight: 600 }
code { font: 14px ui-monospace, monospace; overflow-wrap: anywhere }
</style></head><body>
<h1>campaign-sync API</h1>
<p>Every operation under <code>/api/v1</code> needs <code>Authorization: Bearer KEY</code>. The whole document, with bodies and errors, is
<a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<table>
"#;

/// A page that needs nothing from anywhere else.
pub(super) async fn page() -> Html<String> {
    let mut document = openapi();
    let mut rows = String::new();
    for (path, item) in &mut document.paths.paths {
        let methods = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        for (method, operation) in
            methods.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
        {
            let summary = escaped(operation.summary.as_deref().unwrap_or_default());
            rows += &format!("<tr><td>{method}</td><td><code>{}</code></td><td>{summary}</td></tr>\n", escaped(path));
        }
    }
    Html(format!("{HEAD}{rows}</table></body></html>\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn operation<'a>(document: &'a Value, path: &str) -> &'a Value {
        let methods = document["paths"][path].as_object().unwrap_or_else(|| panic!("{path} is not described"));
        methods.values().next().unwrap()
    }

    #[test]
    fn what_is_outside_the_base_is_let_in_by_schemes_of_its_own() {
        let document = serde_json::to_value(openapi()).unwrap();
        for (path, security) in [
            ("/webhooks/marketo", json!([{"marketo_token": []}, {"marketo_token_header": []}])),
            ("/webhooks/salesforce", json!([{"salesforce_signature": []}])),
            ("/webhooks/salesforce/outbound-message/{token}", json!([])),
            ("/healthz", json!([])),
            ("/readyz", json!([])),
            ("/metrics", json!([])),
        ] {
            assert_eq!(operation(&document, path)["security"], security, "{path}");
        }
        let schemes = document["components"]["securitySchemes"].as_object().unwrap();
        assert_eq!(schemes.len(), 4, "{schemes:?}");
        let marketo = &document["components"]["schemas"]["MarketoWebhook"];
        assert_eq!(marketo["required"], json!(["event"]));
        assert!(marketo["properties"]["leadId"].is_object(), "{marketo}");
        let salesforce = &document["components"]["schemas"]["SalesforceRecord"];
        assert!(salesforce["properties"]["SystemModstamp"].is_object(), "{salesforce}");
    }

    #[test]
    fn every_reference_names_something() {
        let document = serde_json::to_value(openapi()).unwrap();
        let text = document.to_string();
        for place in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(place).is_some(), "{place}");
        }
        let event = &document["components"]["schemas"]["TriggerEvent"];
        assert!(event["properties"]["data"].is_object(), "{event}");
        let problem = &document["components"]["schemas"]["Problem"];
        for member in ["mapping_id", "differences", "statuses"] {
            assert!(problem["properties"][member].is_object(), "{member}");
            assert!(!problem["required"].as_array().unwrap().contains(&json!(member)), "{member}");
        }
    }

    #[test]
    fn answers_name_their_headers() {
        let document = serde_json::to_value(openapi()).unwrap();
        let made = &document["paths"]["/api/v1/mappings"]["post"]["responses"];
        for (status, header) in [
            ("201", "Idempotency-Replayed"),
            ("201", "X-Request-Id"),
            ("401", "WWW-Authenticate"),
            ("429", "Retry-After"),
            ("503", "Retry-After"),
        ] {
            assert!(made[status]["headers"][header].is_object(), "{status} {header}");
        }
    }
}
