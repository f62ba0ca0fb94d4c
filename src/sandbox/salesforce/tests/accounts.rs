//! Accounts as campaign members: only where the setting is on, and never counted as people.

use serde_json::{Value, json};

use super::super::objects::Object;
use super::super::options::Options;
use super::super::{Fault, Id, World};
use super::{get, user, world};

fn create(w: &mut World, fields: Value) -> Result<Id, Fault> {
    w.create(&user(w), Object::CampaignMember, fields.as_object().unwrap())
}

fn asked(w: &mut World, soql: &str) -> (u16, Value) {
    get(w, &["query"], &[("q", soql)])
}

fn describes_account(w: &mut World) -> bool {
    let describe = get(w, &["sobjects", "CampaignMember", "describe"], &[]).1;
    describe["fields"].as_array().unwrap().iter().any(|field| field["name"] == "AccountId")
}

#[test]
fn without_the_setting_there_is_no_such_field() {
    let mut w = world(Options::default());
    let (campaign, account) = (w.add_campaign("C", "Webinar").unwrap(), w.add_account("Globex").unwrap());
    assert!(!describes_account(&mut w));
    let (status, body) = asked(&mut w, "SELECT Id, AccountId FROM CampaignMember");
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
    let refused = create(&mut w, json!({"CampaignId": campaign, "AccountId": account})).unwrap_err();
    assert_eq!(refused.code, "INVALID_FIELD");
    assert!(w.add_member(campaign, account, None).is_err());
}

#[test]
fn an_account_is_a_member_once_and_is_nobody() {
    let mut w = world(Options { accounts_as_members: true, ..Options::default() });
    let (campaign, account) = (w.add_campaign("C", "Webinar").unwrap(), w.add_account("Globex").unwrap());
    let member = create(&mut w, json!({"CampaignId": campaign, "AccountId": account, "Status": "Responded"})).unwrap();
    assert!(describes_account(&mut w));
    let again = create(&mut w, json!({"CampaignId": campaign, "AccountId": account})).unwrap_err();
    assert_eq!(again.code, "DUPLICATE_VALUE");
    let soql = "SELECT Type, LeadId, ContactId, AccountId, LeadOrContactId, Name, Email, Status, Account.Name \
                FROM CampaignMember";
    let (_, mut found) = asked(&mut w, soql);
    let row = found["records"][0].take();
    for (field, value) in [
        ("Type", json!("Account")),
        ("LeadId", Value::Null),
        ("ContactId", Value::Null),
        ("AccountId", json!(account)),
        ("LeadOrContactId", Value::Null),
        ("Name", json!("Globex")),
        ("Email", Value::Null),
        ("Status", json!("Responded")),
    ] {
        assert_eq!(row[field], value, "{field}");
    }
    assert_eq!(row["Account"]["Name"], "Globex");
    assert_eq!(w.tally(campaign), [0; 4], "people and their responses are counted");
    assert_eq!((w.members(campaign)[0].id, w.members(campaign)[0].account), (member, Some(account)));

    // Of a row with a person nothing but the person is kept.
    let lead = w.add_lead("Ada", "L", "ada@x.example", "X").unwrap();
    let both = create(&mut w, json!({"CampaignId": campaign, "LeadId": lead, "AccountId": account})).unwrap();
    assert_eq!(w.row(both).unwrap().id_of("AccountId"), None);
    w.atomically(|w| w.delete(&w.as_person(), account)).unwrap();
    assert_eq!(w.members(campaign).len(), 1);
    w.undelete(&w.as_person(), account).unwrap();
    assert_eq!(w.members(campaign).len(), 2);
}

#[test]
fn a_field_that_is_hidden_is_not_there_for_the_api_user() {
    let hidden_fields = vec!["CampaignMember.AccountId".to_owned()];
    let mut w = world(Options { accounts_as_members: true, hidden_fields, ..Options::default() });
    let (campaign, account) = (w.add_campaign("C", "Webinar").unwrap(), w.add_account("Globex").unwrap());
    w.add_member(campaign, account, None).unwrap();
    assert!(!describes_account(&mut w));
    assert_eq!(asked(&mut w, "SELECT Id, AccountId FROM CampaignMember").0, 400);
    let (_, found) = asked(&mut w, "SELECT Id, Type FROM CampaignMember WHERE LeadId = null AND ContactId = null");
    assert_eq!(found["records"][0]["Type"], "Account");
}
