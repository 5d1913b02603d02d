//! Zeros that are pretended of a variant: as many as its edits ask for.

use std::collections::BTreeMap;

use crate::sparsify::count;
use crate::sweep::event::{Header, LayerInfo};
use crate::sweep::spec::{Edit, Layers, Method};
use crate::sweep::zeros::Zeros;

/// Of each tensor that is edited, by name; the same at every α.
pub(super) fn zeros(header: &Header, edits: &[Edit]) -> Vec<Zeros> {
    let mut all: BTreeMap<&str, Zeros> = BTreeMap::new();
    for edit in edits {
        let Some(layer) = header.layers.iter().find(|it| it.name == edit.layer) else { continue };
        for tensor in layer.tensors.iter().filter(|it| acts(edit, it)) {
            let zeros = all.entry(tensor).or_insert_with(|| Zeros {
                tensor: tensor.clone(),
                total: size(header, layer, tensor),
                weights: 0,
                differences: 0,
            });
            set(zeros, edit);
        }
    }
    all.into_values().collect()
}

/// Adds what one edit makes zero; of several the larger one counts.
fn set(zeros: &mut Zeros, edit: &Edit) {
    let total = usize::try_from(zeros.total).unwrap_or(usize::MAX);
    let of = |amount| count(amount, total) as u64;
    match edit.method {
        Method::Magnitude => zeros.weights = zeros.weights.max(of(edit.amount)),
        Method::NOfM => {
            let amount = 1.0 - edit.n as f64 / edit.m.max(1) as f64;
            zeros.weights = zeros.weights.max(of(amount));
        }
        Method::Delta | Method::Dare => {
            zeros.differences = zeros.differences.max(of(edit.amount));
        }
        Method::Reset => zeros.differences = zeros.total,
    }
}

/// Matrices alone, but for `reset`; told by the name.
fn acts(edit: &Edit, tensor: &str) -> bool {
    let embedding = tensor.ends_with("embedding") || tensor == "token_embedding.weight";
    let vector = tensor.ends_with("bias") || tensor.contains("ln_") || tensor.contains("bn");
    match edit.method {
        Method::Reset => true,
        _ if embedding => edit.embeddings || edit.layer == tensor,
        _ => !vector,
    }
}

/// Numbers in a tensor; where the header does not tell them, its share of the layer.
fn size(header: &Header, layer: &LayerInfo, tensor: &str) -> u64 {
    let alone = |it: &&LayerInfo| it.units == Layers::Tensor && it.name == tensor;
    let share = || layer.parameters / layer.tensors.len().max(1) as u64;
    header.layers.iter().find(alone).map_or_else(share, |it| it.parameters)
}
