//! The Marketo client over real HTTP, against recorded answers; what was asked is matched too.

use serde_json::json;
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::{CircuitState, ProgramStatus, Reaction};
use super::*;

async fn client() -> (MockServer, MarketoClient, Clock) {
    let server = MockServer::start().await;
    let clock = Clock::manual("2026-11-23T12:00:00Z".parse().unwrap());
    let base_url: Url = server.uri().parse().unwrap();
    let settings = MarketoSettings {
        identity_url: base_url.join("identity").unwrap(),
        base_url,
        client_id: "our-id".into(),
        client_secret: "our-secret".into(),
        salesforce_lead_field: "sfdcLeadId".into(),
        salesforce_contact_field: "sfdcContactId".into(),
        limits: MarketoSettings::usual_limits(),
    };
    Mock::given(method("GET"))
        .and(path("/identity/oauth/token"))
        .and(query_param("grant_type", "client_credentials"))
        .and(query_param("client_id", "our-id"))
        .and(query_param("client_secret", "our-secret"))
        .respond_with(json_of(include_str!("../../../tests/fixtures/marketo/token.json")))
        .mount(&server)
        .await;
    (server, MarketoClient::new(settings, clock.clone()).unwrap(), clock)
}

fn json_of(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(text, "application/json;charset=UTF-8")
}

