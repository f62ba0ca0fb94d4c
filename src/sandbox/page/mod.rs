//! A page to see both worlds and to act in them as a person does, in any browser and without scripts.
//!
//! Owns the page at the root of the control address. It is a front of the control API and nothing more: every form is a row of
//! [`acts`], and sending one makes the call that anybody can make. Must not act on a world by itself.

mod acts;
mod forms;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tower::ServiceExt;

use super::clock::Clock;
use super::fault::Faults;
use super::marketo::Marketo;
use super::salesforce::Salesforce;

/// What the page shows, and the control API that its forms call.
#[derive(Clone)]
pub struct Page {
    pub marketo: Arc<Marketo>,
    pub salesforce: Arc<Salesforce>,
    pub clock: Clock,
    pub faults: Faults,
    pub control: Router,
}

/// What is looked at, and what was done last.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Campaign whose members are shown.
    campaign: String,
    /// Program whose members are shown.
    program: Option<i64>,
    done: String,
    answer: String,
}

/// The page and the address of its forms.
pub fn router(page: Page) -> Router {
    Router::new().route("/", get(show)).route("/act", post(act)).with_state(page)
}

async fn show(State(page): State<Page>, Query(look): Query<Look>) -> Response {
    // Nothing on the page is loaded from elsewhere, and nothing runs.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(view::page(&page, &look))).into_response()
}

async fn act(State(page): State<Page>, headers: HeaderMap, body: Bytes) -> Response {
    if !comes_from_the_page(&headers) {
        return (StatusCode::FORBIDDEN, "forms are taken from the page of the emulator alone\n").into_response();
    }
    let sent: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let given = |name: &str| sent.iter().find(|(k, _)| k == name).map(|(_, v)| v.trim()).unwrap_or_default();
    let Some(form) = acts::FORMS.iter().find(|form| form.title == given("form")) else {
        return (StatusCode::NOT_FOUND, "there is no such form\n").into_response();
    };
    let answer = match form.call(given) {
        Ok((path, body)) => carry_out(&page, form.method, &path, body).await,
        Err(wrong) => wrong,
    };
    let shown: String = answer.chars().take(600).collect();
    let back = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("campaign", given("campaign")), ("done", form.title), ("answer", &shown)])
        .extend_pairs(Some(given("program")).filter(|program| !program.is_empty()).map(|program| ("program", program)))
        .finish();
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/?{back}"))]).into_response()
}

async fn carry_out(page: &Page, method: &str, path: &str, body: String) -> String {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let Ok(request) = request.body(Body::from(body)) else { return format!("{path} is no address") };
    let Ok(response) = page.control.clone().oneshot(request).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), 1024 * 1024).await.unwrap_or_default();
    format!("{status} {}", String::from_utf8_lossy(&body))
}

/// A form that another site sends with the browser of whoever runs the emulator names that site.
fn comes_from_the_page(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return true };
    text(header::HOST).is_some_and(|host| origin == format!("http://{host}") || origin == format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use crate::sandbox::{EmulateOptions, Emulators, start};

    async fn send(emulators: &Emulators, form: &[(&str, &str)]) -> String {
        let answer =
            reqwest::Client::new().post(format!("{}/act", emulators.control_url)).form(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{form:?}");
        answer.text().await.unwrap()
    }

    #[tokio::test]
    async fn a_person_acts_on_both_sides_by_forms_and_sees_what_came_of_it() {
        let emulators = start(EmulateOptions::default()).await.unwrap();
        send(&emulators, &[("form", "Add a campaign"), ("Name", "<b>Spring</b>"), ("Type", "Webinar")]).await;
        let campaign = emulators
            .salesforce
            .with(|org| org.rows(crate::sandbox::salesforce::Object::Campaign).next().unwrap().id)
            .to_string();
        send(
            &emulators,
            &[("form", "Add a lead"), ("LastName", "Hopper"), ("Company", "Navy"), ("Email", "grace@navy.example")],
        )
        .await;
        let lead = emulators
            .salesforce
            .with(|org| org.rows(crate::sandbox::salesforce::Object::Lead).next().unwrap().id)
            .to_string();
        let member = [
            ("form", "Add a member"),
            ("campaign", &campaign),
            ("CampaignId", &campaign),
            ("LeadId", &lead),
            ("Status", "Responded"),
        ];
        let shown = send(&emulators, &member).await;
        for text in ["&lt;b&gt;Spring&lt;/b&gt;", "<td>grace@navy.example</td><td>Responded</td>", "200 OK"] {
            assert!(shown.contains(text), "{text} is not in {shown}");
        }
        assert!(!shown.contains("<b>Spring"));
        let refused = send(&emulators, &[("form", "Convert a lead"), ("{id}", "nobody")]).await;
        assert!(refused.contains("422 Unprocessable Entity"));
        send(&emulators, &[("form", "Convert a lead"), ("{id}", &lead)]).await;
        send(&emulators, &[("form", "Marketing User licence"), ("marketing_user", "false")]).await;
        assert!(!emulators.salesforce.with(|org| org.options.marketing_user));
        send(&emulators, &[("form", "Add a person"), ("email", "ada@x.example")]).await;
        assert_eq!(emulators.marketo.with(|world| world.people.iter().count()), 1);
        let fault = [("form", "Answer the next calls late"), ("vendor", "marketo"), ("action.delay.ms", "5")];
        assert!(send(&emulators, &fault).await.contains("Faults that wait for a call"));
        send(&emulators, &[("form", "Move the clock"), ("advance_seconds", "60")]).await;
        assert_eq!(emulators.clock.offset_seconds(), 60);
    }

    #[tokio::test]
    async fn forms_of_other_sites_are_refused() {
        let emulators = start(EmulateOptions::default()).await.unwrap();
        let request = reqwest::Client::new().post(format!("{}/act", emulators.control_url));
        let answer = request
            .header("origin", "https://evil.example")
            .form(&[("form", "Move the clock"), ("advance_seconds", "60")]);
        assert_eq!(answer.send().await.unwrap().status(), 403);
        assert_eq!(emulators.clock.offset_seconds(), 0);
    }
}
