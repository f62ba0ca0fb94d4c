//! Outbound messages: SOAP 1.1 that Salesforce posts from flows and workflow rules.
//!
//! Owns the envelope. Namespace-aware; no DOCTYPE, no entity but the five of XML, bounded in depth and count. Reads what it
//! needs and skips the rest, the SessionId above all: it is a live credential and is never kept. Must not know what a record means.

use quick_xml::NsReader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::Refusal;
use super::salesforce::{FIELDS, Record, hint, same_organization};
use crate::domain::hint::{DeliveredHint, Delivery, Source};
use crate::domain::ids::{SalesforceId, SalesforceObject};

/// Notifications of one message, as the WSDL says.
const MOST_NOTIFICATIONS: usize = 100;
/// Six levels are needed; no field of a record has more below it.
const DEEPEST: usize = 32;
/// Ids have 15 or 18 characters.
const LONGEST_ID: usize = 64;
/// Envelopes have three; finding two of one name costs the square of their number.
const MOST_ATTRIBUTES: usize = 32;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";
const RECORD: [&str; 2] = ["urn:sobject.enterprise.soap.sforce.com", "urn:sobject.partner.soap.sforce.com"];

/// Where in the message an element stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Envelope,
    Body,
    Notifications,
    Organization,
    Notification,
    NotificationId,
    SObject,
    Field(&'static str),
    /// Anything else; neither it nor what is in it is read.
    Skipped,
}

impl Place {
    /// Of a child element; none where the root is not an envelope.
    fn inside(parent: Option<Self>, namespace: &str, name: &str) -> Option<Self> {
        Some(match (parent, namespace, name) {
            (None, SOAP, "Envelope") => Self::Envelope,
            (None, _, _) => return None,
            (Some(Self::Envelope), SOAP, "Body") => Self::Body,
            (Some(Self::Body), OUTBOUND, "notifications") => Self::Notifications,
            (Some(Self::Notifications), OUTBOUND, "OrganizationId") => Self::Organization,
            (Some(Self::Notifications), OUTBOUND, "Notification") => Self::Notification,
            (Some(Self::Notification), OUTBOUND, "Id") => Self::NotificationId,
            (Some(Self::Notification), OUTBOUND, "sObject") => Self::SObject,
            (Some(Self::SObject), namespace, name) if RECORD.contains(&namespace) => {
                FIELDS.iter().find(|field| **field == name).map_or(Self::Skipped, |field| Self::Field(field))
            }
            _ => Self::Skipped,
        })
    }

    fn has_text(self) -> bool {
        matches!(self, Self::Organization | Self::NotificationId | Self::Field(_))
    }
}

#[derive(Debug, Default)]
struct Notification {
    id: String,
    record: Record,
}

#[derive(Debug, Default)]
struct Message {
    places: Vec<Place>,
    text: String,
    /// Whether there is a root, closed or not: there is one.
    rooted: bool,
    complete: bool,
    organization: String,
    notifications: Vec<Notification>,
}

/// Reads one message. Without `organization` any organisation's are taken. Records of objects that we do not handle are left
/// out, since the message is acknowledged for them too.
///
/// # Errors
/// `Malformed` when it is not XML or not an outbound message; `Invalid` for more than 100 notifications, a malformed id or
/// another organisation.
pub fn parse(body: &[u8], organization: Option<&SalesforceId>) -> Result<Delivery, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed("the body is not UTF-8"))?;
    let message = read(text.trim_start_matches('\u{feff}'))?;
    same_organization("OrganizationId", &message.organization, organization)?;
    if !(1..=MOST_NOTIFICATIONS).contains(&message.notifications.len()) {
        return Err(Refusal::invalid("Notification", "size", "must be there 1 to 100 times"));
    }
    let mut records = Vec::with_capacity(message.notifications.len());
    for (index, notification) in message.notifications.into_iter().enumerate() {
        records.extend(delivered(index, notification)?);
    }
    Ok(Delivery { source: Source::Salesforce, records })
}

/// The object is told by the prefix of `sf:Id`, the one thing that is certain to be there.
fn delivered(index: usize, notification: Notification) -> Result<Option<DeliveredHint>, Refusal> {
    let place = format!("Notification[{index}]");
    if notification.id.is_empty() {
        return Err(Refusal::malformed(format!("{place} has no Id")));
    }
    // It is kept, and looked up again: what is no id of Salesforce might be more than the database takes.
    if notification.id.len() > LONGEST_ID || !notification.id.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(Refusal::malformed(format!("{place} has an Id that is none")));
    }
    let Some(id) = notification.record.get("Id") else {
        return Err(Refusal::malformed(format!("{place} has no sObject with an Id")));
    };
    let malformed = |error| Refusal::invalid(format!("{place}.sObject.Id"), "malformed-id", format!("{error}"));
    let object = match id.parse::<SalesforceId>().map_err(malformed)?.object() {
        None | Some(SalesforceObject::Organization) => return Ok(None),
        Some(object) => object,
    };
    let hint = hint(object, None, &format!("{place}.sObject"), &notification.record).map_err(Refusal::Invalid)?;
    Ok(Some(DeliveredHint { delivery_id: Some(notification.id), position: 0, hint }))
}

