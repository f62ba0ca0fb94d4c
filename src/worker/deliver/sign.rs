//! Signatures after Standard Webhooks: over id, time and body, with every secret that is good.
//!
//! Source: Standard Webhooks specification, "Signature scheme".

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::signing_key;

/// The value of `webhook-signature`: one signature for each secret, apart by spaces, so that receivers may change theirs in
/// their own time. `timestamp` is in seconds.
pub(super) fn signature(secrets: &[String], id: &str, timestamp: i64, body: &[u8]) -> String {
    let keys = secrets.iter().filter_map(|secret| signing_key(secret).ok());
    let signed = keys.map(|key| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn as_the_reference_libraries_sign() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(std::slice::from_ref(&secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned();
        let both = signature(&[other, secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert!(both.ends_with(&format!(" {signed}")) && both.matches("v1,").count() == 2);
    }
}
