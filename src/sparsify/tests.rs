//! Every sparsifier against its definition, written plainly in float64; ties, zeros, edges.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::arch::{Dims, ImageDims, TextDims};
use crate::sweep::ids::Alpha;
use crate::sweep::spec::Variant;

/// Few distinct values, so that ties are common, with zeros of both signs and extremes.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (-4_i8..=4).prop_map(|x| f32::from(x) / 2.0),
        4 => -10.0_f32..10.0,
        1 => Just(-0.0_f32),
        1 => Just(1.0e-40_f32),
        1 => Just(3.0e38_f32),
    ]
}

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0_f64..=1.0]
}

/// The k smallest by magnitude, by sorting (value, position) pairs.
fn smallest_by_sorting(values: &[f64], k: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()).then(a.cmp(&b)));
    let mut set = vec![false; values.len()];
    order.iter().take(k).for_each(|&i| set[i] = true);
    set
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn bools(mask: &Mask) -> Vec<bool> {
    (0..mask.len()).map(|i| mask.get(i)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Width 6 in 2 blocks with an MLP of 8, patches of 4; text of width 4.
fn dims() -> Dims {
    Dims {
        image: ImageDims { patch: 4, grid: 2, width: 6, layers: 2, mlp_width: 8, resnet: None },
        text: Some(TextDims { context: 7, vocab: 30, width: 4, layers: 1, mlp_width: 8 }),
        embed: 5,
    }
}

fn plan(edits: &[&str]) -> Result<Plan, SparsifyError> {
    let sparsify = edits.iter().map(|text| parse(text).unwrap()).collect();
    let variant = Variant { name: "v".into(), sparsify };
    Plan::resolve(&dims(), Some((3, true)), true, &variant, 7)
}

/// The plan of one edit of a tensor that is named itself.
fn tensor(action: &str) -> std::sync::Arc<TensorPlan> {
    let name = "visual.transformer.resblocks.0.mlp.c_fc.weight";
    let plan = plan(&[&format!("{name}={action}")]).unwrap();
    std::sync::Arc::clone(plan.tensor(name).unwrap())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.tensors().map(|tensor| tensor.name()).collect()
}

proptest! {
    #[test]
    fn magnitude_is_its_definition(
        values in prop::collection::vec(value(), 0..200),
        amount in amount(),
    ) {
        let mask = magnitude(&values, amount);
        let k = (amount * values.len() as f64 + 0.5).floor() as usize;
        prop_assert_eq!(bools(&mask), smallest_by_sorting(&wide(&values), k));
        prop_assert_eq!(mask.count(), k);
    }

    #[test]
    fn delta_is_its_definition(
        ends in prop::collection::vec((value(), value()), 0..200),
        amount in amount(),
        alpha in -0.5_f64..1.5,
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = ends.into_iter().unzip();
        // The difference is float32's, as the path's is.
        let moved: Vec<f64> = zero.iter().zip(&one).map(|(a, b)| f64::from(b - a)).collect();
        let mask = differences(&zero, &one, amount);
        let k = (amount * zero.len() as f64 + 0.5).floor() as usize;
        prop_assert_eq!(bools(&mask), smallest_by_sorting(&moved, k));
        if amount > 0.0 {
            let alpha = Alpha::new(alpha).unwrap();
            let mut dense = vec![0.0; zero.len()];
            path::interpolate(&zero, &one, alpha, &mut dense);
            let got = tensor(&format!("delta:{amount}")).values(&zero, &one, alpha);
            for i in 0..zero.len() {
                // Zero-shot where dropped (whatever sign its zero has), else not touched.
                if mask.get(i) {
                    prop_assert_eq!(got[i], zero[i]);
                } else {
                    prop_assert_eq!(got[i].to_bits(), dense[i].to_bits());
                }
            }
        }
    }

    #[test]
    fn dare_is_its_definition(
        ends in prop::collection::vec((-8.0_f32..8.0, -8.0_f32..8.0), 1..200),
        amount in amount(),
        alpha in -0.5_f64..1.5,
        seed in any::<u64>(),
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = ends.into_iter().unzip();
        let mask = random(zero.len(), amount, seed, "visual.proj");
        prop_assert_eq!(mask.count(), (amount * zero.len() as f64 + 0.5).floor() as usize);
        prop_assert_eq!(&mask, &random(zero.len(), amount, seed, "visual.proj"));
        // Nested: a larger amount drops these too.
        let more = random(zero.len(), (amount + 0.3).min(1.0), seed, "visual.proj");
        prop_assert!((0..zero.len()).all(|i| !mask.get(i) || more.get(i)));

        let sparsify = vec![parse(&format!("visual.proj=dare:{amount}")).unwrap()];
        let variant = Variant { name: "v".into(), sparsify };
        let plan = Plan::resolve(&dims(), None, false, &variant, seed).unwrap();
        let Some(plan) = plan.tensor("visual.proj") else {
            prop_assert_eq!(amount, 0.0);
            return Ok(());
        };
        let got = plan.values(&zero, &one, Alpha::new(alpha).unwrap());
        for i in 0..zero.len() {
            let (a, b) = (f64::from(zero[i]), f64::from(one[i]));
            let kept = if mask.get(i) || amount == 1.0 { 0.0 } else { (b - a) / (1.0 - amount) };
            let formula = a + alpha * kept;
            let allowed = 8.0 * f64::from(f32::EPSILON) * (a.abs() + b.abs() + kept.abs());
            prop_assert!((f64::from(got[i]) - formula).abs() <= allowed, "{} {formula}", got[i]);
        }
    }

    #[test]
    fn n_of_m_is_its_definition(
        lines in 1_usize..6,
        length in 1_usize..20,
        m in 1_usize..9,
        kept in 0_usize..9,
        columns in any::<bool>(),
        pool in prop::collection::vec(value(), 120),
    ) {
        let n = kept.min(m);
        let values = &pool[..lines * length];
        let layout = if columns { Lines::columns([length, lines]) } else { Lines::rows(&[lines, length]) };
        let mask = n_of_m(values, n, m, layout);
        let at = |line: usize, i: usize| if columns { i * lines + line } else { line * length + i };
        let mut expected = vec![false; values.len()];
        for line in 0..lines {
            for start in (0..length).step_by(m) {
                let group: Vec<usize> =
                    (start..(start + m).min(length)).map(|i| at(line, i)).collect();
                let numbers: Vec<f64> = group.iter().map(|&i| f64::from(values[i])).collect();
                let zeros = smallest_by_sorting(&numbers, group.len().saturating_sub(n));
                std::iter::zip(&group, zeros).for_each(|(&i, zero)| expected[i] = zero);
            }
        }
        prop_assert_eq!(bools(&mask), expected);
    }

    /// Nothing at 0, everything at 1, no NaN anywhere, exact counts.
    #[test]
    fn edges_are_well_defined(
        ends in prop::collection::vec((-8.0_f32..8.0, -8.0_f32..8.0), 1..100),
        alpha in -0.5_f64..1.5,
        amount in amount(),
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = ends.into_iter().unzip();
        let alpha = Alpha::new(alpha).unwrap();
        let n = zero.len();
        for action in ["magnitude", "delta", "dare"] {
            let nothing = plan(&[&format!("visual.proj={action}:0")]).unwrap();
            prop_assert!(nothing.is_dense());
            let whole = tensor(&format!("{action}:1")).values(&zero, &one, alpha);
            let expected = if action == "magnitude" { vec![0.0; n] } else { zero.clone() };
            prop_assert_eq!(bits(&whole), bits(&expected));
            if amount > 0.0 {
                let some = tensor(&format!("{action}:{amount}"));
                prop_assert!(some.values(&zero, &one, alpha).iter().all(|x| x.is_finite()));
                let zeros = some.count(&zero, &one, alpha);
                let set = if action == "magnitude" { zeros.weights } else { zeros.differences };
                prop_assert!(set >= count(amount, n) as u64 && zeros.total == n as u64);
            }
        }
        prop_assert_eq!(bits(&tensor("reset").values(&zero, &one, alpha)), bits(&zero));
        prop_assert_eq!(n_of_m(&zero, 0, 4, Lines::rows(&[n])).count(), n);
        prop_assert!(plan(&["visual.proj=4:4"]).unwrap().is_dense());
    }

    /// The path in float64, to rounding.
    #[test]
    fn the_path_is_the_formula(
        ends in prop::collection::vec((-1e3_f32..1e3, -1e3_f32..1e3), 1..50),
        alpha in -0.5_f64..1.5,
    ) {
        let (zero, one): (Vec<f32>, Vec<f32>) = ends.into_iter().unzip();
        let mut got = vec![0.0; zero.len()];
        path::interpolate(&zero, &one, Alpha::new(alpha).unwrap(), &mut got);
        for i in 0..zero.len() {
            let (a, b) = (f64::from(zero[i]), f64::from(one[i]));
            let allowed = 4.0 * f64::from(f32::EPSILON) * (a.abs() + b.abs());
            prop_assert!((f64::from(got[i]) - (a + alpha * (b - a))).abs() <= allowed);
        }
    }
}

#[test]
fn dare_keeps_the_mean() {
    // The mean over seeds of what each difference becomes is the difference.
    let (n, seeds, amount) = (40, 4000, 0.75);
    let mut sums = vec![0.0; n];
    for seed in 0..seeds {
        let mask = random(n, amount, seed, "w");
        (0..n).filter(|&i| !mask.get(i)).for_each(|i| sums[i] += 1.0 / (1.0 - amount));
    }
    // Standard error √(s / (1 − s) / seeds) = 0.027.
    for sum in sums {
        assert!((sum / seeds as f64 - 1.0).abs() < 0.14, "{sum}");
    }
    assert_ne!(random(1000, 0.5, 1, "a"), random(1000, 0.5, 1, "b"));
    assert_ne!(random(1000, 0.5, 1, "a"), random(1000, 0.5, 2, "a"));
}

#[test]
fn masks_do_not_change_between_versions() {
    // A run that is resumed, or a checkpoint merged later, must drop the same differences.
    let dropped: Vec<usize> = {
        let mask = random(24, 0.25, 0, "visual.proj");
        (0..24).filter(|&i| mask.get(i)).collect()
    };
    assert_eq!(dropped, [5, 11, 16, 17, 19, 22]);
}

#[test]
fn ties_go_by_position() {
    let values = [1.0, -1.0, 0.0, -0.0, 1.0, 2.0];
    assert_eq!(bools(&magnitude(&values, 0.5)), [true, false, true, true, false, false]);
    assert_eq!(bools(&magnitude(&values, 0.25)), [false, false, true, true, false, false]);
    let groups = n_of_m(&[1.0, 1.0, 1.0, 1.0, 3.0], 2, 4, Lines::rows(&[1, 5]));
    assert_eq!(bools(&groups), [true, true, false, false, false]);
}

#[test]
fn a_layer_is_its_matrices() {
    let all = plan(&["block.1=magnitude:0.5"]).unwrap();
    let at = "visual.transformer.resblocks.1";
    let matrices =
        ["attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];
    assert_eq!(names(&all), matrices.map(|end| format!("{at}.{end}")));
    assert_eq!(
        names(&plan(&["block.1.mlp=2:4"]).unwrap()),
        matrices[2..].iter().map(|end| format!("{at}.{end}")).collect::<Vec<_>>()
    );
    assert_eq!(names(&plan(&["stem=delta:0.5"]).unwrap()), ["visual.conv1.weight"]);
    assert_eq!(
        names(&plan(&["stem+embeddings=delta:0.5"]).unwrap()),
        ["visual.class_embedding", "visual.conv1.weight", "visual.positional_embedding"]
    );
    let named = plan(&["visual.positional_embedding=dare:0.5"]).unwrap();
    assert_eq!(names(&named), ["visual.positional_embedding"]);
    assert_eq!(
        names(&plan(&["head=magnitude:0.5"]).unwrap()),
        ["classification_head.weight", "visual.proj"]
    );
    assert_eq!(names(&plan(&["text.head=magnitude:0.5"]).unwrap()), ["text_projection"]);
    // The whole layer: vectors and embeddings too.
    assert_eq!(plan(&["block.0=reset"]).unwrap().tensors().count(), 12);
    assert_eq!(plan(&["stem=reset"]).unwrap().tensors().count(), 5);
    assert_eq!(plan(&["head=reset"]).unwrap().tensors().count(), 5);
    assert_eq!(plan(&["visual.ln_pre.bias=reset"]).unwrap().tensors().count(), 1);
}

#[test]
fn what_cannot_be_done_is_said() {
    for (edit, words) in [
        ("block.7=delta:0.5", "did you mean `block.0`"),
        ("blok.1.mlp=delta:0.5", "`block.1.mlp`"),
        ("visual.prj=delta:0.5", "`visual.proj`"),
        ("quantum=delta:0.5", "`block.0` to `block.1`"),
        ("block.0=delta:1.5", "expected an amount in [0, 1], got 1.5"),
        ("block.0=magnitude:-0.1", "got -0.1"),
        ("block.0=dare:NaN", "got NaN"),
        ("block.0=5:4", "got 5:4"),
        ("block.0=0:0", "got 0:0"),
        ("visual.ln_pre.bias=delta:0.5", "a vector, which stays"),
        ("text.stem=magnitude:0.5", "embeddings only"),
    ] {
        let error = plan(&[edit]).unwrap_err().to_string();
        assert!(error.contains(words), "{edit}: {error}");
    }
    let variant = |edit: &str| Variant { name: "v".into(), sparsify: vec![parse(edit).unwrap()] };
    for name in ["text.block.0", "text_projection"] {
        let edit = variant(&format!("{name}=delta:0.5"));
        let error = Plan::resolve(&dims(), None, false, &edit, 0).unwrap_err().to_string();
        assert!(error.contains("text tower is the same at both ends"), "{error}");
    }
}

#[test]
fn several_edits_of_one_tensor_follow_each_other() {
    let name = "visual.transformer.resblocks.0.mlp.c_fc.weight";
    let zero: Vec<f32> = (0..48).map(|i| (i as f32 * 0.7).sin()).collect();
    let one: Vec<f32> = (0..48).map(|i| (i as f32 * 1.3).cos()).collect();
    let alpha = Alpha::new(0.4).unwrap();
    let both = plan(&["block.0=magnitude:0.5", &format!("{name}=delta:0.25")]).unwrap();
    let trimmed = tensor("delta:0.25").values(&zero, &one, alpha);
    let mask = magnitude(&trimmed, 0.5);
    let expected: Vec<f32> = (0..48).map(|i| if mask.get(i) { 0.0 } else { trimmed[i] }).collect();
    assert_eq!(both.tensor(name).unwrap().values(&zero, &one, alpha), expected);
    // Half of what 2:4 left: half of all are zero already.
    let twice = plan(&["block.0=2:4", "block.0=magnitude:0.75"]).unwrap();
    let got = twice.tensor(name).unwrap().values(&zero, &one, alpha);
    assert_eq!(got.iter().filter(|&&x| x == 0.0).count(), 36);
    let reset = plan(&["block.0=reset", "block.0=dare:0.5"]).unwrap();
    assert_eq!(reset.tensor(name).unwrap().values(&zero, &one, alpha), zero);
}
