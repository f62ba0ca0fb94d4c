//! What mappings are called, where an answer of the API has nothing but their ids.

use std::collections::{BTreeMap, BTreeSet};

use super::view::{View, escaped};
use super::visitor::Visitor;

/// Names of mappings by their ids; those that are gone have none.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// Of the mappings that these rows name, asked for at once.
    pub(super) async fn of(visitor: &Visitor, rows: &[View]) -> Self {
        let named = rows.iter().map(|row| row.text("mapping_id")).filter(|id| uuid::Uuid::parse_str(id).is_ok());
        let ids: BTreeSet<String> = named.collect();
        if ids.is_empty() {
            return Self::default();
        }
        let asked: Vec<String> = ids.iter().map(|id| format!("id={id}")).collect();
        let path = format!("/mappings?limit={}&{}", ids.len(), asked.join("&"));
        let found = visitor.maybe(&path).await.each("data");
        Self(found.iter().map(|mapping| (mapping.text("id"), called(mapping))).collect())
    }

    /// What a mapping is called.
    pub(super) fn name(&self, row: &View) -> String {
        self.0.get(&row.text("mapping_id")).cloned().unwrap_or_else(|| "A mapping that is gone".to_owned())
    }

    /// A link to the mapping of a row; nothing where it has none. HTML.
    pub(super) fn link(&self, row: &View) -> String {
        if !row.has("mapping_id") {
            return String::new();
        }
        let name = escaped(&self.name(row));
        if self.0.contains_key(&row.text("mapping_id")) {
            format!("<a href=\"/mappings/{}\">{name}</a>", escaped(&row.text("mapping_id")))
        } else {
            format!("<span class=\"muted\">{name}</span>")
        }
    }
}

/// The program, and the campaign where that is called otherwise.
fn called(mapping: &View) -> String {
    let (program, campaign) = (mapping.text("program_name"), mapping.text("campaign_name"));
    if program == campaign { program } else { format!("{program} ⇄ {campaign}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_linked_to_its_mapping_by_name() {
        let view = |value| View::new(value, "2026-11-23T20:05:01Z".parse().unwrap());
        let names = Names(BTreeMap::from([("1".to_owned(), "Tom & Co".to_owned())]));
        assert_eq!(names.link(&view(json!({"mapping_id": "1"}))), "<a href=\"/mappings/1\">Tom &amp; Co</a>");
        assert!(names.link(&view(json!({"mapping_id": "2"}))).contains("gone"));
        assert_eq!(names.link(&view(json!({"mapping_id": null}))), "");
        let both =
            |program: &str, campaign: &str| called(&view(json!({"program_name": program, "campaign_name": campaign})));
        assert_eq!((both("A", "A"), both("A", "B")), ("A".to_owned(), "A ⇄ B".to_owned()));
    }
}
