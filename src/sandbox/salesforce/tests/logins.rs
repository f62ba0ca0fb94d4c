//! How clients get into the emulated org and who they are there.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Cell, Object, Options};
use super::wire::{Org, open};

const SOAP: &str = "/services/Soap/u/59.0";

impl Org {
    async fn form(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        open(self.client.post(format!("{}{path}", self.url)).form(form).send().await.unwrap()).await
    }

    pub(super) async fn soap(&self, body: &str) -> (u16, String) {
        let envelope = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\"><e:Header>\
             <SessionHeader><sessionId>{}</sessionId></SessionHeader></e:Header><e:Body>{body}</e:Body></e:Envelope>",
            self.token
        );
        let request = self.client.post(format!("{}{SOAP}", self.url)).header("content-type", "text/xml");
        let answer = request.header("soapaction", "\"\"").body(envelope).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

fn login(username: &str, password: &str) -> String {
    format!("<login><username>{username}</username><password>{password}</password></login>")
}

#[tokio::test]
async fn a_password_needs_its_security_token_outside_trusted_networks() {
    let mut org = Org::new(Options::default()).await;
    let (status, refused) = org.soap(&login("campaign-sync@acme.example", "sandbox-password")).await;
    assert_eq!(status, 500);
    for part in [
        "<faultcode>INVALID_LOGIN</faultcode>",
        "<faultstring>INVALID_LOGIN: Invalid username, password, security token; or user locked out.</faultstring>",
        "<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>",
    ] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    let (status, body) = org.soap(&login("campaign-sync@acme.example", "sandbox-passwordsandboxtoken")).await;
    let between = |tag: &str| body.split(&format!("<{tag}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(
        (status, between("organizationId"), between("sessionSecondsValid")),
        (200, "00D4S000000oz4eUAA".into(), "7200".into())
    );
    assert_eq!(between("serverUrl"), format!("{}/services/Soap/u/59.0/00D4S000000oz4e", org.url));
    org.token = between("sessionId");
    assert_eq!(org.get("/limits").await.0, 200);
    let form = |password| {
        [
            ("grant_type", "password"),
            ("client_id", "3MVG9campaignsync"),
            ("client_secret", "sandbox-client-secret"),
            ("username", "campaign-sync@acme.example"),
            ("password", password),
        ]
    };
    let refused = org.form("/services/oauth2/token", &form("sandbox-password")).await;
    assert_eq!(refused, (400, json!({"error": "invalid_grant", "error_description": "authentication failure"})));
    org.control(Method::PATCH, "/options", json!({"trusted_network": true})).await;
    assert_eq!(org.form("/services/oauth2/token", &form("sandbox-password")).await.0, 200);
    assert_eq!(org.soap("<logout/>").await.0, 200);
    assert_eq!(org.get("/limits").await.0, 401);
}

#[tokio::test]
async fn a_refresh_token_gives_sessions_until_it_is_revoked() {
    let org = Org::new(Options::default()).await;
    let refresh =
        org.control(Method::POST, "/tokens/refresh", Value::Null).await["refresh_token"].as_str().unwrap().to_owned();
    let form = [("grant_type", "refresh_token"), ("client_id", "3MVG9campaignsync"), ("refresh_token", &refresh)];
    let (status, token) = org.form("/services/oauth2/token", &form).await;
    assert_eq!((status, token.get("refresh_token")), (200, None), "there is no rotation");
    assert_eq!(org.form("/services/oauth2/revoke", &[("token", &refresh)]).await.0, 200);
    let dead = json!({"error": "invalid_grant", "error_description": "expired access/refresh token"});
    assert_eq!(org.form("/services/oauth2/token", &form).await, (400, dead));
    let answer =
        org.client.post(format!("{}/services/oauth2/revoke", org.url)).form(&[("token", "none")]).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (400, "application/x-www-form-urlencoded;charset=UTF-8")
    );
    let wrong = [
        ("grant_type", "refresh_token"),
        ("client_id", "3MVG9campaignsync"),
        ("client_secret", "no"),
        ("refresh_token", &refresh),
    ];
    assert_eq!(org.form("/services/oauth2/token", &wrong).await.1["error"], "invalid_client");
    assert_eq!(org.form("/services/oauth2/token", &[("grant_type", "x")]).await.1["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_session_knows_whose_it_is() {
    let mut org = Org::new(Options::default()).await;
    let (_, token) = org.log_in().await;
    let id = token["id"].as_str().unwrap();
    let path = id.strip_prefix(&org.url).unwrap();
    let (_, identity) =
        open(org.client.get(format!("{id}?format=json&oauth_token={}", org.token)).send().await.unwrap()).await;
    let (_, userinfo) = org.get("/services/oauth2/userinfo").await;
    for document in [&identity, &userinfo] {
        assert_eq!(document["organization_id"], "00D4S000000oz4eUAA");
        assert!(path.ends_with(document["user_id"].as_str().unwrap()));
        assert!(document["urls"]["rest"].as_str().unwrap().contains("/services/data/v{version}/"));
    }
    assert_eq!(userinfo["preferred_username"], "campaign-sync@acme.example");
    assert_eq!(org.get("").await.1["identity"], id, "the resources of a version");
    let token = org.token.clone();
    let ask =
        [("client_id", "3MVG9campaignsync"), ("client_secret", "sandbox-client-secret"), ("token", token.as_str())];
    assert_eq!(org.form("/services/oauth2/introspect", &ask).await.1["active"], true);
    org.control(Method::POST, "/tokens/expire", Value::Null).await;
    assert_eq!(org.form("/services/oauth2/introspect", &ask).await.1["active"], false);
    assert_eq!(org.get("/services/oauth2/userinfo").await.0, 403);
    org.token = "x".into();
    let scheme = org.client.get(format!("{}/services/data/v60.0/limits", org.url)).header("authorization", "Basic x");
    assert_eq!(open(scheme.send().await.unwrap()).await.1[0]["errorCode"], "INVALID_AUTH_HEADER");
    let (status, fault) = org.soap("<convertLead/>").await;
    assert!(status == 500 && fault.contains("<faultcode>sf:INVALID_SESSION_ID</faultcode>"));
}

#[tokio::test]
async fn leads_are_converted_by_soap_alone() {
    let org = Org::new(Options::default()).await;
    let (lead, other, account) = org.salesforce.with(|w| {
        let account = w.create(&w.as_person(), Object::Account, json!({"Name": "Old"}).as_object().unwrap()).unwrap();
        (w.add_lead("A", "B", "a@x.example", "X").unwrap(), w.add_lead("C", "D", "c@x.example", "X").unwrap(), account)
    });
    let convert = |lead: String, more: &str, status: &str| {
        format!(
            "<convertLead><leadConverts><leadId>{lead}</leadId><convertedStatus>{status}</convertedStatus>{more}</leadConverts></convertLead>"
        )
    };
    let (declined, good) = ("<doNotCreateOpportunity>true</doNotCreateOpportunity>", "Closed - Converted");
    for (more, status, code) in [(declined, "Working - Contacted", "INVALID_STATUS"), ("", good, "FEATURE_NOT_ENABLED")]
    {
        let (http, body) = org.soap(&convert(lead.to_string(), more, status)).await;
        assert!(
            http == 200 && body.contains(&format!("<statusCode>{code}</statusCode></errors><success>false")),
            "{body}"
        );
    }
    let (_, body) = org.soap(&convert(lead.to_string(), declined, good)).await;
    let contact = org.salesforce.with(|w| w.row(lead).unwrap().id_of("ConvertedContactId").unwrap());
    assert!(body.contains(&format!("<contactId>{contact}</contactId><leadId>{lead}</leadId><opportunityId xsi:nil=\"true\"/><success>true</success>")));
    let into = format!("{declined}<accountId>{account}</accountId>");
    assert!(org.soap(&convert(other.to_string(), &into, good)).await.1.contains("<success>true"));
    org.salesforce.with(|w| {
        let contact = w.row(other).unwrap().id_of("ConvertedContactId").unwrap();
        assert_eq!(*w.row(contact).unwrap().get("AccountId"), Cell::Id(account));
    });
    let counters = org.control(Method::GET, "/counters", Value::Null).await;
    assert_eq!(counters["endpoints"]["SOAP convertLead"], 4);
}
