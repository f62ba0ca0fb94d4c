//! The schema: which objects there are and which fields they have.
//!
//! Owns how a line of `fields` becomes a field, and what one user sees of it. Knows no rows.

use std::collections::HashMap;
use std::sync::Arc;

use super::fields::{ACCOUNT, CAMPAIGN, CONTACT, DUPLICATE_RULE, LEAD, MEMBER, ORGANIZATION, STATUS, SYSTEM, USER};
use super::ids::Id;
use super::options::{FieldAccess, Options};

/// Objects of the emulated org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    Campaign,
    CampaignMember,
    CampaignMemberStatus,
    Lead,
    Contact,
    Account,
    User,
    Organization,
    DuplicateRule,
}

impl Object {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Campaign,
        Self::CampaignMember,
        Self::CampaignMemberStatus,
        Self::Lead,
        Self::Contact,
        Self::Account,
        Self::User,
        Self::Organization,
        Self::DuplicateRule,
    ];

    /// Name, label, plural, key prefix and field table.
    fn parts(self) -> (&'static str, &'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Campaign => ("Campaign", "Campaign", "Campaigns", "701", CAMPAIGN),
            Self::CampaignMember => ("CampaignMember", "Campaign Member", "Campaign Members", "00v", MEMBER),
            Self::CampaignMemberStatus => {
                ("CampaignMemberStatus", "Campaign Member Status", "Campaign Member Statuses", "01Y", STATUS)
            }
            Self::Lead => ("Lead", "Lead", "Leads", "00Q", LEAD),
            Self::Contact => ("Contact", "Contact", "Contacts", "003", CONTACT),
            Self::Account => ("Account", "Account", "Accounts", "001", ACCOUNT),
            Self::User => ("User", "User", "Users", "005", USER),
            Self::Organization => ("Organization", "Organization", "Organizations", "00D", ORGANIZATION),
            Self::DuplicateRule => ("DuplicateRule", "Duplicate Rule", "Duplicate Rules", "0Bm", DUPLICATE_RULE),
        }
    }

    pub fn name(self) -> &'static str {
        self.parts().0
    }

    pub fn label(self) -> &'static str {
        self.parts().1
    }

    pub fn plural(self) -> &'static str {
        self.parts().2
    }

    pub fn prefix(self) -> &'static str {
        self.parts().3
    }

    /// Of which object a row with this id is.
    pub fn of(id: Id) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.prefix() == id.prefix())
    }

    /// Lookups that point here: name of the child relationship, the child, its field, whether a delete cascades.
    pub fn children(self) -> &'static [(&'static str, Self, &'static str, bool)] {
        match self {
            Self::Campaign => &[
                ("CampaignMembers", Self::CampaignMember, "CampaignId", true),
                ("CampaignMemberStatuses", Self::CampaignMemberStatus, "CampaignId", true),
                ("ChildCampaigns", Self::Campaign, "ParentId", false),
            ],
            Self::Lead => &[("CampaignMembers", Self::CampaignMember, "LeadId", true)],
            Self::Contact => &[("CampaignMembers", Self::CampaignMember, "ContactId", true)],
            Self::Account => &[("Contacts", Self::Contact, "AccountId", false)],
            _ => &[],
        }
    }
}

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Id,
    Reference(Object),
    Text(&'static str),
    Boolean,
    Int,
    Number(&'static str),
    Date,
    Time,
}

/// One field of one object.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Arc<str>,
    pub label: String,
    pub kind: Kind,
    pub length: usize,
    pub create: bool,
    pub update: bool,
    pub nillable: bool,
    pub defaulted: bool,
    pub lookup: bool,
    pub external: bool,
    pub filterable: bool,
    pub restricted: bool,
    /// Digits after the point.
    pub scale: u8,
    /// Not to be seen by the user; writes to it are refused.
    pub hidden: bool,
    pub values: Vec<&'static str>,
    /// Name under which the row at the other end is reached (`Lead` for `LeadId`).
    pub relationship: Option<String>,
}

/// The fields of an object, as one user sees them.
#[derive(Debug)]
pub struct Table {
    pub object: Object,
    pub fields: Vec<Field>,
    pub create: bool,
    pub update: bool,
    names: HashMap<String, usize>,
}

impl Table {
    fn new(object: Object, options: &Options) -> Self {
        let lines = object.parts().4.lines().chain(SYSTEM.lines());
        let mut fields: Vec<Field> = lines.filter_map(parse).collect();
        let currency = fields.iter_mut().filter(|field| field.kind == Kind::Number("currency"));
        currency.for_each(|field| field.scale = options.currency_scale);
        let custom = &options.person_external_id_field;
        if object == Object::Lead && !custom.is_empty() {
            fields.push(Field { external: true, ..parse_named(custom, "string:255", "cuni", "") });
        }
        let required = &options.required_lead_field;
        if object == Object::Lead && !required.is_empty() {
            fields.push(parse_named(required, "string:255", "cu", ""));
        }
        if object == Object::CampaignMember && options.accounts_as_members {
            fields.push(parse_named("AccountId", "ref:Account", "cn", ""));
        }
        let read_only = matches!(object, Object::User | Object::Organization | Object::DuplicateRule);
        Self { object, names: names(&fields), fields, create: !read_only, update: !read_only }
    }

