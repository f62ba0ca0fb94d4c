//! The writes, their bodies and the joining of their results.

use super::super::super::Reaction;
use super::*;

#[tokio::test]
async fn members_are_created_and_each_result_is_joined() {
    let (server, salesforce) = client().await;
    let records = json!([
        { "attributes": { "type": "CampaignMember" }, "CampaignId": CAMPAIGN, "LeadId": LEAD, "Status": "Sent" },
        { "attributes": { "type": "CampaignMember" }, "CampaignId": CAMPAIGN, "ContactId": CONTACT, "Status": "Sent" }]);
    Mock::given(method("POST"))
        .and(path(COLLECTIONS))
        .and(body_json(json!({ "allOrNone": false, "records": records })))
        .respond_with(fixture!("collection_created"))
        .expect(1)
        .mount(&server)
        .await;
    let member = |person| NewMember { campaign_id: id(CAMPAIGN), person_id: id(person), status: "Sent".into() };
    let results = salesforce.create_members(&[member(LEAD), member(CONTACT)]).await.unwrap();
    assert_eq!(results[0], Ok(id(MEMBER)));
    assert_eq!(results[1].as_ref().unwrap_err().reaction, Reaction::ReadAgain);

    server.reset().await;
    token(&server, &server.uri()).await;
    answer(&server, "POST", COLLECTIONS, fixture!("collection_created")).await;
    let outcome = salesforce.create_members(&[member(LEAD)]).await;
    assert!(matches!(outcome, Err(ConnectorError::Unavailable { sent: true, .. })), "two results for one record");
}

#[tokio::test]
async fn members_are_updated_and_deleted() {
    let (server, salesforce) = client().await;
    let record = json!({ "attributes": { "type": "CampaignMember" }, "id": MEMBER, "Status": "Responded" });
    Mock::given(method("PATCH"))
        .and(path(COLLECTIONS))
        .and(body_json(json!({ "allOrNone": false, "records": [record] })))
        .respond_with(json_of(200, r#"[{"id":"00v4S000001VKQ1QAO","success":true,"errors":[]}]"#))
        .mount(&server)
        .await;
    assert_eq!(salesforce.update_members(&[(id(MEMBER), "Responded".into())]).await.unwrap(), [Ok(())]);
    let other = id("00v4S000001VKQ2");
    Mock::given(method("DELETE"))
        .and(path(COLLECTIONS))
        .and(query_param("ids", format!("{MEMBER},{other}")))
        .and(query_param("allOrNone", "false"))
        .respond_with(fixture!("collection_deleted"))
        .mount(&server)
        .await;
    let results = salesforce.delete_members(&[id(MEMBER), other]).await.unwrap();
    assert_eq!(results[0], Ok(()));
    assert_eq!(results[1].as_ref().unwrap_err().reaction, Reaction::Gone);
}

fn lead(external_id: Option<&str>) -> NewLead {
    NewLead {
        first_name: None,
        last_name: "Ng".into(),
        company: "[unknown]".into(),
        email: Some("ng@acme.test".into()),
        external_id: external_id.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_duplicate_rules_matches_are_looked_up() {
    let (server, salesforce) = client().await;
    Mock::given(method("POST"))
        .and(path(COLLECTIONS))
        .and(header("Sforce-Auto-Assign", "FALSE"))
        .respond_with(fixture!("collection_duplicate"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/services/data/v60.0/sobjects/Lead"))
        .and(header("Sforce-Auto-Assign", "FALSE"))
        .and(body_json(json!({ "LastName": "Ng", "Company": "[unknown]", "Email": "ng@acme.test" })))
        .respond_with(fixture!(400, "duplicates_detected"))
        .expect(1)
        .mount(&server)
        .await;
    let results = salesforce.create_leads(&[lead(None)]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().reaction, Reaction::Duplicates(vec![id(LEAD)]));
}

#[tokio::test]
async fn leads_with_an_external_id_are_upserted_by_it() {
    let (server, salesforce) = with(|s| s.person_external_id_field = Some("Sync_Key__c".into())).await;
    let body = json!({ "allOrNone": false, "records": [{ "attributes": { "type": "Lead" }, "LastName": "Ng",
        "Company": "[unknown]", "Email": "ng@acme.test", "Sync_Key__c": "7" }] });
    Mock::given(method("PATCH"))
        .and(path(format!("{COLLECTIONS}/Lead/Sync_Key__c")))
        .and(body_json(body))
        .respond_with(json_of(200, r#"[{"id":"00Q4S000002sSacUAE","success":true,"errors":[],"created":true}]"#))
        .expect(1)
        .mount(&server)
        .await;
    answer(&server, "POST", COLLECTIONS, ResponseTemplate::new(503)).await;
    let results = salesforce.create_leads(&[lead(None), lead(Some("7"))]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().reaction, Reaction::ReadAgain, "what was written is not lost");
    assert_eq!(results[1], Ok(id(LEAD)));
}

#[tokio::test]
async fn type_and_cost_of_a_campaign_are_set_and_cleared() {
    let (server, salesforce) = client().await;
    let at = format!("/services/data/v60.0/sobjects/Campaign/{CAMPAIGN}");
    let asked = |body| Mock::given(method("PATCH")).and(path(at.clone())).and(body_json(body));
    asked(json!({ "Type": "Webinar", "ActualCost": 2500.0 }))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    asked(json!({ "ActualCost": null })).respond_with(fixture!(400, "row_locked")).mount(&server).await;
    let change = |campaign_type: Option<&str>, actual_cost| CampaignChange {
        name: None,
        campaign_type: campaign_type.map(str::to_owned),
        actual_cost,
    };
    salesforce.update_campaign(&id(CAMPAIGN), &change(Some("Webinar"), Some(Some(2500.0)))).await.unwrap();
    salesforce.update_campaign(&id(CAMPAIGN), &change(None, None)).await.unwrap();
    let locked = salesforce.update_campaign(&id(CAMPAIGN), &change(None, Some(None))).await;
    assert!(matches!(locked, Err(ConnectorError::Unavailable { sent: false, retry_after: Some(_), .. })));
}

#[tokio::test]
async fn the_daily_limit_is_learnt_from_the_header_and_held() {
    let (server, salesforce) = client().await;
    let used_up = fixture!(403, "limit_exceeded").insert_header("Sforce-Limit-Info", "api-usage=5000/5000");
    answer(&server, "GET", QUERY, used_up).await;
    for _ in 0..2 {
        let outcome = salesforce.members(&[id(CAMPAIGN)], &[id(LEAD)]).await;
        assert!(matches!(outcome, Err(ConnectorError::QuotaExhausted { .. })), "{outcome:?}");
    }
    assert_eq!(calls(&server, QUERY).await, 1);
    let usage = salesforce.usage();
    assert_eq!((usage.remaining, usage.daily_limit), (Some(0), Some(2500)));
}
