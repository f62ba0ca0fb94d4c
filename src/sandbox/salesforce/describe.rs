//! The describe documents: what clients learn of objects and fields.
//!
//! Owns the keys of the describe of a live org, all of them, so that a client that maps them finds what it expects.

use serde_json::{Value, json};

use super::objects::{Field, Kind, Object, Table};

/// `/sobjects`: every object in short.
#[must_use]
pub fn global(tables: &[Table], version: &str) -> Value {
    let sobjects: Vec<Value> = tables.iter().map(|t| short(t, version)).collect();
    json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sobjects})
}

/// `/sobjects/{X}`: the object in short and what was last looked at.
#[must_use]
pub fn basic(table: &Table, version: &str) -> Value {
    json!({"objectDescribe": short(table, version), "recentItems": []})
}

/// `/sobjects/{X}/describe`: the object with its fields.
#[must_use]
pub fn full(table: &Table, version: &str, labels: &[String]) -> Value {
    let mut out = short(table, version);
    let fields: Vec<Value> =
        table.fields.iter().filter(|f| !f.hidden).map(|f| field(f, table.object, labels)).collect();
    let children = table.object.children().iter().map(|(name, child, field, cascade)| {
        json!({"cascadeDelete": cascade, "childSObject": child.name(), "deprecatedAndHidden": false, "field": field,
               "junctionIdListNames": [], "junctionReferenceTo": [], "relationshipName": name, "restrictedDelete": false})
    });
    let children = children.collect::<Vec<_>>();
    if let Value::Object(out) = &mut out {
        for (key, value) in [
            ("actionOverrides", json!([])),
            ("childRelationships", json!(children)),
            ("compactLayoutable", json!(true)),
            ("fields", json!(fields)),
            ("listviewable", Value::Null),
            ("lookupLayoutable", Value::Null),
            ("namedLayoutInfos", json!([])),
            ("networkScopeFieldName", Value::Null),
            ("recordTypeInfos", json!([])),
            ("searchLayoutable", json!(true)),
            ("sobjectDescribeOption", json!("FULL")),
            ("supportedScopes", json!([{"label": "All", "name": "everything"}])),
        ] {
            out.insert(key.into(), value);
        }
    }
    out
}

fn short(table: &Table, version: &str) -> Value {
    let object = table.object;
    let base = format!("/services/data/v{version}/sobjects/{}", object.name());
    let person = matches!(object, Object::Lead | Object::Contact);
    json!({
        "activateable": false, "createable": table.create, "custom": false, "customSetting": false,
        "deletable": table.update, "deprecatedAndHidden": false, "feedEnabled": person, "hasSubtypes": false,
        "isSubtype": false, "keyPrefix": object.prefix(), "label": object.label(), "labelPlural": object.plural(),
        "layoutable": true, "mergeable": person, "mruEnabled": true, "name": object.name(), "queryable": true,
        "replicateable": true, "retrieveable": true, "searchable": true, "triggerable": true,
        // The object reference lists no undelete for members.
        "undeletable": table.update && object != Object::CampaignMember,
        "updateable": table.update,
        "urls": {"sobject": base, "describe": format!("{base}/describe"), "rowTemplate": format!("{base}/{{ID}}")},
    })
}

/// `labels`: the member statuses of all campaigns; the describe of `CampaignMember.Status` is their union.
fn field(f: &Field, object: Object, labels: &[String]) -> Value {
    let (kind, soap) = match f.kind {
        Kind::Id => ("id", "tns:ID"),
        Kind::Reference(_) | Kind::Text("reference") => ("reference", "tns:ID"),
        Kind::Text(kind) => (kind, "xsd:string"),
        Kind::Boolean => ("boolean", "xsd:boolean"),
        Kind::Int => ("int", "xsd:int"),
        Kind::Number(kind) => (kind, "xsd:double"),
        Kind::Date => ("date", "xsd:date"),
        Kind::Time => ("datetime", "xsd:dateTime"),
    };
    let (target, values) = match f.kind {
        Kind::Reference(object) => (vec![object.name()], vec![]),
        Kind::Text("reference") => (f.values.clone(), vec![]),
        _ if object == Object::CampaignMember && &*f.name == "Status" => {
            (vec![], labels.iter().map(String::as_str).collect())
        }
        _ => (vec![], f.values.clone()),
    };
    let values: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(n, v)| {
            let default = n == 0 && f.defaulted;
            json!({"active": true, "defaultValue": default, "label": v, "validFor": null, "value": v})
        })
        .collect();
    let numeric = matches!(f.kind, Kind::Number(_));
    let mut out = json!({
        "aggregatable": f.filterable, "autoNumber": false, "byteLength": f.length * 3, "calculated": false,
        "calculatedFormula": null, "cascadeDelete": f.kind == Kind::Reference(Object::Campaign) && !f.nillable,
        "caseSensitive": false, "compoundFieldName": null, "controllerName": null, "createable": f.create,
        "custom": f.name.ends_with("__c"), "defaultValue": if f.kind == Kind::Boolean { json!(false) } else { Value::Null },
        "defaultValueFormula": null, "defaultedOnCreate": f.defaulted, "dependentPicklist": false,
        "deprecatedAndHidden": false, "digits": if f.kind == Kind::Int { 9 } else { 0 }, "displayLocationInDecimal": false,
        "encrypted": false, "externalId": f.external, "extraTypeInfo": null, "filterable": f.filterable,
        "filteredLookupInfo": null, "groupable": f.filterable && !numeric, "highScaleNumber": false,
        "htmlFormatted": false,
    });
    let rest = json!({
        "idLookup": f.lookup || f.kind == Kind::Id, "inlineHelpText": null, "label": f.label,
        "length": f.length, "mask": null, "maskType": null, "name": &*f.name, "nameField": &*f.name == "Name",
        "namePointing": false, "nillable": f.nillable, "permissionable": f.nillable && (f.create || f.update),
        "picklistValues": values, "polymorphicForeignKey": target.len() > 1, "precision": if numeric { 18 } else { 0 },
        "queryByDistance": false, "referenceTargetField": null, "referenceTo": target,
        "relationshipName": f.relationship, "relationshipOrder": null, "restrictedDelete": false,
        "restrictedPicklist": f.restricted, "scale": f.scale, "searchPrefilterable": false, "soapType": soap,
        "sortable": f.filterable, "type": kind, "unique": f.external, "updateable": f.update,
        "writeRequiresMasterRead": false,
    });
    if let (Value::Object(out), Value::Object(rest)) = (&mut out, rest) {
        out.extend(rest);
    }
    out
}
