//! Trigger events: what is told when a campaign member was added, removed or changed its status.
//!
//! Owns the one rule, the difference of two consecutive recorded Salesforce values, and the body that receivers see.
//! Must not know rows, bases or decisions: so events are right for members that are gated, held or parked as well.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::closed_list::closed_list;
use super::ids::{MarketoId, MemberType, ProgramId, SalesforceId};

/// The value of the Salesforce side that is on record, or was just read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is on record yet, or it could not be read.
    #[default]
    Unknown,
    /// Not a member.
    Absent,
    /// A member with this status.
    Status(String),
}

closed_list! {
    /// What happened to a campaign member.
    pub enum TransitionKind {
        /// It became a member.
        Added = "campaign.member.added",
        /// It is no member any more.
        Removed = "campaign.member.removed",
        /// It has another status.
        StatusChanged = "campaign.member.status_changed",
    }
}

closed_list! {
    /// Who caused a change.
    pub enum Origin {
        /// A change in Marketo that we carried over.
        Marketo = "marketo",
        /// Someone in Salesforce.
        Salesforce = "salesforce",
        /// A flow action.
        FlowAction = "flow_action",
        /// A declared policy, such as to set a status back.
        Policy = "policy",
    }
}

closed_list! {
    /// How a change was noticed.
    pub enum DetectedBy {
        /// A webhook made us look.
        Webhook = "webhook",
        /// A poll found it.
        Poll = "poll",
        /// A reconciliation found it.
        Reconciliation = "reconciliation",
        /// We wrote it.
        Write = "write",
    }
}

/// The difference of two consecutive values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub kind: TransitionKind,
    /// None when it was no member before.
    pub old_status: Option<String>,
    /// None when it is no member now.
    pub new_status: Option<String>,
}

/// What changed from one value to the next. Silent when either is unknown: nobody is told "added" about a member that
/// was there before we looked.
#[must_use]
pub fn transition(before: &Seen, after: &Seen) -> Option<Transition> {
    let (kind, old, new) = match (before, after) {
        (Seen::Absent, Seen::Status(new)) => (TransitionKind::Added, None, Some(new)),
        (Seen::Status(old), Seen::Absent) => (TransitionKind::Removed, Some(old), None),
        (Seen::Status(old), Seen::Status(new)) if old != new => (TransitionKind::StatusChanged, Some(old), Some(new)),
        (Seen::Unknown, _) | (_, Seen::Unknown) | (Seen::Absent, Seen::Absent) | (Seen::Status(_), Seen::Status(_)) => {
            return None;
        }
    };
    Some(Transition { kind, old_status: old.cloned(), new_status: new.cloned() })
}

/// What one pass over a member has to tell: first what others did since `seen`, noticed by `read_by`, then what we wrote.
///
/// `Unknown` for `as_read` or `as_written` means that nothing was read or written; what stood before still stands.
#[must_use]
pub fn read_then_written(
    seen: &Seen,
    as_read: &Seen,
    as_written: &Seen,
    read_by: DetectedBy,
) -> Vec<(Transition, DetectedBy)> {
    let stood = if *as_read == Seen::Unknown { seen } else { as_read };
    let read = transition(seen, as_read).map(|transition| (transition, read_by));
    let written = transition(stood, as_written).map(|transition| (transition, DetectedBy::Write));
    read.into_iter().chain(written).collect()
}

/// A trigger event as receivers see it: CloudEvents 1.0 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerEvent {
    specversion: &'static str,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: TransitionKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<SalesforceId>,
    time: Timestamp,
    datacontenttype: &'static str,
    #[serde(serialize_with = "twenty_digits")]
    sequence: u64,
    data: TriggerData,
}

/// What happened, to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerData {
    pub campaign_id: SalesforceId,
    pub campaign_name: Option<String>,
    pub mapping_id: Option<Uuid>,
    pub program_id: Option<ProgramId>,
    pub person: TriggerPerson,
    /// The new status; of a removed member the last that it held.
    pub status: Option<String>,
    pub old_status: Option<String>,
    pub new_status: Option<String>,
    pub origin: Origin,
    pub detected_by: DetectedBy,
    /// Counts per member, from 1, without gaps.
    pub sequence: u64,
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerPerson {
    pub marketo_id: Option<MarketoId>,
    pub salesforce_id: Option<SalesforceId>,
    pub salesforce_type: Option<MemberType>,
    pub email: Option<String>,
}

/// What is known of an event besides the transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    pub campaign_id: SalesforceId,
    pub campaign_name: Option<String>,
    pub mapping_id: Option<Uuid>,
    pub program_id: Option<ProgramId>,
    pub marketo_id: Option<MarketoId>,
    pub person_id: Option<SalesforceId>,
    pub email: Option<String>,
    /// The campaign member's own id; CloudEvents knows no null, so without it there is no subject.
    pub campaign_member_id: Option<SalesforceId>,
    pub origin: Origin,
    pub detected_by: DetectedBy,
    pub time: Timestamp,
}

