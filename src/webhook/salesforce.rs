//! Salesforce records, as Apex triggers, flows and event relays send them in signed JSON.
//!
//! Owns the objects, operations and fields of a record, for the SOAP form as well. Fields that we do not know are ignored,
//! and null is as good as missing. Must not know how a delivery was signed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Refusal;
use crate::domain::hint::{DeliveredHint, Delivery, Hint, Operation, Source};
use crate::domain::ids::{SalesforceId, SalesforceObject};
use crate::problem::FieldError;

/// Records of one delivery: what one run of an Apex trigger gets.
const MOST_RECORDS: usize = 200;
/// Errors told of one delivery; the first ones are enough to mend the sender.
const MOST_ERRORS: usize = 20;

const OBJECTS: [(&str, SalesforceObject); 5] = [
    ("CampaignMember", SalesforceObject::CampaignMember),
    ("Lead", SalesforceObject::Lead),
    ("Contact", SalesforceObject::Contact),
    ("Campaign", SalesforceObject::Campaign),
    ("CampaignMemberStatus", SalesforceObject::CampaignMemberStatus),
];
const OPERATIONS: [(&str, Operation); 4] = [
    ("insert", Operation::Insert),
    ("update", Operation::Update),
    ("delete", Operation::Delete),
    ("undelete", Operation::Undelete),
];

/// The fields that are read, of any object.
pub(super) const FIELDS: [&str; 9] = [
    "Id",
    "CampaignId",
    "LeadId",
    "ContactId",
    "Status",
    "SystemModstamp",
    "LastModifiedById",
    "MasterRecordId",
    "ConvertedContactId",
];

/// Values of one record by field name; empty ones are left out.
pub(super) type Record = BTreeMap<&'static str, String>;

/// Reads one delivery. Without `organization` any organisation's are taken.
///
/// # Errors
/// `Malformed` when it is not JSON; `Invalid` with the first errors found when it is not a delivery of ours.
pub fn parse(body: &[u8], delivery_id: &str, organization: Option<&SalesforceId>) -> Result<Delivery, Refusal> {
    let parsed = serde_json::from_slice(body);
    let body: Value = parsed.map_err(|error| Refusal::malformed(format!("the body is not JSON: {error}")))?;
    let Value::Object(body) = body else { return Err(Refusal::invalid("", "type", "must be an object")) };
    let object = listed(&body, "object", "unknown-object", &OBJECTS)?;
    let operation = listed(&body, "operation", "unknown-operation", &OPERATIONS)?;
    if let Some(given) = body.get("orgId").and_then(text) {
        same_organization("orgId", &given, organization)?;
    }
    let records = match body.get("records") {
        Some(Value::Array(records)) if (1..=MOST_RECORDS).contains(&records.len()) => records,
        _ => return Err(Refusal::invalid("records", "size", "must be a list of 1 to 200 records")),
    };
    let mut hints = Vec::with_capacity(records.len());
    let mut errors = Vec::new();
    for (position, record) in (0..).zip(records) {
        let place = format!("records[{position}]");
        match record.as_object().map(|record| hint(object, Some(operation), &place, &fields(record))) {
            Some(Ok(hint)) => {
                hints.push(DeliveredHint { delivery_id: Some(delivery_id.to_owned()), position, hint });
            }
            Some(Err(found)) => errors.extend(found),
            None => errors.push(FieldError::new(place, "type", "must be an object")),
        }
    }
    errors.truncate(MOST_ERRORS);
    if errors.is_empty() {
        Ok(Delivery { source: Source::Salesforce, records: hints })
    } else {
        Err(Refusal::Invalid(errors))
    }
}

fn listed<T: Copy>(
    body: &Map<String, Value>,
    name: &str,
    code: &'static str,
    known: &[(&str, T)],
) -> Result<T, Refusal> {
    let given = body.get(name).and_then(Value::as_str);
    let found = known.iter().find(|(name, _)| Some(*name) == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Refusal::invalid(name, code, format!("must be one of {}", names.join(", ")))
    })
}

