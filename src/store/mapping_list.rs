//! The list of mappings: which of them, and in which order.
//!
//! A page begins behind the mapping that the page before has ended with, as that one is by now: nothing but its id has to be handed
//! out. Must not change a mapping.

use super::dialect::{Arg, args};
use super::mappings::{MAPPING, Mapping, mappings};
use super::{Store, StoreError};
use crate::domain::closed_list::closed_list;
use crate::domain::ids::ProgramId;

closed_list! {
    /// In which order mappings are listed.
    pub enum MappingOrder {
        /// The oldest first.
        Created = "created_at",
        /// The newest first.
        CreatedLast = "-created_at",
        /// By the name of the program, without case.
        Program = "program_name",
        /// The same from the end.
        ProgramLast = "-program_name",
        /// By the name of the campaign, without case.
        Campaign = "campaign_name",
        /// The same from the end.
        CampaignLast = "-campaign_name",
        /// What was not changed for the longest time first.
        Updated = "updated_at",
        /// What was changed last first.
        UpdatedLast = "-updated_at",
    }
}

impl MappingOrder {
    /// By what, and whether from the end.
    fn sql(self) -> (&'static str, bool) {
        match self {
            Self::Created => ("m.created_at", false),
            Self::CreatedLast => ("m.created_at", true),
            Self::Program => ("LOWER(m.program_name)", false),
            Self::ProgramLast => ("LOWER(m.program_name)", true),
            Self::Campaign => ("LOWER(m.campaign_name)", false),
            Self::CampaignLast => ("LOWER(m.campaign_name)", true),
            Self::Updated => ("m.updated_at", false),
            Self::UpdatedLast => ("m.updated_at", true),
        }
    }
}

/// Which mappings are listed.
#[derive(Clone, Debug, Default)]
pub struct MappingFilter {
    pub state: Option<String>,
    pub program_id: Option<ProgramId>,
    pub campaign_id: Option<String>,
    /// Part of either name.
    pub q: Option<String>,
    /// Any of these; all when there are none.
    pub ids: Vec<String>,
    /// In the order they were made unless given.
    pub order: Option<MappingOrder>,
}

impl Store {
    /// Mappings in their order, behind the one with the id `after`.
    pub async fn list_mappings(
        &self,
        filter: &MappingFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Mapping>, StoreError> {
        let mut args = args![after, limit];
        let (behind, order) = match filter.order.map(MappingOrder::sql) {
            None => ("m.id > $1".to_owned(), "m.id".to_owned()),
            Some((key, from_the_end)) => {
                let (than, way) = if from_the_end { ("<", " DESC") } else { (">", "") };
                let last = format!("(SELECT {key}, m.id FROM mappings m WHERE m.id = $1)");
                (format!("($1 = '' OR ({key}, m.id) {than} {last})"), format!("{key}{way}, m.id{way}"))
            }
        };
        let mut sql = format!("SELECT {MAPPING} FROM mappings m WHERE m.deleted_at IS NULL AND {behind}");
        let mut add = |condition: &str, value: Option<Arg>| {
            if let Some(value) = value {
                args.push(value);
                sql += &condition.replace("$?", &format!("${}", args.len()));
            }
        };
        add(" AND m.state = $?", filter.state.as_ref().map(Arg::from));
        add(" AND m.program_id = $?", filter.program_id.map(Arg::from));
        add(" AND m.campaign_id = $?", filter.campaign_id.as_ref().map(Arg::from));
        add(
            " AND (REPLACE(LOWER(m.program_name), LOWER($?), '') <> LOWER(m.program_name)
               OR REPLACE(LOWER(m.campaign_name), LOWER($?), '') <> LOWER(m.campaign_name))",
            filter.q.as_ref().filter(|q| !q.is_empty()).map(Arg::from),
        );
        if !filter.ids.is_empty() {
            let first = args.len() + 1;
            args.extend(filter.ids.iter().map(Arg::from));
            let marks: Vec<_> = (first..=args.len()).map(|n| format!("${n}")).collect();
            sql += &format!(" AND m.id IN ({})", marks.join(", "));
        }
        sql += &format!(" ORDER BY {order} LIMIT $2");
        mappings(self.db.fetch(&sql, args).await?)
    }
}
