//! The audit log.

use askama::Template;
use serde_json::json;

use super::listing::{Asked, Pager};
use super::names::Names;
use super::view::View;
use super::visitor::Visitor;
use super::{Frame, Page};

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    entries: Vec<Entry>,
    pager: Pager,
    names: Names,
}

/// What somebody did, and the mapping that it was done to, if any.
struct Entry {
    entry: View,
    /// The name of the key, where one did it.
    who: String,
    mapping: Option<View>,
}

pub(super) async fn audit(visitor: Visitor, asked: Asked) -> Page {
    let list = visitor.get(&format!("/audit?{}", asked.query(&["cursor"]))).await?;
    let keys = visitor.maybe("/keys?limit=500").await.each("data");
    let who = |actor: String| {
        let id = actor.strip_prefix("key:").unwrap_or_default();
        keys.iter().find(|key| !id.is_empty() && key.is("id", id)).map_or(actor.clone(), |key| key.text("name"))
    };
    let of = |entry: View| {
        let who = who(entry.text("actor"));
        let target = json!({"mapping_id": entry.text("target")});
        let mapping = entry.text("action").starts_with("mapping.").then(|| visitor.dashboard.api.view(target));
        Entry { entry, who, mapping }
    };
    let entries: Vec<Entry> = list.each("data").into_iter().map(of).collect();
    let named: Vec<View> = entries.iter().filter_map(|entry| entry.mapping.clone()).collect();
    let names = Names::of(&visitor, &named).await;
    let pager = Pager::of(&list, "/audit", "", &asked);
    visitor.page(&Audit { frame: visitor.frame("Audit log", "audit"), entries, pager, names })
}
