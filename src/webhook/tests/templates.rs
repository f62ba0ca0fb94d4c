//! The payload templates that users copy into Marketo, rendered in each way that Marketo is known to render them.

use super::super::marketo;
use crate::domain::hint::Hint;

const CHANGED: &str = include_str!("../../../integrations/marketo/templates/program-member-changed.txt");
const REMOVED: &str = include_str!("../../../integrations/marketo/templates/program-member-removed.txt");
const DELETING: &str = include_str!("../../../integrations/marketo/templates/person-deleting.txt");

/// With the tokens replaced, and what Marketo is known to put around their values.
fn rendered(template: &str, quote: &str) -> String {
    let values = [("{{lead.Id}}", "318592"), ("{{program.id}}", "1044")];
    values
        .iter()
        .fold(template.to_owned(), |body, (token, value)| body.replace(token, &format!("{quote}{value}{quote}")))
}

#[test]
fn templates_are_read_however_marketo_renders_them() {
    for (template, expected) in [
        (CHANGED, Hint::ProgramMember { program_id: 1044, marketo_id: 318_592, removed: false, status: None }),
        (REMOVED, Hint::ProgramMember { program_id: 1044, marketo_id: 318_592, removed: true, status: None }),
        (DELETING, Hint::MarketoPerson { marketo_id: 318_592 }),
    ] {
        for quote in ["", "\"", "\"\""] {
            let body = rendered(template, quote);
            assert!(!body.contains("{{"), "a token that no test knows of: {body}");
            let read = marketo::parse(body.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {body}"));
            assert_eq!(read.records.len(), 1);
            assert_eq!(read.records[0].hint, expected, "{body}");
        }
    }
}
