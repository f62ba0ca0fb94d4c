//! Marketo's "Call Webhook": a template with tokens, rendered to something near JSON.
//!
//! Owns the events and the fields. The content is a hint: ids must be there, everything else may be empty. Must not know who
//! sent it.

use serde_json::{Map, Value};

use super::Refusal;
use crate::domain::hint::{DeliveredHint, Delivery, Hint, Source};
use crate::domain::ids::{MarketoId, ProgramId};
use crate::domain::rendered::mended;
use crate::problem::FieldError;

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    MemberChanged,
    MemberRemoved,
    PersonDeleted,
    ProgramChanged,
}

const EVENTS: [(&str, Event); 8] = [
    ("program_member.changed", Event::MemberChanged),
    ("program_member.status_changed", Event::MemberChanged),
    ("program_member.added", Event::MemberChanged),
    ("program_member.removed", Event::MemberRemoved),
    ("sfdc_campaign_member.removed", Event::MemberRemoved),
    ("person.deleted", Event::PersonDeleted),
    ("person.deleting", Event::PersonDeleted),
    ("program.changed", Event::ProgramChanged),
];

/// Reads one call.
///
/// # Errors
/// `Malformed` when it is not JSON even after repair; `Invalid` for an unknown event or a missing id.
pub fn parse(body: &[u8]) -> Result<Delivery, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed("the body is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let parsed = serde_json::from_str(text).or_else(|error| serde_json::from_str(&mended(text)).map_err(|_| error));
    match parsed.map_err(|error| Refusal::malformed(format!("the body is not JSON: {error}")))? {
        Value::Object(fields) => Ok(Delivery { source: Source::Marketo, records: vec![hint(&fields)?] }),
        _ => Err(Refusal::invalid("", "type", "must be an object")),
    }
}

fn hint(fields: &Map<String, Value>) -> Result<DeliveredHint, Refusal> {
    if text(fields, "v").is_some_and(|version| version != "1") {
        return Err(Refusal::invalid("v", "unknown-version", "the known version is 1"));
    }
    let event = event(text(fields, "event").as_deref())?;
    let hint = match event {
        Event::MemberChanged | Event::MemberRemoved => {
            let (person, program) = (id(fields, "leadId"), id(fields, "programId"));
            let (marketo_id, program_id) = both(person, program)?;
            let removed = event == Event::MemberRemoved;
            Hint::ProgramMember { program_id, marketo_id, removed, status: text(fields, "newStatus") }
        }
        Event::PersonDeleted => Hint::MarketoPerson { marketo_id: one(id(fields, "leadId"))? },
        Event::ProgramChanged => Hint::Program { program_id: one(id(fields, "programId"))? },
    };
    Ok(DeliveredHint { delivery_id: None, position: 0, hint })
}

fn event(given: Option<&str>) -> Result<Event, Refusal> {
    let found = EVENTS.iter().find(|(name, _)| Some(*name) == given);
    found.map(|(_, event)| *event).ok_or_else(|| {
        let known = EVENTS.map(|(name, _)| name).join(", ");
        Refusal::invalid("event", "unknown-event", format!("must be one of {known}"))
    })
}

fn one(id: Result<i64, FieldError>) -> Result<i64, Refusal> {
    id.map_err(|error| Refusal::Invalid(vec![error]))
}

fn both(
    person: Result<MarketoId, FieldError>,
    program: Result<ProgramId, FieldError>,
) -> Result<(MarketoId, ProgramId), Refusal> {
    match (person, program) {
        (Ok(person), Ok(program)) => Ok((person, program)),
        (person, program) => Err(Refusal::Invalid([person.err(), program.err()].into_iter().flatten().collect())),
    }
}

/// A number, or digits in a string.
fn id(fields: &Map<String, Value>, name: &'static str) -> Result<i64, FieldError> {
    let Some(given) = text(fields, name) else {
        return Err(FieldError::new(name, "required", "is missing or empty"));
    };
    let digits = given.bytes().all(|c| c.is_ascii_digit());
    let number = given.parse().ok().filter(|number| digits && *number > 0);
    number.ok_or_else(|| FieldError::new(name, "malformed-id", "must be a whole number above 0"))
}

