//! Outbound messages as SOAP, and the acknowledgement they want.
//!
//! Owns the envelope byte for byte as recorded, with fields in alphabetical order and nulls left out, and the one
//! answer that counts: the namespaces and elements of the guide, with `true` in `Ack`.

use quick_xml::NsReader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

use super::ids::Id;
use super::objects::Object;
use super::row::Row;
use super::world::World;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";

fn fields(object: Object) -> &'static [&'static str] {
    match object {
        Object::CampaignMember => &[
            "CampaignId",
            "ContactId",
            "CreatedDate",
            "FirstRespondedDate",
            "HasResponded",
            "LastModifiedById",
            "LeadId",
            "Status",
            "SystemModstamp",
        ],
        Object::Lead => &["ConvertedContactId", "Email", "IsConverted", "LastModifiedById", "SystemModstamp"],
        Object::Campaign => &["IsActive", "LastModifiedById", "Name", "SystemModstamp", "Type"],
        _ => &["Email", "LastModifiedById", "SystemModstamp"],
    }
}

/// The message for these records, each with the id of its notification.
#[must_use]
pub fn message(world: &World, object: Object, notifications: &[(Id, &Row)]) -> String {
    let (org, base_url) = (world.organization, &world.base_url);
    let (action, short) = (Id::new("04k", object as u64 + 1), org.short());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n \
         <soapenv:Body>\n  <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\">\n   \
         <OrganizationId>{org}</OrganizationId>\n   <ActionId>{action}</ActionId>\n   <SessionId xsi:nil=\"true\"/>\n   \
         <EnterpriseUrl>{base_url}/services/Soap/c/60.0/{short}</EnterpriseUrl>\n   \
         <PartnerUrl>{base_url}/services/Soap/u/60.0/{short}</PartnerUrl>\n"
    );
    for (id, row) in notifications {
        let name = object.name();
        out.push_str(&format!(
            "   <Notification>\n    <Id>{id}</Id>\n    <sObject xsi:type=\"sf:{name}\" \
             xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">\n     <sf:Id>{}</sf:Id>\n",
            row.id
        ));
        for field in fields(object) {
            if let Some(text) = world.read(row, field).to_xml() {
                out.push_str(&format!("     <sf:{field}>{}</sf:{field}>\n", escape(text.as_str())));
            }
        }
        out.push_str("    </sObject>\n   </Notification>\n");
    }
    out.push_str("  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>");
    out
}

/// Whether an answer acknowledges the message.
#[must_use]
pub fn is_ack(body: &str) -> bool {
    const PATH: [(&str, &str); 4] =
        [(SOAP, "Envelope"), (SOAP, "Body"), (OUTBOUND, "notificationsResponse"), (OUTBOUND, "Ack")];
    let mut reader = NsReader::from_str(body);
    let (mut depth, mut acknowledged) = (0, false);
    loop {
        match reader.read_resolved_event() {
            Ok((ResolveResult::Bound(namespace), Event::Start(element))) => {
                let expected = PATH.get(depth).copied();
                if expected != Some((namespace.as_ref(), element.local_name().as_ref())) {
                    return false;
                }
                depth += 1;
            }
            Ok((_, Event::Text(text))) => match (depth, text.trim()) {
                (_, "") => {}
                (4, "true") => acknowledged = true,
                _ => return false,
            },
            Ok((_, Event::End(_))) => {
                if depth == 0 {
                    return false;
                }
                depth -= 1;
            }
            Ok((_, Event::Eof)) => return acknowledged && depth == 0,
            Ok((_, Event::Decl(_) | Event::Comment(_))) => {}
            _ => return false,
        }
    }
}
