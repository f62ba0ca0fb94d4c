//! Which status of a campaign a status of a program probably is: suggestions for people, never a translation by itself.
//!
//! Owns the pairs and their confidence; `likeness` compares names, `names` reads them with the `vocabulary`. Compatibility
//! stays a matter of exact names (`status`).

mod likeness;
mod names;
mod vocabulary;

use likeness::{Likeness, likeness};
use names::Name;

use super::status::NOT_IN_PROGRAM;

/// What is below is not worth a look.
const WORTH_A_LOOK: f64 = 0.5;
/// Nothing but the same name is certain.
const NEARLY_CERTAIN: f64 = 0.99;
/// Success and `HasResponded` agree, or do not.
const BOTH_SUCCEED: f64 = 0.03;
const ONE_SUCCEEDS: f64 = -0.12;
/// The lowest step, and what a campaign gives to new members.
const BOTH_BEGIN: f64 = 0.05;
/// From the first place to the last one.
const FAR_APART: f64 = -0.06;
/// About as many members hold both, or nobody holds one of them.
const AS_MANY: f64 = 0.02;
const ONE_UNUSED: f64 = -0.08;
/// A status that has a nearer one already.
const SHARED: f64 = -0.03;

/// A status of the program's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStatus {
    pub name: String,
    pub step: i64,
    pub success: bool,
    /// How many hold it; none when it was not counted.
    pub members: Option<u64>,
}

/// A member status of the campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignStatus {
    pub name: String,
    pub sort_order: i64,
    pub has_responded: bool,
    pub is_default: bool,
    /// How many hold it; none when it was not counted.
    pub members: Option<u64>,
}

/// Two statuses that probably mean the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub program_status: String,
    pub campaign_status: String,
    /// 0 to 1, two decimals. 1: the same name, and only then. From 0.9: hardly in doubt, the same but for the writing or in
    /// other words. From 0.75: probable. From 0.5: a guess to look at. What is below is not proposed.
    pub confidence: f64,
    /// In plain words.
    pub reason: String,
}

/// The pairs, surest first. A status is in one pair, but for one that several of the other side are shades of: `Attended` for
/// `Attended` and `Attended On-demand`, where the campaign has no such thing.
#[must_use]
pub fn pairs(program: &[ProgramStatus], campaign: &[CampaignStatus]) -> Vec<Pair> {
    let sides = Sides::read(program, campaign);
    let mut candidates = sides.candidates();
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then((a.m, a.s).cmp(&(b.m, b.s))));
    let mut chosen: Vec<Candidate> = Vec::new();
    for candidate in &candidates {
        let is_free = !chosen.iter().any(|other| other.m == candidate.m || other.s == candidate.s);
        if is_free && candidate.confidence >= WORTH_A_LOOK {
            chosen.push(candidate.clone());
        }
    }
    let shades = sides.shades(&candidates, &chosen);
    let mut pairs: Vec<Pair> = chosen.into_iter().chain(shades).map(|candidate| sides.show(candidate)).collect();
    pairs.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    pairs
}

/// Two places, and what speaks for them.
#[derive(Clone, Debug)]
struct Candidate {
    m: usize,
    s: usize,
    confidence: f64,
    why: String,
}

/// Both sides with their names read. `Not in Program` stands for absence, so it has no place here.
struct Sides<'a> {
    program: Vec<(&'a ProgramStatus, Name<'a>)>,
    campaign: Vec<(&'a CampaignStatus, Name<'a>)>,
}

impl<'a> Sides<'a> {
    fn read(program: &'a [ProgramStatus], campaign: &'a [CampaignStatus]) -> Self {
        let program = program.iter().filter(|status| status.name != NOT_IN_PROGRAM);
        let campaign = campaign.iter().filter(|status| status.name != NOT_IN_PROGRAM);
        let mut sides = Self {
            program: program.map(|status| (status, Name::read(&status.name))).collect(),
            campaign: campaign.map(|status| (status, Name::read(&status.name))).collect(),
        };
        sides.program.sort_by_key(|(status, _)| status.step);
        sides.campaign.sort_by_key(|(status, _)| status.sort_order);
        sides
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (m, (_, name)) in self.program.iter().enumerate() {
            for (s, (_, label)) in self.campaign.iter().enumerate() {
                all.extend(likeness(name, label).map(|like| self.weigh(m, s, like)));
            }
        }
        all
    }

    /// A likeness of names, with what else is known of the two.
    fn weigh(&self, m: usize, s: usize, Likeness { score, mut why }: Likeness) -> Candidate {
        let (program, campaign) = (self.program[m].0, self.campaign[s].0);
        let begins = program.step == self.program[0].0.step && campaign.is_default;
        let place = |at: usize, of: usize| at as f64 / (of.max(2) - 1) as f64;
        let apart = (place(m, self.program.len()) - place(s, self.campaign.len())).abs();
        let mut sum = score + FAR_APART * apart;
        let mut speaks = |weight: f64, text: &str| {
            sum += weight;
            why += "; ";
            why += text;
        };
        match (program.success, campaign.has_responded) {
            (true, true) => speaks(BOTH_SUCCEED, "both count as a response"),
            (false, false) => {}
            (true, false) => speaks(ONE_SUCCEEDS, "but only the program status is a success"),
            (false, true) => speaks(ONE_SUCCEEDS, "but only the campaign status counts as a response"),
        }
        if begins {
            speaks(BOTH_BEGIN, "both are what members begin with");
        }
        match (program.members, campaign.members) {
            (Some(0), Some(0)) => {}
            (Some(m), Some(s)) if m.min(s) == 0 => speaks(ONE_UNUSED, "but nobody holds one of them"),
            (Some(m), Some(s)) if m.abs_diff(s) * 5 <= m.max(s) => speaks(AS_MANY, "about as many members hold both"),
            _ => {}
        }
        let confidence = if score >= 1.0 { 1.0 } else { sum.clamp(0.0, NEARLY_CERTAIN) };
        Candidate { m, s, confidence, why }
    }

    /// For each status that was left over, the taken one that it is a shade of.
    fn shades(&self, candidates: &[Candidate], chosen: &[Candidate]) -> Vec<Candidate> {
        let lacks_m = |m: usize| !chosen.iter().any(|other| other.m == m);
        let lacks_s = |s: usize| !chosen.iter().any(|other| other.s == s);
        let mut found: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            let Candidate { m, s, .. } = *candidate;
            let ((program, name), (campaign, label)) = (&self.program[m], &self.campaign[s]);
            let of_program = lacks_m(m) && name.includes(label) && !found.iter().any(|other| other.m == m);
            let of_campaign = lacks_s(s) && label.includes(name) && !found.iter().any(|other| other.s == s);
            let confidence = (candidate.confidence + SHARED).min(NEARLY_CERTAIN);
            let sure = confidence >= WORTH_A_LOOK && program.success == campaign.has_responded;
            if sure && (of_program || of_campaign) {
                let why = format!("{}; shared with a nearer one", candidate.why);
                found.push(Candidate { confidence, why, ..*candidate });
            }
        }
        found
    }

    fn show(&self, Candidate { m, s, confidence, why }: Candidate) -> Pair {
        Pair {
            program_status: self.program[m].0.name.clone(),
            campaign_status: self.campaign[s].0.name.clone(),
            confidence: (confidence * 100.0).round() / 100.0,
            reason: why,
        }
    }
}

#[cfg(test)]
mod tests;
