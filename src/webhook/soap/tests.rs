//! Outbound messages as tables.

use super::*;
use crate::domain::hint::Hint;

const ORG: &str = "00D5w000004qGTOEA2";
const MEMBER: &str = "<sf:Id>00v4S000001VKQ1QAO</sf:Id>";

fn id(text: &str) -> SalesforceId {
    text.parse().unwrap()
}

/// As Salesforce sends it, with `notifications` in it.
fn message(notifications: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{ORG}</OrganizationId>
   <ActionId>04k5w000000TSwMAAW</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/59.0/00D5w000004qGTO</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/59.0/00D5w000004qGTO</PartnerUrl>
   {notifications}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"#
    )
}

fn notification(fields: &str) -> String {
    format!(
        r#"<Notification><Id>04l5w00005286hAAAQ</Id><sObject xsi:type="sf:CampaignMember" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject></Notification>"#
    )
}

fn member(status: Option<&str>) -> Hint {
    Hint::CampaignMember {
        member_id: id("00v4S000001VKQ1QAO"),
        campaign_id: None,
        person_id: None,
        operation: None,
        status: status.map(str::to_owned),
        modified_by: None,
        modstamp: None,
    }
}

fn check(body: &str, expected: Result<&[Hint], &str>) {
    match (parse(body.as_bytes(), Some(&id(ORG))), expected) {
        (Ok(delivery), Ok(hints)) => {
            let hint = |hint: &Hint| DeliveredHint {
                delivery_id: Some("04l5w00005286hAAAQ".to_owned()),
                position: 0,
                hint: hint.clone(),
            };
            assert_eq!(delivery.records, hints.iter().map(hint).collect::<Vec<_>>(), "{body}");
        }
        (Err(refusal), Err(part)) => assert!(refusal.to_string().contains(part), "{body}\n{refusal}"),
        (outcome, _) => panic!("{body:.2000}\n{outcome:?}\nexpected {expected:?}"),
    }
}

