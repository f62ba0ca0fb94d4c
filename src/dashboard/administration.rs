//! The audit log.

use askama::Template;

use super::listing::{Asked, Pager};
use super::view::View;
use super::visitor::Visitor;
use super::{Frame, Page};

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    list: View,
    pager: Pager,
}

pub(super) async fn audit(visitor: Visitor, asked: Asked) -> Page {
    let list = visitor.get(&format!("/audit?{}", asked.query(&["cursor"]))).await?;
    let pager = Pager::of(&list, "/audit", "", &asked);
    visitor.page(&Audit { frame: visitor.frame("Audit log", "audit"), list, pager })
}
