//! Webhook templates: text with `{{tokens}}`, and what becomes of them for one person.
//!
//! Owns the tokens that Marketo documents and the two quoting styles that are seen in the wild. A token that is unknown, empty or
//! out of scope renders as an empty text. There is no token for the old or the new status.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::campaigns::SmartCampaign;
use super::memberships::Member;
use super::people::{Field, People, text_of};
use super::programs::Program;

/// "Request Token Encoding", and who writes the quotes around text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Values as they are: a quote in a name breaks the body.
    None,
    /// JSON, and Marketo puts text in double quotes: templates leave them off.
    #[default]
    JsonQuoted,
    /// JSON escapes only: templates write the quotes.
    JsonBare,
    /// Form or URL encoding.
    Form,
}

/// What the tokens of one call stand for.
pub struct Scope<'a> {
    pub people: &'a People,
    pub lead_id: i64,
    /// Only when the smart campaign lives in a program.
    pub program: Option<&'a Program>,
    /// The person's membership of that program, and the custom fields of members.
    pub member: Option<&'a Member>,
    pub member_fields: &'a [Field],
    pub campaign: &'a SmartCampaign,
    /// Tokens passed by `trigger.json`, names with braces.
    pub passed: &'a [(String, String)],
    pub now: Timestamp,
    pub time_zone: &'a str,
}

/// The body of a program member's change as a receiver of ours would ask for it, quotes on or off as the encoding wants.
#[must_use]
pub fn program_member_template(event: &str, encoding: Encoding) -> String {
    let quote = if encoding == Encoding::JsonQuoted { "" } else { "\"" };
    format!(
        "{{\"v\":1,\"event\":\"{event}\",\"leadId\":{{{{lead.Id}}}},\"programId\":{{{{program.id}}}},\
         \"email\":{quote}{{{{lead.Email Address}}}}{quote},\"sentAt\":{quote}{{{{system.dateTime}}}}{quote}}}"
    )
}

/// The template for a person's deletion, which has no program.
#[must_use]
pub fn person_template(event: &str, encoding: Encoding) -> String {
    let quote = if encoding == Encoding::JsonQuoted { "" } else { "\"" };
    format!(
        "{{\"v\":1,\"event\":\"{event}\",\"leadId\":{{{{lead.Id}}}},\
         \"email\":{quote}{{{{lead.Email Address}}}}{quote},\"sentAt\":{quote}{{{{system.dateTime}}}}{quote}}}"
    )
}

/// The template with its tokens replaced.
#[must_use]
pub fn render(template: &str, encoding: Encoding, scope: &Scope<'_>) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let Some(end) = rest[start..].find("}}") else { break };
        text.push_str(&rest[..start]);
        text.push_str(&encoded(&value(&rest[start + 2..start + end], scope), encoding));
        rest = &rest[start + end + 2..];
    }
    text.push_str(rest);
    text
}

fn encoded(value: &Value, encoding: Encoding) -> String {
    let plain = text_of(value).unwrap_or_default();
    let quoted = || Value::from(plain.as_str()).to_string();
    match encoding {
        Encoding::None => plain,
        Encoding::JsonQuoted if value.is_number() || value.is_boolean() => plain,
        Encoding::JsonQuoted => quoted(),
        Encoding::JsonBare => {
            let quoted = quoted();
            quoted[1..quoted.len() - 1].to_owned()
        }
        Encoding::Form => url::form_urlencoded::byte_serialize(plain.as_bytes()).collect(),
    }
}

fn value(token: &str, scope: &Scope<'_>) -> Value {
    let (token, default) = match token.split_once(":default=") {
        Some((token, default)) => (token.trim(), Some(default)),
        None => (token.trim(), None),
    };
    let found = match token.split_once('.') {
        Some(("lead", name)) => lead(name, scope),
        Some(("Company" | "company", "Company Name")) => lead("Company Name", scope),
        Some(("member", name)) => member(name, scope),
        Some(("program", "id")) => scope.program.map_or(Value::Null, |program| program.id.into()),
        Some(("program", "Name")) => scope.program.map_or(Value::Null, |program| program.name.as_str().into()),
        Some(("program", "Description")) => {
            scope.program.map_or(Value::Null, |program| program.description.as_str().into())
        }
        Some(("campaign", "id")) => scope.campaign.id.into(),
        Some(("campaign", "name")) => scope.campaign.name.as_str().into(),
        Some(("my", name)) => mine(token, name, scope),
        Some(("system", "dateTime")) => local(scope, "%Y-%m-%d %H:%M:%S").into(),
        Some(("system", "date")) => local(scope, "%b %d, %Y").into(),
        Some(("system", "time")) => local(scope, "%I:%M %p (GMT %z)").into(),
        _ => Value::Null,
    };
    match (found, default) {
        (Value::Null, Some(default)) => default.into(),
        (Value::Null, None) => "".into(),
        (found, _) => found,
    }
}

fn lead(display: &str, scope: &Scope<'_>) -> Value {
    let field = scope.people.schema().iter().find(|field| field.display == display);
    let person = scope.people.get(scope.lead_id);
    field.zip(person).map_or(Value::Null, |(field, person)| person.get(&field.name))
}

