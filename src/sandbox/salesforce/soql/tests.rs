//! SOQL: what parses, what is found, and the words of what does not.

use std::sync::Arc;

use serde_json::json;

use super::super::objects::Object;
use super::super::options::Options;
use super::super::{Id, World};
use super::{Plan, parse, render};

fn world() -> World {
    let mut w = World::new(Options::default(), Arc::new(|| "2026-11-23T20:05:00Z".parse().unwrap()));
    let webinar = w.add_campaign("Webinar", "Webinar").unwrap();
    w.add_status(webinar, "It's on", true).unwrap();
    for (last, email) in [("Ada", "ada@x.example"), ("bob", "BOB@x.example"), ("Cy_d", "cy@y.example")] {
        let lead = w.add_lead("F", last, email, "X").unwrap();
        w.add_member(webinar, lead, Some(if last == "Ada" { "It's on" } else { "Sent" })).unwrap();
    }
    let contact = w.add_contact("", "Dee", "dee@x.example").unwrap();
    w.add_member(webinar, contact, None).unwrap();
    w
}

fn run(w: &World, text: &str) -> Result<Vec<Id>, String> {
    let query = parse(text).map_err(|f| f.code)?;
    Ok(Plan::new(w, &w.schema(true), &query, false).map_err(|f| f.code)?.run(w))
}

#[test]
fn conditions_find_what_they_say() {
    let w = world();
    for (condition, found) in [
        ("Status = 'it\\'s ON'", 1),
        ("Status != 'Sent'", 1),
        ("Lead.Email = null", 1),
        ("Lead.Email != null AND HasResponded = true", 1),
        ("Lead.IsConverted = false", 4),
        ("(Lead.Email IN ('ada@x.example', 'bob@x.example') OR Contact.Email IN ('dee@x.example'))", 3),
        ("NOT Lead.LastName LIKE 'a%'", 3),
        ("Lead.LastName LIKE 'cy\\_d'", 1),
        ("Lead.LastName LIKE '_o_'", 1),
        ("LeadId NOT IN (SELECT Id FROM Lead WHERE Email LIKE '%@y.example')", 3),
        ("SystemModstamp >= 2026-11-23T20:05:00Z AND Campaign.Name = 'webinar'", 4),
        ("SystemModstamp > 2026-11-23T20:05:00+00:00", 0),
        ("FirstRespondedDate = 2026-11-23", 1),
        ("CampaignId IN (SELECT CampaignId FROM CampaignMemberStatus WHERE SortOrder >= 3)", 4),
    ] {
        let text = format!("SELECT Id FROM CampaignMember WHERE {condition}");
        assert_eq!(run(&w, &text).map(|ids| ids.len()), Ok(found), "{condition}");
    }
}

