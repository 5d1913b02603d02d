//! Reports of a small pretended run: the promised schema, and how they look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::sync::mpsc::channel;

use alphascope::report::{Format, render, render_together, table};
use alphascope::sim::{SimEngine, SimScript, SimShape};
use alphascope::sweep::drive::{EngineFactory, Sink, drive};
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::{Benchmark, DatasetInfo, Event, Header, Level, Progress, SCHEMA};
use alphascope::sweep::ids::{Alpha, AlphaId, DatasetId, ProbeId, VariantId, WorkerId};
use alphascope::sweep::journal::JournalError;
use alphascope::sweep::plan::{Shard, rounds};
use alphascope::sweep::probe::{Direction, Probe, Probed};
use alphascope::sweep::spec::{
    BarrierSpec, CurvatureSpec, Edit, Method, Role, SharpnessSpec, Variant,
};
use alphascope::sweep::state::{SweepState, cells_at};
use alphascope::sweep::stats::{Member, ood_mean};
use serde_json::Value;

struct Nowhere;

impl Sink for Nowhere {
    fn event(&mut self, _: Event) -> Result<(), JournalError> {
        Ok(())
    }
    fn progress(&mut self, _: Progress) {}
}

fn header(sets: &[(&str, Role, usize)]) -> Header {
    let info = |&(name, role, images): &(&str, Role, usize)| DatasetInfo {
        name: name.into(),
        role,
        images,
        classes: 10,
        rounds: rounds(images, 64),
        benchmark: None,
    };
    Header {
        schema: SCHEMA,
        spec_hash: "test".into(),
        zeroshot: "zeroshot".into(),
        finetuned: "finetuned".into(),
        label: Some("constructed: <pretended> & \"simple\"".into()),
        architecture: "ViT 6×96, patch 8, image 48".into(),
        alphas: [0.0, 0.25, 0.5, 0.75, 1.0].map(|a| Alpha::new(a).unwrap()).to_vec(),
        datasets: sets.iter().map(info).collect(),
        variants: vec![Variant::dense()],
        layers: vec![],
        seed: 3,
        batch: 64,
        stragglers: Default::default(),
    }
}

fn run(header: &Header, script: SimScript) -> SweepState {
    let mut state = SweepState::default();
    state.apply(&Event::Header(header.clone()));
    let copy = header.clone();
    let factory: EngineFactory = Box::new(move || Ok(Box::new(SimEngine::new(copy, script))));
    let (_commands, receiver) = channel();
    drive(header, Shard::whole(), &mut state, vec![factory], receiver, &mut Nowhere).unwrap();
    state.seconds = 1.0;
    state
}

const SETS: [(&str, Role, usize); 3] =
    [("photos", Role::Id, 400), ("sketches-in-ink", Role::Ood, 300), ("a,b|c", Role::Ood, 200)];

fn whole() -> SweepState {
    run(&header(&SETS), SimScript::default())
}

/// As [`whole`], with every layer probed: sharpness, own paths, curvature.
fn probed() -> SweepState {
    let mut header = header(&SETS);
    header.layers = alphascope::sim::layers(4);
    let mut state = run(&header, SimScript::default());
    let on = DatasetId(0);
    let probes = [
        Probe::Sharpness { spec: SharpnessSpec::default(), on },
        Probe::Path { spec: BarrierSpec::default(), on: vec![on], direction: Direction::Path },
        Probe::Path { spec: BarrierSpec::default(), on: vec![on], direction: Direction::Random },
        Probe::Curvature { spec: CurvatureSpec::default(), on },
    ];
    let mut engine = SimEngine::new(header.clone(), SimScript::default());
    for (id, probe) in probes.into_iter().enumerate() {
        state.apply(&Event::Probing { probe: probe.clone() });
        for (index, &alpha) in header.alphas.iter().enumerate() {
            engine.set_point(alpha, &Variant::dense()).unwrap();
            let (id, at) = (ProbeId(id), AlphaId(index));
            for cell in cells_at(&header, &probe, id, VariantId::DENSE, at) {
                let layer = cell.layer.map(|layer| &header.layers[layer.index()]);
                let result = engine.probe(&probe, layer, &mut ()).unwrap().unwrap();
                let (worker, seconds) = (WorkerId(0), 0.5);
                state.apply(&Event::Probed(Box::new(Probed { cell, worker, seconds, result })));
            }
        }
    }
    assert_eq!(state.ignored, 0);
    state
}