/// Custom fields and what a webinar partner fills; the status is no token (Marketo, "Program Member Status is not supported").
fn member(display: &str, scope: &Scope<'_>) -> Value {
    let name = match display {
        "webinar url" => "webinarUrl",
        "registration code" => "registrationCode",
        display => match scope.member_fields.iter().find(|field| field.display == display) {
            Some(field) => field.name.as_str(),
            None => return Value::Null,
        },
    };
    scope.member.map_or(Value::Null, |member| member.get(name))
}

fn mine(token: &str, name: &str, scope: &Scope<'_>) -> Value {
    let passed = scope.passed.iter().find(|(key, _)| key.trim_start_matches("{{").trim_end_matches("}}") == token);
    match passed {
        Some((_, value)) => value.as_str().into(),
        None => scope.program.and_then(|program| program.my_tokens.get(name)).cloned().unwrap_or(Value::Null),
    }
}

fn local(scope: &Scope<'_>, format: &str) -> String {
    let zone = TimeZone::get(scope.time_zone).unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-6)));
    scope.now.to_zoned_datetime(zone).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::people::Kind;
    use super::*;
    use std::collections::BTreeMap;

    fn check(template: &str, encoding: Encoding, expected: &str) {
        let now: Timestamp = "2013-08-08T23:36:13Z".parse().unwrap();
        let mut people = People::default();
        let fields = [("email", "a@b.c"), ("firstName", "A \"quoted\" name")];
        let fields: BTreeMap<String, Value> = fields.map(|(name, value)| (name.to_owned(), value.into())).into();
        let lead_id = people.insert(Some(318_592), now, fields);
        let program = Program {
            id: 1044,
            name: "Café & Co".into(),
            description: String::new(),
            kind: "Default".into(),
            channel_id: 1,
            folder_id: 1,
            workspace: "Default".into(),
            costs: vec![],
            tags: vec![],
            approved: false,
            sfdc_id: None,
            sfdc_name: None,
            my_tokens: [("Secret".to_owned(), Value::from("s3cret")), ("Number".to_owned(), 7.into())].into(),
            created_at: now,
            updated_at: now,
        };
        let campaign = SmartCampaign {
            id: 9,
            name: "Changed".into(),
            program_id: Some(1044),
            trigger: None,
            active: true,
            webhook: None,
        };
        let fields = [Field {
            name: "seatNumber".into(),
            display: "Seat".into(),
            kind: Kind::Integer,
            read_only: false,
            searchable: false,
        }];
        let member = Member {
            member_id: 1,
            lead_id,
            program_id: 1044,
            status: "Attended".into(),
            step: 30,
            membership_date: now,
            reached_success: None,
            acquired_by: false,
            updated_at: now,
            custom: [("seatNumber".to_owned(), 12.into()), ("webinarUrl".to_owned(), "https://w.example".into())]
                .into(),
        };
        let scope = Scope {
            people: &people,
            lead_id,
            program: Some(&program),
            member: Some(&member),
            member_fields: &fields,
            campaign: &campaign,
            passed: &[("{{my.passed}}".into(), "yes".into())],
            now,
            time_zone: "UTC",
        };
        assert_eq!(render(template, encoding, &scope), expected, "{template}");
    }

    #[test]
    fn tokens_in_every_encoding() {
        use Encoding::{Form, JsonBare, JsonQuoted, None};
        check("{{lead.Id}} {{program.id}} {{campaign.id}} {{my.Number}}", JsonQuoted, "318592 1044 9 7");
        check("{{lead.Email Address}}", JsonQuoted, "\"a@b.c\"");
        check("\"{{lead.First Name}}\"", JsonBare, r#""A \"quoted\" name""#);
        check("{{lead.First Name}}", None, "A \"quoted\" name");
        check("n={{program.Name}}", Form, "n=Caf%C3%A9+%26+Co");
        check("{{system.dateTime}}", JsonQuoted, "\"2013-08-08 23:36:13\"");
        check("{{my.Secret}}{{my.passed}}", None, "s3cretyes");
        check("[{{lead.Last Name}}][{{nobody.knows}}][{{trigger.Name}}]", None, "[][][]");
        check("{{lead.Last Name:default=friend}}", None, "friend");
        check("{{lead.Last Name}}", JsonQuoted, "\"\"");
        check("no end {{lead.Id", None, "no end {{lead.Id");
        check("{{member.Seat}} {{member.webinar url}}", None, "12 https://w.example");
        check(
            "[{{member.registration code}}][{{member.Program Member Status}}][{{member.statusName}}]",
            None,
            "[][][]",
        );
    }

    #[test]
    fn the_ready_made_template_is_json_in_both_quoting_styles() {
        let expected = r#"{"v":1,"event":"program_member.changed","leadId":318592,"programId":1044,"email":"a@b.c","sentAt":"2013-08-08 23:36:13"}"#;
        for encoding in [Encoding::JsonQuoted, Encoding::JsonBare] {
            check(&program_member_template("program_member.changed", encoding), encoding, expected);
        }
    }
}
