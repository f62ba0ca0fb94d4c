//! The decision table, a line per case, and what holds for every combination of its inputs.
//!
//! Program statuses are small letters, campaign statuses capital ones, and the same letter is the same status:
//! `i` 10, `r` 20, `w` 30 (no translation), `a` and `n` 40. `G` has no translation either. `v`, step 5, translates to `I`
//! and not back, `L` to `r` and not back. `-` is absent, `x` a person who is gone, `?` unreadable.

use std::collections::BTreeSet;

use super::*;
use crate::domain::mapping::{Conflict, Direction, Regression, Removal};
use crate::domain::status::{RowDirection, StatusRow};

pub(super) fn map() -> StatusMap {
    let row = |row: &str, direction| StatusRow {
        program_status: row[..1].to_owned(),
        campaign_status: row[1..].to_owned(),
        direction,
    };
    let mut rows: Vec<StatusRow> = ["iI", "rR", "aA", "nN"].map(|name| row(name, RowDirection::Both)).into();
    rows.extend([row("vI", RowDirection::ToSalesforce), row("rL", RowDirection::ToMarketo)]);
    StatusMap { rows }
}

pub(super) fn steps() -> Steps {
    [("v", 5), ("i", 10), ("r", 20), ("w", 30), ("a", 40), ("n", 40)].into_iter().collect()
}

/// What a line says before the base: `m>s keep gate=ra`.
#[derive(Default)]
struct Settings {
    policies: Policies,
    halt: Option<Halt>,
    after_merge: bool,
}

fn settings(words: &str) -> Settings {
    let mut all = Settings::default();
    for word in words.split_whitespace() {
        match word {
            "both" => {}
            "m>s" => all.policies.direction = Direction::MarketoToSalesforce,
            "s>m" => all.policies.direction = Direction::SalesforceToMarketo,
            "observe" => all.policies.direction = Direction::Observe,
            "keep" => all.policies.removal = Removal::Keep,
            "revert" => all.policies.regression = Regression::Revert,
            "readd" => all.policies.regression = Regression::Readd,
            "paused" => all.halt = Some(Halt::Paused),
            "off" => all.halt = Some(Halt::SyncOff),
            "frozen" => all.halt = Some(Halt::Frozen),
            "merged" => all.after_merge = true,
            gate if gate.starts_with("gate=") => {
                all.policies.gate = Some(gate[5..].chars().map(String::from).collect());
            }
            conflict => all.policies.conflict = conflict.parse().unwrap(),
        }
    }
    all
}

fn presence(text: &str) -> Presence {
    (text != "-").then(|| text.to_owned())
}

fn base(text: &str) -> Option<Base> {
    let (marketo, salesforce) = text.split_once('/')?;
    Some(Base { marketo: presence(marketo), salesforce: presence(salesforce) })
}

fn reading(text: &str) -> Reading {
    match text {
        "?" => Reading::Unreadable,
        "x" => Reading::Gone,
        "-" => Reading::Absent,
        status => Reading::Status(status.to_owned()),
    }
}

fn show_base(base: Option<&Base>) -> String {
    let show = |side: &Presence| side.clone().unwrap_or_else(|| "-".to_owned());
    base.map_or_else(|| "none".to_owned(), |base| format!("{}/{}", show(&base.marketo), show(&base.salesforce)))
}

/// `+` add, `~` change, `*` add again, `-` remove; capital statuses are Salesforce's.
fn show_action(action: &Action) -> String {
    match action {
        Action::Nothing => "nothing".to_owned(),
        Action::Close => "close".to_owned(),
        Action::AddToSalesforce(status) | Action::AddToMarketo(status) => format!("+{status}"),
        Action::ChangeInSalesforce(status) | Action::ChangeInMarketo(status) => format!("~{status}"),
        Action::ReaddToMarketo(status) => format!("*{status}"),
        Action::RemoveFromSalesforce => "-salesforce".to_owned(),
        Action::RemoveFromMarketo => "-marketo".to_owned(),
    }
}

