//! Whoever is logged in, and what they ask of the API.
//!
//! Owns how a page gets its answers and how a form is taken: only with a session, only from a page of ours. Must not know a page.

use askama::Template;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::Answer;
use super::session::{came_from_elsewhere, own_path, theme};
use super::view::View;
use super::{Dashboard, Frame, Page, Trouble};

/// What came of the last form; shown once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Flash {
    pub good: bool,
    pub text: String,
}

impl Flash {
    pub(super) fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    /// What the API said when it refused.
    pub(super) fn refused(problem: &View) -> Self {
        let mut text = super::words::sentence(&problem.text("detail"));
        for error in problem.each("errors") {
            text = super::words::sentence(&format!("{}: {}", error.text("field"), error.text("message")));
        }
        Self { good: false, text }
    }
}

/// Whoever is logged in.
pub(super) struct Visitor {
    pub dashboard: Dashboard,
    key: SecretString,
    cookie: String,
    theme: &'static str,
    flash: Option<Flash>,
    pub here: String,
}

impl FromRequestParts<Dashboard> for Visitor {
    type Rejection = Box<Trouble>;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Box<Trouble>> {
        let here = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let seal = &dashboard.seal;
        // A form that meets the end of its session leads back to a page, not to itself.
        let next = if parts.method == Method::GET { here.clone() } else { "/".to_owned() };
        let cookie = seal.read(&parts.headers, "session").ok_or_else(|| Trouble::LoggedOut(next.clone()))?;
        let key = seal.open(&cookie).ok_or(Trouble::LoggedOut(next))?;
        let flash = seal.read(&parts.headers, "flash").and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let flash = flash.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let theme = theme(seal, &parts.headers);
        Ok(Self { dashboard: dashboard.clone(), key, cookie, theme, flash, here })
    }
}

impl Visitor {
    /// The frame of a page.
    pub(super) fn frame(&self, title: impl Into<String>, active: &'static str) -> Frame {
        Frame {
            title: title.into(),
            active,
            csrf: self.dashboard.seal.form_token(&self.cookie),
            theme: self.theme,
            flash: self.flash.clone(),
            live: false,
            here: self.here.clone(),
        }
    }

    pub(super) fn live(&self, title: impl Into<String>, active: &'static str) -> Frame {
        Frame { live: true, ..self.frame(title, active) }
    }

    /// With something to tell on the page that is shown now.
    pub(super) fn saying(self, flash: Flash) -> Self {
        Self { flash: Some(flash), ..self }
    }

    /// Shows a page; what it told once is forgotten.
    pub(super) fn page(&self, page: &impl Template) -> Page {
        let mut response = super::rendered(page)?;
        if self.flash.is_some() {
            response.headers_mut().append(header::SET_COOKIE, self.dashboard.seal.cookie("flash", "", 0));
        }
        Ok(response)
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        self.dashboard.clock.now()
    }

    pub(super) fn offers(&self, operation: &str) -> bool {
        self.dashboard.api.offers(operation)
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.dashboard.api.ask(&self.key, method, path, body, &[]).await
    }

    pub(super) async fn change(&self, path: &str, body: &Value, version: &str) -> Answer {
        let headers = [(header::IF_MATCH, version.to_owned())];
        let headers = if version.is_empty() { &[] } else { &headers[..] };
        self.dashboard.api.ask(&self.key, Method::PATCH, path, Some(body), headers).await
    }

    /// What a page cannot do without.
    pub(super) async fn get(&self, path: &str) -> Result<View, Box<Trouble>> {
        self.got(self.ask(Method::GET, path, None).await)
    }

    /// The body of an answer that has to be a good one.
    pub(super) fn got(&self, answer: Answer) -> Result<View, Box<Trouble>> {
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Box::new(Trouble::LoggedOut(self.here.clone())));
        }
        if !answer.status.is_success() {
            let frame = self.frame(answer.body.text("title"), "");
            return Err(Box::new(Trouble::Refused(Box::new((frame, answer.body)))));
        }
        Ok(answer.body)
    }

    /// What a page can do without: nothing where it is refused.
    pub(super) async fn maybe(&self, path: &str) -> View {
        let answer = self.ask(Method::GET, path, None).await;
        if answer.status.is_success() { answer.body } else { self.dashboard.api.view(Value::Null) }
    }

    /// A table of the API as CSV, its pages one after another up to some bound; the rest is cut off and said so.
    pub(super) async fn csv(&self, name: &str, path: &str) -> Page {
        let (mut path, mut whole) = (path.to_owned(), String::new());
        for _ in 0..200 {
            let (text, next) = match self.dashboard.api.text(&self.key, &path).await {
                Ok(page) => page,
                Err(answer) => return self.got(answer).map(|_| StatusCode::BAD_GATEWAY.into_response()),
            };
            // Each page has the names of the columns.
            let rows =
                if whole.is_empty() { text.as_str() } else { text.split_once('\n').map_or("", |(_, rows)| rows) };
            whole += rows;
            match next.as_deref().and_then(|next| next.strip_prefix("/api/v1")) {
                Some(next) => next.clone_into(&mut path),
                None => return Ok(super::csv_file(name, whole)),
            }
        }
        Ok(super::csv_file(name, whole))
    }

    /// Back to a page, with a word about what was done.
    pub(super) fn back(&self, path: &str, flash: &Flash) -> Page {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_string(flash).unwrap_or_default());
        let mut response = Redirect::to(own_path(path)).into_response();
        response.headers_mut().append(header::SET_COOKIE, self.dashboard.seal.cookie("flash", &text, 60));
        Ok(response)
    }

    /// Back to a page with `done`, or with why the API refused.
    pub(super) fn told(&self, path: &str, answer: &Answer, done: impl Into<String>) -> Page {
        match answer.status.is_success() {
            true => self.back(path, &Flash::good(done)),
            false => self.back(path, &Flash::refused(&answer.body)),
        }
    }
}

/// A form of ours, and whoever sent it.
pub(super) struct Submitted {
    pub visitor: Visitor,
    pub fields: Fields,
}

/// What was entered.
pub(super) struct Fields(pub Vec<(String, String)>);

impl Fields {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl FromRequest<Dashboard> for Submitted {
    type Rejection = Box<Trouble>;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Box<Trouble>> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, dashboard).await?;
        let elsewhere = came_from_elsewhere(&parts.headers);
        let fields = Form::<Vec<(String, String)>>::from_request(Request::from_parts(parts, body), dashboard).await;
        let Form(fields) = fields.map_err(|_| Trouble::Forged)?;
        let fields = Fields(fields);
        if elsewhere || !dashboard.seal.is_form_of(fields.get("csrf"), &visitor.cookie) {
            return Err(Box::new(Trouble::Forged));
        }
        Ok(Self { visitor, fields })
    }
}
