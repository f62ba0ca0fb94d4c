//! What to paste on each side. The templates are those of `integrations/marketo`, so that page and program say the same.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;

const TEMPLATES: [(&str, &str); 3] = [
    ("Campaign Sync: member changed", include_str!("../../integrations/marketo/templates/program-member-changed.txt")),
    ("Campaign Sync: member removed", include_str!("../../integrations/marketo/templates/program-member-removed.txt")),
    ("Campaign Sync: person is deleted", include_str!("../../integrations/marketo/templates/person-deleting.txt")),
];

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
pub fn print(config: &Config) {
    println!("{}", text(config));
}

fn text(config: &Config) -> String {
    let address = config.server.public_url.as_ref();
    let address = address.map_or("https://YOUR-ADDRESS", |url| url.as_str().trim_end_matches('/'));
    let first = |secrets: &[SecretString]| secrets.first().map_or("", |secret| secret.expose_secret()).to_owned();
    let webhooks = &config.webhooks;
    let templates: String =
        TEMPLATES.iter().map(|(name, template)| format!("    {name}\n      {}\n", template.trim_end())).collect();
    format!(
        "
Marketo: Admin > Webhooks > New Webhook, one for each template (integrations/marketo/README.md)

  URL                     {address}/webhooks/marketo
  Request Type            POST
  Request Token Encoding  JSON
  Response Type           JSON
  Custom headers          Authorization: Bearer {token}
                          Content-Type: application/json
  Payload templates
{templates}
  In each program that is mapped: a trigger campaign on Program Status is Changed, every time, that calls the first of them.

Salesforce: install the package (integrations/salesforce/README.md), then

  Setup > Named Credentials > Campaign Sync: URL
    {address}
  Setup > Custom Metadata Types > Campaign Sync > Default: Secret, and tick Active
    {secret}
  Setup > Permission Sets > Campaign Sync User: assign it to the user that this service acts as

  Without code, an outbound message of Campaign Member to
    {address}/webhooks/salesforce/outbound-message/{path}
",
        token = first(&webhooks.marketo_tokens),
        secret = first(&webhooks.salesforce_secrets),
        path = first(&webhooks.salesforce_path_tokens),
    )
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
pub fn print_next(path: &Path) {
    let file = path.display();
    println!(
        "
Next

  campaign-sync --config {file} serve
  campaign-sync --config {file} init --test-only               once it runs: are webhooks admitted?
  campaign-sync --config {file} keys create --name me --scope admin"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_and_address_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "[server]\npublic_url = \"https://sync.example.com/\"\n[webhooks]\nmarketo_tokens = [\"mine\", \"old\"]\n\
             salesforce_secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\nsalesforce_path_tokens = [\"path\"]\n",
        )
        .unwrap();
        let text = text(&Config::load(Some(file.path()), std::iter::empty()).unwrap());
        for part in [
            "https://sync.example.com/webhooks/marketo\n",
            "Authorization: Bearer mine\n",
            "{\"v\":1,\"event\":\"person.deleting\",\"leadId\":{{lead.Id}}}\n",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "https://sync.example.com/webhooks/salesforce/outbound-message/path\n",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
