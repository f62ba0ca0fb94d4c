//! Paging tokens: opaque base32 text ending in `=`, so that a client which reads or does not encode them breaks.
//!
//! Owns their form. A token names the list that it belongs to and a position in it; a token of another list, or one that was
//! made up, is refused.

use super::envelope::Refusal;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MASK: [u8; 7] = [0x5a, 0xc3, 0x17, 0x8e, 0x61, 0xf4, 0x2b];

/// The token for `position` in `list`.
#[must_use]
pub fn issue(list: &str, position: i64) -> String {
    let plain = format!("{list}:{position}:{}", check_digits(list, position));
    let bits: Vec<u8> =
        masked(plain.as_bytes()).flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut text: String = bits
        .chunks(5)
        .map(|five| {
            let value = (0..5).fold(0, |sum, bit| sum << 1 | usize::from(five.get(bit).copied().unwrap_or(0)));
            char::from(ALPHABET[value])
        })
        .collect();
    text.push_str(&"=".repeat(match text.len() % 8 {
        0 => 8,
        used => 8 - used,
    }));
    text
}

/// The position that a token stands for in `list`.
///
/// UNVERIFIED: the code for a token that is not one; 1003 here.
pub fn read(list: &str, token: &str) -> Result<i64, Refusal> {
    decode(token)
        .and_then(|plain| {
            let mut parts = plain.rsplitn(3, ':');
            let (check, position, owner) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
            (owner == list && check == check_digits(list, position)).then_some(position)
        })
        .ok_or_else(|| Refusal::invalid("Invalid nextPageToken"))
}

fn decode(token: &str) -> Option<String> {
    let mut bits = Vec::with_capacity(token.len() * 5);
    for letter in token.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits.extend((0..5).rev().map(|bit| (value >> bit & 1) as u8));
    }
    let bytes: Vec<u8> = bits.chunks_exact(8).map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    String::from_utf8(masked(&bytes).collect()).ok()
}

fn masked(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask)
}

fn check_digits(list: &str, position: i64) -> String {
    let sum =
        list.bytes().chain(position.to_be_bytes()).fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    format!("{:04x}", sum & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_belong_to_their_list() {
        for position in [0, 1, 1078, 318_592, i64::MAX] {
            let token = issue("members:1044", position);
            assert!(token.ends_with('='), "{token}");
            assert!(!token.contains("1044"));
            assert_eq!(read("members:1044", &token), Ok(position));
            assert!(read("members:1045", &token).is_err());
            assert!(read("members:1044", &format!("A{token}")).is_err());
        }
        assert!(read("activities", "GIYDAOBNGEYS2MBWKQYDAORQGA5DAMBOGAYDAKZQGAYDALBQ").is_err());
    }
}
