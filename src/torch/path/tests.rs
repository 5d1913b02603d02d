use half::{bf16, f16};
use proptest::prelude::*;

use super::*;

fn singles(values: &[f32]) -> TensorView<'static> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorView::new(Dtype::F32, vec![values.len()], bytes.into()).unwrap()
}

fn halves(values: &[f32]) -> TensorView<'static> {
    let bytes: Vec<u8> = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    TensorView::new(Dtype::F16, vec![values.len()], bytes.into()).unwrap()
}

fn path(zero: &TensorView<'static>, one: &TensorView<'static>, kind: Kind) -> PathWeights {
    let end = |at, _: &str| Some(if at == End::ZeroShot { zero.clone() } else { one.clone() });
    PathWeights::load(["w".to_string()], end, Device::Cpu, kind).unwrap()
}

fn at(path: &mut PathWeights, alpha: f64, n: usize) -> Vec<f32> {
    path.set(Alpha::new(alpha).unwrap(), &Plan::default()).unwrap();
    Vec::try_from(path.get("w", &[n]).unwrap().to_kind(Kind::Float)).unwrap()
}

/// Where libtorch's CPU kernels round a product and a sum once.
fn fused() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn ends_are_the_files_bit_for_bit_from_wherever_one_comes() {
    // Values where a + (b − a) is not b, zeros of both signs, subnormals.
    let zero = [1.0e8_f32, -0.0, 1.0e-40, 3.3, f32::MAX, 0.1];
    let one = [1.0e-8_f32, 0.0, -1.0e-40, -7.7, f32::MIN, 0.3];
    let mut path = path(&singles(&zero), &singles(&one), Kind::Float);
    for alpha in [0.3, 0.0, 1.0, 0.9, 1.0, 0.1, 0.0, -0.5, 0.0, 1.5, 1.0] {
        let got = at(&mut path, alpha, 6);
        if alpha == 0.0 {
            assert_eq!(bits(&got), bits(&zero));
        }
        if alpha == 1.0 {
            assert_eq!(bits(&got), bits(&one));
        }
    }
}

#[test]
fn halves_are_interpolated_in_float32() {
    let (zero, one) = ([1.0_f32, 1365.0 / 4096.0, 65504.0], [1.000_976_6_f32, 0.25, -65504.0]);
    let mut path = path(&halves(&zero), &halves(&one), Kind::Float);
    assert_eq!(at(&mut path, 0.0, 3), zero);
    assert_eq!(at(&mut path, 1.0, 3), one);
    // The middle of two neighbouring halves is no half: it must not be rounded to one.
    assert_eq!(at(&mut path, 0.5, 3), [1.000_488_3, 0.291_625_98, 0.0]);
}

#[test]
fn bfloat16_is_rounded_once_from_the_float32_sum() {
    let (zero, one) = ([1.0_f32, -3.0, 0.1], [1.017, -2.9, 0.7]);
    let mut path = path(&singles(&zero), &singles(&one), Kind::BFloat16);
    let round = |x: f32| bf16::from_f32(x).to_f32();
    assert_eq!(at(&mut path, 0.0, 3), zero.map(round));
    assert_eq!(at(&mut path, 1.0, 3), one.map(round));
    let got = at(&mut path, 0.25, 3);
    for i in 0..3 {
        assert_eq!(got[i], round(zero[i] + 0.25 * (one[i] - zero[i])));
    }
}

#[test]
fn equal_tensors_are_stored_once_and_mixed_types_compare_by_value() {
    let values = [0.5_f32, 0.25];
    let mut path = path(&singles(&values), &halves(&values), Kind::BFloat16);
    assert_eq!(path.moving(), 0);
    assert_eq!(at(&mut path, 0.7, 2), values);
    path.set_kind(Kind::Float).unwrap();
    assert_eq!(path.at(), None);
    assert_eq!(at(&mut path, 0.2, 2), values);
}