    /// By API name in any case, hidden ones too.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.names.get(&name.to_lowercase()).map(|n| &self.fields[*n])
    }

    /// The reference behind a relationship name such as `Lead`.
    pub fn relationship(&self, name: &str) -> Option<(&Field, Object)> {
        self.fields.iter().find_map(|f| match (f.kind, &f.relationship) {
            (Kind::Reference(to), Some(r)) if r.eq_ignore_ascii_case(name) => Some((f, to)),
            _ => None,
        })
    }
}

/// All objects as one user sees them.
#[derive(Debug)]
pub struct Schema(Vec<Table>);

impl Schema {
    /// As an administrator sees them.
    #[must_use]
    pub fn full(options: &Options) -> Self {
        Self(Object::ALL.into_iter().map(|o| Table::new(o, options)).collect())
    }

    /// As the API user sees them, with the restrictions of the options.
    #[must_use]
    pub fn of_api_user(options: &Options) -> Self {
        let mut schema = Self::full(options);
        for field in &mut schema.0[Object::Campaign as usize].fields {
            match &*field.name {
                "ActualCost" => {
                    field.hidden = options.actual_cost == FieldAccess::Hidden;
                    field.update = options.actual_cost == FieldAccess::Writable;
                    field.create = field.update;
                }
                "Type" => field.restricted = options.restricted_type,
                _ => {}
            }
        }
        if !options.marketing_user {
            let campaign = &mut schema.0[Object::Campaign as usize];
            (campaign.create, campaign.update) = (false, false);
            campaign.fields.iter_mut().for_each(|f| (f.create, f.update) = (false, false));
            // The object reference: only Marketing Users see CampaignMemberStatus.
            schema.0.retain(|t| t.object != Object::CampaignMemberStatus);
        }
        schema.restrict(options);
        schema
    }

    /// What the user's profile takes away.
    fn restrict(&mut self, options: &Options) {
        self.0.retain(|table| !options.hidden_objects.iter().any(|name| name == table.object.name()));
        for table in &mut self.0 {
            let object = table.object.name();
            if options.read_only_objects.iter().any(|name| name == object) {
                (table.create, table.update) = (false, false);
                table.fields.iter_mut().for_each(|f| (f.create, f.update) = (false, false));
            }
            let named = |f: &&mut Field| options.read_only_fields.contains(&format!("{object}.{}", f.name));
            table.fields.iter_mut().filter(named).for_each(|f| (f.create, f.update) = (false, false));
            let hidden = |f: &&mut Field| options.hidden_fields.contains(&format!("{object}.{}", f.name));
            table.fields.iter_mut().filter(hidden).for_each(|f| f.hidden = true);
        }
    }

    /// The table of an object that this user sees.
    pub fn table(&self, object: Object) -> Option<&Table> {
        self.0.iter().find(|t| t.object == object)
    }

    /// By API name in any case.
    pub fn named(&self, name: &str) -> Option<&Table> {
        self.0.iter().find(|t| t.object.name().eq_ignore_ascii_case(name))
    }

    /// All tables.
    pub fn tables(&self) -> &[Table] {
        &self.0
    }
}

fn names(fields: &[Field]) -> HashMap<String, usize> {
    fields.iter().enumerate().map(|(n, f)| (f.name.to_lowercase(), n)).collect()
}

fn parse(line: &'static str) -> Option<Field> {
    let mut parts = line.splitn(4, ' ').map(str::trim);
    let (name, kind, flags) = (parts.next()?, parts.next()?, parts.next()?);
    Some(parse_named(name, kind, flags, parts.next().unwrap_or_default()))
}

fn parse_named(name: &str, kind: &'static str, flags: &str, values: &'static str) -> Field {
    let (kind, size) = kind.split_once(':').unwrap_or((kind, ""));
    let reference = Object::ALL.into_iter().find(|o| o.name() == size);
    let (kind, length) = match (kind, reference) {
        ("ref", Some(target)) => (Kind::Reference(target), 18),
        ("id", _) => (Kind::Id, 18),
        ("boolean", _) => (Kind::Boolean, 0),
        ("int", _) => (Kind::Int, 0),
        ("currency" | "percent" | "double", _) => (Kind::Number(kind), 0),
        ("date", _) => (Kind::Date, 0),
        ("datetime", _) => (Kind::Time, 0),
        _ => (Kind::Text(kind), size.parse().unwrap_or(255)),
    };
    let has = |flag| flags.contains(flag);
    let is_reference = matches!(kind, Kind::Reference(_));
    Field {
        name: name.into(),
        label: label(name, is_reference || kind == Kind::Id),
        kind,
        length,
        create: has('c'),
        update: has('u'),
        nillable: has('n'),
        defaulted: has('d'),
        lookup: has('i'),
        external: false,
        filterable: !has('f'),
        restricted: false,
        scale: 0,
        hidden: false,
        values: values.split('|').map(str::trim).filter(|v| !v.is_empty()).collect(),
        relationship: is_reference.then(|| name.trim_end_matches("Id").to_owned()),
    }
}

/// `CampaignId` to `Campaign ID`, `LastName` to `Last Name`.
fn label(name: &str, is_id: bool) -> String {
    let stem = if is_id { name.strip_suffix("Id").unwrap_or(name) } else { name.trim_end_matches("__c") };
    let mut out = String::new();
    for c in stem.chars() {
        if c.is_uppercase() && !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        out.push(if c == '_' { ' ' } else { c });
    }
    if is_id { format!("{out} ID").trim().to_owned() } else { out }
}
