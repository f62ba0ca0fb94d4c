//! Letters: what is left of a name without case, accents and punctuation, and how many of them two names differ in.
//!
//! Owns folding and the distance. Must not know words or meanings.

/// Longest text of which the distance is taken: its cost is the product of both lengths.
const LONGEST: usize = 100;

/// The words of a name: lower case, accents off, cut where neither a letter nor a digit stands. An apostrophe is left out
/// without a cut, so that `RSVP'd` is one word.
#[must_use]
pub fn words(name: &str) -> Vec<String> {
    let name = name.replace(['\'', '\u{2019}', '\u{2018}', '`'], "");
    let folded: String = name.chars().flat_map(char::to_lowercase).map(fold).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// German umlauts become two letters, as Germans write them without a keyboard for it; combining marks vanish.
fn fold(c: char) -> String {
    let plain = match c {
        'ä' | 'æ' => "ae",
        'ö' | 'ø' | 'œ' => "oe",
        'ü' => "ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ő' => "o",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ť' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ű' | 'ů' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        '\u{300}'..='\u{36f}' => "",
        other => return other.to_string(),
    };
    plain.to_owned()
}

/// How many letters to change, add, leave out or swap with their neighbour, when that is at most `most`.
#[must_use]
pub fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most || a.len().max(b.len()) > LONGEST {
        return None;
    }
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let before: &Vec<usize> = &before;
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    Some(last[b.len()]).filter(|found| *found <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_neither_case_nor_accents_nor_punctuation() {
        for (name, expected) in [
            ("No-Show", "no show"),
            ("RSVP'd (Übersee)", "rsvpd uebersee"),
            ("Démo  demande\u{301}e!", "demo demandee"),
            ("欠席／出席", "欠席 出席"),
            ("--- 🎟", ""),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_swap_is_one_step_and_what_is_too_far_is_not_counted() {
        for (a, b, most, expected) in [
            ("registered", "regsitered", 2, Some(1)),
            ("kitten", "sitting", 3, Some(3)),
            ("kitten", "sitting", 2, None),
            ("", "ab", 2, Some(2)),
            ("", "", 0, Some(0)),
            ("ab", "ba", 0, None),
        ] {
            assert_eq!(distance(a, b, most), expected, "{a} {b}");
            assert_eq!(distance(b, a, most), expected, "{b} {a}");
        }
        assert_eq!(distance(&"a".repeat(101), &"a".repeat(101), 5), None);
    }
}
