//! `/services/Soap/u/NN.0`: envelopes in, envelopes out.
//!
//! Owns the reading of an envelope into a tree, the frame of answers as recorded (elements of the partner namespace without a
//! prefix: clients look for them by name), and faults, which come with status 500. What the calls do is in `soap_calls`.

use quick_xml::NsReader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

const LARGEST: usize = 1024 * 1024;

/// An element: its name without prefix, its text, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of a child, empty when there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map(|child| child.text.as_str()).unwrap_or_default()
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoapFault {
    /// `sf:`, or nothing where a recorded answer has nothing.
    pub prefix: &'static str,
    pub code: String,
    pub message: String,
    /// Name of the element in `detail`.
    pub detail: &'static str,
}

impl SoapFault {
    /// A fault of the partner API.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { prefix: "sf:", code: code.into(), message: message.into(), detail: "UnexpectedErrorFault" }
    }

    fn write(&self) -> String {
        let (code, message, detail) = (&self.code, escape(self.message.as_str()), self.detail);
        let prefix = self.prefix;
        format!(
            "<soapenv:Fault><faultcode>{prefix}{code}</faultcode><faultstring>{code}: {message}</faultstring><detail>\
             <sf:{detail} xsi:type=\"sf:{detail}\"><sf:exceptionCode>{code}</sf:exceptionCode>\
             <sf:exceptionMessage>{message}</sf:exceptionMessage></sf:{detail}></detail></soapenv:Fault>"
        )
    }
}

/// Header and body of an envelope.
///
/// # Errors
/// When it is not well-formed, has a DTD, or is no envelope.
pub fn read(body: &[u8]) -> Result<(Element, Element), SoapFault> {
    let bad = |message: &str| SoapFault { prefix: "soapenv:", ..SoapFault::new("Client", message) };
    let text =
        std::str::from_utf8(body).ok().filter(|text| text.len() <= LARGEST).ok_or_else(|| bad("not readable"))?;
    let envelope = parse(text.trim_start()).filter(|root| root.name == "Envelope");
    let envelope = envelope.ok_or_else(|| bad("XML is not well-formed, or is no envelope"))?;
    let body = envelope.child("Body").cloned().ok_or_else(|| bad("Envelope without a Body"))?;
    Ok((envelope.child("Header").cloned().unwrap_or_default(), body))
}

fn parse(text: &str) -> Option<Element> {
    let mut reader = NsReader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => open.push(named(start.local_name().as_ref())),
            Event::Empty(empty) => open.last_mut()?.children.push(named(empty.local_name().as_ref())),
            Event::End(_) => {
                let mut done = open.pop()?;
                done.text = done.text.trim().to_owned();
                open.last_mut()?.children.push(done);
            }
            Event::Text(text) => open.last_mut()?.text.push_str(&text),
            Event::GeneralRef(reference) => open.last_mut()?.text.push_str(&resolve(&reference)?),
            Event::CData(data) => open.last_mut()?.text.push_str(&data),
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
    }
    if open.len() == 1 { open.pop()?.children.into_iter().next() } else { None }
}

fn named(name: &str) -> Element {
    Element { name: name.to_owned(), ..Element::default() }
}

fn resolve(reference: &str) -> Option<String> {
    quick_xml::escape::unescape(&format!("&{reference};")).ok().map(std::borrow::Cow::into_owned)
}

/// The envelope around an answer, and its status.
#[must_use]
pub fn write(answer: &Result<String, SoapFault>) -> (u16, String) {
    let (status, body, extra) = match answer {
        Ok(body) => (200, body.clone(), "xmlns=\"urn:partner.soap.sforce.com\""),
        Err(fault) => (500, fault.write(), "xmlns:sf=\"urn:fault.partner.soap.sforce.com\""),
    };
    let envelope = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         {extra} xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    );
    (status, envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_read_whatever_their_prefixes_and_faults_are_told() {
        let text = "<?xml version=\"1.0\"?><a:Envelope xmlns:a=\"u\"><a:Header><b:S xmlns:b=\"x\"><b:id>1</b:id></b:S></a:Header>\
                    <a:Body><login><name> x&amp;y&#33; </name><nothing/></login></a:Body></a:Envelope>";
        let (header, body) = read(text.as_bytes()).unwrap();
        assert_eq!(header.child("S").unwrap().text_of("id"), "1");
        assert_eq!(body.child("login").unwrap().text_of("name"), "x&y!");
        for bad in ["", "<a/>", "<Envelope><Body>", "<!DOCTYPE a><Envelope><Body/></Envelope>", "<Envelope></Envelope>"]
        {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        let (status, envelope) = write(&Err(SoapFault::new("INVALID_SESSION_ID", "a < b")));
        assert_eq!(status, 500);
        assert!(envelope.contains("<faultcode>sf:INVALID_SESSION_ID</faultcode>") && envelope.contains("a &lt; b"));
    }
}
