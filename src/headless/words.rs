//! What the lines of a sweep without a screen call things.

use crate::sweep::ids::{AlphaId, DatasetId, ProbeCell, VariantId};
use crate::sweep::probe::{Direction, Probe};
use crate::sweep::spec::{Layers, Role, SharpnessKind};
use crate::sweep::state::SweepState;

/// What a probe asks, for people.
pub(super) fn what(probe: &Probe, state: &SweepState) -> String {
    let on = |id: DatasetId| state.datasets().get(id.index()).map_or("?", |it| &it.name);
    let layers = match probe.layers() {
        Layers::None => "all layers at once",
        Layers::Block => "each block",
        Layers::Module => "each module",
        Layers::Tensor => "each tensor",
    };
    match probe {
        Probe::Sharpness { spec, on: id } => {
            let kind = match spec.kind {
                SharpnessKind::Average => "average-case",
                SharpnessKind::Worst => "worst-case",
            };
            format!("{kind} sharpness (ρ {}) of {layers} on {}", spec.rho, on(*id))
        }
        Probe::Path { on: ids, direction, .. } => {
            let names: Vec<&str> = ids.iter().map(|id| on(*id)).collect();
            let way = match direction {
                Direction::Path => "the path",
                Direction::Random => "a random path",
            };
            format!("{way} of {layers} alone on {}", names.join(", "))
        }
        Probe::Curvature { on: id, .. } => format!("curvature of {layers} on {}", on(*id)),
    }
}

/// Where a probe's cell is, for people: `sharpness of block.3 at α 0.5`.
pub(super) fn place(cell: ProbeCell, state: &SweepState) -> String {
    let kind = match state.probe(cell.probe).map(|it| &it.probe) {
        Some(Probe::Sharpness { .. }) => "sharpness",
        Some(Probe::Path { direction: Direction::Path, .. }) => "layer-wise path",
        Some(Probe::Path { direction: Direction::Random, .. }) => "random path",
        Some(Probe::Curvature { .. }) => "curvature",
        None => "probe",
    };
    let layers = state.header().map_or(&[][..], |header| &header.layers);
    let layer = cell.layer.and_then(|id| layers.get(id.index()));
    let of = layer.map_or_else(String::new, |layer| format!(" of {}", layer.name));
    format!("{kind}{of}{}{}", at(cell.alpha, state), variant(cell.variant, state))
}

/// ` at α 0.5`.
pub(super) fn at(alpha: AlphaId, state: &SweepState) -> String {
    let alpha = state.alphas().get(alpha.index());
    alpha.map_or_else(String::new, |alpha| format!(" at α {alpha}"))
}

/// `, trim`; nothing for the dense one.
pub(super) fn variant(id: VariantId, state: &SweepState) -> String {
    let variant = state.variants().get(id.index()).filter(|it| !it.is_dense());
    variant.map_or_else(String::new, |it| format!(", {}", it.name))
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Id => "ID",
        Role::Ood => "OOD",
    }
}

/// `12 s`, `3 min 05 s`, `2 h 10 min`.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 1e9).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(time(0.4), "0 s");
        assert_eq!(time(185.0), "3 min 05 s");
        assert_eq!(time(7800.0), "2 h 10 min");
        assert_eq!(time(f64::NAN), "0 s");
    }
}
