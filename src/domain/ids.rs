//! Identifiers as the vendors and we write them.
//!
//! Owns the 15 and 18 character forms of Salesforce ids and nothing else. An id that was parsed is always held in its
//! 18 character form, so equality is equality of records.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Id of a Marketo person ("lead" in its API).
pub type MarketoId = i64;
/// Id of a Marketo program.
pub type ProgramId = i64;

/// A Salesforce record id in its 18 character, case-safe form.
///
/// Source of the checksum: Salesforce, "What is the 18-character record ID"; checked against ids recorded from live orgs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SalesforceId(String);

/// Why a text is not a Salesforce id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Neither 15 nor 18 letters and digits.
    #[error("a Salesforce id has 15 or 18 letters and digits")]
    Shape,
    /// The last three characters do not belong to the first fifteen.
    #[error("the last three characters do not match the first fifteen: the id was mistyped, or its case was changed")]
    Checksum,
}

impl SalesforceId {
    /// Key prefix, the first three characters: which object the record is of.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..3]
    }

    /// The 18 character form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object that the key prefix stands for, for those we handle.
    #[must_use]
    pub fn object(&self) -> Option<SalesforceObject> {
        Some(match self.prefix() {
            "701" => SalesforceObject::Campaign,
            "00v" => SalesforceObject::CampaignMember,
            "01Y" => SalesforceObject::CampaignMemberStatus,
            "00Q" => SalesforceObject::Lead,
            "003" => SalesforceObject::Contact,
            "00D" => SalesforceObject::Organization,
            _ => return None,
        })
    }
}

/// Salesforce objects that this service handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SalesforceObject {
    /// `701`
    Campaign,
    /// `00v`
    CampaignMember,
    /// `01Y`
    CampaignMemberStatus,
    /// `00Q`
    Lead,
    /// `003`
    Contact,
    /// `00D`
    Organization,
}

/// Whether a Salesforce person is a lead or a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PersonType {
    /// `00Q`
    Lead,
    /// `003`
    Contact,
}

impl PersonType {
    /// From the key prefix of a person's id; none for any other object.
    #[must_use]
    pub fn of(id: &SalesforceId) -> Option<Self> {
        match id.object() {
            Some(SalesforceObject::Lead) => Some(Self::Lead),
            Some(SalesforceObject::Contact) => Some(Self::Contact),
            _ => None,
        }
    }
}

/// What is a member of a campaign: a person, or an account, which is nobody's person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberType {
    /// `00Q`
    Lead,
    /// `003`
    Contact,
    /// `001`, or `00v` where our user may not see which account it is.
    Account,
}

impl MemberType {
    /// From the key prefix of the id that a member is known by; none for any other object.
    #[must_use]
    pub fn of(id: &SalesforceId) -> Option<Self> {
        Some(match id.prefix() {
            "00Q" => Self::Lead,
            "003" => Self::Contact,
            "001" | "00v" => Self::Account,
            _ => return None,
        })
    }

    /// As Salesforce writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "Lead",
            Self::Contact => "Contact",
            Self::Account => "Account",
        }
    }
}

fn checksum(id15: &[u8]) -> [u8; 3] {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut out = [0; 3];
    for (chunk, out) in id15.chunks(5).zip(&mut out) {
        let upper = chunk.iter().enumerate().filter(|(_, c)| c.is_ascii_uppercase());
        *out = ALPHABET[upper.fold(0, |n, (k, _)| n | (1 << k))];
    }
    out
}

impl FromStr for SalesforceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 15 | 18) || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(InvalidId::Shape);
        }
        let sum = checksum(&bytes[..15]);
        // A suffix in another case is still unambiguous, and some tools upper-case what they carry.
        if bytes.len() == 18 && !bytes[15..].eq_ignore_ascii_case(&sum) {
            return Err(InvalidId::Checksum);
        }
        let mut id = text[..15].to_owned();
        id.extend(sum.map(char::from));
        Ok(Self(id))
    }
}

impl TryFrom<String> for SalesforceId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<SalesforceId> for String {
    fn from(id: SalesforceId) -> Self {
        id.0
    }
}

impl fmt::Display for SalesforceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_recorded_from_live_orgs_keep_their_checksum() {
        for id in ["00v4S000001VKQ1QAO", "7014S00000097HcQAI", "01YPn000007HnTJMA0", "00Q4S000002sSacUAE"] {
            assert_eq!(id[..15].parse::<SalesforceId>().unwrap().as_str(), id);
            assert_eq!(id.parse::<SalesforceId>().unwrap().as_str(), id);
        }
    }

    #[test]
    fn the_type_of_a_member_is_that_of_its_id() {
        for (id, kind) in [
            ("00Q4S000002sSacUAE", Some(MemberType::Lead)),
            ("0034S000001abcD", Some(MemberType::Contact)),
            ("0014S000001abcD", Some(MemberType::Account)),
            ("00v4S000001VKQ1QAO", Some(MemberType::Account)),
            ("7014S00000097HcQAI", None),
        ] {
            assert_eq!(MemberType::of(&id.parse().unwrap()), kind, "{id}");
        }
    }

    #[test]
    fn mistyped_ids_are_refused() {
        assert_eq!("a00B000000FSjVUIB1".parse::<SalesforceId>(), Err(InvalidId::Checksum));
        for bad in ["", "701", "7014S00000097Hc!AI", "7014S00000097HcQA", "7014S00000097HcQAIx"] {
            assert_eq!(bad.parse::<SalesforceId>(), Err(InvalidId::Shape), "{bad}");
        }
    }
}
