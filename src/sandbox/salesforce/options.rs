//! How the emulated org behaves.
//!
//! Owns every choice: identity of the org, switches of an administrator, and one named field for each fact about Salesforce
//! that nobody has verified, with the default that is worst for a careless client. Changed at run time by the control API.

use serde::{Deserialize, Serialize};

/// Whether the API user may see and write `Campaign.ActualCost` (field-level security).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldAccess {
    Writable,
    ReadOnly,
    Hidden,
}

/// What the standard duplicate rule does when the API user creates a lead whose e-mail a lead or contact has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateRule {
    Off,
    /// Refused unless the call carries `Sforce-Duplicate-Rule-Header: allowSave=true`.
    Alert,
    /// Refused always.
    Block,
}

/// A rule that refuses to save records of an object in which a field has this value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationRule {
    pub object: String,
    pub field: String,
    /// As the REST API shows it; null for an empty field.
    #[serde(default)]
    pub equals: serde_json::Value,
    /// The administrator's words.
    pub message: String,
}

/// Behaviour of the emulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Username of the integration user, the `sub` of a JWT.
    pub api_user_name: String,
    pub client_id: String,
    pub client_secret: String,
    /// Password of the integration user, for SOAP `login` and the password grant.
    pub api_user_password: String,
    /// What has to follow the password, unless the client's network is trusted.
    pub security_token: String,
    /// The client's address is among the trusted IP ranges: a password needs no security token.
    pub trusted_network: bool,
    /// RSA public key that JWT assertions must be signed for, PEM (SPKI or PKCS #1).
    pub jwt_public_key_pem: Option<String>,
    /// Accepted as `aud` beside the base URL.
    pub jwt_audiences: Vec<String>,
    pub organization_id: String,
    /// Seconds a token lives.
    pub token_seconds: u64,
    /// A use prolongs a token. Unverified for tokens of client credentials.
    pub token_slides: bool,
    /// The API user has the Marketing User feature licence.
    pub marketing_user: bool,
    pub actual_cost: FieldAccess,
    /// Digits after the point of currency fields; a fresh Developer org has none.
    pub currency_scale: u8,
    /// Objects that the API user's profile does not show, by API name.
    pub hidden_objects: Vec<String>,
    /// Objects that the profile lets the API user only read.
    pub read_only_objects: Vec<String>,
    /// Fields that field-level security lets the API user only read, `Campaign.Type`.
    pub read_only_fields: Vec<String>,
    /// Fields that it hides from the API user, `CampaignMember.AccountId`.
    pub hidden_fields: Vec<String>,
    /// Custom field of Lead that must be filled, `..__c`; empty for none.
    pub required_lead_field: String,
    /// Validation rules of the customer's own; they hold for people too.
    pub validation_rules: Vec<ValidationRule>,
    /// `Campaign.Type` is a restricted picklist.
    pub restricted_type: bool,
    /// The setting "Accounts as Campaign Members": accounts can be members, and `CampaignMember.AccountId` exists.
    pub accounts_as_members: bool,
    /// Custom unique external-id field on Lead, `..__c`; empty for none.
    pub person_external_id_field: String,
    /// Fresh orgs have the rule active, measured on a live one.
    pub duplicate_rule: DuplicateRule,
    /// Answer parallel writes to members of one campaign with `UNABLE_TO_LOCK_ROW`; they are counted in any case.
    pub lock_campaigns: bool,
    /// Milliseconds for which a write holds its campaigns after it was applied and before it is answered.
    pub member_write_millis: u64,
    /// Calls allowed in 24 hours.
    pub daily_calls: u64,
    /// Rows of a query page, in place of 2,000 and of what the client asks for.
    pub page_size: Option<usize>,
    /// Seconds by which `latestDateCovered` lags behind.
    pub replication_lag_seconds: i64,
    /// Profile setting "Send Outbound Messages" of the API user.
    pub api_user_sends_outbound_messages: bool,
    pub seed: u64,

    // Facts nobody has verified.
    /// Error of a member with neither lead nor contact.
    pub member_without_person_code: String,
    /// Error of a new member for a converted lead.
    pub member_of_converted_lead_code: String,
    /// Error of a lookup to a row in the recycle bin.
    pub deleted_reference_code: String,
    /// Error when a default or used member status is deleted.
    pub status_delete_code: String,
    /// Error when a campaign would lose its default or its last responded status.
    pub status_integrity_code: String,
    /// Status labels are matched with case; a label in another case is then coerced to the default.
    pub status_match_is_exact: bool,
    /// A label may occur once in a campaign.
    pub status_labels_unique: bool,
    /// HTTP status of `INSUFFICIENT_ACCESS_OR_READONLY`: 400 or 403.
    pub insufficient_access_status: u16,
    /// Most parts of a Composite call.
    pub composite_parts: usize,
    /// Most of them that are queries or Collections calls.
    pub composite_heavy_parts: usize,
    /// `FirstRespondedDate` is cleared when a member goes back to a status that is not a response.
    pub first_responded_resets: bool,
    /// `Type` and `LeadOrContactId` of a member follow the conversion of its lead.
    pub conversion_flips_type: bool,
    /// The conversion of a lead fires the member trigger.
    pub conversion_fires_member_trigger: bool,
    /// Conversion and merge advance `SystemModstamp` of the members they change.
    pub reparenting_touches_members: bool,
    /// When the contact of a converted lead is a member already, both rows stay; else the lead's goes.
    pub conversion_keeps_both_members: bool,
    /// When merged persons are members of one campaign, the row of the surviving person stays; else the other's status wins.
    pub merge_keeps_winner_status: bool,
    /// Members deleted in a cascade appear in `getDeleted`.
    pub cascade_in_deleted_log: bool,
    /// A change of a member advances `SystemModstamp` of its campaign.
    pub member_touches_campaign: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_user_name: "campaign-sync@acme.example".into(),
            client_id: "3MVG9campaignsync".into(),
            client_secret: "sandbox-client-secret".into(),
            api_user_password: "sandbox-password".into(),
            security_token: "sandboxtoken".into(),
            trusted_network: false,
            jwt_public_key_pem: None,
            jwt_audiences: vec!["https://login.salesforce.com".into(), "https://test.salesforce.com".into()],
            organization_id: "00D4S000000oz4eUAA".into(),
            token_seconds: 7200,
            token_slides: false,
            marketing_user: true,
            actual_cost: FieldAccess::Writable,
            currency_scale: 0,
            hidden_objects: Vec::new(),
            read_only_objects: Vec::new(),
            read_only_fields: Vec::new(),
            hidden_fields: Vec::new(),
            required_lead_field: String::new(),
            validation_rules: Vec::new(),
            restricted_type: false,
            accounts_as_members: false,
            person_external_id_field: String::new(),
            duplicate_rule: DuplicateRule::Alert,
            lock_campaigns: true,
            member_write_millis: 2,
            daily_calls: 100_000,
            page_size: None,
            replication_lag_seconds: 0,
            api_user_sends_outbound_messages: true,
            seed: 1,
            member_without_person_code: "REQUIRED_FIELD_MISSING".into(),
            member_of_converted_lead_code: "CANNOT_UPDATE_CONVERTED_LEAD".into(),
            deleted_reference_code: "ENTITY_IS_DELETED".into(),
            status_delete_code: "DELETE_FAILED".into(),
            status_integrity_code: "FIELD_INTEGRITY_EXCEPTION".into(),
            status_match_is_exact: true,
            status_labels_unique: true,
            insufficient_access_status: 400,
            composite_parts: 25,
            composite_heavy_parts: 5,
            first_responded_resets: false,
            conversion_flips_type: true,
            conversion_fires_member_trigger: false,
            reparenting_touches_members: false,
            conversion_keeps_both_members: true,
            merge_keeps_winner_status: true,
            cascade_in_deleted_log: false,
            member_touches_campaign: false,
        }
    }
}