#[test]
fn a_change_of_type_and_back_loses_nothing() {
    let (zero, one) = ([0.1_f32, 0.2], [0.3_f32, 0.2]);
    let mut path = path(&singles(&zero), &singles(&one), Kind::Float);
    path.set_kind(Kind::BFloat16).unwrap();
    path.set_kind(Kind::Float).unwrap();
    assert_eq!(at(&mut path, 1.0, 2), one);
    assert_eq!(at(&mut path, 0.0, 2), zero);
}

#[test]
fn standing_still_is_free_and_shapes_are_checked() {
    let mut path = path(&singles(&[0.0]), &singles(&[1.0]), Kind::Float);
    let plan = Plan::default();
    path.set(Alpha::FINE_TUNED, &plan).unwrap();
    // What is written to the weights by others stays: nothing is touched that stands there.
    let _ = path.get("w", &[1]).unwrap().fill_(7.0);
    path.set(Alpha::FINE_TUNED, &plan).unwrap();
    assert_eq!(at(&mut path, 1.0, 1), [7.0]);
    assert_eq!(at(&mut path, 0.0, 1), [0.0]);
    assert!(path.get("w", &[2]).unwrap_err().to_string().contains("[2]"));
    assert!(path.get("v", &[1]).unwrap_err().to_string().contains("`v`"));
    let end = |at, _: &str| (at == End::ZeroShot).then(|| singles(&[0.0]));
    let missing = PathWeights::load(["w".into()], end, Device::Cpu, Kind::Float).unwrap_err();
    assert!(missing.to_string().contains("fine-tuned"), "{missing}");
}

proptest! {
    /// θ₀ + α·(θ₁ − θ₀) in float64, to float32 rounding of the larger end.
    #[test]
    fn every_point_is_the_formula(
        pairs in prop::collection::vec((-1e3_f32..1e3, -1e3_f32..1e3), 1..70),
        alpha in -0.5_f64..1.5,
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let mut path = path(&singles(&zero), &singles(&one), Kind::Float);
        let got = at(&mut path, alpha, zero.len());
        for ((got, a), b) in got.iter().zip(&zero).zip(&one) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let formula = a + alpha * (b - a);
            let allowed = 4.0 * f64::from(f32::EPSILON) * (a.abs() + b.abs());
            prop_assert!((f64::from(*got) - formula).abs() <= allowed, "{got} {formula}");
        }
    }

    /// Merged checkpoints are written without libtorch: they must be what is measured here.
    #[test]
    fn plain_arithmetic_gives_the_same_bits(
        pairs in prop::collection::vec((-1e3_f32..1e3, -1e3_f32..1e3), 1..300),
        alpha in -1.5_f64..2.5,
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let mut path = path(&singles(&zero), &singles(&one), Kind::Float);
        let got = at(&mut path, alpha, zero.len());
        let mut plain = vec![0.0; zero.len()];
        sparsify::path::interpolate(&zero, &one, Alpha::new(alpha).unwrap(), &mut plain);
        if fused() {
            prop_assert_eq!(bits(&got), bits(&plain));
        }
        for ((got, plain), (a, b)) in got.iter().zip(&plain).zip(&pairs) {
            prop_assert!((got - plain).abs() <= f32::EPSILON * 4.0 * (a.abs() + b.abs()));
        }
    }

    /// The middle is the mean, rounded once where the sum does not cancel.
    #[test]
    fn the_middle_is_the_mean(pairs in prop::collection::vec((-8.0_f32..8.0, -8.0_f32..8.0), 1..40)) {
        let (zero, one): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let mut path = path(&singles(&zero), &singles(&one), Kind::Float);
        for ((got, a), b) in at(&mut path, 0.5, zero.len()).iter().zip(&zero).zip(&one) {
            let mean = (f64::from(*a) + f64::from(*b)) / 2.0;
            prop_assert!((f64::from(*got) - mean).abs() <= 2.0 * f64::from(f32::EPSILON) * 8.0);
        }
    }
}
