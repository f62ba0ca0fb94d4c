//! Member statuses that a campaign should have, and the steps that bring it there.
//!
//! Owns the order of steps that Salesforce accepts: a campaign has one default and at least one responded status at any
//! time, so what takes these over is created before what had them is removed. Must not know how a status is written.

use super::ids::SalesforceId;

/// Characters that a member's status may have.
pub const LONGEST_STATUS: usize = 40;
/// What Salesforce gives to each new campaign.
const GIVEN: [&str; 2] = ["Sent", "Responded"];

/// A status that the campaign should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub label: String,
    pub has_responded: bool,
    /// Of the lowest program status that becomes it.
    pub step: i64,
}

/// A status that the campaign has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    pub id: SalesforceId,
    pub label: String,
    pub has_responded: bool,
    pub is_default: bool,
    pub sort_order: i64,
}

/// A status to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStatus {
    pub label: String,
    pub has_responded: bool,
    pub is_default: bool,
    pub sort_order: i64,
}

/// Flags of a status to be set; none leaves one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    pub id: SalesforceId,
    pub has_responded: Option<bool>,
    pub is_default: Option<bool>,
}

/// What has to be done next, in this order. There may be more to do afterwards: a label can be used again only when it was
/// removed in another case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    pub create: Vec<NewStatus>,
    pub change: Vec<StatusChange>,
    pub delete: Vec<SalesforceId>,
}