/// The text of a string or number; none when it is empty, null, or a token that Marketo did not resolve.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match fields.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => return None,
        other => other.to_string(),
    };
    (!text.is_empty() && !text.starts_with("{{")).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(status: Option<&str>) -> Hint {
        let status = status.map(str::to_owned);
        Hint::ProgramMember { program_id: 1044, marketo_id: 318_592, removed: false, status }
    }

    fn check(body: &str, expected: Result<Hint, &str>) {
        let outcome = parse(body.as_bytes());
        match (outcome, expected) {
            (Ok(delivery), Ok(hint)) => {
                assert_eq!(delivery.source, Source::Marketo);
                let record = DeliveredHint { delivery_id: None, position: 0, hint };
                assert_eq!(delivery.records, [record], "{body}");
            }
            (Err(refusal), Err(part)) => assert!(refusal.to_string().contains(part), "{body}\n{refusal}"),
            (outcome, _) => panic!("{body}\n{outcome:?}"),
        }
    }

    #[test]
    fn events() {
        let removed = Hint::ProgramMember { program_id: 1044, marketo_id: 318_592, removed: true, status: None };
        for (event, hint) in [
            ("program_member.changed", member(None)),
            ("program_member.status_changed", member(None)),
            ("program_member.added", member(None)),
            ("program_member.removed", removed.clone()),
            ("sfdc_campaign_member.removed", removed),
            ("person.deleted", Hint::MarketoPerson { marketo_id: 318_592 }),
            ("person.deleting", Hint::MarketoPerson { marketo_id: 318_592 }),
            ("program.changed", Hint::Program { program_id: 1044 }),
        ] {
            check(&format!(r#"{{"v":1,"event":"{event}","leadId":318592,"programId":1044}}"#), Ok(hint));
        }
        check(r#"{"event":"person.deleted","leadId":"7"}"#, Ok(Hint::MarketoPerson { marketo_id: 7 }));
        check(r#"{"event":"program.changed","programId":"7"}"#, Ok(Hint::Program { program_id: 7 }));
    }

    #[test]
    fn renderings() {
        for (rest, status) in [
            (r#""leadId":318592,"programId":1044,"email":"a@b.c","newStatus":"Attended""#, Some("Attended")),
            (r#""leadId":"318592","programId":" 1044 ""#, None),
            (r#""leadId":""318592"","programId":""1044"","newStatus":""Attended"""#, Some("Attended")),
            (r#""leadId": 318592,"programId": 1044,"email": ""a@b.c"" , "newStatus": "" "#, None),
            (r#""leadId":318592,"programId":1044,"email":"""","newStatus":"No "Show"""#, Some(r#"No "Show""#)),
            (r#""leadId":318592,"programId":1044,"name":"Bob "The" X","newStatus":"A\"B""#, Some(r#"A"B"#)),
            (r#""leadId":318592,"programId":1044,"email":,"newStatus":"#, None),
            (r#""leadId":318592,"programId":1044,"newStatus":{{my.Status}}"#, None),
            (r#""leadId":318592,"programId":1044,"newStatus":"{{my.Status}}""#, None),
            (r#""leadId":318592,"programId":1044,"newStatus":null,"sentAt":null"#, None),
            (
                "\"leadId\":318592,\"programId\":1044,\"about\":\"two\nlines\t\",\"newStatus\":\"Teilgenommen (öffentlich)\"",
                Some("Teilgenommen (öffentlich)"),
            ),
        ] {
            let body = format!(r#"{{"v":1,"event":"program_member.changed",{rest}}}"#);
            check(&body, Ok(member(status)));
        }
        check(
            "\u{feff}{\"event\":\"\"program.changed\"\",\"programId\":\"\"1\"\"}",
            Ok(Hint::Program { program_id: 1 }),
        );
        check(r#"{"v":"1","event":"program.changed","programId":1,"leadId":""}"#, Ok(Hint::Program { program_id: 1 }));
    }

    #[test]
    fn refusals() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (body, part) in [
            ("", "not JSON"),
            ("leadId=1", "not JSON"),
            ("<a/>", "not JSON"),
            (r#"{"event":"program.changed""#, "not JSON"),
            (deep.as_str(), "not JSON"),
            ("[]", "must be an object"),
            ("null", "must be an object"),
            ("{}", "event: must be one of program_member.changed"),
            (r#"{"event":"lead.created"}"#, "program.changed"),
            (r#"{"event":7}"#, "event"),
            (r#"{"v":2,"event":"program.changed","programId":1}"#, "v: the known version is 1"),
            (r#"{"event":"program.changed"}"#, "programId: is missing"),
            (r#"{"event":"program.changed","programId":"{{program.id}}"}"#, "programId: is missing"),
            (r#"{"event":"person.deleted","programId":1}"#, "leadId: is missing"),
            (r#"{"event":"program_member.changed","leadId":1}"#, "programId: is missing"),
            (r#"{"event":"program_member.changed"}"#, "leadId: is missing or empty; programId: is missing"),
            (r#"{"event":"person.deleted","leadId":0}"#, "whole number"),
            (r#"{"event":"person.deleted","leadId":-1}"#, "whole number"),
            (r#"{"event":"person.deleted","leadId":"+1"}"#, "whole number"),
            (r#"{"event":"person.deleted","leadId":1.5}"#, "whole number"),
            (r#"{"event":"person.deleted","leadId":99999999999999999999}"#, "whole number"),
            (r#"{"event":"person.deleted","leadId":[1]}"#, "whole number"),
        ] {
            check(body, Err(part));
        }
        assert!(matches!(parse(b"\xff\xfe{}"), Err(Refusal::Malformed(_))));
    }
}
