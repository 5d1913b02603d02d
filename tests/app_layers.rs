//! The rules of the layers, correlation and compare screens without a screen:
//! messages in, effects out.

mod script;

use alphascope::app::board::Board;
use alphascope::app::contest::RivalId;
use alphascope::app::keymap::bindings;
use alphascope::app::sheet::Sheet;
use alphascope::app::{Effect, Key, Link, Look, Message, Mode, Model, Screen, Tab, update};
use alphascope::sweep::command::Command;
use alphascope::sweep::event::{Event, Outcome};
use alphascope::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use alphascope::sweep::probe::Probe;
use alphascope::sweep::spec::{DoctorSpec, Layers, Method, Role, SharpnessSpec};
use proptest::prelude::*;
use script::probes::{curvature, path, sharpness, trim};
use script::{Script, fold};

fn running() -> Model {
    fold(&Script::good().until(40), Look::default(), (80, 24))
}

fn measured() -> Model {
    let script = Script::good();
    let mut events = script.until(40);
    events.extend(script.probe(0, &sharpness(Layers::Block), 100));
    events.extend(script.probe(1, &path(), 100));
    fold(&events, Look::default(), (80, 24))
}

fn press(model: &mut Model, key: Key) -> Vec<Command> {
    let effects = update(model, Message::Key(key));
    model.settle();
    let command = |effect| match effect {
        Effect::Command(command) => Some(command),
        _ => None,
    };
    effects.into_iter().filter_map(command).collect()
}

fn type_in(model: &mut Model, keys: &str) -> Vec<Command> {
    keys.chars().flat_map(|key| press(model, Key::Char(key))).collect()
}

fn tell(model: &mut Model, event: Event) {
    update(model, Message::Event(Box::new(event)));
    model.settle();
}