fn show(decision: &Decision) -> String {
    let Decision { rule, action, next_base, state, reason, would } = decision;
    let would = would.as_ref().map(|action| format!(" would {}", show_action(action))).unwrap_or_default();
    let reason = reason.map(|reason| format!("/{reason}")).unwrap_or_default();
    format!("{rule} {} {} {state}{reason}{would}", show_action(action), show_base(next_base.as_ref()))
}

/// `settings | base m s | rule action next-base state/reason`; returns the decision.
fn check(line: &str) -> Decision {
    let [given, member, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else { panic!("{line}") };
    let [before, m, s] = member.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
    let Settings { policies, halt, after_merge } = settings(given);
    let ctx = Context { map: &map(), steps: &steps(), policies: &policies, halt, after_merge };
    let decision = decide(&ctx, base(before).as_ref(), &reading(m), &reading(s));
    assert_eq!(show(&decision), expected, "{line}");
    decision
}

/// Every case of the table.
const CASES: &str = include_str!("cases.txt");

fn cases() -> impl Iterator<Item = &'static str> {
    CASES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn each_case_of_the_table() {
    cases().for_each(|line| drop(check(line)));
}

#[test]
fn every_rule_and_every_kind_of_action_has_a_case() {
    let decided: Vec<Decision> = cases().map(check).collect();
    let rules: BTreeSet<Rule> = decided.iter().map(|decision| decision.rule).collect();
    let missing: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| rule.is_row() && !rules.contains(rule)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let kinds: BTreeSet<String> = decided.iter().map(|decision| show_action(&decision.action)).collect();
    let kinds: BTreeSet<String> = kinds.into_iter().map(|kind| kind.to_lowercase()).collect();
    for kind in ["nothing", "close", "+a", "~a", "*i", "-salesforce", "-marketo"] {
        assert!(kinds.contains(kind), "no case decides {kind}");
    }
}

#[test]
fn what_a_person_says_is_done_whatever_the_policies_say() {
    for line in [
        // winner settings | base m s | rule action next-base state/reason
        "marketo hold gate=a keep    | i/I  r  A | resolved ~R r/R in_sync",
        "salesforce hold gate=a      | i/I  r  A | resolved ~a a/A in_sync",
        "salesforce                  | a/A  a  I | resolved *i i/I in_sync",
        "salesforce revert           | a/A  a  I | resolved *i i/I in_sync",
        "marketo                     | a/A  a  I | resolved ~A a/A in_sync",
        "marketo keep                | -/R  -  R | resolved -salesforce none in_sync",
        "salesforce keep             | -/R  -  R | resolved +r r/R in_sync",
        "salesforce keep             | r/-  r  - | resolved -marketo none in_sync",
        "marketo gate=a              | none r  - | resolved +R r/R in_sync",
        "marketo                     | none r  R | resolved nothing r/R in_sync",
        "marketo                     | r/R  -  - | resolved close none in_sync",
        "marketo                     | r/R  w  A | resolved nothing r/R parked/incompatible_status",
        "salesforce                  | r/R  r  G | resolved nothing r/R parked/incompatible_status",
        // Nobody is there to be added; the other side is removed by name.
        "marketo                     | r/R  r  x | P5 nothing r/- parked/person_deleted",
        "salesforce                  | r/R  r  x | resolved -marketo none in_sync",
        "salesforce                  | r/R  x  R | resolved nothing -/R diverged/kept_apart",
        "marketo                     | r/R  x  R | resolved -salesforce none in_sync",
        // What holds against everybody holds here as well.
        "marketo m>s                 | r/R  r  A | resolved ~R r/R in_sync",
        "salesforce m>s              | r/R  r  A | resolved nothing r/R diverged/one_way",
        "salesforce m>s              | r/R  r  - | resolved nothing r/R diverged/one_way",
        "marketo observe             | r/R  r  A | resolved nothing r/R diverged/observe would ~R",
        "marketo paused              | r/R  r  A | P1 nothing r/R pending/paused",
        "marketo                     | r/R  r  ? | P2 nothing r/R pending/retrying",
    ] {
        let [given, member, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (winner, given) = given.split_once(' ').unwrap_or((given, ""));
        let [before, m, s] = member.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        let Settings { policies, halt, after_merge } = settings(given);
        let ctx = Context { map: &map(), steps: &steps(), policies: &policies, halt, after_merge };
        let decision = resolve(&ctx, winner.parse().unwrap(), base(before).as_ref(), &reading(m), &reading(s));
        assert_eq!(show(&decision), expected, "{line}");
    }
}

#[test]
fn an_edit_that_was_overtaken_is_brought_back_unless_it_would_have_lost() {
    for line in [
        // settings | base m s edit | what becomes of it
        "both            | i/I r R A | overwritten ~A i/I pending/waiting",
        "both            | i/I a A R | stands",
        "marketo_wins    | i/I r R A | stands",
        "hold            | i/I r R A | overwritten ~A i/I pending/waiting",
        "m>s             | i/I r R A | stands",
        "both            | i/I - - R | overwritten +R i/I pending/waiting",
        "m>s             | i/I - - R | overwritten +R i/I pending/waiting",
        "revert          | a/A a A I | stands",
        "both            | a/A a A I | overwritten ~I a/A pending/waiting",
        "paused          | i/I r R A | stands",
        "observe         | i/I r R A | stands",
    ] {
        let [given, member, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let [before, m, s, edit] = member.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        let Settings { policies, halt, after_merge } = settings(given);
        let ctx = Context { map: &map(), steps: &steps(), policies: &policies, halt, after_merge };
        let decision = decide_overtaken(&ctx, base(before).as_ref(), &reading(m), &reading(s), edit);
        assert_eq!(decision.as_ref().map_or_else(|| "stands".to_owned(), show), expected, "{line}");
    }
}

#[test]
fn names_are_read_back_as_they_are_written() {
    for rule in Rule::ALL {
        assert_eq!(rule.as_str().parse(), Ok(*rule));
    }
    for reason in Reason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(*reason));
        assert_eq!(reason.to_string(), reason.as_str());
    }
    assert!("somehow".parse::<Reason>().is_err());
}

/// Every setting, base and pair of readings that the letters allow.
fn everything(mut each: impl FnMut(&Context<'_>, Option<&Base>, &Reading, &Reading)) {
    let (map, steps) = (map(), steps());
    let program = ["-", "v", "i", "r", "w", "a", "n"];
    let campaign = ["-", "I", "R", "G", "A", "N", "L"];
    let mut bases = vec![None];
    bases.extend(program.iter().flat_map(|m| campaign.iter().map(move |s| base(&format!("{m}/{s}")))));
    let readings =
        |side: &[&str]| -> Vec<Reading> { ["?", "x"].iter().chain(side).map(|text| reading(text)).collect() };
    let (program, campaign) = (readings(&program), readings(&campaign));
    for settings in every_setting() {
        let Settings { policies, halt, after_merge } = &settings;
        let ctx = Context { map: &map, steps: &steps, policies, halt: *halt, after_merge: *after_merge };
        for base in &bases {
            for m in &program {
                campaign.iter().for_each(|s| each(&ctx, base.as_ref(), m, s));
            }
        }
    }
}

fn every_setting() -> Vec<Settings> {
    let mut all = Vec::new();
    for &direction in Direction::ALL {
        for &conflict in Conflict::ALL {
            for &regression in Regression::ALL {
                for &removal in Removal::ALL {
                    for (gate, after_merge) in [(None, false), (Some(vec!["a".to_owned()]), false), (None, true)] {
                        let policies =
                            Policies { direction, conflict, regression, removal, gate, ..Policies::default() };
                        all.push(Settings { policies, halt: None, after_merge });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn whatever_is_given_state_action_and_reason_agree() {
    everything(|ctx, base, m, s| {
        let decision = decide(ctx, base, m, s);
        let at = || format!("{ctx:?} {base:?} {m:?} {s:?} {decision:?}");
        assert_eq!(decision.state, SyncState::of(decision.reason), "{}", at());
        if decision.action != Action::Nothing {
            assert_eq!(decision.reason, None, "a write that succeeds settles: {}", at());
        }
        let forbidden = match ctx.policies.direction {
            Direction::Both => None,
            Direction::MarketoToSalesforce => Some(Side::Marketo),
            Direction::SalesforceToMarketo => Some(Side::Salesforce),
            Direction::Observe => decision.action.side(),
        };
        assert!(forbidden.is_none() || decision.action.side() != forbidden, "written to the source: {}", at());
        let reached = |side: &Reading| matches!(side, Reading::Absent | Reading::Status(_));
        match decision.action.side() {
            Some(Side::Marketo) => assert!(reached(m), "written to someone who is not there: {}", at()),
            Some(Side::Salesforce) => assert!(reached(s), "written to someone who is not there: {}", at()),
            None => {}
        }
        if let Action::ChangeInMarketo(to) = &decision.action {
            let now = m.status().unwrap();
            assert!(ctx.steps.of(to) >= ctx.steps.of(now), "Marketo would refuse a lower step: {}", at());
        }
    });
}

#[test]
fn whatever_is_given_a_write_that_succeeded_is_followed_by_none() {
    everything(|ctx, base, m, s| {
        let first = decide(ctx, base, m, s);
        let (mut m2, mut s2) = (m.clone(), s.clone());
        let after = first.action.status().map_or(Reading::Absent, |status| Reading::Status(status.to_owned()));
        match first.action.side() {
            Some(Side::Marketo) => m2 = after,
            Some(Side::Salesforce) => s2 = after,
            None => {}
        }
        let ctx = Context { after_merge: ctx.after_merge && !first.ends_merge(), ..*ctx };
        let second = decide(&ctx, first.next_base.as_ref(), &m2, &s2);
        assert_eq!(second.action.side(), None, "{base:?} {m:?} {s:?} {:?}\n{first:?}\n{second:?}", ctx.policies);
    });
}

#[test]
fn a_base_outlives_a_change_of_the_map_only_while_it_is_the_same() {
    let map = map();
    for (text, holds) in [("r/R", true), ("v/I", true), ("r/L", true), ("r/A", false), ("r/-", true), ("-/R", true)] {
        assert_eq!(base(text).unwrap().holds(&map), holds, "{text}");
    }
    assert!(!base("-/-").unwrap().holds(&map));
    assert!(!base("r/R").unwrap().holds(&StatusMap::default()));
}

#[test]
fn a_write_whose_answer_was_lost_is_known_by_what_its_side_says() {
    let sent = Sent::of(&check("both | r/R r - | 12 -marketo none in_sync")).unwrap();
    let before = base("r/R");
    // It arrived, and someone added the campaign member again meanwhile: not removed once more.
    assert_eq!(recovered(before.as_ref(), &sent, &reading("-"), &reading("R")), None);
    for still in ["r", "a", "?", "x"] {
        assert_eq!(recovered(before.as_ref(), &sent, &reading(still), &reading("R")), before.as_ref(), "{still}");
    }
    let sent = Sent::of(&check("both | r/R a R | 7 ~A a/A in_sync")).unwrap();
    let after = base("a/A");
    assert_eq!(recovered(before.as_ref(), &sent, &reading("n"), &reading("A")), after.as_ref());
    assert_eq!(recovered(before.as_ref(), &sent, &reading("a"), &reading("R")), before.as_ref());
    let quiet = check("both | r/R r R | 6 nothing r/R in_sync");
    assert_eq!(Sent::of(&quiet), None);
}

#[test]
fn a_merge_is_on_until_the_further_status_could_be_written() {
    for (line, ends) in [
        ("paused merged | r/R a R | P1 nothing r/R pending/paused", false),
        ("merged | r/R ? R | P2 nothing r/R pending/retrying", false),
        ("merged | r/R w R | P3 nothing none parked/incompatible_status", false),
        ("merged | a/A r A | P3 ~a a/A in_sync", true),
        ("merged | r/R - R | 3 +r r/R in_sync", true),
    ] {
        assert_eq!(check(line).ends_merge(), ends, "{line}");
    }
}