/// One cell fails; then a dataset is left out.
fn broken() -> SweepState {
    let failing = vec![(DatasetId(1), AlphaId(2))];
    run(&header(&SETS), SimScript { failing, shape: SimShape::Failure, ..SimScript::default() })
}

/// Nothing but the first rounds.
fn early() -> SweepState {
    run(&header(&SETS), SimScript { fatal_after: Some(17), ..SimScript::default() })
}

fn text(state: &SweepState, format: Format) -> String {
    String::from_utf8(render(state, format).unwrap()).unwrap()
}

#[test]
fn json_keeps_its_promise() {
    for state in [whole(), broken(), early()] {
        let report: Value = serde_json::from_slice(&render(&state, Format::Json).unwrap()).unwrap();
        assert_eq!(report["schema"], 1);
        assert_eq!(report["alphas"], serde_json::json!([0.0, 0.25, 0.5, 0.75, 1.0]));
        for key in ["sharpness", "barriers", "stragglers", "correlation", "accuracy"] {
            assert!(report[key].is_array(), "{key}");
        }
        let mut partial = 0;
        for row in report["accuracy"].as_array().unwrap() {
            assert_eq!(row["variant"], "dense");
            assert!(["id", "ood"].contains(&row["role"].as_str().unwrap()));
            let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"));
            let top1 = number("top1");
            assert!((top1 - number("correct") / number("total")).abs() < 1e-12);
            assert!(0.0 <= number("lo") && number("lo") <= top1);
            assert!(top1 <= number("hi") && number("hi") <= 1.0);
            assert!(number("loss").is_finite() && number("top5") >= top1);
            assert!((0.0..=1.0).contains(&number("alpha")));
            let owed = number("total") < number("images");
            assert_eq!(row.get("partial").is_some(), owed, "{row}");
            partial += usize::from(owed);
        }
        let summary = &report["summary"];
        assert!(summary["failure_mode"].is_boolean());
        for key in ["rft_gain", "lo", "hi", "best_alpha"] {
            assert!(summary[key].is_number() || summary[key].is_null(), "{key}");
        }
        if state.is_complete() && !state.datasets().is_empty() {
            assert_eq!(partial, 0);
            assert_eq!(report["accuracy"].as_array().unwrap().len(), 15);
            assert!(summary["lo"].as_f64() <= summary["rft_gain"].as_f64());
        }
    }
    let report: Value = serde_json::from_str(&text(&broken(), Format::Json)).unwrap();
    assert_eq!(report["failed"][0]["dataset"], "sketches-in-ink");
    assert_eq!(report["failed"][0]["alpha"], 0.5);
    assert_eq!(report["summary"]["failure_mode"], true);
}