#[test]
fn records() {
    let full = "<sf:Id>00v4S000001VKQ1QAO</sf:Id><sf:CampaignId>7014S00000097HcQAI</sf:CampaignId>\
        <sf:CreatedDate>2026-11-23T20:00:00.000Z</sf:CreatedDate><sf:HasResponded>true</sf:HasResponded>\
        <sf:LastModifiedById>0054S000000JFmhQAG</sf:LastModifiedById><sf:LeadId>00Q4S000002sSacUAE</sf:LeadId>\
        <sf:Status>Attended</sf:Status><sf:SystemModstamp>2026-11-23T20:05:00.000Z</sf:SystemModstamp>";
    let hint = Hint::CampaignMember {
        member_id: id("00v4S000001VKQ1QAO"),
        campaign_id: Some(id("7014S00000097HcQAI")),
        person_id: Some(id("00Q4S000002sSacUAE")),
        operation: None,
        status: Some("Attended".to_owned()),
        modified_by: Some(id("0054S000000JFmhQAG")),
        modstamp: Some("2026-11-23T20:05:00Z".parse().unwrap()),
    };
    check(&message(&notification(full)), Ok(&[hint]));
    for (status, read) in [
        ("", None),
        ("<sf:Status/>", None),
        (r#"<sf:Status xsi:nil="true"/>"#, None),
        ("<sf:Status>R&amp;D &lt;x&gt; &#233;&#xE9; &quot;&apos;</sf:Status>", Some("R&D <x> éé \"'")),
        ("<sf:Status><![CDATA[a<b]]> c<!-- d --></sf:Status>", Some("a<b c")),
        ("<sf:Status>Öffnung</sf:Status>", Some("Öffnung")),
        (r#"<x:Status xmlns:x="urn:other">Attended</x:Status>"#, None),
        ("<Status>of the outbound namespace</Status>", None),
        (r#"<y:Status xmlns:y="urn:sobject.partner.soap.sforce.com">Attended</y:Status>"#, Some("Attended")),
        ("<sf:Lead><sf:Status>of another record</sf:Status></sf:Lead>", None),
    ] {
        check(&message(&notification(&format!("{MEMBER}{status}"))), Ok(&[member(read)]));
    }
    check(&message(&notification(MEMBER).repeat(100)), Ok(&vec![member(None); 100]));
    check(&message(&notification("<sf:Id>0064S000001VKQ1</sf:Id>")), Ok(&[]));
    let lead = Hint::SalesforcePerson {
        person_id: id("00Q4S000002sSacUAE"),
        operation: None,
        master_id: None,
        converted_contact_id: None,
    };
    check(&message(&notification("<sf:Id>00Q4S000002sSac</sf:Id>")), Ok(&[lead]));
    check(&message(&notification(MEMBER)).replace(ORG, &ORG[..15]), Ok(&[member(None)]));
    // Another prefix for the same namespace, and a byte order mark.
    check(&format!("\u{feff}{}", message(&notification(MEMBER)).replace("soapenv", "S")), Ok(&[member(None)]));
}

#[test]
fn a_session_id_is_not_kept() {
    let body =
        message(&notification(MEMBER)).replace(r#"<SessionId xsi:nil="true"/>"#, "<SessionId>00D!secret</SessionId>");
    let read = read(&body).unwrap();
    assert!(!format!("{read:?}").contains("secret"));
    assert!(!format!("{:?}", parse(body.as_bytes(), None)).contains("secret"));
}

#[test]
fn refusals() {
    let good = message(&notification(MEMBER));
    let laughs = good.replace(
        "<soapenv:Envelope",
        r#"<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><soapenv:Envelope"#,
    );
    let deep = |n: usize| format!("{MEMBER}{}{}", "<a>".repeat(n), "</a>".repeat(n));
    check(&message(&notification(&deep(20))), Ok(&[member(None)]));
    for (body, part) in [
        (String::new(), "not XML"),
        ("{}".to_owned(), "not XML"),
        ("plain".to_owned(), "not XML"),
        ("<a/>".to_owned(), "not a SOAP 1.1 envelope"),
        (
            good.replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
            "SOAP 1.1",
        ),
        (good.replace("2005/09/outbound", "2099/09/outbound"), "no outbound message"),
        (good.replace("notifications", "notification"), "no outbound message"),
        (laughs, "DOCTYPE"),
        (
            good.replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE a SYSTEM \"file:///etc/passwd\">"),
            "DOCTYPE",
        ),
        (message(&notification(&format!("{MEMBER}<sf:Status>&lol;</sf:Status>"))), "entity"),
        (message(&notification(&format!("{MEMBER}<sf:Status>&#x110000;</sf:Status>"))), "not XML"),
        (message(&notification(&format!("{MEMBER}<sf:Status>a & b</sf:Status>"))), "not XML"),
        (message(&notification(&deep(40))), "too deeply"),
        (message(&notification(&deep(30_000))), "too deeply"),
        (format!("{good}<b/>"), "two roots"),
        (format!("{good} x"), "text outside"),
        (good[..good.len() - 5].to_owned(), "not XML"),
        (good[..good.len() - "</soapenv:Envelope>".len()].to_owned(), "ends too early"),
        (good.replace("</sf:Id>", "</sf:ID>"), "not XML"),
        (good.replace("<sf:Id>", "<sg:Id>").replace("</sf:Id>", "</sg:Id>"), "prefix"),
        (good.replace("<ActionId>", "<ActionId a='1' a='2'>"), "not XML"),
        (good.replace(&format!("<OrganizationId>{ORG}</OrganizationId>"), ""), "no OrganizationId"),
        (good.replace(ORG, "00D4S000000oz4eUAA"), "another organisation"),
        (good.replace(ORG, "7014S00000097HcQAI"), "begins with 00D"),
        (good.replace(ORG, "00D"), "OrganizationId: a Salesforce id"),
        (good.replace("<Id>04l5w00005286hAAAQ</Id>", ""), "Notification[0] has no Id"),
        // Found by the fuzzer: one database keeps no such character, and no index so long a text.
        (good.replace("<Id>04l", "<Id>\0"), "an Id that is none"),
        (good.replace("<Id>04l", &format!("<Id>{}", "0".repeat(5_000))), "an Id that is none"),
        (message(&notification("")), "no sObject with an Id"),
        (message("<Notification><Id>04l5w00005286hAAAQ</Id></Notification>"), "no sObject with an Id"),
        (message(&notification("<sf:Id>00v4S000001VKQ1QAA</sf:Id>")), "Notification[0].sObject.Id: the last three"),
        (message(&notification(&format!("{MEMBER}<sf:LeadId>x</sf:LeadId>"))), "Notification[0].sObject.LeadId"),
        (message(""), "1 to 100"),
        (message(&notification(MEMBER).repeat(101)), "1 to 100"),
    ] {
        check(&body, Err(part));
    }
    assert!(matches!(parse(b"\xff\xfe<\0", None), Err(Refusal::Malformed(_))));
}