impl TriggerEvent {
    /// The event with id `id` at `position` of the log, the member's own `sequence`th.
    #[must_use]
    pub fn new(id: Uuid, position: u64, sequence: u64, transition: Transition, of: Circumstances) -> Self {
        let person = TriggerPerson {
            marketo_id: of.marketo_id,
            salesforce_type: of.person_id.as_ref().and_then(MemberType::of),
            salesforce_id: of.person_id,
            email: of.email,
        };
        let Transition { kind, old_status, new_status } = transition;
        Self {
            specversion: "1.0",
            id,
            source: format!("/campaigns/{}", of.campaign_id),
            kind,
            subject: of.campaign_member_id,
            time: of.time,
            datacontenttype: "application/json",
            sequence: position,
            data: TriggerData {
                campaign_id: of.campaign_id,
                campaign_name: of.campaign_name,
                mapping_id: of.mapping_id,
                program_id: of.program_id,
                person,
                status: new_status.clone().or_else(|| old_status.clone()),
                old_status,
                new_status,
                origin: of.origin,
                detected_by: of.detected_by,
                sequence,
            },
        }
    }
}

/// Of one width, so that receivers may compare positions as texts.
fn twenty_digits<S: Serializer>(position: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{position:020}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        match text {
            "?" => Seen::Unknown,
            "-" => Seen::Absent,
            status => Seen::Status(status.to_owned()),
        }
    }

    fn told(before: &str, read: &str, written: &str) -> Vec<String> {
        let told = read_then_written(&seen(before), &seen(read), &seen(written), DetectedBy::Poll);
        let status = |status: Option<String>| status.unwrap_or_else(|| "-".to_owned());
        let show = |(transition, by): (Transition, DetectedBy)| {
            let kind = transition.kind.as_str().trim_start_matches("campaign.member.");
            format!("{kind} {} {} {by}", status(transition.old_status), status(transition.new_status))
        };
        told.into_iter().map(show).collect()
    }

    #[test]
    fn one_event_for_each_difference_in_order() {
        for (before, read, written, expected) in [
            ("-", "A", "A", vec!["added - A poll"]),
            ("A", "-", "-", vec!["removed A - poll"]),
            ("A", "B", "?", vec!["status_changed A B poll"]),
            ("A", "A", "A", vec![]),
            ("-", "-", "-", vec![]),
            ("A", "A", "B", vec!["status_changed A B write"]),
            ("A", "B", "A", vec!["status_changed A B poll", "status_changed B A write"]),
            ("A", "-", "B", vec!["removed A - poll", "added - B write"]),
            ("A", "?", "B", vec!["status_changed A B write"]),
        ] {
            assert_eq!(told(before, read, written), expected, "{before} {read} {written}");
        }
    }

    #[test]
    fn what_was_there_before_we_looked_is_silent_and_what_we_write_is_not() {
        assert!(told("?", "A", "A").is_empty());
        assert!(told("?", "-", "-").is_empty());
        assert!(told("?", "?", "A").is_empty());
        assert!(told("A", "?", "?").is_empty());
        assert_eq!(told("?", "-", "A"), ["added - A write"]);
        assert_eq!(told("?", "A", "B"), ["status_changed A B write"]);
    }

    fn event(old: &str, new: &str) -> serde_json::Value {
        let circumstances = Circumstances {
            campaign_id: "7014S00000097HcQAI".parse().unwrap(),
            campaign_name: Some("Webinar".to_owned()),
            mapping_id: None,
            program_id: Some(1044),
            marketo_id: Some(318_592),
            person_id: Some("00Q4S000002sSacUAE".parse().unwrap()),
            email: Some("a@b.c".to_owned()),
            campaign_member_id: Some("00v4S000001VKQ1QAO".parse().unwrap()),
            origin: Origin::FlowAction,
            detected_by: DetectedBy::Write,
            time: "2026-11-23T20:05:01Z".parse().unwrap(),
        };
        let change = transition(&seen(old), &seen(new)).unwrap();
        serde_json::to_value(TriggerEvent::new(Uuid::nil(), 42, 3, change, circumstances)).unwrap()
    }

    #[test]
    fn the_body_is_a_cloud_event() {
        let expected = r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000","source":"/campaigns/7014S00000097HcQAI","type":"campaign.member.status_changed","subject":"00v4S000001VKQ1QAO","time":"2026-11-23T20:05:01Z","datacontenttype":"application/json","sequence":"00000000000000000042","data":{"campaign_id":"7014S00000097HcQAI","campaign_name":"Webinar","mapping_id":null,"program_id":1044,"person":{"marketo_id":318592,"salesforce_id":"00Q4S000002sSacUAE","salesforce_type":"Lead","email":"a@b.c"},"status":"Attended","old_status":"Registered","new_status":"Attended","origin":"flow_action","detected_by":"write","sequence":3}}"#;
        assert_eq!(event("Registered", "Attended").to_string(), expected);
    }

    #[test]
    fn statuses_of_an_added_and_of_a_removed_member() {
        let statuses = |event: serde_json::Value| {
            ["status", "old_status", "new_status"].map(|field| event["data"][field].as_str().map(str::to_owned))
        };
        let attended = || Some("Attended".to_owned());
        assert_eq!(statuses(event("-", "Attended")), [attended(), None, attended()]);
        assert_eq!(statuses(event("Attended", "-")), [attended(), attended(), None]);
    }
}