macro_rules! fixture {
    ($name:literal) => {
        json_of(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/marketo/", $name, ".json")))
    };
}

async fn answer(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

async fn calls(server: &MockServer, at: &str) -> usize {
    server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
}

#[tokio::test]
async fn members_are_asked_for_by_id_with_the_fields_that_do_not_come_unasked() {
    let (server, marketo, _) = client().await;
    Mock::given(method("GET"))
        .and(path("/rest/v1/programs/1044/members.json"))
        .and(header("authorization", "Bearer cdf01657-110d-4155-99a7-f986b2ff13a0:int"))
        .and(query_param("filterType", "leadId"))
        .and(query_param("filterValues", "1789,1790"))
        .and(query_param("fields", "leadId,programId,statusName,membershipDate,updatedAt"))
        .respond_with(fixture!("members"))
        .expect(1)
        .mount(&server)
        .await;
    let members = marketo.members(1044, &[1789, 1790]).await.unwrap();
    let updated_at = Some("2020-01-08T18:10:26Z".parse().unwrap());
    assert_eq!(members, [ProgramMember { lead_id: 1789, status: "Attended".into(), updated_at }]);
    assert_eq!(marketo.usage().calls_today, 1, "token calls do not count");
}

#[tokio::test]
async fn seven_hundred_people_are_three_calls() {
    let (server, marketo, _) = client().await;
    let at = "/rest/v1/programs/1/members.json";
    answer(&server, "GET", at, json_of(r#"{"requestId":"a#1","result":[],"success":true,"moreResult":false}"#)).await;
    let people: Vec<i64> = (1_000_000..1_000_700).collect();
    assert_eq!(marketo.members(1, &people).await.unwrap(), []);
    let requests = server.received_requests().await.unwrap();
    let asked = requests.iter().filter(|r| r.url.path() == at);
    let values =
        asked.map(|r| r.url.query_pairs().find(|(key, _)| key == "filterValues").unwrap().1.split(',').count());
    let mut values: Vec<usize> = values.collect();
    values.sort_unstable();
    assert_eq!(values, [100, 300, 300]);
    assert!(requests.iter().all(|r| r.url.as_str().len() < 8192));
}

#[tokio::test]
async fn pages_are_followed_over_empty_ones_and_a_lost_token_is_an_outage() {
    let (server, marketo, _) = client().await;
    let at = "/rest/v1/programs/1/members.json";
    let page = |token: &str, body: &str| (token.to_owned(), json_of(body));
    for (token, body) in [
        page("t1", r#"{"requestId":"a#1","result":[],"success":true,"nextPageToken":"t2","moreResult":true}"#),
        page("t2", r#"{"requestId":"a#1","result":[{"leadId":2,"statusName":"Invited"}],"success":true}"#),
    ] {
        Mock::given(path(at)).and(query_param("nextPageToken", token)).respond_with(body).mount(&server).await;
    }
    let first =
        r#"{"requestId":"a#1","result":[{"leadId":"1","statusName":"Invited"}],"success":true,"nextPageToken":"t1"}"#;
    answer(&server, "GET", at, json_of(first)).await;
    let ids: Vec<i64> = marketo.members(1, &[1, 2]).await.unwrap().iter().map(|m| m.lead_id).collect();
    assert_eq!(ids, [1, 2]);

    server.reset().await;
    answer(&server, "GET", at, json_of(r#"{"requestId":"a#1","result":[],"success":true,"moreResult":true}"#)).await;
    assert!(matches!(marketo.members(1, &[1]).await, Err(ConnectorError::Unavailable { sent: false, .. })));
}

#[tokio::test]
async fn what_is_not_the_envelope_is_an_outage_and_never_an_empty_list() {
    for body in [
        "<html><body>Maintenance</body></html>",
        "",
        "{}",
        "[]",
        r#"{"success":true,"requestId":"a#1"}"#,
        r#"{"success":true,"requestId":"a#1","result":[{"leadId":1,"#,
        r#"{"success":true,"requestId":"a#1","result":[{"leadId":1}]}"#,
        r#"{"success":false,"requestId":"a#1","errors":[]}"#,
    ] {
        let (server, marketo, _) = client().await;
        answer(&server, "GET", "/rest/v1/programs/1/members.json", json_of(body)).await;
        let outcome = marketo.members(1, &[1]).await;
        assert!(matches!(outcome, Err(ConnectorError::Unavailable { .. })), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_fetched_once_more_and_the_call_is_made_again_once() {
    let (server, marketo, _) = client().await;
    let at = "/rest/v1/programs/1044/members.json";
    Mock::given(path(at)).respond_with(fixture!("token_invalid")).up_to_n_times(1).mount(&server).await;
    answer(&server, "GET", at, fixture!("members")).await;
    assert_eq!(marketo.members(1044, &[1789]).await.unwrap().len(), 1);
    assert_eq!((calls(&server, at).await, calls(&server, "/identity/oauth/token").await), (2, 2));

    let (server, marketo, _) = client().await;
    answer(&server, "GET", at, fixture!("token_invalid")).await;
    assert!(matches!(marketo.members(1044, &[1789]).await, Err(ConnectorError::Unauthorized { .. })));
    assert_eq!((calls(&server, at).await, calls(&server, "/identity/oauth/token").await), (2, 2));
}

#[tokio::test]
async fn bad_credentials_are_unauthorized_and_the_secret_is_in_no_text() {
    let (server, marketo, _) = client().await;
    server.reset().await;
    let refusal = json!({ "error": "unauthorized", "error_description": "Bad client credentials" });
    let refusal = ResponseTemplate::new(401).set_body_json(refusal);
    answer(&server, "GET", "/identity/oauth/token", refusal).await;
    let error = marketo.people(&[1]).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Unauthorized { .. }));
    drop(server);
    let (server, marketo, _) = client().await;
    drop(server);
    let lost = marketo.people(&[1]).await.unwrap_err();
    assert!(matches!(lost, ConnectorError::Unavailable { sent: false, .. }));
    assert!(!format!("{error:?} {lost:?} {:?}", marketo.usage()).contains("our-secret"));
}

#[tokio::test]
async fn the_rate_limit_holds_for_the_calls_that_follow() {
    let (server, marketo, clock) = client().await;
    let at = "/rest/v1/programs/1044/members.json";
    Mock::given(path(at)).respond_with(fixture!("rate_limited")).up_to_n_times(1).mount(&server).await;
    answer(&server, "GET", at, fixture!("members")).await;
    for _ in 0..2 {
        let outcome = marketo.members(1044, &[1789]).await;
        assert!(matches!(outcome, Err(ConnectorError::RateLimited { retry_after, .. }) if retry_after.as_secs() == 20));
    }
    assert_eq!(calls(&server, at).await, 1);
    clock.advance(Duration::from_secs(20));
    assert!(marketo.members(1044, &[1789]).await.is_ok());
}

#[tokio::test]
async fn a_used_up_day_ends_at_midnight_central() {
    let (server, marketo, _) = client().await;
    let body = r#"{"requestId":"a#1","success":false,"errors":[{"code":607,"message":"Daily quota reached"}]}"#;
    answer(&server, "GET", "/rest/v1/leads.json", json_of(body)).await;
    for _ in 0..2 {
        let outcome = marketo.people(&[1]).await;
        let expected = Duration::from_hours(18);
        assert!(matches!(outcome, Err(ConnectorError::QuotaExhausted { retry_after, .. }) if retry_after == expected));
    }
    assert_eq!(calls(&server, "/rest/v1/leads.json").await, 1);
}

#[tokio::test]
async fn a_vendor_that_is_down_is_left_alone() {
    let (server, marketo, clock) = client().await;
    answer(&server, "GET", "/rest/v1/leads.json", ResponseTemplate::new(503)).await;
    for _ in 0..8 {
        assert!(matches!(marketo.people(&[1]).await, Err(ConnectorError::Unavailable { .. })));
    }
    assert_eq!(calls(&server, "/rest/v1/leads.json").await, 5);
    assert_eq!(marketo.usage().circuit, CircuitState::Open);
    clock.advance(Duration::from_secs(5));
    server.reset().await;
    answer(&server, "GET", "/rest/v1/leads.json", json_of(r#"{"success":true,"result":[]}"#)).await;
    assert_eq!(marketo.people(&[1]).await.unwrap(), []);
    assert_eq!(marketo.usage().circuit, CircuitState::Closed);
}

#[tokio::test]
async fn a_status_is_set_and_each_result_is_joined_to_its_person() {
    let (server, marketo, _) = client().await;
    Mock::given(method("POST"))
        .and(path("/rest/v1/programs/1044/members/status.json"))
        .and(body_json(json!({ "statusName": "Influenced", "input": [{ "leadId": 1800 }, { "leadId": 1801 }, { "leadId": 1235 }] })))
        .respond_with(fixture!("set_status"))
        .expect(1)
        .mount(&server)
        .await;
    let results = marketo.set_status(1044, "Influenced", &[1800, 1801, 1235]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().reaction, Reaction::ReadAgain);
    assert_eq!(results[1..], [Ok(()), Ok(())]);
    let other = marketo.set_status(1044, "Influenced", &[1, 2]).await;
    assert!(other.is_err(), "no mock for other people");
}

#[tokio::test]
async fn results_that_do_not_fit_leave_open_what_was_written() {
    for (body, people) in [
        (r#"{"success":true,"result":[{"seq":0,"status":"updated","leadId":1}]}"#, vec![1, 2]),
        (r#"{"success":true,"result":[{"seq":0,"status":"updated"},{"seq":0,"status":"updated"}]}"#, vec![1, 2]),
        (r#"{"success":true,"result":[{"seq":0,"status":"updated","leadId":9}]}"#, vec![1]),
        (r#"{"success":true}"#, vec![1]),
    ] {
        let (server, marketo, _) = client().await;
        answer(&server, "POST", "/rest/v1/programs/1/members/status.json", json_of(body)).await;
        let outcome = marketo.set_status(1, "Invited", &people).await;
        assert!(matches!(outcome, Err(ConnectorError::Unavailable { sent: true, .. })), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn removal_takes_who_is_not_there_as_gone() {
    let (server, marketo, _) = client().await;
    Mock::given(method("POST"))
        .and(path("/rest/v1/programs/1044/members/delete.json"))
        .and(body_json(json!({ "input": [{ "leadId": 1235 }, { "leadId": 77 }] })))
        .respond_with(fixture!("remove_members"))
        .mount(&server)
        .await;
    let results = marketo.remove_members(1044, &[1235, 77]).await.unwrap();
    assert_eq!(results[0], Ok(()));
    assert_eq!(results[1].as_ref().unwrap_err().reaction, Reaction::Gone);
}

#[tokio::test]
async fn a_page_of_members_brings_the_links_and_falls_back_without_them() {
    let (server, marketo, _) = client().await;
    let at = "/rest/v1/leads/programs/1127.json";
    let fields = "id,email,firstName,lastName,company,sfdcLeadId,sfdcContactId";
    let linked = Mock::given(path(at)).and(query_param("fields", fields)).and(query_param("batchSize", "300"));
    linked.respond_with(fixture!("members_of_program")).mount(&server).await;
    let page = marketo.member_page(1127, None).await.unwrap();
    let (person, member) = &page.rows[0];
    assert_eq!(person.salesforce_lead_id.as_ref().unwrap().as_str(), "00Q4S000002sSacUAE");
    assert_eq!((person.salesforce_contact_id.as_ref(), member.status.as_str()), (None, "Visited"));
    assert_eq!(page.next.as_deref(), Some("GIYDAOBNGEYS2MBWKQYDAORQGA5DAMBOGAYDAKZQGAYDALBQ"));

    server.reset().await;
    let unknown = r#"{"success":false,"errors":[{"code":"1006","message":"Field 'sfdcLeadId' not found"}]}"#;
    Mock::given(path(at)).and(query_param("fields", fields)).respond_with(json_of(unknown)).mount(&server).await;
    Mock::given(path(at))
        .and(query_param("fields", "id,email,firstName,lastName,company"))
        .respond_with(fixture!("members_of_program"))
        .mount(&server)
        .await;
    for _ in 0..2 {
        assert_eq!(marketo.member_page(1127, None).await.unwrap().rows.len(), 1);
    }
    assert_eq!(calls(&server, at).await, 3, "the fields are not asked for again at once");
}

#[tokio::test]
async fn too_many_results_are_asked_for_in_halves() {
    let (server, marketo, _) = client().await;
    let at = "/rest/v1/leads.json";
    let both =
        Mock::given(path(at)).and(query_param("filterType", "email")).and(query_param("filterValues", "a@b.c,d@e.f"));
    let many = r#"{"success":false,"errors":[{"code":"1003","message":"Too many results match the filter"}]}"#;
    both.respond_with(json_of(many)).mount(&server).await;
    for (value, id) in [("a@b.c", 1), ("d@e.f", 2)] {
        let body = json!({ "success": true, "result": [{ "id": id, "email": value }] });
        let one = Mock::given(path(at)).and(query_param("filterValues", value));
        one.respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    }
    let people = marketo.people_by(PersonKey::Email, &["a@b.c".into(), "d@e.f".into()]).await.unwrap();
    assert_eq!(people.iter().map(|person| person.id).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn programs_and_their_costs() {
    let (server, marketo, _) = client().await;
    answer(&server, "GET", "/rest/asset/v1/program/1107.json", fixture!("program")).await;
    answer(&server, "GET", "/rest/asset/v1/program/42.json", fixture!("program_missing")).await;
    answer(&server, "GET", "/rest/asset/v1/program/43.json", fixture!("asset_empty")).await;
    Mock::given(path("/rest/asset/v1/program/byName.json"))
        .and(query_param("name", "AAA2QueryProgramName"))
        .and(query_param("includeCosts", "true"))
        .respond_with(fixture!("program_by_name"))
        .mount(&server)
        .await;
    let program = marketo.program(1107).await.unwrap().unwrap();
    assert_eq!((program.program_type.as_str(), program.channel.as_str()), ("default", "Online Advertising"));
    assert_eq!((program.cost, program.sfdc_id.as_deref()), (None, Some("7014S00000097HcQAI")));
    assert_eq!(marketo.program_costs(&program).await.unwrap(), Costs::Sum(2500.0));
    assert_eq!(marketo.program(42).await.unwrap(), None);
    assert_eq!(marketo.program(43).await.unwrap(), None);
}

#[tokio::test]
async fn a_channel_is_read_by_name_or_found_in_the_list() {
    let (server, marketo, _) = client().await;
    let by_name = "/rest/asset/v1/channel/byName.json";
    let named = Mock::given(path(by_name)).and(query_param("name", "Online Advertising"));
    named.respond_with(fixture!("channel")).mount(&server).await;
    let channel = marketo.channel("Online Advertising").await.unwrap().unwrap();
    let invited = ProgramStatus { name: "Invited".into(), step: 10, success: false, hidden: false };
    let attended = ProgramStatus { name: "Attended".into(), step: 40, success: true, hidden: false };
    assert_eq!(channel.statuses, [invited, attended]);

    server.reset().await;
    let unknown = r#"{"success":false,"errors":[{"code":"610","message":"Requested resource not found"}]}"#;
    answer(&server, "GET", by_name, json_of(unknown)).await;
    answer(&server, "GET", "/rest/asset/v1/channels.json", fixture!("channel")).await;
    assert!(marketo.channel("Online Advertising").await.unwrap().is_some());
    assert_eq!(marketo.channel("Webinar").await.unwrap(), None);
}

#[tokio::test]
async fn people_are_created_under_their_address_and_an_existing_one_is_read_again() {
    let (server, marketo, _) = client().await;
    let person = |email: &str| NewPerson {
        email: Some(email.into()).filter(|email: &String| !email.is_empty()),
        first_name: None,
        last_name: Some("Ng".into()),
        company: None,
        salesforce_id: None,
    };
    Mock::given(method("POST"))
        .and(path("/rest/v1/leads.json"))
        .and(body_json(json!({ "action": "createOnly", "lookupField": "email",
            "input": [{ "email": "a@b.c", "lastName": "Ng" }, { "email": "d@e.f", "lastName": "Ng" }] })))
        .respond_with(fixture!("create_people"))
        .expect(1)
        .mount(&server)
        .await;
    let results = marketo.create_people(&[person("a@b.c"), person(""), person("d@e.f")]).await.unwrap();
    assert_eq!(results[0], Ok(50));
    assert_eq!(results[1].as_ref().unwrap_err().code, "NO_KEY");
    assert_eq!(results[2].as_ref().unwrap_err().reaction, Reaction::ReadAgain);
}

#[tokio::test]
async fn merges_are_followed_to_the_last_winner() {
    let (server, marketo, _) = client().await;
    Mock::given(path("/rest/v1/activities/pagingtoken.json"))
        .and(query_param("sinceDatetime", "2023-01-16T00:00:00Z"))
        .respond_with(fixture!("paging_token"))
        .mount(&server)
        .await;
    Mock::given(path("/rest/v1/activities.json"))
        .and(query_param("activityTypeIds", "32"))
        .respond_with(fixture!("merges"))
        .mount(&server)
        .await;
    let merges = marketo.merges(&[5, 99], "2023-01-16T00:00:00.5Z".parse().unwrap()).await.unwrap();
    assert_eq!(merges, BTreeMap::from([(5, 7)]));
}

mod activities;
mod checkup;
mod counts;
mod requests;
