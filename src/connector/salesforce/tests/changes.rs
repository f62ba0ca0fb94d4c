//! What changed: queries by time, and the log of deletions.

use super::*;
use crate::connector::changes::{CAMPAIGNS_AT_ONCE, ChangedCampaign, Deletable, DepartedPerson, SalesforceLog};

const ALL: &str = "/services/data/v60.0/queryAll";

fn since() -> Timestamp {
    "2021-12-02T18:20:00.7Z".parse().unwrap()
}

#[tokio::test]
async fn changed_members_come_in_order_with_those_in_the_recycle_bin() {
    let (server, salesforce) = client().await;
    let soql = format!(
        "SELECT Id, CampaignId, LeadId, ContactId, Status, LastModifiedById, SystemModstamp, IsDeleted, Lead.Email, Contact.Email \
         FROM CampaignMember WHERE CampaignId IN ('{CAMPAIGN}') AND SystemModstamp >= 2021-12-02T18:20:00Z ORDER BY SystemModstamp, Id"
    );
    Mock::given(path(ALL))
        .and(query_param("q", soql))
        .respond_with(fixture!("changed_members"))
        .expect(1)
        .mount(&server)
        .await;
    let page = salesforce.changed_members(&[id(CAMPAIGN)], since(), None).await.unwrap();
    let rows: Vec<_> = page.rows.iter().map(|row| (row.person().unwrap().as_str(), row.is_deleted)).collect();
    assert_eq!(rows, [(LEAD, false), (CONTACT, true)]);
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn a_page_names_the_next_and_a_lost_locator_is_refused_as_such() {
    let (server, salesforce) = client().await;
    let first = include_str!("../../../../tests/fixtures/salesforce/changed_members.json").replace(
        r#""totalSize":2,"done":true"#,
        r#""totalSize":4,"done":false,"nextRecordsUrl":"/services/data/v60.0/query/01g-2""#,
    );
    answer(&server, "GET", ALL, json_of(200, &first)).await;
    let page = salesforce.changed_members(&[id(CAMPAIGN)], since(), None).await.unwrap();
    let second = include_str!("../../../../tests/fixtures/salesforce/changed_members.json").replace(":2,", ":4,");
    Mock::given(path("/services/data/v60.0/query/01g-2"))
        .respond_with(json_of(200, &second))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let rest = salesforce.changed_members(&[id(CAMPAIGN)], since(), page.next.as_deref()).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (2, None));
    let gone = r#"[{"errorCode":"INVALID_QUERY_LOCATOR","message":"invalid query locator"}]"#;
    answer(&server, "GET", "/services/data/v60.0/query/01g-2", json_of(400, gone)).await;
    let outcome = salesforce.changed_members(&[id(CAMPAIGN)], since(), page.next.as_deref()).await;
    assert!(matches!(outcome, Err(ConnectorError::Refused { code, .. }) if code == "INVALID_QUERY_LOCATOR"));
}

#[tokio::test]
async fn as_many_campaigns_as_go_into_one_address() {
    let (server, salesforce) = client().await;
    answer(&server, "GET", ALL, fixture!("changed_members")).await;
    let campaigns: Vec<SalesforceId> = (0..CAMPAIGNS_AT_ONCE).map(|n| id(&format!("701{n:012}"))).collect();
    salesforce.changed_members(&campaigns, since(), None).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let longest = requests.iter().map(|request| request.url.as_str().len()).max().unwrap();
    assert!((10_000..15_000).contains(&longest), "{longest}");
}

#[tokio::test]
async fn changed_campaigns_and_departed_people() {
    let (server, salesforce) = client().await;
    let asked = |soql: &str| Mock::given(path(ALL)).and(query_param("q", soql));
    asked(&format!(
        "SELECT Id, IsDeleted, LastModifiedDate, SystemModstamp FROM Campaign WHERE Id IN ('{CAMPAIGN}') AND SystemModstamp >= 2021-12-02T18:20:00Z ORDER BY SystemModstamp, Id"
    ))
    .respond_with(fixture!("changed_campaigns"))
    .mount(&server)
    .await;
    asked(
        "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp, IsConverted, ConvertedContactId FROM Lead WHERE SystemModstamp >= 2021-12-02T18:20:00Z AND (IsDeleted = true OR IsConverted = true) ORDER BY SystemModstamp, Id",
    )
    .respond_with(fixture!("departed_leads"))
    .mount(&server)
    .await;
    asked(
        "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp FROM Contact WHERE SystemModstamp >= 2021-12-02T18:20:00Z AND IsDeleted = true ORDER BY SystemModstamp, Id",
    )
    .respond_with(json_of(200, r#"{"totalSize":0,"done":true,"records":[]}"#))
    .mount(&server)
    .await;
    let time = |text: &str| Some(text.parse().unwrap());
    let campaigns = salesforce.changed_campaigns(&[id(CAMPAIGN)], since(), None).await.unwrap();
    assert_eq!(
        campaigns.rows,
        [ChangedCampaign {
            id: id(CAMPAIGN),
            is_deleted: false,
            last_modified: time("2021-12-02T18:20:00Z"),
            system_modstamp: time("2021-12-02T18:23:39Z"),
        }]
    );
    let leads = salesforce.departed_people(PersonType::Lead, since(), None).await.unwrap().rows;
    let converted = DepartedPerson {
        id: id(LEAD),
        is_deleted: false,
        master_record_id: None,
        converted_contact_id: Some(id(CONTACT)),
        system_modstamp: time("2021-12-02T18:23:39Z"),
    };
    assert_eq!(leads[0], converted);
    assert_eq!((leads[1].is_deleted, leads[1].master_record_id.as_ref()), (true, Some(&id(LEAD))));
    assert!(salesforce.departed_people(PersonType::Contact, since(), None).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn deletions_say_what_they_cover() {
    let (server, salesforce) = client().await;
    let at = "/services/data/v60.0/sobjects/CampaignMember/deleted/";
    Mock::given(path(at))
        .and(query_param("start", "2013-05-05T00:00:00+00:00"))
        .and(query_param("end", "2013-05-10T00:00:00+00:00"))
        .respond_with(fixture!("deleted_members"))
        .mount(&server)
        .await;
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let (from, to) = (time("2013-05-05T00:00:00Z"), time("2013-05-10T00:00:00Z"));
    let found = salesforce.deleted(Deletable::CampaignMember, from, to).await.unwrap();
    assert_eq!(found.rows, [(id(MEMBER), time("2013-05-07T22:07:19Z"))]);
    assert_eq!((found.earliest, found.covered), (time("2013-05-03T15:57:00Z"), time("2013-05-08T21:20:00Z")));

    answer(&server, "GET", "/services/data/v60.0/sobjects/Lead/deleted/", fixture!(400, "replication_date")).await;
    let outcome = salesforce.deleted(Deletable::Lead, from, to).await;
    assert!(matches!(outcome, Err(ConnectorError::Refused { code, .. }) if code == "INVALID_REPLICATION_DATE"));
    let blind = r#"{"deletedRecords":[]}"#;
    answer(&server, "GET", "/services/data/v60.0/sobjects/Contact/deleted/", json_of(200, blind)).await;
    assert!(matches!(salesforce.deleted(Deletable::Contact, from, to).await, Err(ConnectorError::Unavailable { .. })));
}
