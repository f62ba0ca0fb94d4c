//! Who a session belongs to: `/services/oauth2/userinfo`, `/introspect`, `/revoke` and the identity URL.
//!
//! Owns these documents. The identity URL of a real token leads to `login.salesforce.com`; here it stays in the emulated org, so that
//! no client takes a token of the emulator to Salesforce.

use serde_json::{Value, json};

use super::oauth::Tokens;
use super::row::Row;
use super::world::World;

impl World {
    /// The `id` of tokens.
    #[must_use]
    pub fn identity_url(&self) -> String {
        format!("{}/id/{}/{}", self.base_url, self.organization, self.api_user)
    }

    fn me(&self) -> Option<&Row> {
        self.row(self.api_user)
    }
}

fn urls(world: &World) -> Value {
    let base = &world.base_url;
    let short = world.organization.short();
    json!({
        "rest": format!("{base}/services/data/v{{version}}/"),
        "sobjects": format!("{base}/services/data/v{{version}}/sobjects/"),
        "query": format!("{base}/services/data/v{{version}}/query/"),
        "partner": format!("{base}/services/Soap/u/{{version}}/{short}"),
        "enterprise": format!("{base}/services/Soap/c/{{version}}/{short}"),
        "profile": format!("{base}/{}", world.api_user),
    })
}

/// `userinfo`
#[must_use]
pub fn userinfo(world: &World) -> Value {
    let (name, email) = described(world);
    json!({
        "sub": world.identity_url(), "user_id": world.api_user, "organization_id": world.organization,
        "preferred_username": world.options.api_user_name, "nickname": name, "name": name, "email": email,
        "email_verified": true, "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "active": true,
        "urls": urls(world),
    })
}

/// The identity URL.
#[must_use]
pub fn identity(world: &World) -> Value {
    let (name, email) = described(world);
    json!({
        "id": world.identity_url(), "asserted_user": true, "user_id": world.api_user,
        "organization_id": world.organization, "username": world.options.api_user_name, "nick_name": name,
        "display_name": name, "email": email, "email_verified": true, "active": true, "user_type": "STANDARD",
        "language": "en_US", "locale": "en_US", "urls": urls(world),
    })
}

/// `introspect`: whether a token is good.
#[must_use]
pub fn introspect(tokens: &mut Tokens, world: &World, token: &str) -> Value {
    if !tokens.check(token, &world.options, world.now()) {
        return json!({"active": false});
    }
    json!({"active": true, "scope": "api", "client_id": world.options.client_id, "username": world.options.api_user_name,
           "sub": world.identity_url(), "token_type": "access_token"})
}

fn described(world: &World) -> (String, String) {
    let text = |name: &str| world.me().and_then(|row| world.read(row, name).as_text().map(str::to_owned));
    (text("Name").unwrap_or_default(), text("Email").unwrap_or_default())
}
