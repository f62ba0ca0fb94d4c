//! Readers that everybody may call: headers of proxies, certificates, texts that addresses are taken out of, queries of the emulator.

use std::net::IpAddr;

use super::fuzz;
use crate::domain::redaction::{How, redacted, without_addresses};
use crate::door::{Client, Proxies, fingerprint, presented};

/// A header that is not empty, as one line.
fn headers(line: &str) -> Vec<&str> {
    if line.is_empty() { Vec::new() } else { vec![line] }
}

#[test]
fn a_client_behind_proxies_is_found_and_is_none_of_them() {
    let proxies = Proxies::new(&["10.0.0.0/8".to_owned()]);
    let (ours, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "203.0.113.7".parse().unwrap());
    fuzz("client_address", &["corpus/fuzz/client"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (listed, forwarded) = text.split_once('\n').unwrap_or((&text, ""));
        let (listed, forwarded) = (headers(listed), headers(forwarded));
        assert_eq!(proxies.client(other, &forwarded, &listed), Client::new(other));
        let found = proxies.client(ours, &forwarded, &listed);
        // Whoever is found was written there.
        let written =
            found == Client::new(ours) || !found.address().is_ipv4() || text.contains(&found.address().to_string());
        assert!(written, "{found:?}");
        found != Client::new(ours)
    });
}

#[test]
fn certificates_are_read_or_not() {
    fuzz("certificate", &["corpus/fuzz/certificate"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let found = presented(&text);
        if let (Some(hash), Some(found)) = (fingerprint(text.trim()), found) {
            assert_eq!(hash, found, "what is a fingerprint is read as one");
        }
        found.is_some()
    });
}

#[test]
fn an_address_is_not_left_and_nothing_else_is_taken() {
    fuzz("address", &["corpus/fuzz/address"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let address = "a.b@c.example";
        let left = redacted(&text, address, How::Text).flatten();
        if let Some(left) = &left {
            assert_eq!(redacted(left, address, How::Text), None, "once is enough: {left}");
            assert!(left.len() <= text.len(), "the sign is shorter than the address");
        }
        let scrubbed = without_addresses(&text);
        assert!(!scrubbed.contains(address), "{scrubbed}");
        assert_eq!(without_addresses(&scrubbed), scrubbed);
        left.is_some()
    });
}

#[cfg(feature = "sandbox")]
#[test]
fn queries_are_run_or_refused() {
    use crate::sandbox::salesforce::{Options, Salesforce};

    let org = Salesforce::new(Options::default(), std::sync::Arc::new(|| "2026-11-23T20:05:01Z".parse().unwrap()));
    org.with(|org| {
        let campaign = org.add_campaign("Spring", "Webinar").unwrap();
        for n in 0..5 {
            let lead = org.add_lead("Ada", &format!("L{n}"), &format!("a{n}@b.example"), "Acme").unwrap();
            org.add_member(campaign, lead, None).unwrap();
        }
    });
    fuzz("soql", &["corpus/fuzz/soql"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        org.with(|org| org.finds(&text).is_ok())
    });
}
