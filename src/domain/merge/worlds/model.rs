//! What the two model worlds are made of: statuses, people, and what their owners allow.
//!
//! Owns a second, independent notion of what translates to what and which step is higher; must not know the merge.

use crate::domain::merge::Reading;
use crate::domain::retry::chance;

pub(super) const PROGRAM: &[&str] = &["v", "i", "r", "w", "a", "n"];
pub(super) const CAMPAIGN: &[&str] = &["I", "R", "G", "A", "N", "L"];

/// The judge's own idea of the statuses.
pub(super) fn in_salesforce(program_status: &str) -> Option<&'static str> {
    Some(match program_status {
        "v" | "i" => "I",
        "r" => "R",
        "a" => "A",
        "n" => "N",
        _ => return None,
    })
}

pub(super) fn in_marketo(campaign_status: &str) -> Option<&'static str> {
    Some(match campaign_status {
        "I" => "i",
        "R" | "L" => "r",
        "A" => "a",
        "N" => "n",
        _ => return None,
    })
}

pub(super) fn step(program_status: &str) -> u32 {
    match program_status {
        "v" => 5,
        "i" => 10,
        "r" => 20,
        "w" => 30,
        _ => 40,
    }
}

pub(super) struct Dice {
    pub(super) seed: u64,
    pub(super) thrown: u64,
}

impl Dice {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.thrown += 1;
        let spread = self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D).wrapping_add(self.thrown);
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "from 0 up to n")]
        let side = (chance(spread) * n as f64) as usize;
        side
    }

    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// One side: a person who may be gone, and may be a member.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) gone: bool,
    pub(super) status: Option<&'static str>,
    /// Comes back when the person is undeleted.
    pub(super) buried: Option<&'static str>,
    /// The last change of membership or status was made by a person, and took the member away.
    pub(super) removed_by_a_person: bool,
}

impl World {
    pub(super) fn read(&self) -> Reading {
        match self.status {
            _ if self.gone => Reading::Gone,
            None => Reading::Absent,
            Some(status) => Reading::Status(status.to_owned()),
        }
    }

    pub(super) fn set(&mut self, status: Option<&'static str>, by_a_person: bool) {
        if status != self.status {
            self.removed_by_a_person = by_a_person && status.is_none();
            self.status = status;
        }
    }
}

/// Marketo moves a member to a status of a higher or equal step only.
pub(super) fn marketo_accepts(world: &World, to: Option<&str>) -> bool {
    world.status.zip(to).is_none_or(|(now, to)| step(to) >= step(now))
}
