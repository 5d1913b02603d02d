//! A layer made sparse while the demo is measured for real: requested, in force, a curve over the
//! dense one; and the journal says the same.
#![cfg(all(feature = "tui", feature = "torch"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use pty_rig::Rig;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn a_layer_toggled_in_a_running_demo_has_its_own_curve() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--device", "cpu", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("2");
    it.until("the layers", |screen| screen.contains("space: delta 50 %"));
    it.film();
    it.press("j ");
    it.until("in force", |screen| screen.contains("● delta 50 %"));
    let frames = it.frames();
    let first = |sign: &str| frames.iter().position(|frame| frame.contains(sign));
    // A batch may end before the next frame is due: then it is in force at once.
    let (asked, active) = (first("◌ delta 50 %"), first("● delta 50 %").unwrap());
    assert!(asked.is_none_or(|asked| asked < active), "requested {asked:?}, in force {active}");
    // Every point of its curve, while the dense one stays.
    rig.until_journal("\"cell\":{\"variant\":1,\"dataset\":5,\"alpha\":9}");
    it.press("4");
    it.until("it beside the dense one", |screen| {
        screen.lines().any(|line| line.contains("delta 50 %") && line.contains('['))
    });
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
    let events = rig.journal();
    let place = |is: &dyn Fn(&Value) -> bool| events.iter().position(is).unwrap();
    let added = place(&|it| it["event"] == "variant_added");
    let counted = place(&|it| it["event"] == "sparsified");
    let of_it = |it: &Value| it["event"] == "measured" && it["cell"]["variant"] == 1;
    let measured = place(&of_it);
    assert!(added < counted && counted < measured, "{added} {counted} {measured}");
    let edit = &events[added]["variant"]["sparsify"][0];
    assert_eq!((&edit["method"], &edit["amount"]), (&"delta".into(), &0.5.into()));
    // One number holds one variant: each of its cells has an α, a round and images of its own.
    let mut cells: Vec<String> = events
        .iter()
        .filter(|it| it["event"] == "measured")
        .map(|it| format!("{} {}", it["cell"], it["round"]))
        .collect();
    let all = cells.len();
    cells.sort_unstable();
    cells.dedup();
    assert_eq!(cells.len(), all, "nothing is measured twice");
}
