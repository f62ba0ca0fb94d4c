//! The certificate of a client, as a proxy that has checked it hands it on.
//!
//! Owns the ways in which proxies write it: the SHA-256 of the certificate in hexadecimal (HAProxy, Envoy), the certificate after
//! RFC 9440, and PEM that is escaped for a header (nginx, Traefik). Must not be asked about a header that no proxy of ours wrote.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// SHA-256 of a certificate (DER).
pub type Fingerprint = [u8; 32];

/// Reads a fingerprint as it is configured and written: 64 hexadecimal digits, with or without colons between them.
#[must_use]
pub fn fingerprint(text: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes?.try_into().ok()
}

/// The fingerprint of the certificate that a header stands for; none when it stands for none.
#[must_use]
pub fn presented(header: &str) -> Option<Fingerprint> {
    let header = header.trim();
    // Envoy writes `By=...;Hash=...;Subject="..."`, an element for each proxy on the way; ours is the last one.
    let of_envoy = header.rsplit(',').next().into_iter().flat_map(|element| element.split(';'));
    let hash = of_envoy.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == "Hash");
    if let Some(found) = hash.and_then(|(_, hash)| fingerprint(hash)).or_else(|| fingerprint(header)) {
        return Some(found);
    }
    let unescaped = unescaped(header);
    // Of a chain the certificate itself comes first.
    let begins = unescaped.split_once("-----BEGIN CERTIFICATE-----").map_or(unescaped.as_str(), |(_, rest)| rest);
    let one = begins.split_once("-----END").map_or(begins, |(body, _)| body);
    let base64: String = one.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let der = STANDARD.decode(base64).ok().filter(|der| !der.is_empty())?;
    digest::digest(&digest::SHA256, &der).as_ref().try_into().ok()
}

/// `%0A` and the like; a plus stays one, since it is a digit of base64.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                whole.push(char::from(byte));
                whole += &part[2..];
            }
            None => {
                whole.push('%');
                whole += part;
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_one_certificate_is_the_same() {
        let der = b"not a certificate, and hashed like one + more";
        let base64 = STANDARD.encode(der);
        let hash: Fingerprint = digest::digest(&digest::SHA256, der).as_ref().try_into().unwrap();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let colons = hash.map(|byte| format!("{byte:02X}")).join(":");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        let escaped = pem.replace('+', "%2B").replace('\n', "%0A").replace(' ', "%20").replace('=', "%3D");
        for header in [
            hex.clone(),
            colons,
            format!("By=spiffe://a;Hash=00;Subject=\"x\",By=spiffe://b;Hash={hex};URI=c"),
            format!(":{base64}:"),
            base64.clone(),
            escaped.clone(),
            format!("{escaped}{}", escaped.replace("bm90", "AAAA")),
        ] {
            assert_eq!(presented(&header), Some(hash), "{header}");
        }
        for bad in ["", "none", "%", "%e", "::", &hex[1..], "-----BEGIN CERTIFICATE-----", "Hash=zz"] {
            assert_ne!(presented(bad), Some(hash), "{bad}");
        }
        assert!(fingerprint(&hex[2..]).is_none() && fingerprint("zz").is_none() && fingerprint("").is_none());
    }
}
