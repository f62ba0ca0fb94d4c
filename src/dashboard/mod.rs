//! The dashboard: pages for people, made of what the REST API says.
//!
//! Owns sessions, forms and pages. Asks the API alone, in this process and with the key of whoever is logged in, so that it can
//! show and do nothing that the key does not permit. Must not know the store, the vendors or the worker. Pages are whole
//! without JavaScript; scripts add charts, search while typing and live figures.

mod administration;
mod api;
mod approvals;
mod assets;
mod changes;
mod guard;
mod listing;
mod live;
mod lost;
mod mapping_form;
mod mappings;
mod members;
mod names;
mod overview;
mod receivers;
mod session;
mod settings;
mod timeline;
mod vendors;
mod view;
mod visitor;
mod wizard;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use url::Url;

use crate::domain::clock::Clock;
use api::Api;
pub use lost::lost;
use session::Seal;
pub use session::{NoSeal, SECRET_BYTES};
use view::View;

/// Bytes of a form: that of a status map with hundreds of rows is far below. Anybody may send one to the page for logging in.
const LONGEST_FORM: usize = 256 * 1024;

/// What pages need; cheap to clone.
#[derive(Clone)]
pub struct Dashboard {
    api: Api,
    seal: Arc<Seal>,
    clock: Clock,
    stop: CancellationToken,
}

impl Dashboard {
    /// Over the router of the REST API. `secret` seals the sessions; processes that share it share the sessions. Streams end with
    /// `stop`.
    ///
    /// # Errors
    /// When the secret is no secret.
    pub async fn new(
        api: Router,
        secret: &[u8],
        public_url: Option<&Url>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, NoSeal> {
        let secure = public_url.is_some_and(|url| url.scheme() == "https");
        let seal = Arc::new(Seal::new(secret, secure, clock.clone())?);
        Ok(Self { api: Api::new(api, clock.clone()).await, seal, clock, stop })
    }

    /// The pages, and what they are made of.
    pub fn router(self) -> Router {
        let pages = Router::new()
            .route("/", get(overview::show))
            .route("/login", get(session::form).post(session::log_in))
            .route("/logout", post(session::log_out))
            .route("/theme", post(session::set_theme))
            .route("/mappings", get(mappings::list))
            .route("/mappings/new", get(wizard::show).post(wizard::submit))
            .route("/mappings/{id}", get(mappings::show))
            .route("/mappings/{id}/act", post(mappings::act))
            .route("/mappings/{id}/edit", get(wizard::edit).post(wizard::submit_edit))
            .route("/mappings/{id}/remove", get(mappings::confirm_removal).post(mappings::remove))
            .route("/mappings/{id}/members", get(members::list))
            .route("/mappings/{id}/members.csv", get(members::csv))
            .route("/plans/{id}", get(approvals::plan).post(approvals::apply_plan))
            .route("/plans/{id}/rows.csv", get(approvals::plan_csv))
            .route("/members/{id}", get(members::show).post(members::resolve))
            .route("/changes", get(changes::list))
            .route("/changes.csv", get(changes::csv))
            .route("/changes/bulk", get(changes::count).post(changes::bulk))
            .route("/changes/{id}", get(changes::show).post(changes::decide))
            .route("/approvals", get(approvals::list))
            .route("/approvals.csv", get(approvals::csv))
            .route("/approvals/{id}", post(approvals::decide))
            .route("/catch-ups/{id}", post(approvals::tell))
            .route("/subscriptions", get(receivers::list).post(receivers::create))
            .route("/subscriptions/{id}", get(receivers::show).post(receivers::act))
            .route("/vendors", get(vendors::show))
            .route("/checklist", get(vendors::checklist))
            .route("/audit", get(administration::audit))
            .route("/settings", get(settings::show))
            .route("/settings/switch", post(settings::switch))
            .route("/settings/keys", post(settings::create_key))
            .route("/settings/keys/{id}/revoke", post(settings::revoke_key))
            .layer(DefaultBodyLimit::max(LONGEST_FORM))
            .layer(middleware::map_response(guard::protected))
            .layer(CompressionLayer::new());
        let streams = Router::new().route("/live", get(live::stream)).layer(middleware::map_response(guard::protected));
        let assets = Router::new().route("/assets/{name}", get(assets::serve)).layer(CompressionLayer::new());
        pages.merge(streams).merge(assets).with_state(self)
    }
}

/// What surrounds every page.
struct Frame {
    pub title: String,
    /// The entry of the navigation that the page belongs to.
    pub active: &'static str,
    /// Goes into every form.
    pub csrf: String,
    pub theme: &'static str,
    /// What came of the last form.
    pub flash: Option<visitor::Flash>,
    /// Whether the page follows what happens.
    pub live: bool,
    /// Path and parameters of this page.
    pub here: String,
}

/// A page that was asked for, or why there is none.
type Page = Result<Response, Box<Trouble>>;

/// Why a page cannot be shown.
enum Trouble {
    /// There is no session, or its key is not known any more; the path to come back to.
    LoggedOut(String),
    /// The API refused.
    Refused(Box<(Frame, View)>),
    /// A form that does not come from a page of ours, or from one that is too old.
    Forged,
    /// A template failed, which it cannot.
    Broken,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused {
    frame: Frame,
    problem: View,
}

#[derive(Template)]
#[template(path = "forged.html")]
struct Forged;

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::LoggedOut(next) => Redirect::to(&session::login_path(&next)).into_response(),
            Self::Refused(refused) => {
                let (frame, problem) = *refused;
                let status = u16::try_from(problem.number("status")).ok().and_then(|s| StatusCode::from_u16(s).ok());
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let page = Refused { frame, problem }.render();
                page.map_or(StatusCode::INTERNAL_SERVER_ERROR.into_response(), |page| {
                    (status, Html(page)).into_response()
                })
            }
            Self::Forged => {
                let page = Forged.render().unwrap_or_default();
                (StatusCode::FORBIDDEN, Html(page)).into_response()
            }
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl IntoResponse for Box<Trouble> {
    fn into_response(self) -> Response {
        (*self).into_response()
    }
}

/// A page out of its template.
fn rendered(page: &impl Template) -> Page {
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Box::new(Trouble::Broken)
    })?;
    Ok(Html(html).into_response())
}

/// A table of the API as a file.
fn csv_file(name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}
