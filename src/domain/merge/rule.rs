//! The rows of the decision table, by name.
//!
//! Owns the short codes that explain, history and tests show; a code that was stored keeps its meaning. `C` after a row
//! says that the conflict policy decided, `R` that the regression policy did. Must not know what a row decides.
//!
//! P0 (the program or campaign as a whole) and P3b (a converted lead) decide no member, so they have no code here.

use crate::domain::closed_list::closed_list;

closed_list! {
    /// The row that decided.
    pub enum Rule {
        /// Sync off, mapping paused or member frozen.
        P1 = "P1",
        /// A side could not be read.
        P2 = "P2",
        /// Persons were merged, both are members with different statuses: furthest progress.
        P3 = "P3",
        /// The person is gone from Marketo, and still a member in Salesforce.
        P4 = "P4",
        /// The person is gone from Salesforce, and still a member in Marketo.
        P5 = "P5",
        /// The person is gone from one side, and no member on the other.
        P6 = "P6",
        /// No base, absent on both.
        Row1 = "1",
        /// No base, in Marketo only.
        Row2 = "2",
        /// No base, in Salesforce only.
        Row3 = "3",
        /// No base, the same on both.
        Row4 = "4",
        /// No base, different, one-way: the source wins.
        Row5 = "5",
        /// No base, different: conflict.
        Row5C = "5C",
        /// No base, different: Salesforce wins with a lower step.
        Row5R = "5R",
        /// Neither changed.
        Row6 = "6",
        /// Marketo changed.
        Row7 = "7",
        /// Salesforce changed.
        Row8 = "8",
        /// Salesforce changed to a lower step.
        Row8R = "8R",
        /// Both changed to the same.
        Row9 = "9",
        /// Both changed and differ, one-way: the source's change travels.
        Row10 = "10",
        /// Both changed and differ: conflict.
        Row10C = "10C",
        /// Both changed and differ: Salesforce wins with a lower step.
        Row10R = "10R",
        /// Removed from Marketo.
        Row11 = "11",
        /// Removed from Salesforce.
        Row12 = "12",
        /// Removed from both.
        Row13 = "13",
        /// Removed from Marketo, changed in Salesforce.
        Row14 = "14",
        /// Removed from Salesforce, changed in Marketo.
        Row15 = "15",
        /// Kept apart without Marketo, still so.
        Row16 = "16",
        /// Kept apart without Marketo, joined again.
        Row17 = "17",
        /// Kept apart without Marketo, joined again and different: conflict.
        Row17C = "17C",
        /// Kept apart without Marketo, joined again: Salesforce wins with a lower step.
        Row17R = "17R",
        /// Kept apart without Salesforce, still so.
        Row18 = "18",
        /// Kept apart without Salesforce, joined again.
        Row19 = "19",
        /// Kept apart without Salesforce, joined again and different: conflict.
        Row19C = "19C",
        /// Kept apart without Salesforce, joined again: Salesforce wins with a lower step.
        Row19R = "19R",
        /// The mapping is taken back: not a row of the table.
        Undo = "undo",
        /// A person has said which side is right: not a row of the table.
        Resolved = "resolved",
        /// An edit in Salesforce that our write overtook is brought back, to be decided with: not a row of the table.
        Overwritten = "overwritten",
    }
}

impl Rule {
    /// Whether it is a row of the table.
    #[must_use]
    pub fn is_row(self) -> bool {
        !matches!(self, Self::Undo | Self::Resolved | Self::Overwritten)
    }

    /// The rule once the conflict policy is asked.
    pub(super) fn conflict(self) -> Self {
        match self {
            Self::Row5 => Self::Row5C,
            Self::Row10 => Self::Row10C,
            Self::Row17 => Self::Row17C,
            Self::Row19 => Self::Row19C,
            other => other,
        }
    }

    /// The rule once the regression policy is asked.
    pub(super) fn regression(self) -> Self {
        match self {
            Self::Row5 | Self::Row5C => Self::Row5R,
            Self::Row8 => Self::Row8R,
            Self::Row10 | Self::Row10C => Self::Row10R,
            Self::Row17 | Self::Row17C => Self::Row17R,
            Self::Row19 | Self::Row19C => Self::Row19R,
            other => other,
        }
    }
}
