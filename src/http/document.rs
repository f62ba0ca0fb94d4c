//! The OpenAPI document, and a page that lists what is in it.
//!
//! Owns what holds of every operation and is therefore said once: the key, the errors that any of them can give. Must not
//! describe a single operation; each does so where it is written.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, ResponseBuilder, ServerBuilder};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::{BASE, operations};
use crate::problem;

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
#[openapi(components(schemas(ProblemBody, FieldErrorBody)))]
struct Problems;

const DESCRIPTION: &str = "Keeps Marketo programs and Salesforce campaigns the same, both ways. Errors are problems \
    (`application/problem+json`, RFC 9457), told apart by `code`. Times are RFC 3339 in UTC. Lists are paged by `limit` and `cursor`.";

/// The OpenAPI 3.1 document of the REST API.
#[must_use]
pub fn openapi() -> OpenApi {
    let (reading, administration) = operations();
    let nested = OpenApiRouter::with_openapi(Problems::openapi()).nest(BASE, reading.merge(administration));
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
    document
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

fn problem_body(response: &mut utoipa::openapi::Response) {
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
<p>Every operation needs <code>Authorization: Bearer KEY</code>. The whole document, with bodies and errors, is
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