impl Steps {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The campaign statuses that program statuses (name, step, success) become, the lowest step first.
#[must_use]
pub fn wanted<'a>(
    program: impl IntoIterator<Item = (&'a str, i64, bool)>,
    translate: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Wanted> {
    let mut found: Vec<Wanted> = Vec::new();
    for (name, step, success) in program {
        let Some(label) = translate(name) else { continue };
        match found.iter_mut().find(|wanted| wanted.label == label) {
            Some(known) => (known.has_responded, known.step) = (known.has_responded || success, known.step.min(step)),
            None => found.push(Wanted { label: label.to_owned(), has_responded: success, step }),
        }
    }
    found.sort_by_key(|wanted| wanted.step);
    found
}

/// What keeps labels from being created side by side: too long for a member, or the same but for their case.
#[must_use]
pub fn unsuitable(wanted: &[Wanted]) -> Option<String> {
    let long = wanted.iter().find(|w| w.label.chars().count() > LONGEST_STATUS);
    if let Some(long) = long {
        return Some(format!(
            "{:?} is longer than the {LONGEST_STATUS} characters that a member's status may have",
            long.label
        ));
    }
    let twin = |n: usize| wanted[..n].iter().find(|w| w.label.to_lowercase() == wanted[n].label.to_lowercase());
    let twins = (0..wanted.len()).find_map(|n| twin(n).map(|twin| (&twin.label, &wanted[n].label)));
    twins.map(|(a, b)| format!("{a:?} and {b:?} differ only in case, which Salesforce does not tell apart"))
}

/// The next steps. A campaign that is `ours`, made for the program, gets its flags and loses what Salesforce gave it; to
/// another one statuses are only added.
#[must_use]
pub fn steps(wanted: &[Wanted], existing: &[Existing], ours: bool) -> Steps {
    let has = |label: &str| existing.iter().find(|e| e.label == label);
    let blocked = |label: &str| existing.iter().any(|e| e.label.to_lowercase() == label.to_lowercase());
    let default = wanted.iter().find(|w| has(&w.label).is_some() || !blocked(&w.label)).map(|w| w.label.as_str());
    let last = existing.iter().map(|e| e.sort_order).max().unwrap_or(0);
    let create: Vec<NewStatus> = (wanted.iter().filter(|w| !blocked(&w.label)))
        .zip(last + 1..)
        .map(|(w, sort_order)| NewStatus {
            label: w.label.clone(),
            has_responded: w.has_responded,
            is_default: ours && default == Some(&w.label),
            sort_order,
        })
        .collect();
    if !ours {
        return Steps { create, ..Steps::default() };
    }
    let responds = wanted.iter().any(|w| w.has_responded && (has(&w.label).is_some() || !blocked(&w.label)));
    let change = wanted.iter().filter_map(|w| {
        let now = has(&w.label)?;
        // Salesforce wants one responded status, were it the wrong one.
        let responded =
            (now.has_responded != w.has_responded && (w.has_responded || responds)).then_some(w.has_responded);
        let is_default = (default == Some(&w.label) && !now.is_default).then_some(true);
        let change = StatusChange { id: now.id.clone(), has_responded: responded, is_default };
        (responded.is_some() || is_default.is_some()).then_some(change)
    });
    let superfluous = |e: &&Existing| {
        let given = GIVEN.contains(&e.label.as_str()) && !wanted.iter().any(|w| w.label == e.label);
        given && (!e.is_default || default.is_some()) && (!e.has_responded || responds)
    };
    let delete = existing.iter().filter(superfluous).map(|e| e.id.clone()).collect();
    Steps { create, change: change.collect(), delete }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: i64) -> SalesforceId {
        format!("01Y5g0000000{n:03}").parse().unwrap()
    }

    /// Plays the steps as Salesforce would; a step that it refuses is a panic.
    fn play(wanted: &[Wanted], existing: &mut Vec<Existing>, ours: bool) -> usize {
        for round in 0..5 {
            let next = steps(wanted, existing, ours);
            if next.is_empty() {
                return round;
            }
            for new in next.create {
                assert!(existing.iter().all(|e| e.label.to_lowercase() != new.label.to_lowercase()), "{}", new.label);
                assert!(existing.iter().all(|e| e.sort_order != new.sort_order));
                if new.is_default {
                    existing.iter_mut().for_each(|e| e.is_default = false);
                }
                let NewStatus { label, has_responded, is_default, sort_order } = new;
                existing.push(Existing { id: id(sort_order), label, has_responded, is_default, sort_order });
            }
            for change in next.change {
                if change.is_default == Some(true) {
                    existing.iter_mut().for_each(|e| e.is_default = false);
                }
                let row = existing.iter_mut().find(|e| e.id == change.id).unwrap();
                row.is_default |= change.is_default == Some(true);
                row.has_responded = change.has_responded.unwrap_or(row.has_responded);
                assert!(existing.iter().any(|e| e.has_responded));
            }
            for gone in next.delete {
                let row = existing.iter().position(|e| e.id == gone).unwrap();
                assert!(!existing.remove(row).is_default);
                assert!(existing.iter().any(|e| e.has_responded));
            }
        }
        panic!("no end: {existing:?}");
    }

    fn given() -> Vec<Existing> {
        let row = |n: i64, label: &str| Existing {
            id: id(n),
            label: label.to_owned(),
            has_responded: n == 2,
            is_default: n == 1,
            sort_order: n,
        };
        vec![row(1, "Sent"), row(2, "Responded")]
    }

    fn shown(existing: &[Existing]) -> Vec<String> {
        let flag = |flag: bool, text: &'static str| if flag { text } else { "" };
        let row = |e: &Existing| {
            format!("{}{}{}", e.label, flag(e.is_default, " default"), flag(e.has_responded, " responded"))
        };
        existing.iter().map(row).collect()
    }

    fn made(program: &[(&str, i64, bool)]) -> Vec<String> {
        let mut existing = given();
        play(&wanted(program.iter().copied(), Some), &mut existing, true);
        shown(&existing)
    }

    #[test]
    fn a_new_campaign_gets_the_statuses_of_the_program_and_loses_its_own() {
        let program = [("Attended", 30, true), ("Invited", 10, false), ("Registered", 20, false)];
        assert_eq!(made(&program), ["Invited default", "Registered", "Attended responded"]);
    }

    #[test]
    fn what_salesforce_gave_stays_where_the_program_has_it_or_nothing_else_responds() {
        assert_eq!(made(&[("Sent", 10, false), ("Responded", 20, true)]), ["Sent default", "Responded responded"]);
        assert_eq!(made(&[("Responded", 10, false), ("Won", 20, true)]), ["Responded default", "Won responded"]);
        assert_eq!(made(&[("Invited", 10, false)]), ["Responded responded", "Invited default"]);
    }

    #[test]
    fn a_label_in_another_case_takes_the_place_of_the_one_that_was_given() {
        assert_eq!(
            made(&[("SENT", 10, false), ("responded", 20, true), ("Won", 30, true)]),
            ["Won responded", "SENT default", "responded responded"]
        );
    }

    #[test]
    fn to_a_campaign_of_others_statuses_are_only_added() {
        let mut existing = given();
        let program = [("Sent", 10, true), ("Attended", 30, true)];
        assert_eq!(play(&wanted(program, Some), &mut existing, false), 1);
        assert_eq!(shown(&existing), ["Sent default", "Responded responded", "Attended responded"]);
    }

    #[test]
    fn many_become_one_with_the_lowest_step_and_any_success() {
        let program =
            [("Registered", 20, false), ("On demand", 40, true), ("Attended", 30, false), ("Lost", 50, false)];
        let translate = |name: &'static str| match name {
            "Lost" => None,
            "Registered" => Some("Signed up"),
            _ => Some("Attended"),
        };
        let found = wanted(program, translate);
        let found: Vec<_> = found.iter().map(|w| (w.label.as_str(), w.has_responded, w.step)).collect();
        assert_eq!(found, [("Signed up", false, 20), ("Attended", true, 30)]);
    }

    #[test]
    fn labels_that_salesforce_cannot_keep_are_named() {
        let of = |names: &[&'static str]| unsuitable(&wanted(names.iter().map(|name| (*name, 1, false)), Some));
        assert_eq!(of(&["Invited", "Attended"]), None);
        assert!(of(&["Invited", "invited"]).unwrap().contains("\"Invited\" and \"invited\""));
        assert!(of(&["Registered for the session on the last day"]).unwrap().contains("40 characters"));
    }
}
