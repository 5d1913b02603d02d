#![allow(clippy::unwrap_used, clippy::panic)] // tests

use super::*;
use crate::sim;
use crate::sparsify;
use crate::sweep::event::{DatasetInfo, Event, Header, SCHEMA};
use crate::sweep::ids::Alpha;
use crate::sweep::spec::{Role, Variant};

fn header() -> Header {
    let sparse = Variant {
        name: "half".into(),
        sparsify: vec![sparsify::parse("block.0.mlp=magnitude:0.5").unwrap()],
    };
    Header {
        schema: SCHEMA,
        spec_hash: String::new(),
        zeroshot: "zs".into(),
        finetuned: "ft".into(),
        label: None,
        architecture: "test".into(),
        alphas: [0.0, 1.0].into_iter().filter_map(Alpha::new).collect(),
        datasets: vec![DatasetInfo {
            name: "a".into(),
            role: Role::Ood,
            images: 4,
            classes: 2,
            rounds: vec![4],
            benchmark: None,
        }],
        variants: vec![Variant::dense(), sparse],
        layers: sim::layers(2),
        seed: 0,
        batch: 4,
        stragglers: Default::default(),
    }
}

fn name(end: &str) -> String {
    format!("visual.transformer.resblocks.0.mlp.{end}.weight")
}

fn counted(variant: usize, alpha: usize, weights: u64) -> Event {
    let of = |end| Zeros { tensor: name(end), total: 10, weights, differences: 1 };
    let zeros = vec![of("c_fc"), of("c_proj")];
    Event::Sparsified { variant: VariantId(variant), alpha: AlphaId(alpha), zeros }
}

fn fold(events: &[Event]) -> SweepState {
    let mut state = SweepState::replay([&Event::Header(header())]);
    events.iter().for_each(|event| state.apply(event));
    state
}

#[test]
fn counts_are_kept_by_variant_and_point() {
    let state = fold(&[counted(1, 0, 5), counted(1, 1, 6)]);
    let at = |alpha| state.zeros_in_all(VariantId(1), AlphaId(alpha));
    assert_eq!(at(0), Some(Sum { total: 20, weights: 10, differences: 2 }));
    assert_eq!(at(1).and_then(|it| it.fraction()), Some(0.6));
    assert_eq!(at(1).and_then(|it| it.difference_fraction()), Some(0.1));
    assert_eq!(state.zeros(VariantId::DENSE, AlphaId(0)), None);
    assert_eq!((state.ignored, state.misfits), (0, 0));
    let places: Vec<_> = state.counted().collect();
    assert_eq!(places, [(VariantId(1), AlphaId(0)), (VariantId(1), AlphaId(1))]);
}

#[test]
fn a_layer_has_those_of_its_tensors() {
    let state = fold(&[counted(1, 0, 5)]);
    let layers = header().layers;
    let of = |name: &str| {
        let layer = layers.iter().find(|it| it.name == name).unwrap();
        state.zeros_of(VariantId(1), AlphaId(0), layer)
    };
    assert_eq!(of("block.0"), Some(Sum { total: 20, weights: 10, differences: 2 }));
    assert_eq!(of(&name("c_fc")), Some(Sum { total: 10, weights: 5, differences: 1 }));
    assert_eq!((of("block.1"), of("block.0.attn")), (None, None));
}

/// Two parts of a run may count the same; the first one stands.
#[test]
fn what_another_part_counted_changes_nothing() {
    let state = fold(&[counted(1, 0, 5), counted(1, 0, 5)]);
    assert_eq!(state, fold(&[counted(1, 0, 5)]));
    let other = fold(&[counted(1, 0, 5), counted(1, 0, 7)]);
    assert_eq!((other.ignored, other.misfits), (1, 0));
    assert_eq!(other.zeros(VariantId(1), AlphaId(0)), state.zeros(VariantId(1), AlphaId(0)));
}

#[test]
fn what_does_not_fit_is_left_out() {
    for event in [counted(0, 0, 5), counted(2, 0, 5), counted(1, 2, 5), counted(1, 0, 11)] {
        let state = fold(std::slice::from_ref(&event));
        assert_eq!((state.ignored, state.misfits), (1, 1), "{event:?}");
        assert_eq!(state.counted().count(), 0);
    }
}
