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

/// The order of a table: the headings that lead to another one.
pub(super) struct Sorted {
    path: &'static str,
    /// What is filtered by, with an ampersand behind it.
    filter: String,
    order: String,
}

impl Sorted {
    /// Of a list at `path` with what is filtered by; `usual` is its order when none is asked for.
    pub(super) fn of(path: &'static str, filter: &str, asked: &Asked, usual: &str) -> Self {
        let given = asked.get("sort");
        let order = if given.is_empty() { usual } else { given };
        let filter = if filter.is_empty() { String::new() } else { format!("{filter}&") };
        Self { path, filter, order: order.to_owned() }
    }

    /// A heading: the order that it leads to is the other way round where the table is in its order already.
    pub(super) fn heading(&self, column: &str, title: &str) -> String {
        let (state, mark, next) = match self.order.strip_prefix('-') {
            _ if self.order == column => (" aria-sort=\"ascending\"", "▲", format!("-{column}")),
            Some(order) if order == column => (" aria-sort=\"descending\"", "▼", column.to_owned()),
            _ => ("", "", column.to_owned()),
        };
        let href = super::view::escaped(&format!("{}?{}sort={next}", self.path, self.filter));
        format!(
            "<th scope=\"col\"{state}><a class=\"sort\" href=\"{href}\">{title}<span aria-hidden=\"true\">{mark}</span></a></th>"
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: &str) -> Sorted {
        let asked = Asked(Fields(vec![("sort".to_owned(), order.to_owned())]));
        Sorted::of("/mappings", "q=a%26b", &asked, "created_at")
    }

    #[test]
    fn a_heading_leads_to_its_order_and_then_to_the_other_way_round() {
        let plain = sorted("").heading("program_name", "Program");
        assert!(plain.contains("href=\"/mappings?q=a%26b&amp;sort=program_name\"") && !plain.contains("aria-sort"));
        let up = sorted("program_name").heading("program_name", "Program");
        assert!(up.contains("aria-sort=\"ascending\"") && up.contains("sort=-program_name\""), "{up}");
        let down = sorted("-program_name").heading("program_name", "Program");
        assert!(down.contains("aria-sort=\"descending\"") && down.contains("sort=program_name\""), "{down}");
        assert!(sorted("").heading("created_at", "Made").contains("ascending"), "its usual order");
    }
}
