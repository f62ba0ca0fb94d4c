//! What happened in histories, in numbers: of one, and of all together.

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub edits: usize,
    pub hints: usize,
    pub crashes: usize,
    pub overtaken: usize,
    pub lost: usize,
    pub polled: usize,
    /// Of two weeks each.
    pub long: usize,
    pub renamed: usize,
    /// Passes of another process, whose clock differs.
    pub far: usize,
    /// Removals that waited and were decided by a person.
    pub approvals: usize,
    /// Events told to somebody.
    pub told: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.hints += other.hints;
        self.crashes += other.crashes;
        self.overtaken += other.overtaken;
        self.lost += other.lost;
        self.polled += other.polled;
        self.long += other.long;
        self.renamed += other.renamed;
        self.far += other.far;
        self.approvals += other.approvals;
        self.told += other.told;
    }
}
