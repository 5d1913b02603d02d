//! Killed in the middle of a variant, on the real engine, and resumed: not one
//! bit of what is measured differs.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use alphascope::sparsify::parse;
use alphascope::sweep::drive::{EngineFactory, Sink, drive};
use alphascope::sweep::event::{Event, Header, Outcome, Progress};
use alphascope::sweep::journal::{self, Journal, JournalError};
use alphascope::sweep::plan::{Shard, rounds};
use alphascope::sweep::spec::Variant;
use alphascope::sweep::state::SweepState;
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use world::{World, image_tower, point, text_tower, world};

struct Kept(Journal);

impl Sink for Kept {
    fn event(&mut self, event: Event) -> Result<(), JournalError> {
        self.0.append(&event)
    }

    fn progress(&mut self, _: Progress) {}
}

fn header(world: &World) -> Header {
    let variant = |name: &str, edits: &[&str]| Variant {
        name: name.into(),
        sparsify: edits.iter().map(|text| parse(text).unwrap()).collect(),
    };
    let alphas = [0.0, 0.4, 1.0].map(point).to_vec();
    let mut header = world.inputs.header("test".into(), alphas, |images| rounds(images, 4));
    header.batch = 4;
    header.variants.push(variant("last", &["block.2=delta:0.5"]));
    header.variants.push(variant("two", &["block.1.mlp=magnitude:0.5", "head=2:4"]));
    header
}

fn measure(world: &World, header: &Header, dir: &Path) -> SweepState {
    let mut journal = Journal::open(dir, Shard::whole()).unwrap();
    if journal.is_empty() {
        journal.append(&Event::Header(header.clone())).unwrap();
    }
    let mut state = SweepState::replay(&journal::read(dir).unwrap());
    let inputs = Arc::clone(&world.inputs);
    let make: EngineFactory =
        Box::new(move || Ok(Box::new(TorchEngine::new(inputs, DeviceChoice::Cpu)?)));
    let (_commands, asked) = channel();
    let mut sink = Kept(journal);
    let outcome = drive(header, Shard::whole(), &mut state, vec![make], asked, &mut sink).unwrap();
    assert_eq!(outcome, Outcome::Complete);
    state
}

#[test]
fn killed_in_the_middle_of_a_variant_nothing_differs() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let header = header(&world);
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = measure(&world, &header, whole.path());
    let text = std::fs::read_to_string(whole.path().join("events.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let of_variant: Vec<usize> = (0..lines.len())
        .filter(|&i| {
            lines[i].contains("\"cell\":{\"variant\":1") || lines[i].contains("\"variant\":2,")
        })
        .collect();
    assert!(of_variant.len() > 6, "{text}");
    // After its first result, in the middle of a line (as power fails), and later.
    for (k, at) in
        [of_variant[0], of_variant[2], of_variant[of_variant.len() / 2]].into_iter().enumerate()
    {
        let mut bytes: String = lines[..=at].concat();
        if k == 1 {
            bytes.truncate(bytes.len() - lines[at].len() / 2);
        }
        std::fs::write(cut.path().join("events.jsonl"), bytes).unwrap();
        let resumed = measure(&world, &header, cut.path());
        for id in expected.cell_ids() {
            let (a, b) = (expected.cell(id).unwrap(), resumed.cell(id).unwrap());
            assert_eq!(a, b, "{id:?} after line {at}");
            assert_eq!(a.loss_sum.to_bits(), b.loss_sum.to_bits());
        }
        assert_eq!(SweepState::replay(&journal::read(cut.path()).unwrap()), resumed);
    }
}
