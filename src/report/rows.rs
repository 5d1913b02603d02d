//! The cells of a run, one row each, and numbers as reports spell them.

use crate::sweep::event::DatasetInfo;
use crate::sweep::ids::{Alpha, CellId};
use crate::sweep::spec::Role;
use crate::sweep::state::{CellState, Status, SweepState};

/// One cell and what it belongs to.
pub(super) struct Row<'a> {
    pub id: CellId,
    pub variant: &'a str,
    pub dataset: &'a DatasetInfo,
    pub alpha: Alpha,
    pub cell: &'a CellState,
    pub status: Status,
}

/// Every cell of the plan, in the order of variants, datasets, α.
pub(super) fn rows(state: &SweepState) -> Vec<Row<'_>> {
    let row = |id: CellId| {
        let header = state.header()?;
        Some(Row {
            id,
            variant: &state.variants().get(id.variant.index())?.name,
            dataset: header.datasets.get(id.dataset.index())?,
            alpha: *header.alphas.get(id.alpha.index())?,
            cell: state.cell(id)?,
            status: state.status(id)?,
        })
    };
    state.cell_ids().filter_map(row).collect()
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Id => "id",
        Role::Ood => "ood",
    }
}

pub(super) fn status(status: &Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Partial => "partial",
        Status::Complete => "complete",
        Status::Failed(_) => "failed",
        Status::Skipped => "skipped",
    }
}
