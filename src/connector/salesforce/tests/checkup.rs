//! What a checklist reads, against recorded answers.

use super::*;

#[tokio::test]
async fn a_describe_says_what_our_user_may_do() {
    let (server, salesforce) = client().await;
    answer(&server, "GET", "/services/data/v60.0/sobjects/Campaign/describe", fixture!("describe_campaign")).await;
    let missing = r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#;
    answer(&server, "GET", "/services/data/v60.0/sobjects/CampaignMember/describe", json_of(404, missing)).await;
    let campaign = salesforce.describe("Campaign").await.unwrap().unwrap();
    assert!(campaign.createable && campaign.updateable && campaign.queryable && campaign.deletable);
    let field = campaign.field("type").unwrap();
    assert!(field.updateable && field.restricted_picklist);
    let values: Vec<_> = field.picklist_values.iter().map(|value| (value.value.as_str(), value.active)).collect();
    assert_eq!(values, [("Conference", true), ("Webinar", false)]);
    assert_eq!(campaign.field("BudgetedCost"), None);
    // A checkbox is never left empty, and a default stands in for what is not given.
    assert_eq!(campaign.required().collect::<Vec<_>>(), ["Name"]);
    assert_eq!(salesforce.describe("CampaignMember").await.unwrap(), None);
}

#[tokio::test]
async fn versions_user_rules_and_limits_are_read() {
    let (server, salesforce) = client().await;
    answer(&server, "GET", "/services/data", fixture!("versions")).await;
    answer(&server, "GET", "/services/data/v60.0/limits", fixture!("limits")).await;
    let query = |part: &'static str, reply: ResponseTemplate| {
        let soql = move |request: &wiremock::Request| request.url.query_pairs().any(|(_, q)| q.contains(part));
        Mock::given(method("GET")).and(path(QUERY)).and(soql).respond_with(reply).mount(&server)
    };
    query("FROM User WHERE Id = '0054S000000JFmhQAG'", fixture!("user")).await;
    query("FROM DuplicateRule WHERE IsActive = true", fixture!("duplicate_rules")).await;
    assert_eq!(salesforce.versions().await.unwrap(), ["58.0", "59.0"]);
    let user = SalesforceUser { username: "campaign-sync@acme.example".into(), marketing_user: true };
    assert_eq!(salesforce.user().await.unwrap(), user);
    let rule = DuplicateRule { name: "Standard_Lead_Duplicate_Rule".into(), object: "Lead".into() };
    assert_eq!(salesforce.duplicate_rules().await.unwrap(), [rule]);
    assert_eq!(salesforce.daily_requests().await.unwrap(), DailyRequests { max: 15_000, remaining: 14_998 });
    assert_eq!(salesforce.usage().calls_today, 4, "all of them are counted");
}

#[tokio::test]
async fn logging_in_anew_does_not_rest_on_the_session_that_there_is() {
    let (server, salesforce) = client().await;
    salesforce.identity().await.unwrap();
    salesforce.identity().await.unwrap();
    assert_eq!(calls(&server, "/services/oauth2/token").await, 1);
    assert_eq!(salesforce.log_in_anew().await.unwrap().user_id, id("0054S000000JFmhQAG"));
    assert_eq!(calls(&server, "/services/oauth2/token").await, 2);
    server.reset().await;
    answer(&server, "POST", "/services/oauth2/token", fixture!(400, "token_refused")).await;
    assert!(matches!(salesforce.log_in_anew().await, Err(ConnectorError::Unauthorized { .. })));
}