#[test]
fn warnings_of_what_is_measured_are_told_once() {
    let mut state = whole();
    let report = |state: &SweepState| -> Value {
        serde_json::from_slice(&render(state, Format::Json).unwrap()).unwrap()
    };
    assert_eq!(report(&state)["notices"], serde_json::json!([]));
    assert!(!text(&state, Format::Md).contains("## Notes"));
    // A journal of before: its lines say nothing of the kind.
    let old = r#"{"event":"notice","level":"warning","text":"no file has a *logit* scale"}"#;
    let said = [
        serde_json::from_str(old).unwrap(),
        Event::notice(Level::Info, "activation GELU: confirmed"),
        Event::passing(Level::Warning, "there was no room to write for 3 s"),
        Event::notice(Level::Warning, "position embedding resized"),
        // Said again by a session that went on.
        serde_json::from_str(old).unwrap(),
    ];
    said.iter().for_each(|event| state.apply(event));
    assert_eq!(
        report(&state)["notices"],
        serde_json::json!(["no file has a *logit* scale", "position embedding resized"])
    );
    let notes = "\n## Notes\n\n- no file has a \\*logit\\* scale\n- position embedding resized\n";
    assert!(text(&state, Format::Md).ends_with(notes), "{}", text(&state, Format::Md));
}

