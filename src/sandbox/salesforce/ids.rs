//! Record ids: 15 significant characters, and a checksum of three more on the way out.
//!
//! Owns the base 62 serial numbers and the checksum. Serials run through upper and lower case, so ids that differ only in
//! case do occur: a client that compares without case mixes up records.

use std::fmt;

use serde::{Deserialize, Serialize};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// Pod of the emulated org, characters 4 to 6 of every id.
const POD: &[u8; 3] = b"4S0";

/// A record id; shown with 18 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id([u8; 15]);

impl Id {
    /// The `serial`th id of the object with this key prefix. Later serials sort after earlier ones.
    #[must_use]
    pub fn new(prefix: &str, mut serial: u64) -> Self {
        let mut bytes = [b'0'; 15];
        bytes[..3].copy_from_slice(&prefix.as_bytes()[..3]);
        bytes[3..6].copy_from_slice(POD);
        for slot in bytes[6..].iter_mut().rev() {
            *slot = BASE62[(serial % 62) as usize];
            serial /= 62;
        }
        Self(bytes)
    }

    /// From 15 or 18 characters; none when the shape or the checksum is wrong.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 15 | 18) || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let id = Self(bytes[..15].try_into().ok()?);
        (bytes.len() == 15 || bytes[15..] == id.checksum()).then_some(id)
    }

    /// Key prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.short()[..3]
    }

    /// The 15 character form, as in the URLs of outbound messages and in duplicate errors.
    #[must_use]
    pub fn short(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn checksum(&self) -> [u8; 3] {
        let mut out = [0; 3];
        for (chunk, out) in self.0.chunks(5).zip(&mut out) {
            let bits = chunk.iter().enumerate().filter(|(_, c)| c.is_ascii_uppercase()).map(|(k, _)| 1 << k);
            *out = CHECKSUM[bits.sum::<usize>()];
        }
        out
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())?;
        self.checksum().iter().try_for_each(|c| write!(f, "{}", *c as char))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not a Salesforce id: {text}"))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_recorded_ids_hold() {
        for id in ["00v4S000001VKQ1QAO", "7014S00000097HcQAI", "01YPn000007HnTJMA0", "00Q4S000002sSacUAE"] {
            assert_eq!(Id::parse(&id[..15]).unwrap().to_string(), id);
            assert_eq!(Id::parse(id), Id::parse(&id[..15]));
        }
        for bad in ["a00B000000FSjVUIB1", "701", "7014S00000097Hc!AI", "7014S00000097HcQAIx"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn serials_sort_and_cross_the_case() {
        let ids: Vec<Id> = (0..200).map(|n| Id::new("00Q", n)).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[10].short().to_lowercase(), ids[36].short().to_lowercase());
        assert_ne!(ids[10], ids[36]);
    }
}
