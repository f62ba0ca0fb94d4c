//! Smart campaigns requested.

use super::super::super::SmartCampaigns;
use super::*;

const AT: &str = "/rest/v1/campaigns/3712/trigger.json";

#[tokio::test]
async fn a_campaign_is_requested_for_people_with_tokens() {
    let (server, marketo, _) = client().await;
    let expected = json!({"input": {"leads": [{"id": 318_592}, {"id": 7}],
        "tokens": [{"name": "{{my.message}}", "value": "Updated message"}]}});
    let asked = Mock::given(method("POST")).and(path(AT)).and(body_json(expected));
    asked.respond_with(fixture!("request_campaign")).expect(1).mount(&server).await;
    let tokens = [("{{my.message}}".to_owned(), "Updated message".to_owned())];
    marketo.request_campaign(3712, &[318_592, 7], &tokens).await.unwrap();
    marketo.request_campaign(3712, &[], &tokens).await.unwrap();
    assert_eq!(marketo.usage().calls_today, 1, "nobody is no call");
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_what_is_no_answer_may_have_been_applied() {
    let (server, marketo, _) = client().await;
    let refused = r#"{"requestId":"a#1","success":false,"errors":[{"code":"1004","message":"Lead '7' not found"}]}"#;
    answer(&server, "POST", AT, json_of(refused)).await;
    let outcome = marketo.request_campaign(3712, &[7], &[]).await;
    assert!(matches!(outcome, Err(ConnectorError::Refused { code, .. }) if code == "1004"));
    server.reset().await;
    answer(&server, "GET", "/identity/oauth/token", fixture!("token")).await;
    answer(&server, "POST", AT, json_of("<html>")).await;
    let outcome = marketo.request_campaign(3712, &[7], &[]).await;
    assert!(matches!(outcome, Err(ConnectorError::Unavailable { sent: true, .. })));
}
