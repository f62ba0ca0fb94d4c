//! The corpus, how often the first proposal is right, and what must never be proposed.

use super::*;

const CORPUS: &str = include_str!("../../../tests/corpus/status_sets.txt");
/// Of the questions whose first proposal has to be right.
const FLOOR: f64 = 0.95;

#[derive(Default)]
struct Set {
    title: String,
    program: Vec<(ProgramStatus, Vec<String>)>,
    campaign: Vec<(CampaignStatus, Vec<String>)>,
}

fn corpus() -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    for line in CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("== ") {
            sets.push(Set { title: title.to_owned(), ..Set::default() });
            continue;
        }
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [side, place, name, marks, members, answers] = columns[..] else { panic!("{line}") };
        let set = sets.last_mut().unwrap();
        let (name, place, members) = (name.to_owned(), place.parse().unwrap(), members.parse().ok());
        let answers = answers.split(" / ").map(str::to_owned).collect();
        let success = marks.contains('+');
        if side == "m" {
            set.program.push((ProgramStatus { name, step: place, success, members }, answers));
        } else {
            let is_default = marks.contains('*');
            let status = CampaignStatus { name, sort_order: place, has_responded: success, is_default, members };
            set.campaign.push((status, answers));
        }
    }
    sets
}

/// What was asked, what was right, what came.
fn wrong_of(set: &Set, found: &[Pair]) -> Vec<String> {
    let other = |of: &str| {
        let of_program = found.iter().find(|pair| pair.program_status == of).map(|pair| pair.campaign_status.clone());
        let of_campaign = found.iter().find(|pair| pair.campaign_status == of).map(|pair| pair.program_status.clone());
        (of_program.unwrap_or_else(|| "-".to_owned()), of_campaign.unwrap_or_else(|| "-".to_owned()))
    };
    let program = set.program.iter().map(|(status, right)| (other(&status.name).0, &status.name, right));
    let campaign = set.campaign.iter().map(|(status, right)| (other(&status.name).1, &status.name, right));
    let answers = program.chain(campaign);
    let wrong = answers.filter(|(came, _, right)| !right.contains(came));
    wrong.map(|(came, name, right)| format!("{}: {name} is {}, not {came}", set.title, right.join(" or "))).collect()
}

