//! A small run with probes of every kind.

use alphascope::sweep::event::Header;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::probe::{Direction, Probe};
use alphascope::sweep::spec::{
    BarrierSpec, CurvatureSpec, Edit, Layers, Method, SharpnessSpec, Variant,
};

pub fn edit(layer: &str, method: Method, amount: f64) -> Edit {
    Edit { layer: layer.into(), method, amount, n: 2, m: 4, embeddings: false }
}

pub fn variant(name: &str, edits: &[Edit]) -> Variant {
    Variant { name: name.into(), sparsify: edits.to_vec() }
}

/// Two datasets, four layers, one variant beside the dense one.
pub fn header(points: usize) -> Header {
    let mut header = super::header(&[60, 45], points, 16);
    header.variants.push(variant("trim", &[edit("block.1", Method::Delta, 0.5)]));
    header
}

pub fn sharpness() -> Probe {
    let spec = SharpnessSpec { batch: 16, batches: 2, draws: 4, ..SharpnessSpec::default() };
    Probe::Sharpness { spec, on: DatasetId(0) }
}

pub fn path(direction: Direction) -> Probe {
    let spec = BarrierSpec { images: 30, layers: Layers::Module, ..BarrierSpec::default() };
    Probe::Path { spec, on: vec![DatasetId(0), DatasetId(1)], direction }
}

pub fn curvature() -> Probe {
    let spec = CurvatureSpec { batch: 16, probes: 2, iterations: 3, ..CurvatureSpec::default() };
    Probe::Curvature { spec, on: DatasetId(1) }
}

pub fn three(header: &Header) -> Vec<Probe> {
    [sharpness(), path(Direction::Path), curvature()].map(|it| it.named(header)).to_vec()
}
