//! Accounts that are campaign members: their rows have neither lead nor contact, and a field that other organisations lack.

use super::*;

const ACCOUNT: &str = "0014S000003QcVQQA0";
/// After the object reference; nobody has recorded one.
const ROWS: &str = r#"{"totalSize":2,"done":true,"records":[
    {"Id":"00v4S000001VKQ1QAO","CampaignId":"7014S00000097HcQAI","LeadId":null,"ContactId":null,"Status":"Sent","Lead":null,"Contact":null},
    {"Id":"00v4S000001VKQ2QAO","CampaignId":"7014S00000097HcQAI","LeadId":"00Q4S000002sSacUAE","ContactId":null,"Status":"Sent"}]}"#;

fn asks(soql: &str) -> wiremock::MockBuilder {
    Mock::given(path(QUERY)).and(query_param("q", soql.to_owned()))
}

fn of_row() -> String {
    format!("SELECT Id, AccountId FROM CampaignMember WHERE Id IN ('{MEMBER}')")
}

#[tokio::test]
async fn which_account_a_member_is_is_asked_of_rows_without_a_person_alone() {
    let (server, salesforce) = client().await;
    let body = json!({ "totalSize": 1, "done": true, "records": [{ "Id": MEMBER, "AccountId": ACCOUNT }] });
    let account = ResponseTemplate::new(200).set_body_json(body);
    asks(&of_row()).respond_with(account).expect(1).mount(&server).await;
    answer(&server, "GET", QUERY, json_of(200, ROWS)).await;
    let page = salesforce.member_page(&id(CAMPAIGN), None).await.unwrap();
    assert_eq!(page.rows.iter().map(CampaignMember::person).collect::<Vec<_>>(), [Some(&id(ACCOUNT)), Some(&id(LEAD))]);
}

#[tokio::test]
async fn an_account_that_may_not_be_seen_is_known_by_its_row() {
    let (server, salesforce) = client().await;
    asks(&of_row()).respond_with(fixture!(400, "invalid_field")).mount(&server).await;
    answer(&server, "GET", QUERY, json_of(200, ROWS)).await;
    let page = salesforce.member_page(&id(CAMPAIGN), None).await.unwrap();
    assert_eq!(page.rows[0].person(), Some(&id(MEMBER)));

    // An answer that cannot be read says nothing about any of them.
    let (server, salesforce) = client().await;
    asks(&of_row()).respond_with(json_of(503, "<html></html>")).mount(&server).await;
    answer(&server, "GET", QUERY, json_of(200, ROWS)).await;
    assert!(matches!(salesforce.member_page(&id(CAMPAIGN), None).await, Err(ConnectorError::Unavailable { .. })));
}

#[tokio::test]
async fn accounts_that_are_not_shown_are_no_absent_ones() {
    let (server, salesforce) = client().await;
    let of_account = Mock::given(path(QUERY)).and(wiremock::matchers::query_param_contains("q", "AccountId IN"));
    of_account.respond_with(fixture!(400, "invalid_field")).expect(1).mount(&server).await;
    answer(&server, "GET", QUERY, fixture!("members")).await;
    let refused = salesforce.members(&[id(CAMPAIGN)], &[id(ACCOUNT)]).await;
    assert!(matches!(refused, Err(ConnectorError::Refused { .. })), "{refused:?}");
    let members = salesforce.members(&[id(CAMPAIGN)], &[id(LEAD)]).await.unwrap();
    assert_eq!(members.iter().map(CampaignMember::person).collect::<Vec<_>>(), [Some(&id(LEAD))]);
    assert_eq!(salesforce.members(&[id(CAMPAIGN)], &[]).await.unwrap(), []);
}