fn accuracy(sets: &[Set], blind: bool) -> (f64, Vec<String>) {
    let (mut questions, mut wrong) = (0, Vec::new());
    for set in sets {
        let mut program: Vec<ProgramStatus> = set.program.iter().map(|(status, _)| status.clone()).collect();
        let mut campaign: Vec<CampaignStatus> = set.campaign.iter().map(|(status, _)| status.clone()).collect();
        if blind {
            program.iter_mut().for_each(|status| status.members = None);
            campaign.iter_mut().for_each(|status| status.members = None);
        }
        questions += program.len() + campaign.len();
        wrong.extend(wrong_of(set, &pairs(&program, &campaign)));
    }
    (1.0 - wrong.len() as f64 / questions as f64, wrong)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is what the test is for")]
fn the_first_proposal_is_right_most_of_the_time() {
    let sets = corpus();
    assert_eq!(sets.len(), 20);
    for (what, blind) in [("with members", false), ("members not counted", true)] {
        let (accuracy, wrong) = accuracy(&sets, blind);
        println!("top-1 accuracy, {what}: {accuracy:.3}\n{}", wrong.join("\n"));
        assert!(accuracy >= FLOOR, "{what}: {accuracy:.3} of the first proposals are right:\n{}", wrong.join("\n"));
    }
}

fn program(names: &[&str]) -> Vec<ProgramStatus> {
    let status = |(name, step): (&&str, i64)| ProgramStatus {
        name: name.trim_end_matches('+').to_owned(),
        step,
        success: name.ends_with('+'),
        members: None,
    };
    names.iter().zip(1..).map(status).collect()
}

fn campaign(names: &[&str]) -> Vec<CampaignStatus> {
    let status = |(name, sort_order): (&&str, i64)| CampaignStatus {
        name: name.trim_end_matches(['+', '*']).to_owned(),
        sort_order,
        has_responded: name.ends_with('+'),
        is_default: name.ends_with('*'),
        members: None,
    };
    names.iter().zip(1..).map(status).collect()
}

fn shown(found: &[Pair]) -> Vec<String> {
    found.iter().map(|pair| format!("{} = {}", pair.program_status, pair.campaign_status)).collect()
}

#[test]
fn what_only_looks_alike_is_not_proposed() {
    for (m, s) in [
        ("Not Attended", "Attended"),
        ("Attended", "Unattended"),
        ("Unsubscribed", "Subscribed"),
        ("Opted In", "Opted Out"),
        ("Not Interested", "Interested"),
        ("Meeting No Show", "Meeting Attended"),
        ("Touch 1 Sent", "Touch 2 Sent"),
        ("Returned", "Referred"),
        ("Nicht teilgenommen", "Teilgenommen"),
        ("Deltog ej", "Deltog"),
        ("出席", "欠席"),
        ("Started", "Completed"),
        ("!!!", "???"),
        ("", "Sent"),
        ("Lead", "Planned"),
    ] {
        assert_eq!(shown(&pairs(&program(&[m]), &campaign(&[s]))), [""; 0], "{m} and {s}");
    }
}

#[test]
fn not_in_program_is_nobodys_pair() {
    let found = pairs(&program(&[NOT_IN_PROGRAM, "Invited"]), &campaign(&["Invited", NOT_IN_PROGRAM]));
    assert_eq!(shown(&found), ["Invited = Invited"]);
}

#[test]
fn only_the_same_name_is_certain() {
    let found = pairs(&program(&["Invited", "No Show", "Attended+"]), &campaign(&["Invited*", "no-show", "Attended"]));
    let told: Vec<_> = found.iter().map(|pair| (pair.confidence, pair.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (1.0, "the same name; both are what members begin with"),
            (1.0, "the same name; but only the program status is a success"),
            (0.97, "the same name but for case, punctuation, accents or numbering"),
        ]
    );
    let same = pairs(&program(&["invited+"]), &campaign(&["Invited+"]));
    assert!(same[0].confidence < 1.0, "{same:?}");
}

#[test]
fn several_may_be_shades_of_one_but_not_of_another_outcome() {
    let found = pairs(
        &program(&["Sales Invited", "Marketing Invited", "Attended+", "Attended On-demand+", "Attended Rehearsal"]),
        &campaign(&["Invited*", "Attended+"]),
    );
    let expected = [
        "Attended = Attended",
        "Sales Invited = Invited",
        "Marketing Invited = Invited",
        "Attended On-demand = Attended",
    ];
    assert_eq!(shown(&found), expected);
    assert!(found[3].reason.ends_with("shared with a nearer one"), "{}", found[3].reason);
}

#[test]
fn what_members_hold_decides_between_equals() {
    let of = |members: [u64; 2]| {
        let mut program = program(&["Engaged"]);
        let mut campaign = campaign(&["Engaged (Spring)", "Engaged (Autumn)"]);
        program[0].members = Some(40);
        campaign.iter_mut().zip(members).for_each(|(status, held)| status.members = Some(held));
        pairs(&program, &campaign)[0].campaign_status.clone()
    };
    assert_eq!((of([41, 0]).as_str(), of([0, 39]).as_str()), ("Engaged (Spring)", "Engaged (Autumn)"));
}

#[test]
fn success_decides_between_equals() {
    let found = pairs(&program(&["Met+"]), &campaign(&["Meeting held by partner", "Met with partner+"]));
    assert_eq!(found[0].campaign_status, "Met with partner");
}

#[test]
fn every_confidence_has_two_decimals_and_its_place() {
    for set in corpus() {
        let program: Vec<ProgramStatus> = set.program.into_iter().map(|(status, _)| status).collect();
        let campaign: Vec<CampaignStatus> = set.campaign.into_iter().map(|(status, _)| status).collect();
        let found = pairs(&program, &campaign);
        for pair in &found {
            let same = pair.program_status == pair.campaign_status;
            assert_eq!(pair.confidence >= 1.0, same, "{pair:?}");
            assert!((WORTH_A_LOOK..=1.0).contains(&pair.confidence) && !pair.reason.is_empty(), "{pair:?}");
            assert!((pair.confidence * 100.0).fract().abs() < 1e-9 || (pair.confidence * 100.0).fract() > 1.0 - 1e-9);
        }
        assert!(found.is_sorted_by(|a, b| a.confidence >= b.confidence));
    }
}

proptest::proptest! {
    #[test]
    fn any_names_can_be_compared(
        m in proptest::collection::vec("(\\PC{0,9}|Attended|Not in Program|[Nn]o.?[Ss]how)", 0..6),
        s in proptest::collection::vec("(\\PC{0,9}|Attended|Not in Program|[Nn]o.?[Ss]how)", 0..6),
    ) {
        let (m, s): (Vec<&str>, Vec<&str>) = (m.iter().map(String::as_str).collect(), s.iter().map(String::as_str).collect());
        let (program, campaign) = (program(&m), campaign(&s));
        for pair in pairs(&program, &campaign) {
            assert!((WORTH_A_LOOK..=1.0).contains(&pair.confidence), "{pair:?}");
            assert!(pair.program_status != NOT_IN_PROGRAM && pair.campaign_status != NOT_IN_PROGRAM);
            assert!(program.iter().any(|status| status.name == pair.program_status), "{pair:?}");
            assert!(campaign.iter().any(|status| status.name == pair.campaign_status), "{pair:?}");
        }
        // A name that both sides have is always its own pair.
        for status in program.iter().filter(|status| status.name != NOT_IN_PROGRAM) {
            let own = |pair: &Pair| pair.program_status == status.name && pair.campaign_status == status.name;
            let on_both = campaign.iter().any(|other| other.name == status.name);
            assert_eq!(pairs(&program, &campaign).iter().any(own), on_both, "{status:?}");
        }
    }
}
