//! States of a member, and the closed list of reasons for not being in sync.
//!
//! Owns which state a reason belongs to, in one place, so that the two cannot disagree. Must not know what leads to a
//! reason.

use crate::domain::closed_list::closed_list;

closed_list! {
    /// How a member stands.
    pub enum SyncState {
        /// The same on both sides, or absent on both.
        InSync = "in_sync",
        /// Something is about to be done.
        Pending = "pending",
        /// The two differ, and nothing is done about it until a person or a policy says so.
        Diverged = "diverged",
        /// Its status may not create a counterpart.
        Gated = "gated",
        /// No attempt helps until a person, the mapping or the vendor's configuration changes, or a hint touches it.
        Parked = "parked",
        /// Every allowed attempt was made; tried again at each reconciliation.
        Failed = "failed",
    }
}

closed_list! {
    /// Why a member is not in sync.
    pub enum Reason {
        /// Its turn has not come.
        Waiting = "waiting",
        /// An attempt failed, the next one has a time.
        Retrying = "retrying",
        /// The mapping is paused.
        Paused = "paused",
        /// Campaign sync as a whole is off.
        SyncOff = "sync_off",
        /// The removal guard tripped and waits for approval.
        RemovalWaiting = "removal_waiting",
        /// The vendor's calls are used up.
        Quota = "quota",
        /// Salesforce moved to a lower step, Marketo cannot follow.
        Regression = "regression",
        /// Both changed and differ, and the policy is to wait for a person.
        ConflictHold = "conflict_hold",
        /// The target of a one-way mapping was changed by someone else.
        OneWay = "one_way",
        /// Removed on one side, and the policy or a person kept it on the other.
        KeptApart = "kept_apart",
        /// Something would have been written, had the mapping not been observing only.
        Observe = "observe",
        /// The program status is not in the gate.
        BelowGate = "below_gate",
        /// The status has no translation.
        IncompatibleStatus = "incompatible_status",
        /// Nobody on the other side is this person, and none may be created.
        PersonUnknown = "person_unknown",
        /// Several people on the other side could be this one.
        AmbiguousPerson = "ambiguous_person",
        /// The person was deleted in Salesforce.
        PersonDeleted = "person_deleted",
        /// Another record of the same human is in the campaign already.
        SecondRecord = "second_record",
        /// Writes of ours kept alternating.
        LoopDetected = "loop_detected",
        /// An account is the campaign member, and there is no person behind it.
        UnsupportedAccount = "unsupported_account",
        /// The vendor refuses this record.
        VendorRejected = "vendor_rejected",
        /// No attempt to read it succeeded.
        Unreadable = "unreadable",
        /// No attempt to write it succeeded.
        AttemptsExhausted = "attempts_exhausted",
    }
}

impl Reason {
    /// Whether a policy wants the difference, so that nobody has to see to it.
    #[must_use]
    pub const fn is_intended(self) -> bool {
        matches!(self, Self::BelowGate | Self::OneWay | Self::KeptApart | Self::Observe)
    }

    /// Whether this service leaves it as it is whatever anybody does here, so that there is nothing to see to either.
    #[must_use]
    pub const fn is_out_of_scope(self) -> bool {
        matches!(self, Self::UnsupportedAccount)
    }

    /// The state of a member that has this reason.
    #[must_use]
    pub const fn state(self) -> SyncState {
        match self {
            Self::Waiting | Self::Retrying | Self::Paused | Self::SyncOff | Self::RemovalWaiting | Self::Quota => {
                SyncState::Pending
            }
            Self::Regression | Self::ConflictHold | Self::OneWay | Self::KeptApart | Self::Observe => {
                SyncState::Diverged
            }
            Self::BelowGate => SyncState::Gated,
            Self::IncompatibleStatus
            | Self::PersonUnknown
            | Self::AmbiguousPerson
            | Self::PersonDeleted
            | Self::SecondRecord
            | Self::LoopDetected
            | Self::UnsupportedAccount
            | Self::VendorRejected => SyncState::Parked,
            Self::Unreadable | Self::AttemptsExhausted => SyncState::Failed,
        }
    }
}

impl SyncState {
    /// The state of a member with this reason, or of one without any.
    #[must_use]
    pub fn of(reason: Option<Reason>) -> Self {
        reason.map_or(Self::InSync, Reason::state)
    }
}
