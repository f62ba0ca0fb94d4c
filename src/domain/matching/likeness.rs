//! How much alike two names are, and why.
//!
//! Owns the ladder from the same name down to the same kind of thing. Looks at names alone; steps, successes and members are
//! weighed by whoever asks.

use super::super::letters::distance;
use super::names::{Name, Part, Said};
use super::vocabulary::{CALLED_OFF, GENERIC, Stage};

/// Of names that are the same but for how they are written.
const WRITTEN: f64 = 0.97;
/// Of a name that Salesforce cut off.
const CUT: f64 = 0.95;
/// Of a name with one letter wrong; each further one takes as much as it is below 1.
const MISSPELT: f64 = 0.92;
/// Of names that say the same in other words.
const MEANT: f64 = 0.9;
/// Two things at the beginning, or two ways of calling off, or any response and a response.
const KINDRED: f64 = 0.6;
/// Two words for a response of no particular kind.
const BOTH_GENERIC: f64 = 0.8;
/// Longest status of a campaign member (Salesforce, "CampaignMember": `Status`); a blank at the end is cut as well.
const LONGEST_STATUS: usize = 40;

/// From 0 to 1, and why in plain words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Likeness {
    pub score: f64,
    pub why: String,
}

/// Compares two names; none when nothing speaks for them, or when they contradict one another.
pub(super) fn likeness(program: &Name, campaign: &Name) -> Option<Likeness> {
    let like = |score, why: String| Some(Likeness { score, why });
    if program.text == campaign.text {
        return like(1.0, "the same name".to_owned());
    }
    if !program.letters.is_empty() && program.letters == campaign.letters {
        return like(WRITTEN, "the same name but for case, punctuation, accents or numbering".to_owned());
    }
    if is_cut(program.text, campaign.text) || is_cut(campaign.text, program.text) {
        return like(CUT, format!("the same name, cut at {LONGEST_STATUS} characters"));
    }
    if program.negated != campaign.negated || are_numbered_differently(program, campaign) {
        return None;
    }
    [misspelt(program, campaign), meant(program, campaign)]
        .into_iter()
        .flatten()
        .max_by(|a, b| a.score.total_cmp(&b.score))
}

fn is_cut(short: &str, long: &str) -> bool {
    let (of_short, of_long) = (short.chars().count(), long.chars().count());
    of_long > LONGEST_STATUS && (LONGEST_STATUS - 1..=LONGEST_STATUS).contains(&of_short) && long.starts_with(short)
}

fn are_numbered_differently(a: &Name, b: &Name) -> bool {
    !a.numbers.is_empty() && !b.numbers.is_empty() && a.numbers != b.numbers
}

/// Whether it tells of somebody who does not come, or does not want to.
fn refuses(name: &Name) -> bool {
    name.parts.iter().filter_map(|part| part.said.concept()).any(|concept| concept.stage == Stage::Refusal)
}

fn misspelt(a: &Name, b: &Name) -> Option<Likeness> {
    let length = a.letters.chars().count().min(b.letters.chars().count());
    // Two known words are not one word with an error.
    if a.is_known() && b.is_known() && shared(a, b).0 == 0.0 {
        return None;
    }
    let letters = distance(&a.letters, &b.letters, length / 5)?;
    let why = if letters == 1 { "one letter differs".to_owned() } else { format!("{letters} letters differ") };
    Some(Likeness { score: 1.0 - (1.0 - MISSPELT) * letters as f64, why })
}

fn meant(a: &Name, b: &Name) -> Option<Likeness> {
    if refuses(a) != refuses(b) {
        return None;
    }
    let (weight, meanings) = shared(a, b);
    let of_all = 2.0 * weight / (a.weight() + b.weight());
    let why = match meanings.as_slice() {
        [] => "some words are the same".to_owned(),
        meanings if of_all > 0.99 => format!("other words for the same: {}", meanings.join(", ")),
        meanings => format!("both are about: {}", meanings.join(", ")),
    };
    (weight > 0.0).then_some(Likeness { score: MEANT * of_all, why })
}

/// The weight of what two names share, each part once, and what it means.
fn shared(a: &Name, b: &Name) -> (f64, Vec<&'static str>) {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (i, part) in a.parts.iter().enumerate() {
        for (j, other) in b.parts.iter().enumerate() {
            pairs.push((alike(part, other) * part.weight.min(other.weight), i, j));
        }
    }
    pairs.retain(|(weight, ..)| *weight > 0.0);
    pairs.sort_by(|(x, ..), (y, ..)| y.total_cmp(x));
    let (mut weight, mut taken, mut meanings) = (0.0, Vec::new(), Vec::new());
    for (of_pair, i, j) in pairs {
        if taken.iter().any(|(a, b)| *a == i || *b == j) {
            continue;
        }
        taken.push((i, j));
        weight += of_pair;
        meanings.extend(meaning(&a.parts[i].said, &b.parts[j].said));
    }
    (weight, meanings)
}

/// From 0 to 1.
fn alike(a: &Part, b: &Part) -> f64 {
    match (&a.said, &b.said) {
        (a, b) if a == b => 1.0,
        (Said::Word(a), Said::Word(b)) => alike_words(a, b),
        (a, b) => kindred(a, b),
    }
}

/// Words with a letter wrong, or of one stem.
fn alike_words(a: &str, b: &str) -> f64 {
    let (long, short) = (a.chars().count().max(b.chars().count()), a.chars().count().min(b.chars().count()));
    let stem = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    match () {
        () if short >= 5 && distance(a, b, 1).is_some() => 0.9,
        () if stem >= 5 && stem * 5 >= long * 3 => 0.8,
        () => 0.0,
    }
}

fn kindred(a: &Said, b: &Said) -> f64 {
    let (Some(a), Some(b)) = (a.concept(), b.concept()) else { return 0.0 };
    let generic = [a, b].iter().filter(|concept| GENERIC.contains(&concept.name)).count();
    match (a.stage, b.stage) {
        (Stage::Start, Stage::Start) => KINDRED,
        (Stage::Response, Stage::Response) if generic == 2 => BOTH_GENERIC,
        (Stage::Response, Stage::Response) if generic == 1 => KINDRED,
        _ if CALLED_OFF.contains(&a.name) && CALLED_OFF.contains(&b.name) => KINDRED,
        _ => 0.0,
    }
}

/// What two parts have in common, for people.
fn meaning(a: &Said, b: &Said) -> Option<&'static str> {
    let (a, b) = (a.concept()?, b.concept()?);
    Some(match (a.stage, b.stage) {
        _ if a.name == b.name => a.name,
        (Stage::Start, _) => "where members begin",
        (Stage::Refusal, _) => "not coming",
        _ => "a response",
    })
}
