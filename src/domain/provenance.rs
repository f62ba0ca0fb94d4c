//! Whose a membership is: which side this service has added a member to, and whether anybody has changed it there since.
//!
//! Owns the one rule by which both are kept, from consecutive values of a side and what we had announced to send; an undo
//! takes back what is ours alone. Must not know how a value was read.

use super::merge::Presence;
use super::trigger::Seen;

/// Of one member, on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// This service has added it.
    pub added: bool,
    /// Somebody else has changed it since.
    pub edited: bool,
}

impl Provenance {
    /// Added by us, and as we left it.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self.added && !self.edited
    }

    /// After the side was read. `sent` is what was announced to be sent there, while its outcome is open.
    #[must_use]
    pub fn read(self, before: &Seen, now: &Seen, sent: Option<&Presence>) -> Self {
        let ours = match (sent, now) {
            (Some(Some(sent)), Seen::Status(now)) => sent == now,
            (Some(None), Seen::Absent) => true,
            _ => false,
        };
        match now {
            Seen::Unknown => self,
            _ if now == before => self,
            _ if ours => self.written(before, now),
            Seen::Absent => Self::default(),
            Seen::Status(_) if matches!(before, Seen::Status(_)) => Self { edited: self.added, ..self },
            Seen::Status(_) => Self::default(),
        }
    }

    /// After we have written `now`.
    #[must_use]
    pub fn written(self, before: &Seen, now: &Seen) -> Self {
        match (before, now) {
            (_, Seen::Unknown) => self,
            (_, Seen::Absent) => Self::default(),
            (Seen::Absent, Seen::Status(_)) => Self { added: true, edited: false },
            (_, Seen::Status(_)) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Provenance = Provenance { added: true, edited: false };
    const EDITED: Provenance = Provenance { added: true, edited: true };
    const THEIRS: Provenance = Provenance { added: false, edited: false };

    fn status(name: &str) -> Seen {
        Seen::Status(name.to_owned())
    }

    #[test]
    fn what_we_add_is_ours_until_somebody_changes_it() {
        let added = THEIRS.written(&Seen::Absent, &status("Invited"));
        assert_eq!(added, OURS);
        assert_eq!(added.written(&status("Invited"), &status("Attended")), OURS);
        let edited = added.read(&status("Invited"), &status("Attended"), None);
        assert_eq!(edited, EDITED);
        assert_eq!(edited.written(&status("Attended"), &status("Won")), EDITED);
        assert_eq!(edited.written(&status("Won"), &Seen::Absent), THEIRS);
    }

    #[test]
    fn what_others_add_or_add_again_is_theirs() {
        assert_eq!(THEIRS.read(&Seen::Absent, &status("Invited"), None), THEIRS);
        assert_eq!(THEIRS.read(&Seen::Unknown, &status("Invited"), None), THEIRS);
        assert_eq!(OURS.read(&status("Invited"), &Seen::Absent, None), THEIRS);
        assert_eq!(OURS.read(&Seen::Absent, &status("Invited"), None), THEIRS);
        assert_eq!(THEIRS.read(&status("Invited"), &status("Won"), None), THEIRS);
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_known_by_what_was_announced() {
        let sent = Some("Invited".to_owned());
        assert_eq!(THEIRS.read(&Seen::Absent, &status("Invited"), Some(&sent)), OURS);
        assert_eq!(OURS.read(&status("New"), &status("Invited"), Some(&sent)), OURS);
        assert_eq!(OURS.read(&status("New"), &status("Won"), Some(&sent)), EDITED);
        assert_eq!(OURS.read(&status("New"), &Seen::Absent, Some(&None)), THEIRS);
    }

    #[test]
    fn no_news_changes_nothing() {
        for provenance in [OURS, EDITED, THEIRS] {
            assert_eq!(provenance.read(&status("Invited"), &Seen::Unknown, None), provenance);
            assert_eq!(provenance.read(&status("Invited"), &status("Invited"), None), provenance);
        }
    }
}
