//! The form of a mapping: statuses side by side, gate, direction and policies; filled in, read, and turned into what the API takes.
//!
//! Owns the names of its fields. Must not know whether the mapping is new.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::listing::Choice;
use super::view::View;
use super::visitor::Fields;
use super::words::{POLICIES, Policy};

/// A program status and what it becomes.
pub(super) struct Row {
    pub status: String,
    pub step: String,
    pub success: bool,
    pub members: String,
    pub choices: Vec<Choice>,
    /// Why this one is proposed; empty for the same name.
    pub reason: String,
    /// `exact`, `likely`, `guess`, or nothing where nothing is proposed.
    pub certainty: &'static str,
    /// Members have it and it does not travel: they would wait.
    pub held: bool,
}

/// A campaign status that no program status becomes, and what it becomes.
pub(super) struct Back {
    pub status: String,
    pub members: String,
    pub choices: Vec<Choice>,
}

/// A policy and which of its values is chosen.
pub(super) struct Chosen {
    pub policy: &'static Policy,
    pub value: String,
}

impl Chosen {
    pub(super) fn is(&self, value: &str) -> bool {
        self.value == value
    }
}

/// All of the form.
pub(super) struct MappingForm {
    pub rows: Vec<Row>,
    pub backs: Vec<Back>,
    /// All of the campaign's, so that what was entered can be read without asking the vendors again.
    pub campaign_statuses: Vec<String>,
    pub gate_all: bool,
    pub gate: Vec<Choice>,
    pub policies: Vec<Chosen>,
    pub provision: bool,
    pub allow_native_sync: bool,
    pub allow_program_type: bool,
    pub paused: bool,
}

/// One translation each way, by status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Translations {
    pub forth: BTreeMap<String, String>,
    pub back: BTreeMap<String, String>,
}

impl Translations {
    /// Those that the API proposes.
    pub(super) fn proposed(matched: &View) -> Self {
        let pairs = matched.each("pairs");
        let forth = pairs.iter().map(|pair| (pair.text("program_status"), pair.text("campaign_status")));
        Self { forth: forth.collect(), back: BTreeMap::new() }
    }

    /// Those of a mapping.
    pub(super) fn current(mapping: &View) -> Self {
        let mut found = Self::default();
        for row in mapping.each("status_map") {
            let (ours, theirs) = (row.text("program_status"), row.text("campaign_status"));
            match row.text("direction").as_str() {
                "to_marketo" => found.back.insert(theirs, ours),
                _ => found.forth.insert(ours, theirs),
            };
        }
        found
    }

    /// Those that were entered.
    pub(super) fn entered(fields: &Fields) -> Self {
        let pairs = |names: &str, values: &str| {
            let (names, values) = (fields.all(names), fields.all(values));
            let pairs = names.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        Self { forth: pairs("program_status", "becomes"), back: pairs("campaign_status", "becomes_program") }
    }

    /// The rows of a status map; none where every status becomes the one of its name, which the automatic map does as well,
    /// and goes on doing when statuses are added.
    pub(super) fn rows(&self, matched: &View) -> Option<Vec<Value>> {
        let all =
            |side: &str| -> BTreeSet<String> { matched.each(side).iter().map(|one| one.text("status")).collect() };
        let (program, campaign) = (all("program_statuses"), all("campaign_statuses"));
        let same = self.forth.iter().all(|(ours, theirs)| ours == theirs) && self.back.is_empty();
        if same && self.forth.len() == program.len() && program == campaign {
            return None;
        }
        let mut rows = Vec::new();
        let mut answered = BTreeSet::new();
        let mut add = |ours: &str, theirs: &str, direction: &str| {
            rows.push(json!({"program_status": ours, "campaign_status": theirs, "direction": direction}));
        };
        // Several may become one; that one comes back as its namesake, else as the first by step.
        let order: Vec<String> = matched.each("program_statuses").iter().map(|one| one.text("status")).collect();
        let comes_back_as = |theirs: &String| {
            let becomes = |ours: &&String| self.forth.get(*ours) == Some(theirs);
            if self.forth.get(theirs) == Some(theirs) {
                Some(theirs.clone())
            } else {
                order.iter().find(becomes).cloned()
            }
        };
        for ours in &order {
            let Some(theirs) = self.forth.get(ours) else { continue };
            let both = comes_back_as(theirs).as_ref() == Some(ours);
            answered.insert(theirs.clone());
            add(ours, theirs, if both { "both" } else { "to_salesforce" });
        }
        for (theirs, ours) in self.back.iter().filter(|(theirs, _)| !answered.contains(*theirs)) {
            add(ours, theirs, "to_marketo");
        }
        Some(rows)
    }
}

impl MappingForm {
    /// Filled in: translations, and the policies and options that `current` has (a mapping, or the entered form as one).
    pub(super) fn new(matched: &View, translations: &Translations, current: &View) -> Self {
        let options = |side: &str, chosen: Option<&String>| -> Vec<Choice> {
            let names = matched.each(side).into_iter().map(|one| one.text("status"));
            names.map(|name| Choice { chosen: chosen == Some(&name), label: name.clone(), value: name }).collect()
        };
        let pairs = matched.each("pairs");
        let rows: Vec<Row> = matched
            .each("program_statuses")
            .iter()
            .map(|status| {
                let name = status.text("status");
                let pair = pairs.iter().find(|pair| pair.text("program_status") == name);
                let confidence = pair.and_then(|pair| pair.value("confidence").as_f64()).unwrap_or(0.0);
                Row {
                    choices: options("campaign_statuses", translations.forth.get(&name)),
                    reason: pair.filter(|_| confidence < 1.0).map(|pair| pair.text("reason")).unwrap_or_default(),
                    certainty: certainty(confidence),
                    step: status.text("step"),
                    success: status.has("success"),
                    members: status.count("members"),
                    held: status.number("members") > 0 && !translations.forth.contains_key(&name),
                    status: name,
                }
            })
            .collect();
        let answered: BTreeSet<&String> = translations.forth.values().collect();
        let left =
            matched.each("campaign_statuses").into_iter().filter(|status| !answered.contains(&status.text("status")));
        let backs = left.map(|status| Back {
            choices: options("program_statuses", translations.back.get(&status.text("status"))),
            members: status.count("members"),
            status: status.text("status"),
        });
        let gate = current.at("policies.gate");
        let gated: BTreeSet<String> = gate.each("").iter().map(|name| name.text("")).collect();
        let gate_choice = |row: &Row| Choice {
            value: row.status.clone(),
            label: row.status.clone(),
            chosen: gated.contains(&row.status),
        };
        let policies = POLICIES.iter().map(|policy| {
            let value = current.text(&format!("policies.{}", policy.name));
            Chosen { policy, value: if value.is_empty() { policy.values[0].0.to_owned() } else { value } }
        });
        Self {
            gate: rows.iter().map(gate_choice).collect(),
            gate_all: gate.value("").is_null(),
            rows,
            campaign_statuses: matched.each("campaign_statuses").iter().map(|status| status.text("status")).collect(),
            backs: backs.collect(),
            policies: policies.collect(),
            provision: current.has("provision_statuses"),
            allow_native_sync: current.has("allow_native_sync"),
            allow_program_type: current.has("allow_program_type"),
            paused: current.has("paused"),
        }
    }
}

fn certainty(confidence: f64) -> &'static str {
    match confidence {
        1.0.. => "exact",
        0.75..1.0 => "likely",
        0.5..0.75 => "guess",
        _ => "",
    }
}

