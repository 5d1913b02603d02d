//! What is measured beside accuracy in a scripted run: the pretend engine's
//! answers, and variants whose accuracy is the dense one's, shifted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::BTreeSet;

use alphascope::sim::{SimEngine, SimScript};
use alphascope::sweep::engine::{Engine, Steer};
use alphascope::sweep::event::{Bits, Event, Measured, Progress};
use alphascope::sweep::ids::{
    Alpha, AlphaId, CellId, DatasetId, LayerId, ProbeCell, ProbeId, Task, VariantId, WorkerId,
};
use alphascope::sweep::probe::{Direction, Probe, Probed};
use alphascope::sweep::spec::{
    BarrierSpec, CurvatureSpec, Edit, Layers, Method, SharpnessSpec, Variant,
};
use alphascope::sweep::state::cells_at;

use super::{ORDER, Script};

/// Never told to stop.
struct OnAndOn;
impl Steer for OnAndOn {
    fn go_on(&mut self, _: f64) -> bool {
        true
    }
}

pub fn sharpness(layers: Layers) -> Probe {
    let spec = SharpnessSpec { layers, ..SharpnessSpec::default() };
    Probe::Sharpness { spec, on: DatasetId(0) }
}

pub fn path() -> Probe {
    let spec = BarrierSpec { images: 200, ..BarrierSpec::default() };
    Probe::Path { spec, on: vec![DatasetId(0)], direction: Direction::Path }
}

pub fn curvature() -> Probe {
    Probe::Curvature { spec: CurvatureSpec::default(), on: DatasetId(0) }
}

pub fn trim(layer: &str, amount: f64) -> Variant {
    let edit = Edit {
        layer: layer.to_string(),
        method: Method::Delta,
        amount,
        n: 2,
        m: 4,
        embeddings: false,
    };
    Variant { name: format!("{layer} delta {:.0} %", 100.0 * amount), sparsify: vec![edit] }
}

impl Script {
    /// The question, and so many of each hundred answers, in a useful order.
    pub fn probe(&self, id: usize, probe: &Probe, percent: usize) -> Vec<Event> {
        let mut engine = SimEngine::new(self.header.clone(), SimScript::default());
        let mut events = vec![Event::Probing { probe: probe.clone() }];
        let id = ProbeId(id);
        let cells = ORDER
            .iter()
            .flat_map(|&alpha| cells_at(&self.header, probe, id, VariantId::DENSE, AlphaId(alpha)));
        let cells: Vec<ProbeCell> = cells.collect();
        for cell in cells.iter().take(cells.len() * percent / 100) {
            let alpha = self.header.alphas[cell.alpha.index()];
            engine.set_point(alpha, &Variant::dense()).unwrap();
            let layer = cell.layer.map(|id| &self.header.layers[id.index()]);
            let result = engine.probe(probe, layer, &mut OnAndOn).unwrap().unwrap();
            let worker = WorkerId(0);
            events.push(Event::Probed(Box::new(Probed {
                cell: *cell,
                worker,
                seconds: 0.1,
                result,
            })));
        }
        events
    }

    /// What the worker says while it probes a layer.
    pub fn probing(&self) -> Progress {
        let (probe, alpha) = (ProbeId(0), AlphaId(5));
        let cell = ProbeCell { probe, variant: VariantId::DENSE, alpha, layer: Some(LayerId(4)) };
        Progress { task: Task::Probe(cell), ..self.progress() }
    }

    /// The id-th variant and so many of each hundred of its results: those of
    /// the dense sweep with some misses made hits. Its zeros are counted before the
    /// first at each point.
    pub fn variant(&self, id: usize, variant: Variant, percent: usize) -> Vec<Event> {
        let mut engine = SimEngine::new(self.header.clone(), SimScript::default());
        engine.set_point(Alpha::ZERO_SHOT, &variant).unwrap();
        let zeros = engine.count_zeros().unwrap().unwrap();
        let mut counted = BTreeSet::new();
        let mut events = vec![Event::VariantAdded { variant }];
        let all = self.measurements();
        let n = all.len() * percent / 100;
        let shifted = all.into_iter().take(n).enumerate().filter_map(|(k, event)| match event {
            Event::Measured(it) => {
                let hits: Bits = it
                    .hits
                    .iter()
                    .enumerate()
                    .map(|(i, hit)| hit || (i * 7 + k) % 23 == id)
                    .collect();
                let correct = hits.iter().filter(|hit| *hit).count();
                Some(Event::Measured(Measured {
                    cell: CellId { variant: VariantId(id), ..it.cell },
                    correct,
                    correct5: it.correct5.map(|five| five.max(correct)),
                    hits,
                    ..it
                }))
            }
            _ => None,
        });
        for event in shifted {
            if let Event::Measured(Measured { cell: CellId { variant, alpha, .. }, .. }) = event
                && counted.insert(alpha)
            {
                events.push(Event::Sparsified { variant, alpha, zeros: zeros.clone() });
            }
            events.push(event);
        }
        events
    }
}
