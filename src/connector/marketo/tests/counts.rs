//! Members counted by reading them.

use super::*;

const AT: &str = "/rest/v1/programs/1044/members.json";

/// Two pages of two members with a status, the second with one of another that the filter let through.
async fn two_pages(server: &MockServer) {
    let first = r#"{"requestId":"a#1","result":[{"leadId":1,"statusName":"No Show"},{"leadId":2,"statusName":"No Show"}],
        "success":true,"nextPageToken":"t1","moreResult":true}"#;
    let second = r#"{"requestId":"a#2","result":[{"leadId":3,"statusName":"No Show"},{"leadId":4,"statusName":"no show"}],
        "success":true,"moreResult":false}"#;
    let asked = || {
        let of_status = Mock::given(path(AT)).and(query_param("filterType", "statusName"));
        of_status.and(query_param("filterValues", "No Show")).and(query_param("batchSize", "300"))
    };
    asked().and(query_param("nextPageToken", "t1")).respond_with(json_of(second)).mount(server).await;
    asked().respond_with(json_of(first)).mount(server).await;
}

#[tokio::test]
async fn members_are_counted_a_page_at_a_time_up_to_a_limit() {
    for (most, expected, pages) in [(600, Some(3), 2), (3, Some(3), 2), (2, None, 1)] {
        let (server, marketo, _) = client().await;
        two_pages(&server).await;
        assert_eq!(marketo.member_count(1044, "No Show", most).await.unwrap(), expected, "{most}");
        assert_eq!(calls(&server, AT).await, pages, "{most}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not_counted() {
    let (server, marketo, _) = client().await;
    assert_eq!(marketo.member_count(1044, "Attended, live", 600).await.unwrap(), None);
    assert_eq!(calls(&server, AT).await, 0);
    let too_many = r#"{"requestId":"a#1","success":false,"errors":[{"code":"1003","message":"Total membership size: 120,000 exceeds the limit allowed 100,000 for the filter"}]}"#;
    answer(&server, "GET", AT, json_of(too_many)).await;
    assert_eq!(marketo.member_count(1044, "Attended", 600).await.unwrap(), None);
    server.reset().await;
    answer(&server, "GET", AT, json_of("<html>")).await;
    assert!(matches!(marketo.member_count(1044, "Attended", 600).await, Err(ConnectorError::Unavailable { .. })));
}

#[tokio::test]
async fn programs_are_listed_a_page_at_a_time() {
    let (server, marketo, _) = client().await;
    let at = "/rest/asset/v1/programs.json";
    let of_page =
        |offset: &str| Mock::given(path(at)).and(query_param("maxReturn", "200")).and(query_param("offset", offset));
    of_page("200").respond_with(fixture!("program")).mount(&server).await;
    of_page("400").respond_with(fixture!("asset_empty")).mount(&server).await;
    let page = marketo.program_page(1).await.unwrap();
    assert_eq!((page.len(), page[0].id, page[0].sfdc_id.as_deref()), (1, 1107, Some("7014S00000097HcQAI")));
    assert_eq!(marketo.program_page(2).await.unwrap(), []);
}
