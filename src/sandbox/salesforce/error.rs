//! What goes wrong, in Salesforce's words.
//!
//! Owns the two shapes of an error: `errorCode` for a whole call, `statusCode` for one record of many. Codes and messages
//! are those recorded from live orgs where a recording exists.

use serde_json::{Map, Value, json};

/// One failure, of a call or of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// HTTP status of a call that fails with it.
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Fields that caused it; none when the wire form has no such key.
    pub fields: Option<Vec<String>>,
    /// Further keys of the error of a whole call (`duplicateResut`).
    pub details: Option<Box<Map<String, Value>>>,
}

impl Fault {
    /// A 400 without `fields`.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status: 400, code, message, fields: None, details: None }
    }

    /// With the key `fields`.
    #[must_use]
    pub fn fields(mut self, fields: &[&str]) -> Self {
        self.fields = Some(fields.iter().map(|f| (*f).to_owned()).collect());
        self
    }

    /// With another HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Unknown path, object, version or row.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new("NOT_FOUND", "The requested resource does not exist").status(404)
    }

    /// A write to a row in the recycle bin.
    #[must_use]
    pub fn is_deleted() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted").status(404).fields(&[])
    }

    /// A write to a row that never was, or is purged.
    #[must_use]
    pub fn never_existed() -> Self {
        Self::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").status(404).fields(&[])
    }

    /// A row that somebody else is writing.
    #[must_use]
    pub fn locked(id: super::ids::Id) -> Self {
        let message = format!("unable to obtain exclusive access to this record or 1 records: {id}");
        Self::new("UNABLE_TO_LOCK_ROW", message).fields(&[])
    }

    /// Ill-formed id; `label` is `Record ID` or the label of the lookup.
    #[must_use]
    pub fn malformed_id(label: &str, id: &str, field: &str) -> Self {
        Self::new("MALFORMED_ID", format!("{label}: id value of incorrect type: {id}")).fields(&[field])
    }

    /// Fields without which the row cannot be.
    #[must_use]
    pub fn required(fields: &[&str]) -> Self {
        let list = fields.join(", ");
        Self::new("REQUIRED_FIELD_MISSING", format!("Required fields are missing: [{list}]")).fields(fields)
    }

    /// Fields that this user may not write.
    #[must_use]
    pub fn not_writable(fields: &[&str]) -> Self {
        let list = fields.join(", ");
        let message = format!(
            "Unable to create/update fields: {list}. Please check the security settings of this field and verify that \
             it is read/write for your profile or permission set."
        );
        Self::new("INVALID_FIELD_FOR_INSERT_UPDATE", message).fields(fields)
    }

    /// One element of the array that answers a failed call.
    #[must_use]
    pub fn of_call(&self) -> Value {
        let mut out = self.details.as_deref().cloned().unwrap_or_default();
        out.insert("message".into(), self.message.as_str().into());
        out.insert("errorCode".into(), self.code.as_str().into());
        if let Some(fields) = &self.fields {
            out.insert("fields".into(), json!(fields));
        }
        Value::Object(out)
    }

    /// The result of one record of a Collections call: no `id`, no match details.
    #[must_use]
    pub fn of_record(&self) -> Value {
        let fields = self.fields.clone().unwrap_or_default();
        json!({"success": false, "errors": [{"statusCode": self.code, "message": self.message, "fields": fields}]})
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
