//! What a checklist reads, against recorded answers.

use super::*;

#[tokio::test]
async fn usage_is_of_all_integrations_and_a_permission_is_there_or_not() {
    let (server, marketo, _) = client().await;
    answer(&server, "GET", "/rest/v1/stats/usage.json", fixture!("usage")).await;
    answer(&server, "GET", "/rest/asset/v1/channels.json", fixture!("channel")).await;
    answer(&server, "GET", "/rest/v1/programs/members/describe.json", fixture!("access_denied")).await;
    answer(&server, "GET", "/rest/v1/activities/pagingtoken.json", fixture!("paging_token")).await;
    assert_eq!(marketo.used_today().await.unwrap(), 1120);
    assert!(marketo.permits(Permission::Assets).await.unwrap());
    assert!(!marketo.permits(Permission::People).await.unwrap());
    assert!(marketo.permits(Permission::Activities).await.unwrap());
    assert_eq!(marketo.usage().calls_today, 4);
}

#[tokio::test]
async fn five_hundred_programs_are_three_calls() {
    let (server, marketo, _) = client().await;
    let at = "/rest/asset/v1/programs.json";
    answer(&server, "GET", at, fixture!("program")).await;
    let ids: Vec<i64> = (1..=500).collect();
    let found = marketo.programs(&ids).await.unwrap();
    assert_eq!((found.len(), calls(&server, at).await), (3, 3));
    let requests = server.received_requests().await.unwrap();
    let last = requests.iter().rfind(|request| request.url.path() == at).unwrap();
    let query: std::collections::BTreeMap<_, _> = last.url.query_pairs().collect();
    assert_eq!((&*query["filterType"], &*query["maxReturn"]), ("id", "200"));
    assert!(query["filterValues"].starts_with("401,402,") && query["filterValues"].ends_with(",500"));
}

#[tokio::test]
async fn signing_in_anew_asks_the_identity_service_though_the_token_lasts() {
    let (server, marketo, _) = client().await;
    marketo.sign_in_anew().await.unwrap();
    marketo.sign_in_anew().await.unwrap();
    assert_eq!(calls(&server, "/identity/oauth/token").await, 2);
    assert_eq!(marketo.usage().calls_today, 0);
}
