//! What marketing and sales call the things that happen to a member.
//!
//! Owns the groups of words that mean the same, in the languages of the largest instances, and words that say little or turn
//! a name round. Groups are general: nothing here is the list of one company. Must not know how names are compared.

/// Where in the way of a member a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Something was done to the member; everybody begins here.
    Start,
    /// The member did something on the way.
    Progress,
    /// What the program is for.
    Response,
    /// The member does not come, or does not want to.
    Refusal,
    /// A matter rather than a deed.
    Topic,
}

/// Words that mean the same.
pub(super) struct Concept {
    pub name: &'static str,
    pub stage: Stage,
    /// Phrases, as they are written; read without case, accents, spaces and punctuation.
    pub words: &'static [&'static str],
}

const fn concept(name: &'static str, stage: Stage, words: &'static [&'static str]) -> Concept {
    Concept { name, stage, words }
}

/// The deed that a negation turns into `NO_SHOW`.
pub(super) const ATTENDED: &str = "attended";
/// To have been expected and not to have come.
pub(super) const NO_SHOW: &str = "no show";
/// A response of no particular kind: any of stage `Response` may be meant.
pub(super) const GENERIC: [&str; 2] = ["responded", "engaged"];
/// Two ways of not coming that people do not always tell apart.
pub(super) const CALLED_OFF: [&str; 2] = ["cancelled", "declined"];

#[rustfmt::skip]
pub(super) const CONCEPTS: &[Concept] = &[
    concept("member", Stage::Start, &["member", "members", "in program", "in campaign", "on list", "added", "added to list", "targeted", "target",
        "audience", "mitglied", "membre", "miembro", "medlem", "membro", "lid"]),
    concept("no action", Stage::Start, &["no action", "no activity", "no response", "no engagement", "not started", "inactive", "keine aktion",
        "keine reaktion", "aucune action", "ingen aktivitet"]),
    concept("invited", Stage::Start, &["invited", "invite", "invites", "invitation", "invitation sent", "invite sent", "invitee", "eingeladen",
        "einladung", "einladung versendet", "invité", "invitée", "invitado", "convidado", "invitato", "inbjuden", "inbjudan", "uitgenodigd", "招待"]),
    concept("sent", Stage::Start, &["sent", "sent out", "mailed", "emailed", "email sent", "mail sent", "shipped", "dispatched", "versendet",
        "verschickt", "gesendet", "envoyé", "enviado", "inviato", "skickat", "skickad", "verzonden", "送信", "送付"]),
    concept("processed", Stage::Start, &["processed", "processing", "queued", "in queue", "in process", "pending", "in bearbeitung"]),
    concept("opened", Stage::Progress, &["opened", "open", "read", "geöffnet", "gelesen", "ouvert", "abierto", "öppnat", "öppnad", "aperto",
        "geopend"]),
    concept("clicked", Stage::Response, &["clicked", "click", "clicks", "clicked link", "clicked through", "click through", "geklickt", "cliqué",
        "hizo clic", "klickat", "cliccato", "geklikt"]),
    concept("visited", Stage::Response, &["visited", "visit", "visitor", "stopped by", "dropped by", "came by", "besucht", "visité", "visitado",
        "besökt", "visitato", "bezocht"]),
    concept("registered", Stage::Progress, &["registered", "registration", "registrant", "rsvp", "rsvpd", "rsvp yes", "signed up", "sign up",
        "enrolled", "enroled", "accepted", "will attend", "attending", "angemeldet", "anmeldung", "registriert", "zugesagt", "inscrit", "inscrite",
        "inscrits", "inscription", "registrado", "inscrito", "anmäld", "anmält", "registrerad", "iscritto", "registrato", "aangemeld",
        "geregistreerd", "登録", "申込"]),
    concept("waitlisted", Stage::Progress, &["waitlisted", "waitlist", "waiting list", "on waiting list", "warteliste", "liste d'attente",
        "lista de espera", "väntelista", "lista d'attesa", "wachtlijst"]),
    concept("tentative", Stage::Progress, &["tentative", "maybe", "rsvp maybe", "undecided", "unsure", "vielleicht", "peut être", "quizás",
        "kanske"]),
    concept(ATTENDED, Stage::Response, &["attended", "attend", "attendee", "attendance", "showed up", "turned up", "checked in", "present",
        "participated", "participant", "joined", "watched", "came", "met", "teilgenommen", "teilnahme", "erschienen", "anwesend", "présente",
        "participé", "venu", "venue", "asistió", "asistido", "asistente", "deltog", "deltagit", "närvarande", "partecipato", "deelgenomen",
        "aanwezig", "出席", "参加"]),
    concept(NO_SHOW, Stage::Refusal, &["no show", "absent", "absence", "missed", "failed to attend", "uteblev", "utebliven", "ausente", "frånvarande", "assente",
        "afwezig", "欠席", "不参加"]),
    concept("on demand", Stage::Topic, &["on demand", "recording", "recorded", "replay", "aufzeichnung", "à la demande", "bajo demanda"]),
    concept("cancelled", Stage::Refusal, &["cancelled", "canceled", "cancellation", "dropped out", "withdrew", "withdrawn", "storniert", "annulé",
        "cancelado", "avbokad", "avbokat", "annullato", "geannuleerd", "キャンセル"]),
    concept("declined", Stage::Refusal, &["declined", "refused", "rejected", "rsvp no", "not interested", "uninterested", "will not attend",
        "cannot attend", "regrets", "abgesagt", "absage", "abgelehnt", "kein interesse", "décliné", "refusé", "rechazado", "avböjt", "tackat nej",
        "rifiutato", "afgewezen"]),
    concept("unsubscribed", Stage::Refusal, &["unsubscribed", "unsubscribe", "opted out", "opt out", "abgemeldet", "désabonné", "désinscrit",
        "dado de baja", "avprenumererad", "uitgeschreven"]),
    concept("subscribed", Stage::Response, &["subscribed", "subscriber", "opted in", "opt in", "abonniert", "abonné", "suscrito",
        "prenumererar"]),
    concept("bounced", Stage::Refusal, &["bounced", "bounce", "hard bounced", "hard bounce", "soft bounced", "soft bounce", "undeliverable",
        "undelivered", "not delivered", "delivery failed", "unzustellbar", "rebotado", "studsat"]),
    concept("returned", Stage::Refusal, &["returned", "returned to sender", "return to sender", "zurückgeschickt", "retourné", "devuelto",
        "returnerad"]),
    concept("delivered", Stage::Response, &["delivered", "received", "zugestellt", "livré", "entregado", "levererad", "consegnato", "geleverd"]),
    concept("claimed", Stage::Response, &["claimed", "redeemed", "eingelöst", "canjeado"]),
    concept("downloaded", Stage::Response, &["downloaded", "download", "heruntergeladen", "téléchargé", "descargado", "laddat ner", "nedladdad",
        "scaricato", "gedownload", "ダウンロード"]),
    concept("viewed", Stage::Response, &["viewed", "view", "seen", "angesehen", "vu", "visto", "sett", "bekeken"]),
    concept("completed", Stage::Response, &["completed", "complete", "fully completed", "finished", "filled out", "filled in", "fill out", "fill in", "form fill",
        "filled form", "filled out form", "submitted", "form submitted", "abgeschlossen", "ausgefüllt", "complété", "rempli", "completado",
        "genomförd", "ifylld", "completato", "ingevuld"]),
    concept("started", Stage::Progress, &["started", "begun", "in progress", "partial", "partially completed", "partly completed", "incomplete",
        "begonnen", "angefangen", "commencé", "en cours", "iniciado", "påbörjad", "iniziato"]),
    concept("responded", Stage::Response, &["responded", "response", "respondent", "replied", "reply", "answered", "geantwortet", "répondu",
        "respondió", "respondido", "svarat", "risposto", "gereageerd"]),
    concept("engaged", Stage::Response, &["engaged", "engagement", "influenced", "interacted", "interested", "active", "engagiert",
        "interessiert", "engagé", "intéressé", "interesado", "engagerad", "intresserad"]),
    concept("requested", Stage::Response, &["requested", "request", "asked", "angefordert", "gewünscht", "demandé", "demandée", "demande",
        "solicitado", "begärd", "richiesto", "aangevraagd"]),
    concept("follow up", Stage::Topic, &["follow up", "followup", "call back", "rückruf", "rappel", "uppföljning"]),
    concept("demo", Stage::Topic, &["demo", "demonstration", "demoed"]),
    concept("meeting", Stage::Topic, &["meeting", "mtg", "met", "appointment", "termin", "rendez vous", "rdv", "reunión", "möte", "incontro",
        "afspraak"]),
    concept("scheduled", Stage::Progress, &["scheduled", "booked", "set", "set up", "arranged", "vereinbart", "gebucht", "planifié", "agendado",
        "bokat", "bokad", "gepland"]),
    concept("contacted", Stage::Progress, &["contacted", "contact", "called", "reached out", "kontaktiert", "kontakt", "contacté", "contactado",
        "kontaktad"]),
    concept("referred", Stage::Response, &["referred", "referral", "recommended", "empfohlen", "weiterempfohlen", "recommandé", "recomendado"]),
    concept("walk in", Stage::Response, &["walk in", "walked in", "walk up", "on site registration"]),
    concept("qualified", Stage::Response, &["qualified", "qualifiziert", "qualifié", "calificado", "kvalificerad"]),
    concept("disqualified", Stage::Refusal, &["disqualified", "not qualified", "rejected by sales"]),
    concept("converted", Stage::Response, &["converted", "purchased", "bought", "customer", "closed won", "gekauft", "acheté", "comprado",
        "köpt"]),
];

/// Words that turn a name round. Also the prefix `un` of a word that is known.
pub(super) const NEGATIONS: &[&str] = &[
    "not", "no", "non", "never", "without", "didnt", "dont", "wasnt", "hasnt", "nicht", "nie", "kein", "keine", "pas",
    "ne", "ej", "inte", "não", "niet", "geen",
];

/// Words that carry no meaning of their own, and the mark that some put on the name of a success.
pub(super) const FILLERS: &[&str] = &[
    "a",
    "an",
    "the",
    "to",
    "for",
    "of",
    "by",
    "with",
    "at",
    "in",
    "on",
    "from",
    "and",
    "or",
    "us",
    "our",
    "was",
    "has",
    "have",
    "been",
    "is",
    "did",
    "via",
    "gave",
    "der",
    "die",
    "das",
    "zum",
    "zur",
    "für",
    "mit",
    "von",
    "und",
    "wurde",
    "hat",
    "am",
    "est",
    "nest",
    "le",
    "la",
    "les",
    "de",
    "du",
    "des",
    "au",
    "pour",
    "avec",
    "et",
    "el",
    "los",
    "del",
    "por",
    "con",
    "y",
    "se",
    "av",
    "för",
    "med",
    "och",
    "har",
    "success",
    "successful",
    "erfolg",
    "succès",
];

/// What a program is about: says little, since all of its statuses could carry it.
pub(super) const MATTERS: &[&str] = &[
    "survey",
    "event",
    "webinar",
    "webcast",
    "seminar",
    "workshop",
    "roadshow",
    "conference",
    "tradeshow",
    "show",
    "booth",
    "email",
    "mail",
    "ad",
    "ads",
    "gift",
    "content",
    "asset",
    "form",
    "live",
    "person",
    "status",
    "list",
    "campaign",
    "program",
    "pre",
    "post",
    "session",
    "newsletter",
    "messe",
    "veranstaltung",
    "salon",
    "événement",
    "evento",
];

/// Endings of Japanese words that say no more than that something was done.
pub(super) const ENDINGS: &[&str] = &["済み", "済", "した", "者"];
