//! The field tables, after the describe of a live Developer org (API 42.0) and the object reference.
//!
//! A line is: name, type with length or target, flags, values of a picklist (the first is the default if `d`), or the objects that a
//! `reference` leads to: lookups to several objects, or to one that this org has no rows of.
//! Flags: `c` createable, `u` updateable, `n` nillable, `d` defaulted on create, `i` a lookup for upserts, `f` no filter.

pub const SYSTEM: &str = "\
Id id d
IsDeleted boolean d
CreatedDate datetime d
CreatedById ref:User d
LastModifiedDate datetime d
LastModifiedById ref:User d
SystemModstamp datetime d";

pub const CAMPAIGN: &str = "\
Name string:80 cui
ParentId ref:Campaign cun
Type picklist:40 cund Conference|Webinar|Trade Show|Public Relations|Partners|Referral Program|Advertisement|Banner Ads|Direct Mail|Email|Telemarketing|Other
Status picklist:40 cund Planned|In Progress|Completed|Aborted
StartDate date cun
EndDate date cun
ExpectedRevenue currency cun
BudgetedCost currency cun
ActualCost currency cun
ExpectedResponse percent cun
NumberSent double cun
IsActive boolean cud
Description textarea:32000 cunf
NumberOfLeads int -
NumberOfConvertedLeads int -
NumberOfContacts int -
NumberOfResponses int -
NumberOfOpportunities int -
NumberOfWonOpportunities int -
AmountAllOpportunities currency -
AmountWonOpportunities currency -
OwnerId ref:User cud
CampaignMemberRecordTypeId reference:18 n RecordType
LastActivityDate date n
LastViewedDate datetime n
LastReferencedDate datetime n";

pub const MEMBER: &str = "\
CampaignId ref:Campaign c
LeadId ref:Lead cn
ContactId ref:Contact cn
Status picklist:40 cun
HasResponded boolean d
FirstRespondedDate date n
Type string:40 n
LeadOrContactId reference:18 n Contact|Lead
LeadOrContactOwnerId ref:User n
Name string:121 n
FirstName string:40 n
LastName string:80 n
Salutation string:40 n
Title string:128 n
Email email:80 n
Phone phone:40 n
MobilePhone phone:40 n
Fax phone:40 n
Description textarea:32000 nf
Street string:255 n
City string:40 n
State string:80 n
PostalCode string:20 n
Country string:80 n
CompanyOrAccount string:255 n
LeadSource picklist:40 n";

pub const STATUS: &str = "\
CampaignId ref:Campaign c
Label string:765 c
SortOrder int cud
HasResponded boolean cud
IsDefault boolean cud";

pub const LEAD: &str = "\
MasterRecordId ref:Lead n
LastName string:80 cu
FirstName string:40 cun
Salutation picklist:40 cun Mr.|Ms.|Mrs.|Dr.|Prof.
Name string:121 -
Title string:128 cun
Company string:255 cu
Email email:80 cuni
Phone phone:40 cun
MobilePhone phone:40 cun
Fax phone:40 cun
Website url:255 cun
Street textarea:255 cun
City string:40 cun
State string:80 cun
PostalCode string:20 cun
Country string:80 cun
LeadSource picklist:40 cun Web|Phone Inquiry|Partner Referral|Purchased List|Other
Status picklist:40 cud Open - Not Contacted|Working - Contacted|Closed - Converted|Closed - Not Converted
Industry picklist:255 cun
Rating picklist:255 cun Hot|Warm|Cold
AnnualRevenue currency cun
NumberOfEmployees int cun
OwnerId ref:User cud
Description textarea:32000 cunf
IsConverted boolean d
ConvertedDate date n
ConvertedAccountId ref:Account n
ConvertedContactId ref:Contact n
ConvertedOpportunityId reference:18 n Opportunity";

pub const CONTACT: &str = "\
MasterRecordId ref:Contact n
AccountId ref:Account cun
LastName string:80 cu
FirstName string:40 cun
Salutation picklist:40 cun Mr.|Ms.|Mrs.|Dr.|Prof.
Name string:121 -
Title string:128 cun
Email email:80 cuni
Phone phone:40 cun
MobilePhone phone:40 cun
Fax phone:40 cun
LeadSource picklist:40 cun Web|Phone Inquiry|Partner Referral|Purchased List|Other
OwnerId ref:User cud
Description textarea:32000 cunf";

pub const USER: &str = "\
Username string:80 cui
LastName string:80 cu
FirstName string:40 cun
Name string:121 -
Email email:128 cu
IsActive boolean cud
UserPermissionsMarketingUser boolean cud";

pub const ORGANIZATION: &str = "\
Name string:80 u
IsSandbox boolean -
OrganizationType picklist:40 n Developer Edition|Enterprise Edition|Unlimited Edition
InstanceName string:5 n
NamespacePrefix string:15 n";

pub const ACCOUNT: &str = "Name string:255 cui";

pub const DUPLICATE_RULE: &str = "\
DeveloperName string:80 -
MasterLabel string:80 -
Language picklist:40 -
NamespacePrefix string:15 n
SobjectType picklist:40 -
SobjectSubtype picklist:40 n
IsActive boolean -";
