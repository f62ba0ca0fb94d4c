//! The checklist, for whoever cannot see their campaigns.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::Json;
use super::refusal::{Answer, Refusal};
use crate::diagnosis::{CheckState, Item};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
struct Diagnostics {
    items: Vec<Line>,
}

/// One line of the checklist.
#[derive(Serialize, ToSchema)]
#[schema(as = DiagnosticsItem)]
struct Line {
    /// `status:` and the id of the mapping for each mapping.
    #[schema(example = "marketing_user")]
    id: String,
    state: CheckState,
    /// What was found.
    #[schema(example = "campaign-sync@acme.example is a Marketing User")]
    found: String,
    /// Where to click or what to change; null when there is nothing to do.
    remedy: Option<String>,
}

impl From<Item> for Line {
    fn from(Item { id, state, found, remedy }: Item) -> Self {
        Self { id, state, found, remedy }
    }
}

/// Go through everything that the sync needs
///
/// Asks both vendors, about a dozen calls that count like any other; the answer is kept for a few seconds.
#[utoipa::path(
    get, path = "/diagnostics", operation_id = "show_diagnostics", tag = "stats",
    responses((status = 200, description = "What was found, and how to mend it", body = Diagnostics))
)]
async fn show(State(api): State<ApiState>) -> Answer<Json<Diagnostics>> {
    let Some(diagnosis) = &api.diagnosis else {
        return Err(Refusal::new(503, "unavailable", "Unavailable", "this process does not ask the vendors"));
    };
    let items = diagnosis.checklist().await?.into_iter().map(Line::from).collect();
    Ok(Json(Diagnostics { items }))
}