#[test]
fn ill_formed_queries_are_refused_with_their_code() {
    let w = world();
    for (text, code) in [
        ("", "MALFORMED_QUERY"),
        ("SELEKT Id FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Email = 'a' AND Email = 'b' OR Email = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Id IN ()", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Email = 'a", "MALFORMED_QUERY"),
        ("SELECT Id, Id FROM Lead", "INVALID_FIELD"),
        ("SELECT Owner.Nope FROM Lead", "INVALID_FIELD"),
        ("SELECT Nope.Id FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-11-23T20:05:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE IsConverted = 'false'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Id = 'nope'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Status, COUNT(Id) FROM CampaignMember", "MALFORMED_QUERY"),
        ("SELECT LeadId, COUNT(Id) n FROM CampaignMember GROUP BY Status", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM CampaignMember GROUP BY Status", "MALFORMED_QUERY"),
        ("SELECT Status, COUNT(Id) FROM CampaignMember GROUP BY Status ORDER BY LeadId", "MALFORMED_QUERY"),
        ("SELECT Id FROM CampaignMember ORDER BY COUNT(Id)", "MALFORMED_QUERY"),
        ("SELECT MIN(HasResponded) FROM CampaignMember", "MALFORMED_QUERY"),
        ("SELECT SUM(Status) FROM CampaignMember", "MALFORMED_QUERY"),
        ("SELECT Id FROM CampaignMember WHERE LeadOrContactId = 'nope'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM CampaignMember WHERE LeadOrContactId LIKE '00Q%'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Status FROM CampaignMember GROUP Status", "MALFORMED_QUERY"),
        ("SELECT Status, COUNT(Nope) FROM CampaignMember GROUP BY Status", "INVALID_FIELD"),
        ("SELECT Description FROM Campaign GROUP BY Description", "INVALID_FIELD"),
        ("SELECT Id, (SELECT Status FROM CampaignMembers GROUP BY Status) FROM Campaign", "MALFORMED_QUERY"),
        ("SELECT Id FROM Foo", "INVALID_TYPE"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ] {
        assert_eq!(run(&w, text), Err(code.to_owned()), "{text}");
    }
}

#[test]
fn an_unknown_column_is_shown_where_it_stands() {
    let w = world();
    let query = parse("SELECT Bacon__c FROM Account LIMIT 2").unwrap();
    let fault = Plan::new(&w, &w.schema(true), &query, false).unwrap_err();
    let start = "\nSELECT Bacon__c FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity \
                 'Account'. If you are";
    assert!(fault.message.starts_with(start), "{}", fault.message);
}

#[test]
fn rows_are_ordered_with_nulls_first_unless_said() {
    let w = world();
    let names = |order: &str| {
        let text = format!("SELECT Lead.LastName FROM CampaignMember ORDER BY {order} LIMIT 3 OFFSET 1");
        let plan = Plan::new(&w, &w.schema(true), &parse(&text).unwrap(), false).unwrap();
        let name = |id| render(&w, &plan, w.row(id).unwrap(), "60.0")["Lead"]["LastName"].clone();
        plan.run(&w).into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("Lead.LastName"), ["Ada", "bob", "Cy_d"]);
    assert_eq!(names("Lead.LastName DESC"), ["Cy_d", "bob", "Ada"]);
    assert_eq!(names("Lead.LastName NULLS LAST")[..2], ["bob", "Cy_d"]);
    assert_eq!(names("HasResponded DESC, Lead.LastName DESC NULLS LAST")[..2], ["Cy_d", "bob"]);
}

#[test]
fn rows_are_counted_by_group() {
    let w = world();
    let records = |text: &str| {
        let plan = Plan::new(&w, &w.schema(true), &parse(text).unwrap(), false).unwrap();
        let rows = plan.run(&w);
        plan.groups.as_ref().unwrap().records(&w, rows.iter().filter_map(|id| w.row(*id))).unwrap()
    };
    let kind = json!({"type": "AggregateResult"});
    assert_eq!(
        records("SELECT Status, COUNT(Id) held, count(LeadId) FROM CampaignMember GROUP BY Status"),
        [
            json!({"attributes": kind, "Status": "It's on", "held": 1, "expr0": 1}),
            json!({"attributes": kind, "Status": "Sent", "held": 3, "expr0": 2}),
        ]
    );
    assert_eq!(
        records("SELECT COUNT(Id), COUNT(ContactId) FROM CampaignMember WHERE Status = 'nobody'"),
        [json!({"attributes": kind, "expr0": 0, "expr1": 0})]
    );
    assert!(records("SELECT Status FROM CampaignMember WHERE Status = 'nobody' GROUP BY Status").is_empty());
    // Order and limit are those of groups, not of the rows in them.
    for (order, first) in [("Status", "It's on"), ("Status DESC", "Sent"), ("COUNT(Id) DESC LIMIT 1", "Sent")] {
        let text = format!("SELECT Status, COUNT(Id) n FROM CampaignMember GROUP BY Status ORDER BY {order}");
        assert_eq!(records(&text)[0]["Status"], first, "{order}");
    }
    let limited = "SELECT Status, COUNT(Id) n FROM CampaignMember GROUP BY Status ORDER BY Status LIMIT 1 OFFSET 1";
    assert_eq!(records(limited), [json!({"attributes": kind, "Status": "Sent", "n": 3})]);
}

#[test]
fn values_of_a_group_are_put_together() {
    let w = world();
    let one = |text: &str| {
        let plan = Plan::new(&w, &w.schema(true), &parse(text).unwrap(), false).unwrap();
        let rows = plan.run(&w);
        plan.groups.as_ref().unwrap().records(&w, rows.iter().filter_map(|id| w.row(*id))).unwrap().remove(0)
    };
    let statuses = one("SELECT MIN(SortOrder) least, MAX(SortOrder) most, SUM(SortOrder) total, AVG(SortOrder), \
                        COUNT_DISTINCT(CampaignId) FROM CampaignMemberStatus");
    assert_eq!(
        statuses,
        json!({"attributes": {"type": "AggregateResult"}, "least": 1, "most": 3, "total": 6.0, "expr0": 2.0, "expr1": 1})
    );
    let times = one("SELECT MAX(SystemModstamp) FROM CampaignMember");
    assert_eq!(times["expr0"], "2026-11-23T20:05:00.000+0000");
    let none = one("SELECT MIN(SortOrder), SUM(SortOrder) FROM CampaignMemberStatus WHERE Label = 'nothing'");
    assert!(none["expr0"].is_null() && none["expr1"].is_null(), "{none}");
}

#[test]
fn a_lookup_to_several_objects_takes_both_lengths_of_an_id() {
    let w = world();
    let lead = w.rows(Object::Lead).next().unwrap().id;
    for id in [lead.to_string(), lead.short().to_owned()] {
        let text = format!("SELECT Id FROM CampaignMember WHERE LeadOrContactId = '{id}'");
        assert_eq!(run(&w, &text).unwrap().len(), 1, "{id}");
    }
}

#[test]
fn records_nest_parents_and_children_in_select_order() {
    let w = world();
    let text = "select id, (SELECT Label FROM CampaignMemberStatuses ORDER BY SortOrder DESC LIMIT 1), Owner.Name, Owner.Id, \
                ParentId, Parent.Name, (SELECT Id FROM ChildCampaigns) FROM campaign";
    let plan = Plan::new(&w, &w.schema(true), &parse(text).unwrap(), false).unwrap();
    let row = w.rows(Object::Campaign).next().unwrap();
    let record = render(&w, &plan, row, "60.0");
    let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["attributes", "Id", "CampaignMemberStatuses", "Owner", "ParentId", "Parent", "ChildCampaigns"]);
    assert_eq!(record["CampaignMemberStatuses"]["records"][0]["Label"], "It's on");
    assert_eq!(record["Owner"]["Name"], "Sales");
    assert_eq!(record["Owner"]["attributes"]["type"], "User");
    assert!(record["Parent"].is_null() && record["ChildCampaigns"].is_null());
}

#[test]
fn a_large_campaign_is_searched_through_its_indexes() {
    let mut w = World::new(Options::default(), Arc::new(|| "2026-11-23T20:05:00Z".parse().unwrap()));
    let campaigns: Vec<Id> = (0..20).map(|n| w.add_campaign(&n.to_string(), "Webinar").unwrap()).collect();
    let mut leads = Vec::new();
    for n in 0..2000 {
        let lead = w.add_lead("F", "L", &format!("p{n}@x.example"), "X").unwrap();
        w.add_member(campaigns[n % 20], lead, None).unwrap();
        leads.push(lead);
    }
    let list = leads[..100].iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    for (condition, looked_at) in [
        (format!("LeadId IN ({list}) AND Status = 'Sent'"), 100),
        (format!("CampaignId = '{}' AND SystemModstamp >= 2026-11-23T20:00:00Z", campaigns[3]), 100),
        (format!("CampaignId = '{}' AND LeadId IN ({list})", campaigns[3]), 100),
        ("SystemModstamp >= 2026-11-23T20:05:01Z".into(), 0),
        ("(Lead.Email = 'P7@x.example' OR Contact.Email IN ('p7@x.example'))".into(), 1),
    ] {
        let query = parse(&format!("SELECT Id FROM CampaignMember WHERE {condition}")).unwrap();
        let plan = Plan::new(&w, &w.schema(true), &query, false).unwrap();
        assert_eq!(plan.candidates(&w).map(|ids| ids.len()), Some(looked_at), "{condition}");
    }
}
