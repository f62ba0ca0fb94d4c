//! Campaigns and statuses as they are made, and what of the describe is heeded.

use super::*;
use crate::domain::one_way::{CampaignFields, CostField, TypeField};
use crate::domain::provision::{NewStatus, StatusChange};

const DESCRIBE: &str = "/services/data/v60.0/sobjects/Campaign/describe";
const STATUS: &str = "01YPn000007HnTJMA0";

fn field(name: &str, more: &serde_json::Value) -> serde_json::Value {
    let mut field =
        json!({ "name": name, "updateable": true, "restrictedPicklist": false, "picklistValues": [], "scale": 0 });
    field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    field
}

async fn described(fields: &[serde_json::Value]) -> CampaignFields {
    let (server, salesforce) = client().await;
    let body = json!({ "name": "Campaign", "createable": true, "updateable": true, "fields": fields });
    answer(&server, "GET", DESCRIBE, json_of(200, &body.to_string())).await;
    salesforce.campaign_fields().await.unwrap()
}

#[tokio::test]
async fn fields_are_as_the_describe_says() {
    let values = json!([{ "active": true, "value": "Webinar" }, { "active": false, "value": "Fair" }]);
    let found = described(&[
        field("Name", &json!({})),
        field("Type", &json!({ "restrictedPicklist": true, "picklistValues": values })),
        field("ActualCost", &json!({ "scale": 2, "updateable": false })),
    ])
    .await;
    let campaign_type = Some(TypeField { updateable: true, only: Some(vec!["Webinar".to_owned()]) });
    let actual_cost = Some(CostField { updateable: false, scale: 2 });
    assert_eq!(found, CampaignFields { createable: true, campaign_type, actual_cost });
    // A field that security hides is not there at all, and any value may go into a picklist that is not restricted.
    let found = described(&[field("Type", &json!({ "picklistValues": values }))]).await;
    assert_eq!(found.campaign_type, Some(TypeField { updateable: true, only: None }));
    assert_eq!(found.actual_cost, None);
}

#[tokio::test]
async fn a_campaign_is_created_active_with_what_may_be_written() {
    let (server, salesforce) = client().await;
    let at = "/services/data/v60.0/sobjects/Campaign";
    let created = format!(r#"{{"id":"{CAMPAIGN}","success":true,"errors":[]}}"#);
    for body in [
        json!({ "Name": "Spring", "Description": "mark", "IsActive": true, "Type": "Webinar", "ActualCost": 12.5 }),
        json!({ "Name": "Spring", "Description": "mark", "IsActive": true, "Type": null }),
        json!({ "Name": "Spring", "Description": "mark", "IsActive": true }),
    ] {
        let asked = Mock::given(method("POST")).and(path(at)).and(body_json(body));
        asked.respond_with(json_of(201, &created)).expect(1).mount(&server).await;
    }
    let new = |campaign_type: Option<Option<&str>>, actual_cost| NewCampaign {
        name: "Spring".into(),
        description: "mark".into(),
        campaign_type: campaign_type.map(|value| value.map(str::to_owned)),
        actual_cost,
    };
    for campaign in [new(Some(Some("Webinar")), Some(12.5)), new(Some(None), None), new(None, None)] {
        assert_eq!(salesforce.create_campaign(&campaign).await.unwrap(), id(CAMPAIGN));
    }
}

#[tokio::test]
async fn campaigns_are_looked_up_by_name_and_by_who_made_them() {
    let (server, salesforce) = client().await;
    let found = json!({ "totalSize": 1, "done": true, "records": [
        { "attributes": { "type": "Campaign" }, "Id": CAMPAIGN, "Description": "Made for 7" }] });
    let asked = |soql: &str| Mock::given(method("GET")).and(path(QUERY)).and(query_param("q", soql));
    let named = asked(r"SELECT Id FROM Campaign WHERE Name = 'O\'Reilly'");
    named.respond_with(json_of(200, &found.to_string())).mount(&server).await;
    assert_eq!(salesforce.campaigns_named("O'Reilly").await.unwrap(), [id(CAMPAIGN)]);
    let us = salesforce.identity().await.unwrap().user_id;
    let created = asked(&format!(
        "SELECT Id, Description FROM Campaign WHERE CreatedById = '{us}' AND CreatedDate >= 2026-11-23T11:50:00Z ORDER BY Id"
    ));
    created.respond_with(json_of(200, &found.to_string())).mount(&server).await;
    let since = "2026-11-23T11:50:00.7Z".parse().unwrap();
    assert_eq!(salesforce.campaigns_created(since).await.unwrap(), [(id(CAMPAIGN), "Made for 7".to_owned())]);
}

#[tokio::test]
async fn statuses_are_created_and_changed_with_what_is_meant_and_nothing_else() {
    let (server, salesforce) = client().await;
    let attributes = json!({ "type": "CampaignMemberStatus" });
    let record = json!({ "attributes": attributes, "CampaignId": CAMPAIGN, "Label": "Invited", "HasResponded": false, "SortOrder": 3, "IsDefault": true });
    let saved = format!(r#"[{{"id":"{STATUS}","success":true,"errors":[]}}]"#);
    let asked = |verb: &str, record| {
        let body = json!({ "allOrNone": false, "records": [record] });
        Mock::given(method(verb)).and(path(COLLECTIONS)).and(body_json(body)).respond_with(json_of(200, &saved))
    };
    asked("POST", record).mount(&server).await;
    asked("PATCH", json!({ "attributes": attributes, "id": STATUS, "HasResponded": true })).mount(&server).await;
    let new = NewStatus { label: "Invited".into(), has_responded: false, is_default: true, sort_order: 3 };
    assert_eq!(salesforce.create_statuses(&id(CAMPAIGN), &[new]).await.unwrap(), [Ok(id(STATUS))]);
    let change = StatusChange { id: id(STATUS), has_responded: Some(true), is_default: None };
    assert_eq!(salesforce.update_statuses(&[change]).await.unwrap(), [Ok(())]);
    assert!(salesforce.create_statuses(&id(CAMPAIGN), &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn campaigns_are_searched_by_a_part_of_their_names() {
    let (server, salesforce) = client().await;
    let rows = r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Campaign"},"Id":"7014S00000097HcQAI","Name":"50% off","IsActive":true,"Type":"Webinar"}]}"#;
    let soql = r"SELECT Id, Name, IsActive, Type FROM Campaign WHERE Name LIKE '%50\%%' AND Id < '7014S00000097HdQAI' ORDER BY Id DESC LIMIT 51";
    Mock::given(method("GET"))
        .and(path(QUERY))
        .and(query_param("q", soql))
        .respond_with(json_of(200, rows))
        .mount(&server)
        .await;
    let before = id("7014S00000097HdQAI");
    let found = salesforce.campaigns_like("50%", Some(&before), 51).await.unwrap();
    assert_eq!((found[0].id.as_str(), found[0].campaign_type.as_deref()), (CAMPAIGN, Some("Webinar")));
    // Where the type is hidden it does not exist for the query.
    server.reset().await;
    token(&server, &server.uri()).await;
    let bare = "SELECT Id, Name, IsActive FROM Campaign ORDER BY Id DESC LIMIT 5";
    Mock::given(path(QUERY))
        .and(query_param("q", bare))
        .respond_with(json_of(200, &rows.replace(r#","Type":"Webinar""#, "")))
        .mount(&server)
        .await;
    answer(&server, "GET", QUERY, fixture!(400, "invalid_field")).await;
    assert_eq!(salesforce.campaigns_like("", None, 5).await.unwrap()[0].campaign_type, None);
}
