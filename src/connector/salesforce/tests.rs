//! The Salesforce client over real HTTP, against recorded answers; what was asked is matched too.

use serde_json::json;
use wiremock::matchers::{body_json, body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::domain::ids::PersonType;

const CAMPAIGN: &str = "7014S00000097HcQAI";
const MEMBER: &str = "00v4S000001VKQ1QAO";
const LEAD: &str = "00Q4S000002sSacUAE";
const CONTACT: &str = "0034S000003QcVQQA0";
const QUERY: &str = "/services/data/v60.0/query";
const COLLECTIONS: &str = "/services/data/v60.0/composite/sobjects";

fn id(text: &str) -> SalesforceId {
    text.parse().unwrap()
}

fn json_of(status: u16, text: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(text, "application/json;charset=UTF-8")
}

macro_rules! fixture {
    ($name:literal) => {
        fixture!(200, $name)
    };
    ($status:literal, $name:literal) => {
        json_of(
            $status,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/salesforce/", $name, ".json")),
        )
    };
}

fn settings(server: &MockServer) -> SalesforceSettings {
    SalesforceSettings {
        login_url: server.uri().parse().unwrap(),
        instance_url: None,
        client_id: "our-id".into(),
        client_secret: Some("our-secret".into()),
        username: None,
        private_key: None,
        api_version: "60.0".into(),
        organization_id: Some(id("00D4S000000oz4eUAA")),
        person_external_id_field: None,
        auto_assign: false,
        limits: SalesforceSettings::usual_limits(),
    }
}

async fn token(server: &MockServer, instance: &str) {
    let body = include_str!("../../../tests/fixtures/salesforce/token.json").replace("INSTANCE", instance);
    Mock::given(method("POST"))
        .and(path("/services/oauth2/token"))
        .and(body_string_contains("grant_type=client_credentials&client_id=our-id&client_secret=our-secret"))
        .respond_with(json_of(200, &body))
        .mount(server)
        .await;
}

async fn with(change: impl FnOnce(&mut SalesforceSettings)) -> (MockServer, SalesforceClient) {
    let server = MockServer::start().await;
    let mut settings = settings(&server);
    change(&mut settings);
    token(&server, &server.uri()).await;
    let clock = Clock::manual("2026-11-23T12:00:00Z".parse().unwrap());
    (server, SalesforceClient::new(settings, clock).unwrap())
}

async fn client() -> (MockServer, SalesforceClient) {
    with(|_| {}).await
}

async fn answer(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

async fn calls(server: &MockServer, at: &str) -> usize {
    server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
}

#[tokio::test]
async fn we_are_who_the_token_answer_says() {
    let (server, salesforce) = client().await;
    let identity = salesforce.identity().await.unwrap();
    assert_eq!(identity.user_id, id("0054S000000JFmhQAG"));
    assert_eq!(calls(&server, "/services/oauth2/userinfo").await, 0);

    let (server, salesforce) = client().await;
    server.reset().await;
    let bare = json_of(200, r#"{"access_token":"00D!x","token_type":"Bearer"}"#);
    answer(&server, "POST", "/services/oauth2/token", bare).await;
    answer(&server, "GET", "/services/oauth2/userinfo", fixture!("userinfo")).await;
    assert_eq!(salesforce.identity().await.unwrap(), identity);
}

#[tokio::test]
async fn another_organisation_and_another_host_are_refused_before_any_call() {
    let (_server, salesforce) = with(|s| s.organization_id = Some(id("00D5w000004qGTOEA2"))).await;
    let error = salesforce.identity().await.unwrap_err();
    assert!(matches!(&error, ConnectorError::Unauthorized { detail, .. } if detail.contains("00D5w000004qGTOEA2")));

    let trap = MockServer::start().await;
    let server = MockServer::start().await;
    token(&server, &trap.uri()).await;
    let salesforce = SalesforceClient::new(settings(&server), Clock::system()).unwrap();
    let outcome = salesforce.people(&[id(LEAD)]).await;
    assert!(matches!(outcome, Err(ConnectorError::Unauthorized { .. })), "{outcome:?}");
    assert!(trap.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn bad_credentials_are_unauthorized() {
    let (server, salesforce) = client().await;
    server.reset().await;
    answer(&server, "POST", "/services/oauth2/token", fixture!(400, "token_refused")).await;
    let error = salesforce.identity().await.unwrap_err();
    assert!(matches!(&error, ConnectorError::Unauthorized { .. }));
    assert!(!format!("{error:?}").contains("our-secret"));
}

#[tokio::test]
async fn a_private_key_signs_an_assertion() {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let (server, salesforce) = with(|settings| {
        settings.private_key = Some(pem.into());
        settings.username = Some("sync@acme.test".into());
    })
    .await;
    server.reset().await;
    let body = include_str!("../../../tests/fixtures/salesforce/token.json").replace("INSTANCE", &server.uri());
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let asked = Mock::given(path("/services/oauth2/token")).and(body_string_contains(grant));
    asked.respond_with(json_of(200, &body)).mount(&server).await;
    salesforce.identity().await.unwrap();
    let sent = String::from_utf8(server.received_requests().await.unwrap()[0].body.clone()).unwrap();
    let claims = sent.split_once("assertion=").unwrap().1.split('.').nth(1).unwrap().to_owned();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let exp = "2026-11-23T12:03:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(claims, json!({ "iss": "our-id", "sub": "sync@acme.test", "aud": server.uri(), "exp": exp }));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let server = MockServer::start().await;
    let cases: [fn(&mut SalesforceSettings); 5] = [
        |s| s.client_secret = None,
        |s| s.private_key = Some("not a key".into()),
        |s| s.api_version = "60/../..".into(),
        |s| s.person_external_id_field = Some("Key__c FROM Lead".into()),
        |s| s.login_url = "file:///etc".parse().unwrap(),
    ];
    for change in cases {
        let mut settings = settings(&server);
        change(&mut settings);
        assert!(SalesforceClient::new(settings, Clock::system()).is_err());
    }
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_and_the_call_made_again_once() {
    let (server, salesforce) = client().await;
    let expired = || fixture!(401, "session_expired");
    Mock::given(path("/services/data/v60.0/queryAll")).respond_with(expired()).up_to_n_times(1).mount(&server).await;
    answer(&server, "GET", "/services/data/v60.0/queryAll", fixture!("leads")).await;
    assert_eq!(salesforce.people(&[id(LEAD)]).await.unwrap().len(), 1);
    assert_eq!(calls(&server, "/services/oauth2/token").await, 2);

    let (server, salesforce) = client().await;
    answer(&server, "GET", "/services/data/v60.0/queryAll", expired()).await;
    assert!(matches!(salesforce.people(&[id(LEAD)]).await, Err(ConnectorError::Unauthorized { .. })));
    assert_eq!(calls(&server, "/services/data/v60.0/queryAll").await, 2);
}

#[tokio::test]
async fn campaigns_come_with_their_statuses() {
    let (server, salesforce) = client().await;
    let asked = |soql: &str| Mock::given(method("GET")).and(path(QUERY)).and(query_param("q", soql.to_owned()));
    let campaigns = "SELECT Id, Name, IsActive, Type, ActualCost FROM Campaign WHERE Id IN ('7014S00000097HcQAI')";
    asked(campaigns).respond_with(fixture!("campaigns")).mount(&server).await;
    let statuses = "SELECT Id, CampaignId, Label, SortOrder, IsDefault, HasResponded FROM CampaignMemberStatus WHERE \
                    CampaignId IN ('7014S00000097HcQAI') ORDER BY SortOrder";
    asked(statuses).respond_with(fixture!("statuses")).mount(&server).await;
    let found = salesforce.campaigns(&[id(CAMPAIGN)]).await.unwrap();
    assert_eq!((found[0].campaign_type.as_deref(), found[0].actual_cost), (Some("Webinar"), Some(2500.0)));
    let labels: Vec<_> = found[0].statuses.iter().map(|s| (s.label.as_str(), s.has_responded, s.is_default)).collect();
    assert_eq!(labels, [("Sent", false, true), ("Responded", true, false)]);
    assert_eq!(salesforce.campaigns(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_hidden_cost_is_none() {
    let (server, salesforce) = client().await;
    let asked = |fields: &str| {
        let soql = format!("SELECT Id, Name, IsActive{fields} FROM Campaign WHERE Id IN ('{CAMPAIGN}')");
        Mock::given(path(QUERY)).and(query_param("q", soql))
    };
    asked(", Type, ActualCost").respond_with(fixture!(400, "invalid_field")).mount(&server).await;
    let body = r#"{"totalSize":1,"done":true,"records":[{"Id":"7014S00000097HcQAI","Name":"A","IsActive":true,"Type":"Email"}]}"#;
    asked(", Type").respond_with(json_of(200, body)).mount(&server).await;
    answer(&server, "GET", QUERY, fixture!("statuses")).await;
    let found = salesforce.campaigns(&[id(CAMPAIGN)]).await.unwrap();
    assert_eq!((found[0].campaign_type.as_deref(), found[0].actual_cost), (Some("Email"), None));
}

#[tokio::test]
async fn members_are_asked_for_by_lead_and_by_contact() {
    let (server, salesforce) = client().await;
    let soql = format!(
        "SELECT Id, CampaignId, LeadId, ContactId, Status, LastModifiedById, SystemModstamp, IsDeleted, Lead.Email, \
         Contact.Email FROM CampaignMember WHERE CampaignId IN ('{CAMPAIGN}') AND (LeadId IN ('{LEAD}') OR ContactId IN \
         ('{CONTACT}'))"
    );
    let asked = Mock::given(path(QUERY)).and(query_param("q", soql));
    asked.respond_with(fixture!("members")).expect(1).mount(&server).await;
    let members = salesforce.members(&[id(CAMPAIGN)], &[id(LEAD), id(CONTACT)]).await.unwrap();
    let modstamp = members[0].system_modstamp.unwrap();
    assert_eq!((members[0].id.as_str(), modstamp.to_string().as_str()), (MEMBER, "2021-12-02T18:23:39Z"));
    assert_eq!((members[0].email.as_deref(), members[0].person()), (Some("ada@acme.test"), Some(&id(LEAD))));
}

#[tokio::test]
async fn every_pair_is_asked_for_in_addresses_below_the_limit() {
    let (server, salesforce) = client().await;
    answer(&server, "GET", QUERY, json_of(200, r#"{"totalSize":0,"done":true,"records":[]}"#)).await;
    let ids = |prefix: &str, count| (0..count).map(|n| id(&format!("{prefix}4S000{n:07}"))).collect::<Vec<_>>();
    let (campaigns, people) = (ids("701", 250), ids("00Q", 450));
    assert_eq!(salesforce.members(&campaigns, &people).await.unwrap(), []);
    let mut pairs = 0;
    for request in server.received_requests().await.unwrap().iter().filter(|r| r.url.path() == QUERY) {
        assert!(request.url.as_str().len() < 12_000);
        let soql = request.url.query_pairs().next().unwrap().1.into_owned();
        pairs += soql.matches("'701").count() * soql.matches("'00Q").count();
    }
    assert_eq!(pairs, 250 * 450);
}

#[tokio::test]
async fn pages_are_followed_and_a_short_list_is_an_outage() {
    let row = |n: u32| {
        let row = id(&format!("00v4S000{n:07}"));
        json!({ "Id": row, "CampaignId": CAMPAIGN, "LeadId": LEAD, "Status": "Sent" })
    };
    let next = format!("{QUERY}/01gB000003OCxSPIA1-2");
    let first = json!({ "totalSize": 3, "done": false, "nextRecordsUrl": next, "records": [row(1), row(2)] });
    for (last, whole) in [(vec![row(3)], true), (vec![], false)] {
        let (server, salesforce) = client().await;
        answer(&server, "GET", QUERY, ResponseTemplate::new(200).set_body_json(&first)).await;
        let last = json!({ "totalSize": 3, "done": true, "records": last });
        answer(&server, "GET", &next, ResponseTemplate::new(200).set_body_json(last)).await;
        let page = salesforce.member_page(&id(CAMPAIGN), None).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (2, Some(3)));
        let page = salesforce.member_page(&id(CAMPAIGN), page.next.as_deref()).await;
        assert_eq!(page.is_ok_and(|page| page.next.is_none()), whole);
        assert_eq!(salesforce.members(&[id(CAMPAIGN)], &[id(LEAD)]).await.is_ok(), whole);
    }
}

#[tokio::test]
async fn a_following_page_elsewhere_is_not_fetched() {
    let trap = MockServer::start().await;
    let (server, salesforce) = client().await;
    let body = json!({ "totalSize": 2, "done": false, "nextRecordsUrl": format!("{}/x", trap.uri()),
                       "records": [{ "Id": MEMBER, "CampaignId": CAMPAIGN }] });
    answer(&server, "GET", QUERY, ResponseTemplate::new(200).set_body_json(body)).await;
    assert!(salesforce.members(&[id(CAMPAIGN)], &[id(LEAD)]).await.is_err());
    assert!(trap.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_an_answer_is_an_outage_and_never_an_empty_list() {
    for (status, body) in [
        (200, "<html>Down for maintenance</html>"),
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"totalSize":1,"done":true,"records":[{"Id":"#),
        (200, r#"{"totalSize":1,"done":true,"records":[]}"#),
        (
            200,
            r#"{"totalSize":1,"done":false,"records":[{"Id":"00v4S000001VKQ1QAO","CampaignId":"7014S00000097HcQAI"}]}"#,
        ),
        (204, ""),
        (302, ""),
        (420, "<html></html>"),
        (503, "<html>Service Unavailable</html>"),
        (503, r#"[{"message":"down","errorCode":"SERVER_UNAVAILABLE"}]"#),
    ] {
        let (server, salesforce) = client().await;
        answer(&server, "GET", QUERY, json_of(status, body)).await;
        let outcome = salesforce.members(&[id(CAMPAIGN)], &[id(LEAD)]).await;
        assert!(matches!(outcome, Err(ConnectorError::Unavailable { .. })), "{status} {body}: {outcome:?}");
    }
}

#[tokio::test]
async fn members_are_counted_by_status_in_one_call() {
    let (server, salesforce) = client().await;
    let soql =
        format!("SELECT Status, COUNT(Id) held FROM CampaignMember WHERE CampaignId = '{CAMPAIGN}' GROUP BY Status");
    let asked = Mock::given(path(QUERY)).and(query_param("q", soql));
    asked.respond_with(fixture!("member_counts")).expect(1).mount(&server).await;
    let counts = salesforce.member_counts(&id(CAMPAIGN)).await.unwrap();
    assert_eq!(counts, [("Responded".to_owned(), 790), ("Sent".to_owned(), 24_100)].into());
}

#[tokio::test]
async fn people_are_read_with_the_deleted_ones_and_by_escaped_address() {
    let (server, salesforce) = client().await;
    let soql = format!(
        "SELECT Id, Email, FirstName, LastName, Company, IsConverted, ConvertedContactId, MasterRecordId, IsDeleted, \
         CreatedById, CreatedDate FROM Lead WHERE Id IN ('{LEAD}')"
    );
    let asked = Mock::given(path("/services/data/v60.0/queryAll")).and(query_param("q", soql));
    asked.respond_with(fixture!("leads")).mount(&server).await;
    let people = salesforce.people(&[id(LEAD)]).await.unwrap();
    assert_eq!((people[0].person_type, people[0].converted_contact_id.clone()), (PersonType::Lead, Some(id(CONTACT))));

    let soql = "SELECT Id, Email, FirstName, LastName, MasterRecordId, IsDeleted, CreatedById, CreatedDate FROM Contact \
                WHERE Email IN ('o\\'brien@acme.test')";
    let nobody = json_of(200, r#"{"totalSize":0,"done":true,"records":[]}"#);
    Mock::given(path(QUERY)).and(query_param("q", soql)).respond_with(nobody).expect(1).mount(&server).await;
    answer(&server, "GET", QUERY, fixture!("leads")).await;
    let people = salesforce.people_by_email(&["o'brien@acme.test".into(), String::new()]).await.unwrap();
    assert_eq!(people.len(), 1);
}

mod accounts;
mod campaigns;
mod changes;
mod checkup;
mod writes;
