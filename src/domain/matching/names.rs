//! A status name, read: its words, what they mean, and whether it says that something did not happen.
//!
//! Owns the way from text to meaning. Must not compare two names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::super::letters::{distance, words};
use super::vocabulary::{ATTENDED, CONCEPTS, Concept, ENDINGS, FILLERS, MATTERS, NEGATIONS, NO_SHOW};

/// Weight of a word that is not known, against 1 for one that is.
const UNKNOWN: f64 = 0.5;
/// Weight of a word for what the program is about.
const MATTER: f64 = 0.25;
/// Most words in a phrase of the vocabulary.
const PHRASE: usize = 4;

/// One thing that a name says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub said: Said,
    pub weight: f64,
}

/// A meaning, or a word that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Place in the vocabulary.
    Known(usize),
    Word(String),
}

impl Said {
    pub fn concept(&self) -> Option<&'static Concept> {
        match self {
            Self::Known(place) => CONCEPTS.get(*place),
            Self::Word(_) => None,
        }
    }
}

/// A name, read.
#[derive(Clone, Debug)]
pub(super) struct Name<'a> {
    pub text: &'a str,
    /// All letters and digits, without a number in front and without the mark of a success.
    pub letters: String,
    /// Numbers other than one in front.
    pub numbers: Vec<String>,
    pub parts: Vec<Part>,
    pub negated: bool,
}

impl<'a> Name<'a> {
    /// Reads a name.
    pub fn read(text: &'a str) -> Self {
        let mut words = words(text);
        if words.len() > 1 && is_number(&words[0]) {
            words.remove(0);
        }
        if words.len() > 1 && words.last().is_some_and(|word| word == "success") {
            words.pop();
        }
        let numbers = words.iter().filter(|word| is_number(word)).cloned().collect();
        let mut name = Self { text, letters: words.concat(), numbers, parts: Vec::new(), negated: false };
        let mut at = 0;
        while at < words.len() {
            at += name.take(&words[at..]);
        }
        if name.parts.is_empty() {
            name.parts.extend(words.into_iter().map(|word| Part { said: Said::Word(word), weight: UNKNOWN }));
        }
        name.turn_round();
        name
    }

    /// Reads the longest phrase in front; how many words it has.
    fn take(&mut self, words: &[String]) -> usize {
        for length in (1..=PHRASE.min(words.len())).rev() {
            if let Some(places) = phrase(&words[..length].concat()) {
                self.add(places);
                return length;
            }
        }
        let word = words[0].as_str();
        if NEGATIONS.contains(&word) {
            self.negated = true;
        } else if FILLERS.contains(&word) {
        } else if let Some(places) = word.strip_prefix("un").and_then(phrase) {
            self.negated = true;
            self.add(places);
        } else if let Some(places) = misspelt(word) {
            self.add(places);
        } else {
            let weight = if MATTERS.contains(&word) { MATTER } else { UNKNOWN };
            self.parts.push(Part { said: Said::Word(word.to_owned()), weight });
        }
        1
    }

    fn add(&mut self, places: &[usize]) {
        for place in places {
            let part = Part { said: Said::Known(*place), weight: 1.0 };
            if !self.parts.contains(&part) {
                self.parts.push(part);
            }
        }
    }

    /// Who did not attend is a no show.
    fn turn_round(&mut self) {
        let (Some(attended), Some(no_show)) = (place(ATTENDED), place(NO_SHOW)) else { return };
        if let Some(part) = self.parts.iter_mut().find(|part| self.negated && part.said == Said::Known(attended)) {
            part.said = Said::Known(no_show);
            self.negated = false;
        }
    }

    pub fn weight(&self) -> f64 {
        self.parts.iter().map(|part| part.weight).sum()
    }

    /// Whether all that it says is known.
    pub fn is_known(&self) -> bool {
        self.parts.iter().all(|part| part.said.concept().is_some() || part.weight < UNKNOWN)
    }

    /// Whether it says all that the other does.
    pub fn includes(&self, other: &Name) -> bool {
        self.negated == other.negated && other.parts.iter().all(|part| self.parts.iter().any(|p| p.said == part.said))
    }
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit())
}

fn place(name: &str) -> Option<usize> {
    CONCEPTS.iter().position(|concept| concept.name == name)
}

/// Every phrase of the vocabulary in letters alone, with its meanings: one of several deeds, as in `met`, has more than one.
fn vocabulary() -> &'static BTreeMap<String, Vec<usize>> {
    static VOCABULARY: OnceLock<BTreeMap<String, Vec<usize>>> = OnceLock::new();
    VOCABULARY.get_or_init(|| {
        let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, concept) in CONCEPTS.iter().enumerate() {
            for phrase in concept.words {
                let places = all.entry(words(phrase).concat()).or_default();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        all
    })
}

fn phrase(letters: &str) -> Option<&'static [usize]> {
    let ending = || ENDINGS.iter().find_map(|ending| letters.strip_suffix(ending));
    let known = |letters: &str| vocabulary().get(letters).map(Vec::as_slice);
    known(letters).or_else(|| known(ending()?))
}

/// The nearest word of the vocabulary with the same first letter: one letter off, two in a long word.
fn misspelt(word: &str) -> Option<&'static [usize]> {
    let most = match word.chars().count() {
        ..5 => return None,
        5..9 => 1,
        _ => 2,
    };
    let first = word.chars().next()?.to_string();
    let alike = vocabulary().range(first.clone()..).take_while(|(known, _)| known.starts_with(&first));
    let near = alike.filter_map(|(known, places)| Some((distance(word, known, most)?, places)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, places)| places.as_slice())
}