fn names(model: &Model) -> Vec<&str> {
    let listed = model.layers.listed(&model.sheet.rows, model.cursor());
    listed.into_iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn digits_go_through_the_screens_and_layers_are_there_without_probes() {
    let mut model = running();
    for (key, tab) in ['2', '3', '4', '1'].into_iter().zip([
        Tab::Layers,
        Tab::Correlation,
        Tab::Compare,
        Tab::Live,
    ]) {
        press(&mut model, Key::Char(key));
        assert_eq!(model.tab, tab);
    }
    press(&mut model, Key::Char('2'));
    assert_eq!(names(&model)[..2], ["stem", "block.0"]);
    assert_eq!(model.sheet.shown, None);
}

#[test]
fn sharpness_is_asked_for_with_two_keys_and_in_force_by_its_event() {
    let mut model = running();
    type_in(&mut model, "2a");
    assert!(model.ask.is_some());
    let asked = press(&mut model, Key::Enter);
    let [Command::Probe { probe }] = &asked[..] else { unreachable!("{asked:?}") };
    let Probe::Sharpness { spec, .. } = &**probe else { unreachable!("{probe:?}") };
    // In the words that the run's own spec would have.
    let dataset = Some("noto".to_string());
    assert_eq!(*spec, SharpnessSpec { dataset, ..SharpnessSpec::default() });
    assert_eq!(model.live.requested.probes, vec![(**probe).clone()]);
    assert!(model.run.probes().is_empty() && model.ask.is_none());
    // Not asked twice while it is not in force, nor once it is.
    type_in(&mut model, "a");
    assert!(press(&mut model, Key::Enter).is_empty());
    tell(&mut model, Event::Probing { probe: (**probe).clone() });
    assert!(model.live.requested.probes.is_empty());
    assert_eq!(model.sheet.shown, Some(ProbeId(0)));
    type_in(&mut model, "a");
    assert!(press(&mut model, Key::Enter).is_empty());
}

/// Down to the draws, two steps on; one line down to the batches, one step back.
#[test]
fn draws_steps_and_batches_are_chosen_in_the_form() {
    let mut model = running();
    type_in(&mut model, "2a");
    for key in [Key::Down; 5].into_iter().chain([Key::Right; 2]) {
        press(&mut model, key);
    }
    press(&mut model, Key::Down);
    press(&mut model, Key::Left);
    let asked = press(&mut model, Key::Enter);
    let [Command::Probe { probe }] = &asked[..] else { unreachable!("{asked:?}") };
    let Probe::Sharpness { spec, .. } = &**probe else { unreachable!("{probe:?}") };
    let default = SharpnessSpec::default();
    assert_eq!((spec.draws, spec.batches), (4 * default.draws, default.batches / 2));
    assert_eq!(spec.steps, default.steps);
}

#[test]
fn a_measurement_is_cancelled_alone_and_asked_for_again() {
    let script = Script::good();
    let mut events = script.until(40);
    events.extend(script.probe(0, &sharpness(Layers::Block), 30));
    let mut model = fold(&events, Look::default(), (80, 24));
    let asked = type_in(&mut model, "2x");
    assert_eq!(asked, vec![Command::CancelProbe { probe: ProbeId(0) }]);
    assert!(!model.run.probes()[0].cancelled);
    assert_eq!(model.live.requested.cancels, vec![ProbeId(0)]);
    assert!(type_in(&mut model, "x").is_empty(), "asked once is enough");
    tell(&mut model, Event::ProbeCancelled { probe: ProbeId(0) });
    assert!(model.live.requested.cancels.is_empty());
    assert_eq!(model.sheet.shown, Some(ProbeId(0)), "what it gave stays in view");
    let again = type_in(&mut model, "x");
    assert_eq!(again, vec![Command::Probe { probe: Box::new(sharpness(Layers::Block)) }]);
}

#[test]
fn rows_are_sorted_and_filtered() {
    let mut model = measured();
    type_in(&mut model, "2s");
    let sorted = names(&model).into_iter().map(str::to_string).collect::<Vec<_>>();
    assert_eq!(sorted[..2], ["overall", "block.3"], "overall first, then the sharpest");
    type_in(&mut model, "S");
    assert_eq!(names(&model)[0], "overall");
    assert_eq!(names(&model)[8], "block.3");
    type_in(&mut model, "/BLOCK");
    assert_eq!(names(&model).len(), 6, "while it is typed");
    press(&mut model, Key::Enter);
    assert_eq!((model.layers.filter.as_str(), names(&model).len()), ("BLOCK", 6));
    press(&mut model, Key::Esc);
    assert_eq!(names(&model).len(), 9);
    // Letters of other meanings are text while the filter is typed.
    type_in(&mut model, "/q");
    assert_eq!(model.live.question, None);
    press(&mut model, Key::Esc);
    assert_eq!(model.layers.typing, None);
}

#[test]
fn a_toggle_is_requested_then_in_force_and_shows_its_variant() {
    let mut model = measured();
    type_in(&mut model, "2jj");
    let asked = type_in(&mut model, "+ ");
    let [Command::AddVariant { variant }] = &asked[..] else { unreachable!("{asked:?}") };
    let [edit] = &variant.sparsify[..] else { unreachable!("{variant:?}") };
    assert_eq!((edit.layer.as_str(), edit.method, edit.amount), ("block.0", Method::Delta, 0.6));
    assert_eq!(model.live.requested.variants, vec![variant.sparsify.clone()]);
    assert_eq!(model.live.variant, VariantId::DENSE, "asked is not in force");
    tell(&mut model, Event::VariantAdded { variant: variant.clone() });
    assert!(model.live.requested.variants.is_empty());
    assert_eq!(model.live.variant, VariantId(1));
    assert_eq!(model.board.variant.as_deref(), Some("block.0 delta 60 %"));
    assert_eq!(model.board.dense.len(), 7, "the dense curves stay behind it");
    // Another layer: the first what-if makes way, the new one has both edits.
    let asked = type_in(&mut model, "j ");
    let [Command::DropVariant { variant: VariantId(1) }, Command::AddVariant { variant }] =
        &asked[..]
    else {
        unreachable!("{asked:?}")
    };
    let layers: Vec<&str> = variant.sparsify.iter().map(|it| it.layer.as_str()).collect();
    assert_eq!(layers, ["block.0", "block.1"]);
    tell(&mut model, Event::VariantDropped { variant: VariantId(1) });
    tell(&mut model, Event::VariantAdded { variant: variant.clone() });
    assert_eq!(model.live.variant, VariantId(2));
    // Undone, the first is wanted again: it is taken back, not added.
    let asked = type_in(&mut model, " ");
    assert!(matches!(asked.last(), Some(Command::AddVariant { .. })), "{asked:?}");
    tell(&mut model, Event::VariantDropped { variant: VariantId(2) });
    tell(&mut model, Event::VariantTaken { variant: VariantId(1) });
    assert_eq!(model.live.variant, VariantId(1));
    assert!(model.live.requested.variants.is_empty() && model.live.requested.drops.is_empty());
    // Back to dense.
    let asked = type_in(&mut model, "d");
    assert_eq!(asked, vec![Command::DropVariant { variant: VariantId(1) }]);
    assert_eq!((model.live.variant, model.layers.edits.len()), (VariantId::DENSE, 0));
}

#[test]
fn what_is_toggled_on_before_it_is_in_force_makes_way_too() {
    let mut model = measured();
    let asked = type_in(&mut model, "2jj ");
    let [Command::AddVariant { variant: first }] = &asked[..] else { unreachable!("{asked:?}") };
    let asked = type_in(&mut model, "j ");
    let [Command::Supersede { sparsify }, Command::AddVariant { variant: second }] = &asked[..]
    else {
        unreachable!("{asked:?}")
    };
    assert_eq!(*sparsify, first.sparsify);
    assert_eq!(model.live.requested.variants, vec![second.sparsify.clone()]);
    // The first comes into force, and goes: neither is shown.
    tell(&mut model, Event::VariantAdded { variant: first.clone() });
    tell(&mut model, Event::VariantDropped { variant: VariantId(1) });
    assert_eq!(model.live.variant, VariantId::DENSE);
    let asked = type_in(&mut model, "d");
    assert_eq!(asked, vec![Command::Supersede { sparsify: second.sparsify.clone() }]);
    assert_eq!(model.live.requested, Default::default());
    tell(&mut model, Event::VariantAdded { variant: second.clone() });
    assert_eq!(model.live.variant, VariantId::DENSE, "nobody waits for it any more");
    // In force, asked to be dropped, and wanted again before it is: no wish is left open.
    type_in(&mut model, "k ");
    tell(&mut model, Event::VariantTaken { variant: VariantId(1) });
    assert_eq!(model.live.variant, VariantId(1));
    type_in(&mut model, "d");
    assert_eq!(model.live.requested.drop_of(VariantId(1)), Some(true));
    let asked = type_in(&mut model, " ");
    assert_eq!(asked, vec![Command::AddVariant { variant: model.run.variants()[1].clone() }]);
    assert_eq!(model.live.requested.drop_of(VariantId(1)), None);
}

/// Whatever is pressed, and however often: the name above the numbers is theirs.
#[test]
fn the_name_and_the_numbers_are_of_one_variant() {
    let script = Script::good();
    let mut events = script.until(60);
    events.extend(script.variant(1, trim("block.3", 0.5), 60));
    events.extend(script.variant(2, trim("head", 0.5), 60));
    let mut model = fold(&events, Look::default(), (80, 24));
    model.mode = Mode::Watch;
    update(&mut model, Message::Ended(Ok(alphascope::sweep::event::Outcome::Complete)));
    model.settle();
    for shown in [1, 2, 0, 1] {
        let before = model.board.clone();
        update(&mut model, Message::Key(Key::Char('w')));
        assert_eq!(model.board, before, "until it is derived, name and numbers stay");
        assert!(model.due(), "… and the next frame derives it");
        model.settle();
        let expected = Board::of(&model.run, VariantId(shown));
        assert_eq!(model.board, expected);
        let name = model.run.variants()[shown].name.clone();
        assert_eq!(model.board.variant, Some(name).filter(|_| shown > 0));
    }
}

#[test]
fn shift_and_an_arrow_select_several() {
    let mut model = measured();
    type_in(&mut model, "2");
    let picked = |model: &Model| -> Vec<String> {
        let name = |id: &LayerId| model.run.layer(*id).unwrap().name.clone();
        model.layers.picked.iter().map(name).collect()
    };
    press(&mut model, Key::Down);
    for _ in 0..2 {
        press(&mut model, Key::ShiftDown);
    }
    assert_eq!(picked(&model), ["stem", "block.0", "block.1"]);
    let asked = type_in(&mut model, " ");
    let [Command::AddVariant { variant }] = &asked[..] else { unreachable!("{asked:?}") };
    assert_eq!(variant.sparsify.len(), 3);
    press(&mut model, Key::Esc);
    // It stops at the ends, where an arrow alone goes round; all layers at once are no layer.
    for _ in 0..9 {
        press(&mut model, Key::ShiftUp);
    }
    assert_eq!(picked(&model), ["stem", "block.0", "block.1"]);
    // Elsewhere Shift changes nothing.
    type_in(&mut model, "4");
    press(&mut model, Key::ShiftDown);
    assert_eq!((model.tab, model.layers.picked.len()), (Tab::Compare, 3));
}

#[test]
fn stragglers_are_selected_with_one_key_and_toggled_together() {
    let mut model = measured();
    type_in(&mut model, "2g");
    let picked: Vec<&str> =
        model.layers.picked.iter().map(|id| model.run.layer(*id).unwrap().name.as_str()).collect();
    assert_eq!(picked, ["block.3"]);
    type_in(&mut model, "jV");
    assert_eq!(model.layers.picked.len(), 2);
    let asked = type_in(&mut model, "eeee ");
    let [Command::AddVariant { variant }] = &asked[..] else { unreachable!("{asked:?}") };
    assert_eq!(variant.name, "2 layers reset");
    assert!(variant.sparsify.iter().all(|it| it.method == Method::Reset && it.amount == 1.0));
    // By 2:4 they are the same edits as a spec's.
    let asked = type_in(&mut model, "ee");
    assert!(asked.is_empty());
    while model.layers.method != Method::NOfM {
        type_in(&mut model, "e");
    }
    let asked = type_in(&mut model, " ");
    let Some(Command::AddVariant { variant }) = asked.last() else { unreachable!("{asked:?}") };
    assert_eq!(variant.check_numbers(), Ok(()));
    press(&mut model, Key::Esc);
    assert!(model.layers.picked.is_empty());
}

#[test]
fn watching_commands_nobody_here_either() {
    let mut model = measured();
    model.mode = Mode::Watch;
    for keys in ["2a", "2x", "2j ", "4jx"] {
        assert!(type_in(&mut model, keys).is_empty(), "{keys}");
    }
    assert!(model.ask.is_none() && model.layers.edits.is_empty());
    assert_eq!(model.live.requested, Default::default());
}

#[test]
fn variants_are_compared_dropped_and_taken_back() {
    let script = Script::good();
    let mut events = script.until(60);
    events.extend(script.variant(1, trim("block.3", 0.5), 60));
    events.extend(script.variant(2, trim("head", 0.5), 60));
    let mut model = fold(&events, Look::default(), (80, 24));
    type_in(&mut model, "4");
    let rivals = &model.contest.rivals;
    assert_eq!(rivals.len(), 3);
    assert!(rivals.iter().any(|it| it.id == RivalId::DENSE && it.here.is_none()));
    let better = rivals.iter().find(|it| it.id == VariantId(1).into()).unwrap();
    let difference = better.here.unwrap();
    // Only misses became hits: the pairs say so more clearly than two
    // intervals could.
    assert!(difference.value > 0.0 && difference.lo > 0.0, "{difference:?}");
    model.rival = VariantId(2).into();
    let asked = type_in(&mut model, " ");
    assert_eq!(asked, vec![Command::DropVariant { variant: VariantId(2) }]);
    assert_eq!(model.live.requested.drop_of(VariantId(2)), Some(true));
    tell(&mut model, Event::VariantDropped { variant: VariantId(2) });
    assert_eq!(model.live.requested.drop_of(VariantId(2)), None);
    let asked = type_in(&mut model, " ");
    assert!(matches!(&asked[..], [Command::AddVariant { .. }]), "{asked:?}");
    model.rival = RivalId::DENSE;
    assert!(type_in(&mut model, " ").is_empty());
    model.rival = VariantId(1).into();
    press(&mut model, Key::Enter);
    assert_eq!((model.tab, model.live.variant), (Tab::Live, VariantId(1)));
}

/// A run that is over has no more data to wait for.
#[test]
fn what_a_key_asks_to_see_is_due_at_once_and_new_data_is_not() {
    let script = Script::good();
    let mut events = script.until(60);
    events.extend(script.variant(1, trim("block.3", 0.5), 60));
    let mut model = fold(&events, Look::default(), (80, 24));
    let key = |model: &mut Model, key| {
        update(model, Message::Key(key));
        model.due()
    };
    assert!(!model.due() && !key(&mut model, Key::Left), "the cursor is drawn, nothing derived");
    assert!(key(&mut model, Key::Char('w')), "another variant");
    model.settle();
    assert!(!model.due());
    update(&mut model, Message::Event(Box::new(Event::Paused)));
    assert!(!model.due(), "data has its turn");
    assert!(!key(&mut model, Key::Left), "… and a key that derives nothing does not hurry it");
    assert!(key(&mut model, Key::Char('4')));
    model.settle();
    assert!(key(&mut model, Key::Left), "the compare screen takes differences at the cursor");
}

#[test]
fn relations_are_ranked_and_the_claim_does_not_say_more() {
    let mut model = measured();
    type_in(&mut model, "3");
    let relations = &model.sheet.relations;
    assert_eq!(relations.len(), 9);
    let sizes: Vec<f64> = relations
        .iter()
        .map(|it| it.coefficients.kendall.map_or(-1.0, |tau| tau.value.abs()))
        .collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert!(model.sheet.claim.as_deref().unwrap().contains("not independent"));
}

#[test]
fn a_sweep_that_has_ended_is_asked_all_the_same() {
    let mut model = fold(&Script::good().whole(), Look::default(), (80, 24));
    update(&mut model, Message::Ended(Ok(Outcome::Complete)));
    assert!(!model.running());
    let asked = type_in(&mut model, "2j ");
    let [Command::AddVariant { variant }] = &asked[..] else { unreachable!("{asked:?}") };
    assert!(asked[0].is_work() && model.live.requested.variants.contains(&variant.sparsify));
    assert!(model.live.word.is_none());
    // What would only hold it up, or has nothing to drop, is not asked.
    assert!(type_in(&mut model, "p").is_empty());
    tell(&mut model, Event::VariantAdded { variant: variant.clone() });
    assert!(type_in(&mut model, "d").is_empty());
    // It cannot go on: said, and nothing is left waiting.
    type_in(&mut model, " ");
    assert!(!model.live.requested.variants.is_empty() || model.run.variants().len() == 2);
    update(&mut model, Message::NotResumed("the journal is locked".into()));
    assert_eq!(model.live.requested, Default::default());
    assert!(model.live.word.as_deref().unwrap().contains("the journal is locked"));
}

/// What is refused waits no more, and the reason is told: to who asked on the last
/// line, to all in the log.
#[test]
fn what_is_refused_leaves_with_its_reason() {
    let mut model = measured();
    let asked = type_in(&mut model, "2j ");
    let [Command::AddVariant { variant }] = &asked[..] else { unreachable!("{asked:?}") };
    assert_eq!(model.layers.edits, variant.sparsify);
    let refuse = |model: &mut Model, command: &Command| {
        let (command, why) = (Box::new(command.clone()), "no such layer".to_string());
        tell(model, Event::Refused { command, why });
    };
    refuse(&mut model, &asked[0]);
    assert_eq!(model.live.requested, Default::default());
    assert_eq!(model.layers.edits, [], "the layer is shown as it is measured");
    assert!(model.live.word.as_deref().unwrap().contains("no such layer"));
    assert!(model.log.back().unwrap().text.contains("refused: no such layer"));
    // Asked again it is asked anew.
    assert_eq!(type_in(&mut model, " "), asked);
    // Of several, the one; and not what another screen asked.
    let asked = type_in(&mut model, "D");
    assert!(model.live.requested.doctor && model.doctor);
    model.live.word = None;
    let other = Command::Skip { dataset: alphascope::sweep::ids::DatasetId(0) };
    refuse(&mut model, &other);
    assert!(model.live.word.is_none());
    refuse(&mut model, &asked[0]);
    assert!(!model.live.requested.doctor && !model.doctor);
    assert_eq!(model.live.requested.variants.len(), 1);
    // Whoever measures did not take any of it.
    update(&mut model, Message::NotTaken("the line was closed".into()));
    assert_eq!(model.live.requested, Default::default());
    assert_eq!(model.layers.edits, []);
    assert!(model.live.word.as_deref().unwrap().contains("the line was closed"));
}

#[test]
fn a_watched_run_that_is_over_is_asked_when_nobody_measures_it() {
    let over = |outcome, link: Link| {
        let mut model = fold(&Script::good().whole(), Look::default(), (80, 24));
        tell(&mut model, Event::Finished { outcome, seconds: 1.0 });
        model.mode = Mode::Watch;
        update(&mut model, Message::Link(link));
        let asked = type_in(&mut model, "2j ");
        (asked.len(), model.live.word)
    };
    assert_eq!(over(Outcome::Complete, Link::Nobody), (1, None));
    assert_eq!(over(Outcome::Partial, Link::Nobody), (1, None));
    // Before that is known, where it is another's, and where it would go on with all
    // that was stopped, nothing is asked.
    for (outcome, link, why) in [
        (Outcome::Complete, Link::Unknown, "ended"),
        (Outcome::Complete, Link::Apart("another machine".into()), "ended"),
        (Outcome::Stopped, Link::Nobody, "--resume"),
    ] {
        let (asked, word) = over(outcome, link);
        assert!(asked == 0 && word.as_deref().is_some_and(|it| it.contains(why)), "{word:?}");
    }
}

#[test]
fn a_doctor_that_could_try_nothing_is_not_asked_for() {
    let mut events = Script::good().until(40);
    let Event::Header(header) = &mut events[0] else { unreachable!() };
    header.datasets.iter_mut().for_each(|it| it.role = Role::Id);
    let mut model = fold(&events, Look::default(), (80, 24));
    assert!(type_in(&mut model, "2D").is_empty());
    assert!(!model.doctor && !model.live.requested.doctor);
    assert!(model.live.word.as_deref().unwrap().contains("role `ood`"), "{:?}", model.live.word);
}

#[test]
fn the_doctor_is_asked_once_and_its_panel_opens_again() {
    let mut model = measured();
    let asked = type_in(&mut model, "2D");
    assert_eq!(asked, vec![Command::Doctor { spec: DoctorSpec::default() }]);
    assert!(model.doctor && model.live.requested.doctor && model.findings.is_none());
    press(&mut model, Key::Esc);
    assert!(!model.doctor);
    assert!(type_in(&mut model, "D").is_empty(), "asked once is enough");
    tell(&mut model, Event::Doctor { spec: DoctorSpec::default() });
    assert!(!model.live.requested.doctor && model.doctor);
    assert_eq!(model.findings.as_ref().unwrap().tried.0, 0);
    assert!(model.findings.as_ref().unwrap().tried.1 > 0);
    press(&mut model, Key::Char('D'));
    model.mode = Mode::Watch;
    assert!(type_in(&mut model, "D").is_empty());
    assert!(model.doctor, "a watcher sees it too");
}

#[test]
fn a_checkpoint_is_of_the_variant_under_the_cursor() {
    use alphascope::app::save::{Refused, Stage};
    let script = Script::good();
    let mut events = script.until(60);
    events.extend(script.variant(1, trim("block.3", 0.5), 60));
    let mut model = fold(&events, Look::default(), (80, 24));
    let ask = |model: &mut Model, keys: &str| {
        type_in(model, keys);
        match update(model, Message::Key(Key::Enter)).pop() {
            Some(Effect::Merge(order)) => *order,
            other => unreachable!("{other:?}"),
        }
    };
    let order = ask(&mut model, "w0W");
    assert_eq!((order.alpha.get(), order.replace), (0.0, false));
    assert_eq!(order.variant.sparsify, trim("block.3", 0.5).sparsify);
    assert!(order.out.to_str().unwrap().contains("block.3-delta-50"), "{:?}", order.out);
    update(&mut model, Message::Merged(Err(Refused::Exists)));
    assert_eq!(model.save.as_ref().unwrap().stage, Stage::Exists);
    assert!(ask(&mut model, "").replace);
    update(&mut model, Message::Merged(Ok("wrote it: θ(0.3), and more\n  note: this\n".into())));
    assert!(model.save.is_none());
    assert_eq!(model.live.word.as_deref(), Some("wrote it (a note: l)"));
    // The compare screen has a cursor of its own; letters are typed into the name.
    type_in(&mut model, "4");
    model.rival = RivalId::DENSE;
    type_in(&mut model, "W");
    assert!(model.save.as_ref().unwrap().variant.is_dense());
    type_in(&mut model, "q?");
    assert!(model.save.as_ref().unwrap().file.text().ends_with("q?"));
}

#[test]
fn another_run_is_compared_and_taken_away() {
    use alphascope::app::contest::Guest;
    use alphascope::sweep::state::SweepState;
    let mut model = fold(&Script::good().whole(), Look::default(), (160, 40));
    type_in(&mut model, "4o~/runs/b");
    let asked = update(&mut model, Message::Key(Key::Enter));
    let [Effect::Guest(dir)] = &asked[..] else { unreachable!("{asked:?}") };
    assert!(dir.ends_with("runs/b"));
    let names = |keep: &dyn Fn(&str) -> bool| {
        let all = ["noto", "twemoji", "openmoji", "fluent", "fluent-hc", "fxemoji"];
        all.into_iter().filter(|name| keep(name)).map(str::to_string).collect()
    };
    let guest = |run: SweepState, same| Guest { dir: dir.clone(), name: "b".into(), run, same };
    let other = SweepState::replay(&Script::barrier().whole());
    let show = |model: &mut Model, guest: Guest| {
        update(model, Message::Guest(Ok(Box::new(guest))));
        model.settle();
        assert_eq!(model.guests.len(), 1, "opened again it is read again");
        let found = model.contest.rivals.iter().find(|it| it.id.guest == Some(0));
        found.unwrap().clone()
    };
    let paired = show(&mut model, guest(other.clone(), names(&|_| true)));
    let here = paired.here.unwrap();
    assert!(paired.paired && here.hi < 0.0, "{here:?}");
    assert_eq!(model.rival, paired.id);
    let apart = show(&mut model, guest(other.clone(), names(&|name| name != "fluent")));
    assert!(!apart.paired && apart.id_here == paired.id_here);
    let wide = apart.here.unwrap();
    assert!((wide.value - here.value).abs() < 1e-9 && wide.half() > here.half());
    // Its variant is of another run: not shown on the live screen, nor written.
    press(&mut model, Key::Enter);
    assert_eq!(model.tab, Tab::Compare);
    type_in(&mut model, "W");
    assert!(model.save.is_none());
    assert!(type_in(&mut model, "x").is_empty());
    assert!(model.guests.is_empty() && model.contest.rivals.len() == 1);
    update(&mut model, Message::Guest(Err("no run".into())));
    assert_eq!(model.live.word.as_deref(), Some("no run"));
}

#[test]
fn the_points_of_several_runs_are_taken_together_on_a_key() {
    use alphascope::app::contest::Guest;
    use alphascope::sweep::state::SweepState;
    let run = |script: Script| {
        let mut events = script.whole();
        events.extend(script.probe(0, &sharpness(Layers::Block), 100));
        events
    };
    let mut model = fold(&run(Script::good()), Look::default(), (160, 40));
    type_in(&mut model, "3r");
    assert!(model.live.word.as_ref().unwrap().contains("no other run"), "{:?}", model.live.word);
    assert!(model.sheet.together.is_empty() && !model.layers.together);
    let asked = {
        type_in(&mut model, "ob");
        update(&mut model, Message::Key(Key::Enter))
    };
    assert!(matches!(&asked[..], [Effect::Guest(_)]), "{asked:?}");
    let run = SweepState::replay(&run(Script::barrier()));
    let guest = Guest { dir: "b".into(), name: "b".into(), run, same: Default::default() };
    update(&mut model, Message::Guest(Ok(Box::new(guest))));
    model.settle();
    assert_eq!(model.tab, Tab::Correlation, "it was opened for this screen");
    assert_eq!(model.sheet.together, ["this run", "b"]);
    let alone = model.board.alphas.len();
    assert!(model.sheet.relations.iter().all(|it| it.coefficients.points == 2 * alone));
    assert!(model.sheet.relations.iter().all(|it| it.within.is_some()));
    assert!(model.sheet.claim.as_ref().unwrap().contains("of 2 runs together"));
    type_in(&mut model, "r");
    model.settle();
    assert!(model.sheet.together.is_empty());
    assert!(model.sheet.relations.iter().all(|it| it.coefficients.points == alone));
    assert!(model.sheet.claim.as_ref().unwrap().contains("of this path"));
}

fn any_step() -> impl Strategy<Value = Message> {
    let script = Script::good();
    let mut events = script.until(30);
    events.extend(script.probe(0, &sharpness(Layers::Block), 60));
    events.extend(script.probe(1, &path(), 60));
    events.extend(script.probe(2, &curvature(), 60));
    events.extend(script.probe(3, &sharpness(Layers::Module), 30));
    events.extend(script.variant(1, trim("block.3", 0.5), 20));
    events.extend(script.variant(2, trim("head", 0.5), 20));
    let any = |n: usize| 0..n + 2;
    let odd = prop_oneof![
        any(4).prop_map(|i| Event::ProbeCancelled { probe: ProbeId(i) }),
        any(2).prop_map(|i| Event::VariantDropped { variant: VariantId(i) }),
        any(2).prop_map(|i| Event::VariantTaken { variant: VariantId(i) }),
        (any(4), any(2), any(11), prop::option::of(any(60))).prop_map(|(probe, v, a, layer)| {
            let cell = ProbeCell {
                probe: ProbeId(probe),
                variant: VariantId(v),
                alpha: AlphaId(a),
                layer: layer.map(LayerId),
            };
            Event::ProbeFailed { cell, message: "failed".to_string() }
        }),
    ];
    let keys: Vec<Key> = bindings().flat_map(|row| row.keys.iter().copied()).collect();
    let event = |event| Message::Event(Box::new(event));
    prop_oneof![
        6 => prop::sample::select(keys).prop_map(Message::Key),
        8 => prop::sample::select(events).prop_map(event),
        2 => odd.prop_map(event),
        1 => (0u16..220, 0u16..80).prop_map(|(w, h)| Message::Resize(w, h)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 16 } else { 64 }))]

    /// No order of keys and events of probes and variants panics, on any of the
    /// screens; and what is shown depends on the events alone.
    #[test]
    fn nothing_panics(tab in 0usize..4, steps in prop::collection::vec(any_step(), 0..80)) {
        let mut model = Model::new(Screen::Live, Mode::Own, Look::default());
        for event in Script::good().opening() {
            update(&mut model, Message::Event(Box::new(event)));
        }
        model.tab = Tab::ALL[tab];
        for step in steps {
            update(&mut model, step);
            draw(&mut model);
        }
        model.settle();
        let mut again = Sheet::of(&model.run, model.sheet.variant, model.layers.probe);
        again.count(&model.run, model.live.variant);
        prop_assert_eq!(&again.rows, &model.sheet.rows);
    }
}

#[cfg(feature = "tui")]
fn draw(model: &mut Model) {
    use alphascope::ui::{self, Theme};
    use ratatui::{Terminal, backend::TestBackend};
    model.settle();
    let theme = Theme::of(model.look);
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| ui::view(model, &theme, frame)).unwrap();
}

#[cfg(not(feature = "tui"))]
fn draw(model: &mut Model) {
    model.settle();
}
