//! The calls of the partner API that clients still need: `login`, `logout`, `convertLead`, `merge`.
//!
//! Owns their arguments and answers. The conversion of a lead has no REST resource, so that whoever converts leads comes here.
//! There are no opportunities in this org: a conversion that does not decline one is refused with a message that says so.

use quick_xml::escape::escape;

use super::error::Fault;
use super::ids::Id;
use super::oauth::{Tokens, check_password};
use super::objects::Object;
use super::soap::{Element, SoapFault, read};
use super::world::{Actor, World};

/// Most leads, and most merges, in a call.
const MOST_CONVERSIONS: usize = 100;
const MOST_MERGES: usize = 200;

/// Answers a call. The flag tells whether it counts against the daily allowance, as everything but `login` does.
pub fn answer(
    world: &mut World,
    tokens: &mut Tokens,
    version: &str,
    call: u64,
    body: &[u8],
) -> Result<String, SoapFault> {
    let (header, body) = read(body)?;
    let operation = body.children.first().ok_or_else(|| SoapFault::new("INVALID_OPERATION", "nothing was called"))?;
    if operation.name == "login" {
        return login(world, tokens, version, operation);
    }
    let now = world.now();
    let session = header.child("SessionHeader").map(|header| header.text_of("sessionId")).unwrap_or_default();
    if !tokens.check(session, &world.options, now) {
        world.counters.misuse.dead_tokens += 1;
        let message =
            "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key";
        return Err(SoapFault::new("INVALID_SESSION_ID", message));
    }
    let allowed = world.options.daily_calls;
    if !world.counters.take_call(now, allowed) {
        return Err(SoapFault::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."));
    }
    world.counters.call("SOAP", &operation.name, operation.name != "logout");
    let actor = Actor { user: world.api_user, api: true, call, allow_save: false };
    match operation.name.as_str() {
        "logout" => {
            tokens.revoke(session);
            Ok("<logoutResponse/>".into())
        }
        "convertLead" => each(operation, "leadConverts", MOST_CONVERSIONS, |convert| {
            world.atomically(|world| conversion(world, &actor, convert))
        }),
        "merge" => {
            each(operation, "request", MOST_MERGES, |merge| world.atomically(|world| union(world, &actor, merge)))
        }
        other => Err(SoapFault::new(
            "INVALID_OPERATION",
            format!("this org answers login, logout, convertLead and merge, not {other}"),
        )),
    }
}

fn login(world: &mut World, tokens: &mut Tokens, version: &str, login: &Element) -> Result<String, SoapFault> {
    let (username, password) = (login.text_of("username"), login.text_of("password"));
    if !check_password(&world.options, username, password) {
        let message = "Invalid username, password, security token; or user locked out.";
        return Err(SoapFault { prefix: "", detail: "LoginFault", ..SoapFault::new("INVALID_LOGIN", message) });
    }
    world.counters.tokens += 1;
    let now = world.now();
    let session = tokens.session(world, now);
    let (base, org, user) = (&world.base_url, world.organization, world.api_user);
    let (short, seconds) = (org.short(), world.options.token_seconds);
    let name = escape(world.options.api_user_name.as_str());
    Ok(format!(
        "<loginResponse><result><metadataServerUrl>{base}/services/Soap/m/{version}/{short}</metadataServerUrl>\
         <passwordExpired>false</passwordExpired><sandbox>false</sandbox>\
         <serverUrl>{base}/services/Soap/u/{version}/{short}</serverUrl><sessionId>{session}</sessionId><userId>{user}</userId>\
         <userInfo><organizationId>{org}</organizationId><organizationName>Acme</organizationName>\
         <sessionSecondsValid>{seconds}</sessionSecondsValid><userId>{user}</userId><userName>{name}</userName>\
         <userType>Standard</userType></userInfo></result></loginResponse>"
    ))
}

/// A result for each argument, in their order.
fn each(
    operation: &Element,
    argument: &str,
    most: usize,
    mut work: impl FnMut(&Element) -> Result<String, Fault>,
) -> Result<String, SoapFault> {
    // jsforce names the argument of `merge` `mergeRequests`, the WSDL `request`.
    let named = |child: &&Element| child.name == argument || (argument == "request" && child.name == "mergeRequests");
    let arguments: Vec<&Element> = operation.children.iter().filter(named).collect();
    if arguments.len() > most {
        return Err(SoapFault::new("EXCEEDED_MAX_TYPES_LIMIT", format!("at most {most} in a call")));
    }
    let results: String = arguments
        .into_iter()
        .map(|argument| format!("<result>{}</result>", work(argument).unwrap_or_else(|fault| refused(&fault))))
        .collect();
    Ok(format!("<{0}Response>{results}</{0}Response>", operation.name))
}

fn refused(fault: &Fault) -> String {
    let fields: String = fault.fields.iter().flatten().map(|field| format!("<fields>{field}</fields>")).collect();
    let (code, message) = (&fault.code, escape(fault.message.as_str()));
    format!(
        "<errors>{fields}<message>{message}</message><statusCode>{code}</statusCode></errors><success>false</success>"
    )
}

fn id(element: &Element, name: &str, object: Object) -> Result<Option<Id>, Fault> {
    let text = element.text_of(name);
    if text.is_empty() {
        return Ok(None);
    }
    let id = Id::parse(text).filter(|id| id.prefix() == object.prefix());
    id.map(Some).ok_or_else(|| Fault::malformed_id(name, text, name))
}

fn conversion(world: &mut World, actor: &Actor, convert: &Element) -> Result<String, Fault> {
    let lead = id(convert, "leadId", Object::Lead)?.ok_or_else(|| Fault::required(&["leadId"]))?;
    let (account, contact) = (id(convert, "accountId", Object::Account)?, id(convert, "contactId", Object::Contact)?);
    let status = convert.text_of("convertedStatus");
    if status != "Closed - Converted" {
        return Err(Fault::new("INVALID_STATUS", format!("invalid convertedStatus: {status}")).fields(&[]));
    }
    if convert.text_of("doNotCreateOpportunity") != "true" {
        let message = "the emulated org has no opportunities: set doNotCreateOpportunity to true";
        return Err(Fault::new("FEATURE_NOT_ENABLED", message).fields(&[]));
    }
    if contact.is_some() && account.is_none() {
        return Err(Fault::new("REQUIRED_FIELD_MISSING", "accountId is needed with contactId").fields(&["accountId"]));
    }
    let contact = world.convert_into(actor, lead, contact, account)?;
    let account = world.row(contact).and_then(|row| row.id_of("AccountId"));
    let account =
        account.map_or_else(|| "<accountId xsi:nil=\"true\"/>".into(), |id| format!("<accountId>{id}</accountId>"));
    Ok(format!(
        "{account}<contactId>{contact}</contactId><leadId>{lead}</leadId><opportunityId xsi:nil=\"true\"/><success>true</success>"
    ))
}

fn union(world: &mut World, actor: &Actor, merge: &Element) -> Result<String, Fault> {
    let master = merge.child("masterRecord").cloned().unwrap_or_default();
    let kind = [master.text_of("type"), master.text_of("Id"), master.text_of("id")];
    let winner = [kind[1], kind[2]].into_iter().find_map(Id::parse);
    let winner = winner.ok_or_else(|| Fault::malformed_id("masterRecord", kind[1], "Id"))?;
    let losers: Vec<&str> = merge.all("recordToMergeIds").map(|element| element.text.as_str()).collect();
    if losers.is_empty() || losers.len() > 2 {
        return Err(Fault::new("INVALID_NUM_1_RECORDS", "one or two records can be merged into another").fields(&[]));
    }
    let mut merged = String::new();
    for loser in losers {
        let loser = Id::parse(loser).ok_or_else(|| Fault::malformed_id("recordToMergeIds", loser, "Id"))?;
        world.merge(actor, winner, loser)?;
        merged.push_str(&format!("<mergedRecordIds>{loser}</mergedRecordIds>"));
    }
    Ok(format!("<id>{winner}</id>{merged}<success>true</success>"))
}
