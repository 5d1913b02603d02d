//! `[doctor]`: a search for an edit that repairs the path.

use serde::{Deserialize, Serialize};

use super::{Layers, Method};

/// `[doctor]`. Which layers straggle is measured first; then edits of them, and
/// of as many other layers as control, are tried on one part of the images and
/// judged on the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoctorSpec {
    /// Which layers may be edited.
    pub layers: Layers,
    /// Variants tried at most; half of them are controls.
    pub variants: usize,
    /// What is done to a layer, in this order.
    pub methods: Vec<Method>,
    /// How much, for the methods that have an amount, in this order.
    pub amounts: Vec<f64>,
}

impl Default for DoctorSpec {
    fn default() -> Self {
        Self {
            layers: Layers::Module,
            variants: 16,
            methods: vec![Method::Reset, Method::Delta, Method::Dare],
            amounts: vec![0.9, 0.5],
        }
    }
}
