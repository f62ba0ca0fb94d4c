//! Lists: what is asked for in the address of a page, and the addresses of its other pages.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::view::{View, encoded};
use super::visitor::Fields;
use super::{Dashboard, Trouble};

/// What stands behind the question mark of a page.
pub(super) struct Asked(pub Fields);

impl FromRequestParts<Dashboard> for Asked {
    type Rejection = Box<Trouble>;

    async fn from_request_parts(parts: &mut Parts, state: &Dashboard) -> Result<Self, Box<Trouble>> {
        let asked = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        Ok(Self(Fields(asked.map(|Query(pairs)| pairs).unwrap_or_default())))
    }
}

impl Asked {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name)
    }

    /// The named ones, as they are asked of the API and written into addresses; empty ones left out.
    pub(super) fn query(&self, names: &[&str]) -> String {
        let given = self.0.0.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.trim().is_empty());
        let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value.trim()))).collect();
        pairs.join("&")
    }
}

/// Links to the other pages of a list.
pub(super) struct Pager {
    /// None at the end.
    pub next: Option<String>,
    /// None at the beginning.
    pub first: Option<String>,
}

impl Pager {
    /// Of a list at `path` with what is filtered by.
    pub(super) fn of(list: &View, path: &str, filter: &str, asked: &Asked) -> Self {
        let and = if filter.is_empty() { "" } else { "&" };
        let next = list.has("next_cursor").then(|| format!("{path}?{filter}{and}cursor={}", list.text("next_cursor")));
        let first = (!asked.get("cursor").is_empty()).then(|| format!("{path}?{filter}"));
        Self { next, first }
    }
}

/// One choice of a filter.
pub(super) struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

/// The choices of a filter, with the one that is chosen.
pub(super) fn choices(codes: impl IntoIterator<Item = impl Into<String>>, chosen: &str) -> Vec<Choice> {
    let choice = |code: String| Choice { label: super::words::label(&code), chosen: code == chosen, value: code };
    codes.into_iter().map(|code| choice(code.into())).collect()
}