/// Compares organisations on their 15 characters; the 18 character form that is kept adds only a checksum to them.
///
/// # Errors
/// `Invalid` when `given` is no organisation's id, or another one's.
pub(super) fn same_organization(field: &str, given: &str, ours: Option<&SalesforceId>) -> Result<(), Refusal> {
    let given: SalesforceId =
        given.parse().map_err(|error| Refusal::invalid(field, "malformed-id", format!("{error}")))?;
    if given.object() != Some(SalesforceObject::Organization) {
        return Err(Refusal::invalid(field, "malformed-id", "must be an id that begins with 00D"));
    }
    if ours.is_some_and(|ours| *ours != given) {
        return Err(Refusal::invalid(field, "other-organization", "is another organisation's"));
    }
    Ok(())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn fields(record: &Map<String, Value>) -> Record {
    FIELDS.iter().filter_map(|name| Some((*name, text(record.get(*name)?)?))).collect()
}

/// Makes a hint of one record; `place` begins the names of fields in errors.
///
/// # Errors
/// With every malformed id. A time that cannot be read is left out instead: it could only have saved a read.
pub(super) fn hint(
    object: SalesforceObject,
    operation: Option<Operation>,
    place: &str,
    record: &Record,
) -> Result<Hint, Vec<FieldError>> {
    let mut ids = Ids { place, record, errors: Vec::new() };
    let hint = match object {
        SalesforceObject::CampaignMember => {
            let (contact, lead) = (ids.of("ContactId", "003"), ids.of("LeadId", "00Q"));
            ids.required("00v").map(|member_id| Hint::CampaignMember {
                member_id,
                campaign_id: ids.of("CampaignId", "701"),
                person_id: contact.or(lead),
                operation,
                status: record.get("Status").cloned(),
                modified_by: ids.of("LastModifiedById", "005"),
                modstamp: record.get("SystemModstamp").and_then(|text| time(text)),
            })
        }
        SalesforceObject::Lead => ids.required("00Q").map(|person_id| Hint::SalesforcePerson {
            person_id,
            operation,
            master_id: ids.of("MasterRecordId", "00Q"),
            converted_contact_id: ids.of("ConvertedContactId", "003"),
        }),
        SalesforceObject::Contact => ids.required("003").map(|person_id| Hint::SalesforcePerson {
            person_id,
            operation,
            master_id: ids.of("MasterRecordId", "003"),
            converted_contact_id: None,
        }),
        SalesforceObject::Campaign => ids.required("701").map(|campaign_id| Hint::Campaign { campaign_id, operation }),
        SalesforceObject::CampaignMemberStatus => ids.required("01Y").map(|status_id| Hint::CampaignMemberStatus {
            status_id,
            campaign_id: ids.of("CampaignId", "701"),
            operation,
        }),
        SalesforceObject::Organization => None,
    };
    match hint {
        Some(hint) if ids.errors.is_empty() => Ok(hint),
        _ => Err(ids.errors),
    }
}

/// Ids of a record, and what is wrong with them.
struct Ids<'a> {
    place: &'a str,
    record: &'a Record,
    errors: Vec<FieldError>,
}

impl Ids<'_> {
    fn required(&mut self, prefix: &str) -> Option<SalesforceId> {
        if !self.record.contains_key("Id") {
            self.errors.push(FieldError::new(format!("{}.Id", self.place), "required", "is missing"));
        }
        self.of("Id", prefix)
    }

    fn of(&mut self, field: &str, prefix: &str) -> Option<SalesforceId> {
        let message = match self.record.get(field)?.parse::<SalesforceId>() {
            Ok(id) if id.prefix() == prefix => return Some(id),
            Ok(_) => format!("must be an id that begins with {prefix}"),
            Err(error) => error.to_string(),
        };
        self.errors.push(FieldError::new(format!("{}.{field}", self.place), "malformed-id", message));
        None
    }
}

/// Apex writes `+0000`, flows and outbound messages `Z`.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;
