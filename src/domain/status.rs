//! Statuses of the two sides: what translates to what, and how far along each one is.
//!
//! Owns the status map, its validation, and the steps of the program's channel. Comparison is exact; only a suggestion
//! may be lenient. Must not know members or policies.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::closed_list::closed_list;
use super::letters::{distance, words};
use super::mapping::Direction;
use super::merge::Side;

/// Step 0 of every channel: it means absent, so it is never written, matched or shown as a status.
pub const NOT_IN_PROGRAM: &str = "Not in Program";

closed_list! {
    /// Which way a row of the status map translates.
    pub enum RowDirection {
        /// Both ways.
        Both = "both",
        /// From the program status to the campaign status only.
        ToSalesforce = "to_salesforce",
        /// From the campaign status to the program status only.
        ToMarketo = "to_marketo",
    }
}

/// One translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRow {
    pub program_status: String,
    pub campaign_status: String,
    #[serde(default = "both")]
    pub direction: RowDirection,
}

fn both() -> RowDirection {
    RowDirection::Both
}

/// The translations of one mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusMap {
    pub rows: Vec<StatusRow>,
}

closed_list! {
    /// What is wrong with a status.
    pub enum Problem {
        /// A row names it, the side does not have it.
        Unknown = "unknown",
        /// It translates to nothing.
        Untranslated = "untranslated",
        /// It has more than one translation in one direction.
        Ambiguous = "ambiguous",
    }
}

/// A status that keeps two sides from being mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDifference {
    /// Whose status it is.
    pub side: Side,
    pub status: String,
    pub problem: Problem,
    /// How many members have it; none until it was counted.
    pub members: Option<u64>,
    /// The nearest name: on the other side, or on its own when it is unknown there.
    pub suggestion: Option<String>,
}

impl StatusDifference {
    /// Whether it keeps members from being kept the same. A hidden status is given to nobody any more, and in a mapping of
    /// one direction nothing is translated from its target.
    #[must_use]
    pub fn matters(&self, hidden: bool, direction: Direction) -> bool {
        let target = matches!(
            (direction, self.side),
            (Direction::MarketoToSalesforce, Side::Salesforce) | (Direction::SalesforceToMarketo, Side::Marketo)
        );
        let hidden = hidden && self.side == Side::Marketo;
        !(self.problem == Problem::Untranslated && (hidden || target))
    }
}

impl StatusMap {
    /// The automatic map: a status translates to the one of exactly the same name.
    #[must_use]
    pub fn exact<P: AsRef<str>, C: AsRef<str>>(program: &[P], campaign: &[C]) -> Self {
        let campaign: BTreeSet<&str> = campaign.iter().map(AsRef::as_ref).collect();
        let named = |name: &str| StatusRow {
            program_status: name.to_owned(),
            campaign_status: name.to_owned(),
            direction: RowDirection::Both,
        };
        let names = program.iter().map(AsRef::as_ref).filter(|name| *name != NOT_IN_PROGRAM && campaign.contains(name));
        Self { rows: names.map(named).collect() }
    }

    /// What a program status is called in Salesforce.
    #[must_use]
    pub fn to_salesforce(&self, program_status: &str) -> Option<&str> {
        let mut rows = self.rows.iter().filter(|row| row.direction != RowDirection::ToMarketo);
        rows.find(|row| row.program_status == program_status).map(|row| row.campaign_status.as_str())
    }

    /// What a campaign status is called in Marketo.
    #[must_use]
    pub fn to_marketo(&self, campaign_status: &str) -> Option<&str> {
        let mut rows = self.rows.iter().filter(|row| row.direction != RowDirection::ToSalesforce);
        rows.find(|row| row.campaign_status == campaign_status).map(|row| row.program_status.as_str())
    }

    /// Whether the two mean the same, in either direction.
    #[must_use]
    pub fn same(&self, program_status: &str, campaign_status: &str) -> bool {
        self.to_salesforce(program_status) == Some(campaign_status)
            || self.to_marketo(campaign_status) == Some(program_status)
    }