fn read(text: &str) -> Result<Message, Refusal> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().check_comments = true;
    let mut message = Message::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(not_xml)?;
        match event {
            Event::Start(start) => message.open(&namespace, &start)?,
            Event::End(_) => message.close(),
            Event::Text(text) => message.append(&text)?,
            Event::CData(text) => message.append_inside(&text)?,
            Event::GeneralRef(reference) => message.append_inside(resolved(&reference)?.as_str())?,
            Event::DocType(_) => return Err(Refusal::malformed("a DOCTYPE is not allowed")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Empty(_) => return Err(Refusal::malformed("the body is not XML")),
            Event::Eof => return message.finished(),
        }
    }
}

fn not_xml(error: impl std::fmt::Display) -> Refusal {
    Refusal::malformed(format!("the body is not XML: {error}"))
}

/// Only the five entities that XML itself defines, and characters by number: without a DOCTYPE there are no others.
fn resolved(reference: &BytesRef) -> Result<String, Refusal> {
    if let Some(character) = reference.resolve_char_ref().map_err(not_xml)? {
        return Ok(character.to_string());
    }
    let known = resolve_xml_entity(reference).map(str::to_owned);
    known.ok_or_else(|| Refusal::malformed("the body is not XML: an entity that is not defined"))
}

impl Message {
    fn open(&mut self, namespace: &ResolveResult, start: &BytesStart) -> Result<(), Refusal> {
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.0,
            ResolveResult::Unbound => "",
            ResolveResult::Unknown(_) => {
                return Err(Refusal::malformed("the body is not XML: a prefix without a namespace"));
            }
        };
        for (count, attribute) in start.attributes().enumerate() {
            if count == MOST_ATTRIBUTES {
                return Err(Refusal::malformed("an element has too many attributes"));
            }
            unescape(&attribute.map_err(not_xml)?.value).map_err(not_xml)?;
        }
        if self.places.len() == DEEPEST {
            return Err(Refusal::malformed("elements are nested too deeply"));
        }
        if self.places.is_empty() && std::mem::replace(&mut self.rooted, true) {
            return Err(Refusal::malformed("the body is not XML: there are two roots"));
        }
        let local = start.local_name();
        let place = Place::inside(self.places.last().copied(), namespace, local.as_ref());
        let place = place.ok_or_else(|| Refusal::malformed("the body is not a SOAP 1.1 envelope"))?;
        match place {
            // One more than allowed is kept, so that it is seen.
            Place::Notification if self.notifications.len() <= MOST_NOTIFICATIONS => {
                self.notifications.push(Notification::default());
            }
            Place::Notifications if std::mem::replace(&mut self.complete, true) => {
                return Err(Refusal::malformed("there are two messages"));
            }
            _ => {}
        }
        self.text.clear();
        self.places.push(place);
        Ok(())
    }

    fn close(&mut self) {
        let Some(place) = self.places.pop() else { return };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        // What is nil or empty is as good as missing.
        if text.is_empty() || !place.has_text() {
            return;
        }
        match (place, self.notifications.last_mut()) {
            (Place::Organization, _) => text.clone_into(&mut self.organization),
            (Place::NotificationId, Some(notification)) => text.clone_into(&mut notification.id),
            (Place::Field(field), Some(notification)) => {
                notification.record.insert(field, text.to_owned());
            }
            _ => {}
        }
    }

    /// Text; outside the root only white space.
    fn append(&mut self, text: &str) -> Result<(), Refusal> {
        if text.trim().is_empty() && self.places.is_empty() { Ok(()) } else { self.append_inside(text) }
    }

    fn append_inside(&mut self, text: &str) -> Result<(), Refusal> {
        match self.places.last() {
            None => return Err(Refusal::malformed("the body is not XML: text outside the root")),
            Some(place) if place.has_text() => self.text.push_str(text),
            Some(_) => {}
        }
        Ok(())
    }

    fn finished(self) -> Result<Self, Refusal> {
        match (self.rooted && self.places.is_empty(), self.complete) {
            (false, _) => Err(Refusal::malformed("the body is not XML: it ends too early")),
            (true, false) => Err(Refusal::malformed("there is no outbound message in the envelope")),
            (true, true) if self.organization.is_empty() => Err(Refusal::malformed("there is no OrganizationId")),
            (true, true) => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests;
