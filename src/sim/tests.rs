use super::*;
use crate::sweep::event::{DatasetInfo, SCHEMA};
use crate::sweep::probe::Direction;
use crate::sweep::spec::{BarrierSpec, CurvatureSpec, Edit, Layers, Method, SharpnessSpec};

fn engine(script: SimScript) -> SimEngine {
    let info = |name: &str, role| DatasetInfo {
        name: name.into(),
        role,
        images: 300,
        classes: 10,
        rounds: vec![300],
        benchmark: None,
    };
    let header = Header {
        schema: SCHEMA,
        spec_hash: String::new(),
        zeroshot: "a".into(),
        finetuned: "b".into(),
        label: None,
        architecture: "none".into(),
        alphas: (0..5).filter_map(|i| Alpha::new(f64::from(i) / 4.0)).collect(),
        datasets: vec![info("id", Role::Id), info("ood", Role::Ood)],
        variants: vec![Variant::dense()],
        layers: layers(12),
        seed: 3,
        batch: 32,
        stragglers: Default::default(),
    };
    SimEngine::new(header, script)
}

fn sharpness() -> Probe {
    Probe::Sharpness { spec: SharpnessSpec::default(), on: DatasetId(0) }
}

fn all(engine: &SimEngine, units: Layers) -> Vec<LayerInfo> {
    engine.header.layers.iter().filter(|it| it.units == units).cloned().collect()
}

fn ask(engine: &mut SimEngine, probe: &Probe, layer: Option<&LayerInfo>) -> ProbeResult {
    engine.probe(probe, layer, &mut ()).unwrap().unwrap()
}

fn mean(result: &ProbeResult) -> f64 {
    let ProbeResult::Sharpness(it) = result else { panic!("{result:?}") };
    let rises: Vec<f64> = it.rises.iter().flatten().copied().collect();
    rises.iter().sum::<f64>() / rises.len() as f64
}

#[test]
fn the_middle_block_is_the_sharpest_and_moved_farthest() {
    let mut engine = engine(SimScript::default());
    engine.set_point(Alpha::new(0.5).unwrap(), &Variant::dense()).unwrap();
    let blocks = all(&engine, Layers::Block);
    assert_eq!(blocks.len(), 14, "stem, twelve blocks, head");
    let values: Vec<f64> =
        blocks.iter().map(|layer| mean(&ask(&mut engine, &sharpness(), Some(layer)))).collect();
    let most = (0..14).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
    assert_eq!(blocks[most].name, "block.6");
    let others = values.iter().filter(|&&v| v < values[most]).fold(0.0_f64, |a, &v| a.max(v));
    assert!(values[most] > 3.0 * others, "{values:?}");
    let far = blocks.iter().max_by(|a, b| a.moved.unwrap().total_cmp(&b.moved.unwrap())).unwrap();
    assert_eq!(far.name, "block.6");
    assert!(mean(&ask(&mut engine, &sharpness(), None)) > values[most]);
}

#[test]
fn an_answer_depends_on_the_question_alone() {
    let probes = [
        sharpness(),
        Probe::Path {
            spec: BarrierSpec::default(),
            on: vec![DatasetId(1), DatasetId(0)],
            direction: Direction::Path,
        },
        Probe::Curvature { spec: CurvatureSpec::default(), on: DatasetId(0) },
    ];
    let (mut one, mut other) = (engine(SimScript::default()), engine(SimScript::default()));
    let layers = all(&one, Layers::Block);
    let points = one.header.alphas.clone();
    let mut forwards = Vec::new();
    for probe in &probes {
        for &alpha in &points {
            one.set_point(alpha, &Variant::dense()).unwrap();
            for layer in &layers {
                forwards.push(ask(&mut one, probe, Some(layer)));
            }
        }
    }
    for probe in probes.iter().rev() {
        for &alpha in points.iter().rev() {
            other.set_point(alpha, &Variant::dense()).unwrap();
            for layer in layers.iter().rev() {
                assert_eq!(Some(ask(&mut other, probe, Some(layer))), forwards.pop());
            }
        }
    }
}

#[test]
fn edits_shift_accuracy_and_none_when_their_amount_is_zero() {
    let engine = |layer: &str, method, amount| {
        let mut it = engine(SimScript::default());
        let edit = Edit { layer: layer.into(), method, amount, n: 4, m: 4, embeddings: false };
        let variant = Variant { name: "v".into(), sparsify: vec![edit] };
        it.set_point(Alpha::new(0.5).unwrap(), &variant).unwrap();
        it
    };
    let at = |it: &SimEngine, alpha: f64| it.accuracy(DatasetId(1), Alpha::new(alpha).unwrap());
    let dense = engine("block.0", Method::Delta, 0.0);
    for method in [Method::Magnitude, Method::Delta, Method::Dare, Method::NOfM] {
        let none = engine("block.3", method, 0.0);
        for alpha in [0.0, 0.5, 1.0] {
            assert_eq!(at(&none, alpha), at(&dense, alpha));
        }
    }
    assert!(at(&engine("block.6", Method::Reset, 1.0), 0.5) > at(&dense, 0.5));
    assert!(at(&engine("block.3", Method::Reset, 1.0), 0.5) < at(&dense, 0.5));
    assert_eq!(at(&engine("block.3", Method::Reset, 1.0), 0.0), at(&dense, 0.0));
    assert!(at(&engine("block.3", Method::Magnitude, 0.9), 0.0) < at(&dense, 0.0));
}

#[test]
fn steering_and_scripted_failures() {
    struct Some3(usize);
    impl Steer for Some3 {
        fn go_on(&mut self, done: f64) -> bool {
            assert!((0.0..1.0).contains(&done));
            self.0 += 1;
            self.0 <= 3
        }
    }
    let failing_layers = vec![("block.1".into(), AlphaId(0)), ("overall".into(), AlphaId(4))];
    let mut engine = engine(SimScript { failing_layers, ..SimScript::default() });
    let layers = all(&engine, Layers::Block);
    let left = engine.probe(&sharpness(), Some(&layers[0]), &mut Some3(0)).unwrap();
    assert_eq!((left, engine.batches), (None, 3));
    let failed = engine.probe(&sharpness(), Some(&layers[2]), &mut ());
    assert!(matches!(failed, Err(EngineError::Cell(_))), "{failed:?}");
    assert!(engine.probe(&sharpness(), None, &mut ()).is_ok());
    engine.set_point(Alpha::FINE_TUNED, &Variant::dense()).unwrap();
    assert!(engine.probe(&sharpness(), None, &mut ()).is_err());
}