    /// Everything that keeps the map from translating every status of both sides, each way, to one that exists.
    ///
    /// A mapping of one direction may disregard the `untranslated` of its target.
    #[must_use]
    pub fn validate<P: AsRef<str>, C: AsRef<str>>(&self, program: &[P], campaign: &[C]) -> Vec<StatusDifference> {
        let program: Vec<&str> = program.iter().map(AsRef::as_ref).filter(|name| *name != NOT_IN_PROGRAM).collect();
        let campaign: Vec<&str> = campaign.iter().map(AsRef::as_ref).collect();
        let to_salesforce =
            self.translations(RowDirection::ToMarketo, |row| (&row.program_status, &row.campaign_status));
        let to_marketo =
            self.translations(RowDirection::ToSalesforce, |row| (&row.campaign_status, &row.program_status));
        let mut found = differences(Side::Marketo, &program, &campaign, &to_salesforce, self.named(Side::Marketo));
        found.extend(differences(Side::Salesforce, &campaign, &program, &to_marketo, self.named(Side::Salesforce)));
        found
    }

    fn translations<'a>(
        &'a self,
        unless: RowDirection,
        pair: impl Fn(&'a StatusRow) -> (&'a String, &'a String),
    ) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in self.rows.iter().filter(|row| row.direction != unless).map(pair) {
            all.entry(from).or_default().insert(to);
        }
        all
    }

    fn named(&self, side: Side) -> BTreeSet<&str> {
        let names = self.rows.iter().map(|row| match side {
            Side::Marketo => row.program_status.as_str(),
            Side::Salesforce => row.campaign_status.as_str(),
        });
        names.collect()
    }
}

/// What is wrong on one side: `own` are its statuses, `other` those of the opposite one.
fn differences(
    side: Side,
    own: &[&str],
    other: &[&str],
    translations: &BTreeMap<&str, BTreeSet<&str>>,
    named: BTreeSet<&str>,
) -> Vec<StatusDifference> {
    let difference = |status: &str, problem, candidates: &[&str]| StatusDifference {
        side,
        status: status.to_owned(),
        problem,
        members: None,
        suggestion: nearest(status, candidates).map(str::to_owned),
    };
    let unknown = named.iter().filter(|name| !own.contains(name)).map(|name| difference(name, Problem::Unknown, own));
    let ambiguous = translations.iter().filter(|(_, to)| to.len() > 1);
    let ambiguous = ambiguous.map(|(name, _)| difference(name, Problem::Ambiguous, other));
    let holes = own.iter().filter(|name| !translations.contains_key(*name));
    let holes = holes.map(|name| difference(name, Problem::Untranslated, other));
    unknown.chain(ambiguous).chain(holes).collect()
}

