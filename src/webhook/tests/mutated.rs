//! Bodies that no vendor sends: broken by chance, or made to be costly. Each parser answers, and soon.

use super::{MARKETO_BODY, SALESFORCE_BODY, SOAP_BODY};
use crate::webhook::{marketo, salesforce, soap};

/// Numbers from a seed (SplitMix64), so that a failure can be seen again.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n.max(1) as u64).unwrap()
    }

    fn mutate(&mut self, sample: &str) -> Vec<u8> {
        const PIECES: [&[u8]; 14] = [
            b"\"",
            b"\"\"",
            b"{{",
            b"}}",
            b"\\",
            b"<",
            b"</",
            b"&#0;",
            b"&amp;",
            b"\xc3",
            b"\0",
            b"null",
            b"<![CDATA[",
            b":,",
        ];
        let mut bytes = sample.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let to = (at + self.below(8)).min(bytes.len());
            match self.below(4) {
                0 => drop(bytes.drain(at..to)),
                1 => drop(bytes.splice(at..to, PIECES[self.below(PIECES.len())].iter().copied())),
                2 => bytes.truncate(bytes.len() - self.below(bytes.len() / 8)),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        bytes
    }
}

#[test]
fn mutated_bodies_are_read_or_refused() {
    let organization = "00D5w000004qGTOEA2".parse().unwrap();
    let mut seeded = Seeded(20_261_123);
    let quoted = r#"{"v":1,"event":""program_member.changed"","leadId":""31"","programId":{{program.id}},"email":""a@b.c"","newStatus":}"#;
    let mut read = [0_usize; 4];
    for _ in 0..50_000 {
        let outcomes = [
            marketo::parse(&seeded.mutate(MARKETO_BODY)),
            marketo::parse(&seeded.mutate(quoted)),
            salesforce::parse(&seeded.mutate(SALESFORCE_BODY), "msg", Some(&organization)),
            soap::parse(&seeded.mutate(SOAP_BODY), Some(&organization)),
        ];
        for (read, outcome) in read.iter_mut().zip(outcomes) {
            *read += usize::from(outcome.is_ok());
        }
    }
    // Were all of them refused, nothing behind the first check would have been tried; `quoted` itself lacks its program.
    assert!(read[0] > 500 && read[2] > 500 && read[3] > 500, "{read:?}");
}

#[test]
fn long_and_nasty_bodies_cost_their_length() {
    for piece in ["\"", "{{", "\" ", "\\", ":", ": ,", "{\"", "[", "\"\"\" "] {
        let body = piece.repeat(300_000 / piece.len());
        assert!(marketo::parse(body.as_bytes()).is_err(), "{piece}");
    }
    let attributes: String = (0..50_000).map(|n| format!(" a{n}='1'")).collect();
    assert!(soap::parse(format!("<a{attributes}/>").as_bytes(), None).is_err());
    let names: String = (0..20_000).map(|n| format!(" xmlns:a{n}='u'")).collect();
    assert!(soap::parse(format!("<a{names}/>").as_bytes(), None).is_err());
}