#[test]
fn json_tells_what_probes_found() {
    let state = probed();
    let report: Value = serde_json::from_str(&text(&state, Format::Json)).unwrap();
    let rows = |key: &str| report[key].as_array().unwrap().clone();
    // Six layers and overall, at five points.
    assert_eq!(rows("sharpness").len(), 35);
    for row in rows("sharpness") {
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"));
        assert_eq!((&row["variant"], &row["kind"]), (&"dense".into(), &"average".into()));
        assert!(number("stderr") > 0.0 && number("loss") > 0.0 && number("rho") == 0.2);
        let relative = number("value") / number("loss");
        assert!((number("relative") - relative).abs() < 1e-12);
    }
    let overall = rows("sharpness").iter().filter(|row| row["layer"] == "overall").count();
    assert_eq!(overall, 5);
    let of_direction = |name: &str| -> Vec<Value> {
        rows("barriers").into_iter().filter(|row| row["direction"] == name).collect()
    };
    assert_eq!((of_direction("path").len(), of_direction("random").len()), (6, 6));
    for row in rows("barriers") {
        assert_eq!((&row["base"], &row["dataset"]), (&"finetuned".into(), &"photos".into()));
        assert!(row["value"].as_f64().unwrap() >= 0.0 && row["stderr"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!(rows("layers").len(), 6);
    let stragglers = rows("stragglers");
    assert_eq!(stragglers[0]["layer"], "block.2", "the pretended one: {stragglers:?}");
    assert!(stragglers[0]["by"].as_array().unwrap().contains(&"sharpness".into()));
    assert_eq!(rows("correlation").len(), 7);
    assert!(rows("correlation")[0]["lo"].is_number());
    assert!(!rows("curvature").is_empty() && rows("claims").len() == 1);
    assert_eq!(report["probes"][0]["measured"], 35);
    assert_eq!(report["probes"][0]["asked"]["spec"]["rho"], 0.2);
}

#[test]
fn layers_are_ranked_by_tau_and_runs_are_taken_together() {
    let (one, two) = (probed(), probed());
    let bare = whole();
    let members =
        [("one", &one), ("two", &two), ("bare", &bare)].map(|(name, run)| Member { name, run });
    let report: Value = serde_json::from_slice(&render_together(&members).unwrap()).unwrap();
    let taus = |rows: &Value| -> Vec<f64> {
        let size = |row: &Value| row["kendall"].as_f64().map_or(-1.0, f64::abs);
        rows.as_array().unwrap().iter().map(size).collect()
    };
    let alone = taus(&report["correlation"]);
    assert!(alone.is_sorted_by(|a, b| a >= b) && alone[0] > 0.0, "{alone:?}");
    let together = &report["together"];
    assert_eq!(together["runs"], serde_json::json!(["one", "two"]));
    assert_eq!(together["left_out"][0]["run"], "bare");
    assert_eq!(together["left_out"][0]["why"], "no sharpness there");
    let rows = together["correlation"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    let find =
        |rows: &[Value], name: &str| rows.iter().find(|row| row["layer"] == name).unwrap().clone();
    for row in rows {
        // Twins: each point twice, and within each run what the run alone has.
        assert_eq!(row["points"], 10);
        let own = find(report["correlation"].as_array().unwrap(), row["layer"].as_str().unwrap());
        assert_eq!(row["mean_kendall_within_runs"], own["kendall"], "{row}");
    }
    assert!(taus(&together["correlation"]).is_sorted_by(|a, b| a >= b));
    assert!(together["claim"].as_str().unwrap().contains("10 points of 2 runs"), "{together}");
    let lone: Value = serde_json::from_str(&text(&one, Format::Json)).unwrap();
    assert!(lone.get("together").is_none());
    let table = text(&one, Format::Md);
    let first = report["correlation"].as_array().unwrap().iter();
    let first = first.map(|row| row["layer"].as_str().unwrap()).find(|name| *name != "overall");
    let told = format!("layers by |τ|: {} ", first.unwrap());
    assert!(table.contains(&told) || table.contains(&told.replace('|', "\\|")), "{table}");
}

#[test]
fn thresholds_are_the_runs_own() {
    let plain = probed();
    let with = |sharpness: f64| -> Value {
        let mut header = plain.header().unwrap().clone();
        header.stragglers.sharpness = sharpness;
        let mut state = SweepState::default();
        // As a journal has it.
        let line = serde_json::to_string(&Event::Header(header)).unwrap();
        state.apply(&serde_json::from_str(&line).unwrap());
        for known in plain.probes() {
            state.apply(&Event::Probing { probe: known.probe.clone() });
            for probed in known.results() {
                state.apply(&Event::Probed(Box::new(probed.clone())));
            }
        }
        serde_json::from_str(&text(&state, Format::Json)).unwrap()
    };
    let sharp = |report: &Value| {
        let rows = report["stragglers"].as_array().unwrap().clone();
        rows.iter().any(|row| row["by"].as_array().unwrap().contains(&"sharpness".into()))
    };
    let (default, strict) = (with(3.0), with(1e6));
    assert_eq!(default["header"]["stragglers"]["barrier"], 2.0);
    assert_eq!(strict["header"]["stragglers"]["sharpness"], 1e6);
    assert!(sharp(&default) && !sharp(&strict), "{strict}");
    // Journals of before have no such field, and runs by the defaults write none.
    let line = serde_json::to_string(&Event::Header(plain.header().unwrap().clone())).unwrap();
    assert!(!line.contains("stragglers"), "{line}");
}

#[test]
fn json_says_which_path_barriers_are_certain() {
    let report: Value = serde_json::from_str(&text(&broken(), Format::Json)).unwrap();
    let rows = report["path_barriers"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let sure = row["sure"].as_f64().unwrap_or_else(|| panic!("{row}"));
        assert_eq!(row["certain"], sure > 0.0, "{row}");
        assert!(sure <= row["value"].as_f64().unwrap(), "{row}");
    }
    assert!(rows.iter().any(|row| row["certain"] == true), "{rows:?}");
}

#[test]
fn scores_on_a_part_of_a_benchmark_say_so() {
    let mut header = header(&SETS);
    header.datasets[1].benchmark = Some(Benchmark::new("ImageNet-Sketch", 50_889));
    let state = run(&header, SimScript::default());
    assert_eq!(header.datasets[1].badge().as_deref(), Some("300/50889"));
    let told = "sketches-in-ink: ImageNet-Sketch, 300/50889 images";
    for text in [table(&state), text(&state, Format::Md)] {
        assert!(text.contains(told), "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&text(&state, Format::Json)).unwrap();
    for row in json["accuracy"].as_array().unwrap() {
        let sketch = row["dataset"] == "sketches-in-ink";
        assert_eq!(row.get("expected").is_some(), sketch, "{row}");
        assert!(!sketch || row["expected"] == 50_889 && row["benchmark"] == "ImageNet-Sketch");
    }
    let line = |name: &str, end: &str| {
        text(&state, Format::Csv).lines().any(|it| it.contains(name) && it.ends_with(end))
    };
    assert!(line("sketches-in-ink", ",ImageNet-Sketch,50889,,,") && line("photos", ",,,,,"));
}

#[test]
fn layer_tables_look_like_this() {
    let state = probed();
    insta::assert_snapshot!("layers_table", table(&state));
    insta::assert_snapshot!("layers_markdown", text(&state, Format::Md));
    for line in table(&state).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn tables_look_like_this() {
    insta::assert_snapshot!("table_whole", table(&whole()));
    insta::assert_snapshot!("table_broken", table(&broken()));
    insta::assert_snapshot!("table_early", table(&early()));
    insta::assert_snapshot!("markdown", text(&whole(), Format::Md));
    insta::assert_snapshot!("csv", text(&broken(), Format::Csv));
}

#[test]
fn tables_fit_eighty_columns() {
    let names: Vec<String> = (0..8).map(|i| format!("a-dataset-with-a-long-name-{i}")).collect();
    for n in 0..=8 {
        let role = |i| if i == 0 { Role::Id } else { Role::Ood };
        let sets: Vec<_> = (0..n).map(|i| (names[i].as_str(), role(i), 30 + i)).collect();
        let text = table(&run(&header(&sets), SimScript::default()));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn figures_are_well_formed_and_whole() {
    for state in [whole(), broken(), early()] {
        let figure = text(&state, Format::Svg);
        assert!(!figure.contains("NaN") && !figure.contains("inf"), "{figure}");
        well_formed(&figure);
        assert!(figure.contains("zero-shot") && figure.contains("fine-tuned"));
        assert!(figure.contains("constructed: &lt;pretended&gt; &amp; &quot;simple&quot;"));
    }
    assert!(text(&whole(), Format::Svg).contains("OOD mean"));
}

/// Every tag is closed in order, every `&` begins an entity.
fn well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        assert!(!after.contains('"') || after.trim().is_empty() || !after.contains('<'));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for entity in xml.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|it| entity.starts_with(it)));
    }
}

/// As [`whole`], with two variants.
fn varied() -> SweepState {
    let mut header = header(&SETS);
    header.layers = alphascope::sim::layers(4);
    for (name, layer) in [("trim <b>", "block.0"), ("reset", "block.1")] {
        let edit = Edit {
            layer: layer.into(),
            method: Method::Delta,
            amount: 0.5,
            n: 2,
            m: 4,
            embeddings: false,
        };
        header.variants.push(Variant { name: name.into(), sparsify: vec![edit] });
    }
    run(&header, SimScript::default())
}

#[test]
fn a_figure_has_a_panel_for_each_variant() {
    let (one, three) = (text(&whole(), Format::Svg), text(&varied(), Format::Svg));
    well_formed(&three);
    let count = |text: &str, what: &str| text.matches(what).count();
    assert_eq!((count(&one, "<g "), count(&three, "<g ")), (1, 3));
    assert!(
        three.contains("trim &lt;b&gt;") && three.contains("reset") && !one.contains(">dense<")
    );
    // Each with its curves, and with the dense mean to compare with.
    let points = 5;
    assert_eq!(count(&three, "<circle"), 3 * count(&one, "<circle") + 2 * points);
    assert_eq!(count(&three, "fill-opacity"), 3 * count(&one, "fill-opacity") + 2);
    assert_eq!((count(&three, "OOD mean, dense"), count(&three, ">fine-tuned<")), (2, 1));
}

/// Width, height and RGB of a PNG.
/// A path that fails: the table marks an end, the gain is at a point between, and no
/// name stands for both.
#[test]
fn the_best_interior_point_is_not_the_best_of_all() {
    let shape = SimShape::Failure;
    let state = run(&header(&SETS), SimScript { shape, ..SimScript::default() });
    let json: Value = serde_json::from_str(&text(&state, Format::Json)).unwrap();
    let summary = &json["summary"];
    let [interior, all] =
        ["best_alpha", "best_alpha_of_all"].map(|key| summary[key].as_f64().unwrap());
    assert!(0.0 < interior && interior < 1.0 && (all == 0.0 || all == 1.0), "{summary}");
    assert!(summary["rft_gain"].as_f64().unwrap() < 0.0);
    for table in [table(&state), text(&state, Format::Md)] {
        assert!(table.contains("best OOD accuracy: "), "{table}");
        assert!(table.contains(&format!(" % at α = {all}\n")), "{table}");
    }
}

/// Every variant is in the text with its difference from the dense path, and in JSON at every α.
#[test]
fn variants_are_told_beside_the_dense_path() {
    let state = varied();
    let json: Value = serde_json::from_str(&text(&state, Format::Json)).unwrap();
    let told = json["variants"].as_array().unwrap();
    let sparse: Vec<(usize, &Variant)> =
        state.variants().iter().enumerate().filter(|(_, it)| !it.is_dense()).collect();
    assert!(!sparse.is_empty());
    assert_eq!(told.len(), sparse.len());
    let tables = [table(&state), text(&state, Format::Md)];
    for (told, (id, variant)) in std::iter::zip(told, sparse) {
        assert_eq!(told["variant"], variant.name.as_str());
        for (i, at) in told["over_dense"].as_array().unwrap().iter().enumerate() {
            let mean = |id| ood_mean(&state, VariantId(id), AlphaId(i)).unwrap().value;
            let want = 100.0 * (mean(id) - mean(0));
            let [value, lo, hi] = ["value", "lo", "hi"].map(|key| at["ood"][key].as_f64().unwrap());
            assert!((value - want).abs() < 1e-9 && lo <= value && value <= hi, "{at}");
        }
        // Half of each matrix of the block, as it was counted.
        let (best, zeros) = (&told["best_alpha"], told["zeros"].as_array().unwrap());
        assert_eq!(zeros.len(), state.alphas().len());
        let zeros = zeros.iter().find(|it| &it["alpha"] == best).unwrap();
        assert_eq!((&zeros["weights"], &zeros["difference_fraction"]), (&0.into(), &0.5.into()));
        let counted = format!("; {} of {} weights", zeros["differences"], zeros["total"]);
        let csv = format!(",{},0,{}", zeros["total"], zeros["differences"]);
        assert!(text(&state, Format::Csv).lines().any(|it| it.ends_with(&csv)));
        let peak = told["peak_over_dense"]["value"].as_f64().unwrap();
        for text in &tables {
            // Lines are wrapped.
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let name = variant.name.split(" <").next().unwrap();
            let at = flat.find(&format!("variant {name}")).unwrap_or_else(|| panic!("{text}"));
            let (told, after) = flat[at..].split_once("paired").unwrap();
            assert!(after.starts_with(&counted) && after.contains("(50.0 %) there"), "{after}");
            let shown = format!("{:.1} points", peak.abs());
            assert!(told.contains(&shown) && told.contains("over the dense path"), "{told}");
        }
    }
}

fn decoded(bytes: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let dots = reader.info().pixel_dims.unwrap();
    assert_eq!((dots.xppu, dots.unit), (11_339, png::Unit::Meter), "288 to the inch");
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    let pixels = buffer.chunks_exact(3).map(|it| [it[0], it[1], it[2]]).collect();
    (info.width as usize, info.height as usize, pixels)
}

/// The number in an attribute.
fn number(tag: &str, name: &str) -> f64 {
    let (_, after) = tag.split_once(&format!(" {name}=\"")).unwrap();
    after.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn pixels_are_the_same_figure() {
    for (state, panels) in [(whole(), 1), (varied(), 3), (early(), 1)] {
        let figure = text(&state, Format::Svg);
        let (width, height, pixels) = decoded(&render(&state, Format::Png).unwrap());
        assert_eq!((width, height), (3 * 860, 3 * (520 + 410 * (panels - 1))));
        // Each point of each curve has its colour, where no later one lies over it.
        let mut shift = 0.0;
        let mut found: std::collections::BTreeMap<&str, (usize, usize)> = Default::default();
        for tag in figure.split('<') {
            if let Some(after) = tag.strip_prefix("g transform=\"translate(0 ") {
                shift = after.split(')').next().unwrap().parse().unwrap();
            }
            if !tag.starts_with("circle") {
                continue;
            }
            let (x, y) = (3.0 * number(tag, "cx"), 3.0 * (number(tag, "cy") + shift));
            let colour = tag.split("fill=\"").nth(1).unwrap().split('"').next().unwrap();
            let byte = |i: usize| u8::from_str_radix(&colour[i..i + 2], 16).unwrap();
            let (hits, all) = found.entry(colour).or_default();
            *all += 1;
            *hits +=
                usize::from(pixels[y as usize * width + x as usize] == [byte(1), byte(3), byte(5)]);
        }
        assert!(found.len() >= 4, "{found:?}");
        assert!(found.values().all(|(hits, all)| 2 * hits > *all), "{found:?}");
        // Words are drawn, with no font of the system's: title, numbers, names of the ends.
        let ink = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
            let dark = |at: usize| pixels[at].iter().all(|&it| it < 110);
            y.map(|y| x.clone().filter(|x| dark(3 * y * width + 3 * x)).count()).sum::<usize>()
        };
        let below = 410 * (panels - 1);
        assert!(ink(64..400, 14..32) > 150, "title");
        assert!(ink(40..60, 92..435) > 20, "numbers at the left");
        assert!(ink(64..650, 440 + below..452 + below) > 20, "α below");
        assert!(ink(64..200, 460 + below..475 + below) > 50, "zero-shot");
        assert!(ink(674..860, 92..435) > 100, "names at the right");
        assert_eq!(ink(700..860, 0..14) + ink(700..860, 480 + below..520 + below), 0, "margins");
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let none = render(&SweepState::default(), Format::Json).unwrap_err().to_string();
    assert!(none.contains("no header"), "{none}");
    assert!("bmp".parse::<Format>().unwrap_err().contains("got `bmp`"));
    assert_eq!("SVG".parse(), Ok(Format::Svg));
    assert_eq!(table(&SweepState::default()), "");
}

#[test]
fn files_are_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/report.md");
    let error = alphascope::report::write(&path, b"text").unwrap_err().to_string();
    assert!(error.contains("new"), "no folder is made: {error}");
    std::fs::create_dir(dir.path().join("new")).unwrap();
    alphascope::report::write(&path, b"text").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"text");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let error = alphascope::report::write(dir.path(), b"text").unwrap_err().to_string();
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn n_of_m_says_its_n_and_m() {
    let mut header = header(&SETS);
    let edit = |method| Edit {
        layer: "block.1".into(),
        method,
        amount: 1.0,
        n: 2,
        m: 4,
        embeddings: false,
    };
    let of = |name: &str, method| Variant { name: name.into(), sparsify: vec![edit(method)] };
    header.variants.extend([of("groups", Method::NOfM), of("back", Method::Reset)]);
    let state = run(&header, SimScript::default());
    let report: Value = serde_json::from_slice(&render(&state, Format::Json).unwrap()).unwrap();
    let variants = &report["header"]["variants"];
    let told = &variants[1]["sparsify"][0];
    assert_eq!((&told["method"], &told["n"], &told["m"]), (&"n:m".into(), &2.into(), &4.into()));
    assert_eq!(told["amount"], 1.0, "as ever");
    assert_eq!(variants[2]["sparsify"][0].get("n"), None);
    assert_eq!(variants[0], serde_json::json!({ "name": "dense", "sparsify": [] }));
}