/// The candidate that a person most likely meant: the same but for case, spaces and punctuation, else the one with the
/// fewest letters to change, at most a third of them.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let letters = |name: &str| words(name).concat();
    let name = letters(name);
    let most = name.chars().count() / 3;
    let near =
        candidates.iter().filter_map(|&candidate| Some((distance(&name, &letters(candidate), most)?, candidate)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// How far along each program status is, from the program's channel.
///
/// Source: Adobe, "Create a Program Channel": people move to a status of a higher or equal step only. Steps may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Steps(BTreeMap<String, i64>);

impl Steps {
    /// The step of a status; none, which is below every other, when the channel does not have it.
    #[must_use]
    pub fn of(&self, program_status: &str) -> Option<i64> {
        self.0.get(program_status).copied()
    }
}

impl<S: Into<String>> FromIterator<(S, i64)> for Steps {
    fn from_iter<I: IntoIterator<Item = (S, i64)>>(statuses: I) -> Self {
        let named = statuses.into_iter().map(|(name, step)| (name.into(), step));
        Self(named.filter(|(name, _)| name != NOT_IN_PROGRAM).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&str, &str, RowDirection)]) -> StatusMap {
        let row = |&(program, campaign, direction): &(&str, &str, RowDirection)| StatusRow {
            program_status: program.to_owned(),
            campaign_status: campaign.to_owned(),
            direction,
        };
        StatusMap { rows: rows.iter().map(row).collect() }
    }

    fn problems(map: &StatusMap, program: &[&str], campaign: &[&str]) -> Vec<String> {
        let show = |found: StatusDifference| {
            format!("{} {} {} {}", found.side, found.status, found.problem, found.suggestion.unwrap_or_default())
        };
        map.validate(program, campaign).into_iter().map(show).collect()
    }

    #[test]
    fn the_automatic_map_is_exact_and_leaves_out_not_in_program() {
        let map = StatusMap::exact(&[NOT_IN_PROGRAM, "Invited", "Attended"], &["Attended", "invited", NOT_IN_PROGRAM]);
        assert_eq!(map.to_salesforce("Attended"), Some("Attended"));
        assert_eq!(map.to_marketo("Attended"), Some("Attended"));
        assert_eq!((map.to_salesforce("Invited"), map.to_marketo("invited")), (None, None));
        assert_eq!(map.to_salesforce(NOT_IN_PROGRAM), None);
    }

    #[test]
    fn rows_translate_in_their_direction_only() {
        let map = map(&[
            ("Invited", "Sent", RowDirection::Both),
            ("Re-invited", "Sent", RowDirection::ToSalesforce),
            ("Invited", "Mailed", RowDirection::ToMarketo),
        ]);
        assert_eq!((map.to_salesforce("Invited"), map.to_salesforce("Re-invited")), (Some("Sent"), Some("Sent")));
        assert_eq!((map.to_marketo("Sent"), map.to_marketo("Mailed")), (Some("Invited"), Some("Invited")));
        assert!(map.same("Re-invited", "Sent") && map.same("Invited", "Mailed"));
        assert!(!map.same("Re-invited", "Mailed"));
        assert!(problems(&map, &[NOT_IN_PROGRAM, "Invited", "Re-invited"], &["Sent", "Mailed"]).is_empty());
    }

    #[test]
    fn what_does_not_match_is_named_with_its_side_and_the_nearest_candidate() {
        let map = StatusMap::exact(&["Invited", "No Show", "Attended"], &["Invited", "No-show", "Responded"]);
        assert_eq!(
            problems(&map, &["Invited", "No Show", "Attended"], &["Invited", "No-show", "Responded"]),
            [
                "marketo No Show untranslated No-show",
                "marketo Attended untranslated ",
                "salesforce No-show untranslated No Show",
                "salesforce Responded untranslated ",
            ]
        );
    }

    #[test]
    fn names_that_a_side_does_not_have_and_second_translations_are_refused() {
        let map = map(&[
            ("Invited", "Sent", RowDirection::Both),
            ("Invited", "Mailed", RowDirection::Both),
            ("Atended", "Sent", RowDirection::ToSalesforce),
        ]);
        assert_eq!(
            problems(&map, &["Invited", "Attended"], &["Sent", "Mailed"]),
            ["marketo Atended unknown Attended", "marketo Invited ambiguous ", "marketo Attended untranslated "]
        );
    }

    #[test]
    fn a_row_without_a_direction_goes_both_ways() {
        let map: StatusMap =
            serde_json::from_str(r#"[{"program_status":"Invited","campaign_status":"Sent"}]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"[{"program_status":"Invited","campaign_status":"Sent","direction":"both"}]"#
        );
    }

    #[test]
    fn a_suggestion_forgives_case_punctuation_and_a_few_letters() {
        for (name, nearest_is) in [
            ("walk in", Some("Walk-in")),
            ("Registred", Some("Registered")),
            ("Geöffnet", Some("geöffnet")),
            ("Attended", None),
        ] {
            assert_eq!(nearest(name, &["Walk-in", "Registered", "geöffnet"]), nearest_is, "{name}");
        }
        assert_eq!(nearest("", &["Sent"]), None);
    }

    #[test]
    fn an_unknown_status_is_below_every_step() {
        let steps: Steps = [(NOT_IN_PROGRAM, 0), ("Invited", 10), ("Odd", -1)].into_iter().collect();
        assert!(steps.of("Nobody") < steps.of("Odd") && steps.of("Odd") < steps.of("Invited"));
        assert_eq!(steps.of(NOT_IN_PROGRAM), None);
    }
}