/// The statuses of both sides as the form had them.
pub(super) fn known_statuses(fields: &Fields) -> Value {
    let of = |name: &str| fields.all(name).into_iter().map(|status| json!({"status": status})).collect::<Vec<_>>();
    json!({"program_statuses": of("program_status"), "campaign_statuses": of("known_campaign_status")})
}

/// The policies that were entered, as the API takes them.
pub(super) fn policies(fields: &Fields) -> Value {
    let mut policies = Map::new();
    for policy in POLICIES.iter().filter(|policy| !fields.get(policy.name).is_empty()) {
        let value = match policy.name {
            "create_leads" => json!(fields.get(policy.name) == "true"),
            name => json!(fields.get(name)),
        };
        policies.insert(policy.name.to_owned(), value);
    }
    let gate = if fields.get("gate_all") == "some" { json!(fields.all("gate")) } else { Value::Null };
    policies.insert("gate".to_owned(), gate);
    Value::Object(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(program: &[&str], campaign: &[&str]) -> View {
        let of = |names: &[&str]| names.iter().map(|name| json!({"status": name})).collect::<Vec<_>>();
        let value = json!({"program_statuses": of(program), "campaign_statuses": of(campaign), "pairs": []});
        View::new(value, "2026-11-23T20:05:01Z".parse().unwrap())
    }

    fn forth(pairs: &[(&str, &str)]) -> Translations {
        let forth = pairs.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned())).collect();
        Translations { forth, back: BTreeMap::new() }
    }

    fn shown(rows: Option<Vec<Value>>) -> Vec<String> {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let line =
            |row: &Value| ["program_status", "campaign_status", "direction"].map(|name| text(row, name)).join(" ");
        rows.unwrap().iter().map(line).collect()
    }

    #[test]
    fn the_same_names_on_both_sides_need_no_map() {
        let matched = matched(&["Invited", "Attended"], &["Attended", "Invited"]);
        assert_eq!(forth(&[("Invited", "Invited"), ("Attended", "Attended")]).rows(&matched), None);
        assert!(forth(&[("Invited", "Invited")]).rows(&matched).is_some());
    }

    #[test]
    fn of_many_that_become_one_the_namesake_comes_back_else_the_first() {
        let matched = matched(&["Invited", "Sent", "Attended", "Came"], &["Sent", "Responded", "Other"]);
        let mut map = forth(&[("Invited", "Sent"), ("Sent", "Sent"), ("Attended", "Responded"), ("Came", "Responded")]);
        map.back.insert("Other".to_owned(), "Invited".to_owned());
        map.back.insert("Sent".to_owned(), "Invited".to_owned());
        assert_eq!(
            shown(map.rows(&matched)),
            [
                "Invited Sent to_salesforce",
                "Sent Sent both",
                "Attended Responded both",
                "Came Responded to_salesforce",
                "Invited Other to_marketo"
            ]
        );
    }

    #[test]
    fn a_gate_is_null_or_a_list() {
        let fields =
            |pairs: &[(&str, &str)]| Fields(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        let all = policies(&fields(&[("gate_all", "all"), ("gate", "Attended"), ("create_leads", "false")]));
        assert_eq!(all, json!({"create_leads": false, "gate": null}));
        let some = policies(&fields(&[("gate_all", "some"), ("gate", "Attended"), ("direction", "observe")]));
        assert_eq!(some, json!({"direction": "observe", "gate": ["Attended"]}));
    }
}
