//! Keys of the layers, correlation and compare screens, and the form that asks
//! for a measurement. What changes the run is *requested* here and *in force*
//! only when the worker's event says so.

use crate::app::ask::{Ask, What};
use crate::app::contest::{RivalId, describe};
use crate::app::keymap::{AskAct, CompareAct, LayersAct};
use crate::app::layers::{METHODS, edit_name};
use crate::app::message::Effect;
use crate::app::model::{Lag, Model};
use crate::app::setup::Field;
use crate::app::sheet;
use crate::app::tab::Tab;
use crate::sweep::command::Command;
use crate::sweep::event::{Event, Level};
use crate::sweep::ids::{LayerId, ProbeId, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::spec::{Edit, Method, Variant};

use super::{asking, boxes, commanding};

/// Rows a page key moves.
const PAGE: isize = 10;

pub(super) fn act(model: &mut Model, act: LayersAct) -> Vec<Effect> {
    let layers = &mut model.layers;
    match act {
        LayersAct::Up => step(model, -1),
        LayersAct::Down => step(model, 1),
        LayersAct::PageUp => step(model, -PAGE),
        LayersAct::PageDown => step(model, PAGE),
        LayersAct::Open => layers.detail = !layers.detail,
        LayersAct::Back => back(model),
        LayersAct::Sort => {
            layers.sort = layers.sort.next();
            layers.reversed = false;
        }
        LayersAct::Reverse => layers.reversed = !layers.reversed,
        LayersAct::Filter => layers.typing = Some(Field::new(layers.filter.clone())),
        LayersAct::Accept => {
            layers.filter = layers.typing.take().map_or_else(String::new, |it| it.text().into());
        }
        LayersAct::Clear => (layers.typing, layers.filter) = (None, String::new()),
        LayersAct::Map => layers.map = !layers.map,
        LayersAct::Measure => layers.measure = layers.measure.next(),
        LayersAct::Earlier => other_probe(model, -1),
        LayersAct::Later => other_probe(model, 1),
        LayersAct::Ask => {
            if asking(model) {
                model.ask = Some(Ask::default());
            }
        }
        LayersAct::Cancel => return cancel(model),
        LayersAct::Method => {
            let at = METHODS.iter().position(|it| *it == layers.method).unwrap_or(0);
            layers.method = METHODS[(at + 1) % METHODS.len()];
            say_edit(model);
        }
        LayersAct::More => amount(model, 10),
        LayersAct::Less => amount(model, -10),
        LayersAct::Pick => {
            if let Some(id) = highlighted(model) {
                let picked = &mut model.layers.picked;
                if !picked.remove(&id) {
                    picked.insert(id);
                }
                step(model, 1);
            }
        }
        LayersAct::ExtendUp => extend(model, -1),
        LayersAct::ExtendDown => extend(model, 1),
        LayersAct::Together => together(model),
        LayersAct::PickStragglers => pick_stragglers(model),
        LayersAct::Toggle => return toggle(model),
        LayersAct::Dense => return edit(model, Vec::new()),
    }
    Vec::new()
}

// ----------------------------------------------------------- what is shown

/// The layers a key can go to now, in the order of the screen.
fn ring(model: &Model) -> Vec<Option<LayerId>> {
    if model.tab == Tab::Correlation {
        return model.sheet.relations.iter().map(|it| it.layer).collect();
    }
    let listed = model.layers.listed(&model.sheet.rows, model.cursor());
    listed.into_iter().map(|row| row.layer).collect()
}

fn step(model: &mut Model, by: isize) {
    let ring = ring(model);
    let Some(last) = ring.len().checked_sub(1) else { return };
    let at = place(model, &ring);
    // One step goes round the ends, a page stops there.
    let to = match by {
        -1 if at == 0 => last,
        1 if at == last => 0,
        by => at.saturating_add_signed(by).min(last),
    };
    model.layers.at = Some(ring[to]);
}

/// Where the highlighted one is among them.
fn place(model: &Model, ring: &[Option<LayerId>]) -> usize {
    model.layers.at.and_then(|at| ring.iter().position(|it| *it == at)).unwrap_or(0)
}

/// Selects the highlighted row and its neighbour, which is highlighted then; stops at
/// the ends.
fn extend(model: &mut Model, by: isize) {
    let ring = ring(model);
    let Some(last) = ring.len().checked_sub(1) else { return };
    let next = place(model, &ring).saturating_add_signed(by).min(last);
    model.layers.picked.extend(highlighted(model));
    model.layers.at = Some(ring[next]);
    model.layers.picked.extend(highlighted(model));
}

fn back(model: &mut Model) {
    let layers = &mut model.layers;
    if layers.detail {
        layers.detail = false;
    } else if layers.map {
        layers.map = false;
    } else if !layers.picked.is_empty() {
        layers.picked.clear();
    } else {
        layers.filter.clear();
    }
}

fn other_probe(model: &mut Model, by: isize) {
    let all = model.sheet.sharpness();
    let at = model.sheet.shown.and_then(|id| all.iter().position(|it| *it == id));
    let to = at.map(|at| at.saturating_add_signed(by).min(all.len().saturating_sub(1)));
    match to.and_then(|to| all.get(to)) {
        Some(id) if all.len() > 1 => {
            model.layers.probe = Some(*id);
            model.behind(Lag::Asked);
        }
        _ => model.live.word = Some("there is no other measurement; a asks for one".into()),
    }
}

fn together(model: &mut Model) {
    if model.guests.is_empty() {
        model.live.word = Some("no other run is shown beside this one: o opens one".into());
        return;
    }
    model.layers.together = !model.layers.together;
    model.behind(Lag::Asked);
}

/// The highlighted layer; `None` where that is all of them at once.
fn highlighted(model: &Model) -> Option<LayerId> {
    let listed = model.layers.listed(&model.sheet.rows, model.cursor());
    listed.get(model.layers.place(&listed))?.layer
}

fn pick_stragglers(model: &mut Model) {
    let found = model.sheet.rows.iter().filter(|row| !row.by.is_empty());
    let found: std::collections::BTreeSet<LayerId> = found.filter_map(|row| row.layer).collect();
    if found.is_empty() {
        model.live.word = Some("no layer is a straggler by what is measured so far".into());
    } else if model.layers.picked == found {
        model.layers.picked.clear();
    } else {
        model.layers.picked = found;
    }
}

// ------------------------------------------------------------ measurements

pub(super) fn on_ask(model: &mut Model, act: AskAct) -> Vec<Effect> {
    let Some(ask) = model.ask.as_mut() else { return Vec::new() };
    match act {
        AskAct::Up => ask.step(-1),
        AskAct::Down => ask.step(1),
        AskAct::Less => ask.change(-1),
        AskAct::More => ask.change(1),
        AskAct::Defaults => ask.reset(),
        AskAct::Close => model.ask = None,
        AskAct::Send => return send(model),
    }
    Vec::new()
}

fn send(model: &mut Model) -> Vec<Effect> {
    let Some(ask) = model.ask.take().filter(|_| asking(model)) else { return Vec::new() };
    let probes = ask.probes(&model.run);
    if ask.what == What::Sharpness {
        // What was just asked for is what one wants to see.
        model.layers.probe = None;
    }
    probes.into_iter().flat_map(|probe| request(model, probe)).collect()
}

fn request(model: &mut Model, probe: Probe) -> Vec<Effect> {
    let known = model.run.probes().iter().any(|it| it.probe == probe && !it.cancelled);
    if known || model.live.requested.probes.contains(&probe) {
        model.live.word = Some("this is measured already".into());
        return Vec::new();
    }
    model.live.requested.probes.push(probe.clone());
    vec![Effect::Command(Command::Probe { probe: Box::new(probe) })]
}

/// Cancels what is shown, or asks for it again.
fn cancel(model: &mut Model) -> Vec<Effect> {
    let again = model.sheet.shown.and_then(|id| model.run.probe(id)).is_some_and(|it| it.cancelled);
    if !(if again { asking(model) } else { commanding(model) }) {
        return Vec::new();
    }
    let Some(probe) = model.sheet.shown else {
        model.live.word = Some("nothing is measured here yet; a asks for it".into());
        return Vec::new();
    };
    let asked = model.live.requested.cancels.contains(&probe);
    let now = model.run.probe(probe);
    match now {
        Some(it) if it.cancelled => {
            let again = it.probe.clone();
            model.layers.probe = Some(probe);
            request(model, again)
        }
        Some(_) if !asked => {
            model.live.requested.cancels.push(probe);
            // The one shown stays in view, whatever else is measured.
            model.layers.probe = Some(probe);
            vec![Effect::Command(Command::CancelProbe { probe })]
        }
        _ => Vec::new(),
    }
}

// ---------------------------------------------------------------- variants

fn say_edit(model: &mut Model) {
    let layers = &model.layers;
    let word = match layers.method {
        Method::NOfM => "space sparsifies by 2:4: two of four weights stay".to_string(),
        Method::Reset => "space resets: the layer stays zero-shot".to_string(),
        _ => format!("space sparsifies by {}", edit_name(&layers.edit(""))),
    };
    model.live.word = Some(word);
}

fn amount(model: &mut Model, by: i16) {
    let now = i16::from(model.layers.percent);
    model.layers.percent = u8::try_from((now + by).clamp(0, 100)).unwrap_or(100);
    say_edit(model);
}

/// The selected layers (else the highlighted one) edited as the method and the
/// amount in hand say; where all of them are already, the edit is undone.
fn toggle(model: &mut Model) -> Vec<Effect> {
    let ids: Vec<LayerId> = if model.layers.picked.is_empty() {
        highlighted(model).into_iter().collect()
    } else {
        model.layers.picked.iter().copied().collect()
    };
    let names: Vec<String> =
        ids.iter().filter_map(|id| model.run.layer(*id)).map(|it| it.name.clone()).collect();
    if names.is_empty() {
        model.live.word = Some("choose a layer: overall is all of them".into());
        return Vec::new();
    }
    let wanted: Vec<Edit> = names.iter().map(|name| model.layers.edit(name)).collect();
    let mut edits = model.layers.edits.clone();
    let undo = wanted.iter().all(|it| edits.contains(it));
    edits.retain(|it| !names.contains(&it.layer));
    if !undo {
        edits.extend(wanted);
    }
    // In the order of the forward pass, so that equal what-ifs are equal.
    let place = |edit: &Edit| model.sheet.rows.iter().position(|row| row.name == edit.layer);
    edits.sort_by_key(place);
    edit(model, edits)
}

/// Makes these edits the what-if in hand.
fn edit(model: &mut Model, edits: Vec<Edit>) -> Vec<Effect> {
    if edits == model.layers.edits || !asking(model) {
        return Vec::new();
    }
    let mut effects = supersede(model);
    model.layers.edits.clone_from(&edits);
    if edits.is_empty() {
        model.live.variant = VariantId::DENSE;
        model.behind(Lag::Asked);
        return effects;
    }
    let known = model.run.variant_that(&edits);
    if let Some(id) = known {
        // Wanted again: that it be dropped is asked no more.
        model.live.requested.drops.retain(|it| *it != (id, true));
    }
    match known {
        Some(id) if !model.run.is_dropped(id) => show(model, id),
        _ => model.live.requested.variants.push(edits.clone()),
    }
    let variant = Variant { name: name(model, &edits), sparsify: edits };
    effects.push(Effect::Command(Command::AddVariant { variant }));
    effects
}

/// The what-if before makes way, unless it is complete: a person who goes on
/// toggling does not wait for it. The compare screen can take it back.
fn supersede(model: &mut Model) -> Vec<Effect> {
    let edits = model.layers.edits.clone();
    let known = model.run.variant_that(&edits);
    let requested = &mut model.live.requested.variants;
    if requested.contains(&edits) {
        // It has no number yet, or its taking back is under way.
        requested.retain(|it| *it != edits);
        return vec![Effect::Command(Command::Supersede { sparsify: edits })];
    }
    // One that has ended measures nothing any more.
    match known.filter(|_| model.running()) {
        Some(id) if id != VariantId::DENSE && !model.run.is_dropped(id) => drop_variant(model, id),
        _ => Vec::new(),
    }
}

fn drop_variant(model: &mut Model, id: VariantId) -> Vec<Effect> {
    if model.run.is_whole(id) {
        return Vec::new();
    }
    model.live.requested.drops.retain(|(it, _)| *it != id);
    model.live.requested.drops.push((id, true));
    vec![Effect::Command(Command::DropVariant { variant: id })]
}

/// Short, telling, and not taken yet.
fn name(model: &Model, edits: &[Edit]) -> String {
    let base = match edits {
        [one] => format!("{} {}", one.layer, edit_name(one)),
        [first, ..] if edits.iter().all(|it| edit_name(it) == edit_name(first)) => {
            format!("{} layers {}", edits.len(), edit_name(first))
        }
        _ => format!("{} layers edited", edits.len()),
    };
    let known = model.run.variants();
    if let Some(it) = known.iter().find(|it| it.sparsify == edits) {
        return it.name.clone();
    }
    let mut name = base.clone();
    let mut n = 2;
    while known.iter().any(|it| it.name == name) {
        name = format!("{base} ({n})");
        n += 1;
    }
    name
}

/// Edits that are neither measured nor asked for make way for those of the variant
/// that is shown.
pub(super) fn forget_wish(model: &mut Model) {
    let edits = &model.layers.edits;
    let known = model.run.variant_that(edits).is_some();
    if !known && !model.live.requested.variants.contains(edits) {
        let shown = model.run.variants().get(model.live.variant.index());
        model.layers.edits = shown.map_or_else(Vec::new, |it| it.sparsify.clone());
    }
}

fn show(model: &mut Model, id: VariantId) {
    model.live.variant = id;
    model.behind(Lag::Asked);
}

pub(super) fn next_variant(model: &mut Model) {
    let n = model.run.variants().len();
    if n < 2 {
        model.live.word = Some("only the dense model is measured; 2 sparsifies layers".into());
        return;
    }
    show(model, VariantId((model.live.variant.index() + 1) % n));
    let name = model.run.variants().get(model.live.variant.index()).map(|it| it.name.clone());
    model.live.word = name.map(|name| format!("shown: {name}"));
}

pub(super) fn on_compare(model: &mut Model, act: CompareAct) -> Vec<Effect> {
    // Also of the correlation screen, where nothing is ranked.
    if act == CompareAct::Open {
        boxes::open(model);
        return Vec::new();
    }
    let ids: Vec<RivalId> = model.contest.rivals.iter().map(|it| it.id).collect();
    let at = ids.iter().position(|id| *id == model.rival).unwrap_or(0);
    let Some(last) = ids.len().checked_sub(1) else { return Vec::new() };
    match act {
        CompareAct::Up => model.rival = ids[if at == 0 { last } else { at - 1 }],
        CompareAct::Down => model.rival = ids[if at == last { 0 } else { at + 1 }],
        CompareAct::Show => {
            if ids[at].guest.is_some() {
                model.live.word = Some("of another run: it is shown here alone".into());
                return Vec::new();
            }
            show(model, ids[at].variant);
            model.tab = Tab::Live;
        }
        CompareAct::Drop => match ids[at].guest {
            Some(index) => boxes::part(model, index),
            None => return drop_or_take(model, ids[at].variant),
        },
        CompareAct::Open => {}
    }
    Vec::new()
}

fn drop_or_take(model: &mut Model, id: VariantId) -> Vec<Effect> {
    if id == VariantId::DENSE {
        model.live.word = Some("the dense model is what the others are compared with".into());
        return Vec::new();
    }
    let now = model.run.is_dropped(id);
    if !(if now { asking(model) } else { commanding(model) }) {
        return Vec::new();
    }
    let wanted = !model.live.requested.drop_of(id).unwrap_or(now);
    model.live.requested.drops.retain(|(it, _)| *it != id);
    if wanted {
        if !now {
            model.live.requested.drops.push((id, true));
        }
        return vec![Effect::Command(Command::DropVariant { variant: id })];
    }
    if now {
        model.live.requested.drops.push((id, false));
    }
    let variant = model.run.variants().get(id.index()).cloned();
    variant.map(|variant| Effect::Command(Command::AddVariant { variant })).into_iter().collect()
}

// ---------------------------------------------------------------- in force

/// Called after the run has taken the event in.
pub(super) fn in_force(model: &mut Model, event: &Event) {
    match event {
        Event::Probing { probe } => {
            model.live.requested.probes.retain(|it| it != probe);
            model.say(Level::Info, format!("measured too from here on: {}", sheet::title(probe)));
        }
        Event::ProbeCancelled { probe } => {
            model.live.requested.cancels.retain(|it| it != probe);
            let title = title(model, *probe);
            model.say(Level::Info, format!("cancelled: {title}; what it gave stays"));
        }
        Event::ProbeFailed { cell, message } => {
            let layer = cell.layer.and_then(|id| model.run.layer(id));
            let name = layer.map_or("overall", |layer| layer.name.as_str());
            let alpha = model.run.alphas().get(cell.alpha.index());
            let alpha = alpha.map(|it| it.short()).unwrap_or_default();
            let text = format!("{} of {name} at α {alpha}: {message}", title(model, cell.probe));
            model.say(Level::Error, text);
        }
        Event::VariantAdded { variant } => {
            let id = model.run.variant_that(&variant.sparsify);
            let asked = model.live.requested.variants.contains(&variant.sparsify);
            model.live.requested.variants.retain(|it| *it != variant.sparsify);
            if let Some(id) = id.filter(|_| asked) {
                show(model, id);
            }
            let text =
                format!("measured too from here on: {} ({})", variant.name, describe(variant));
            model.say(Level::Info, text);
        }
        Event::VariantDropped { variant } => {
            model.live.requested.drops.retain(|it| *it != (*variant, true));
            model
                .say(Level::Info, format!("{} is measured no more", variant_name(model, *variant)));
        }
        Event::VariantTaken { variant } => {
            model.live.requested.drops.retain(|it| *it != (*variant, false));
            let edits = model.run.variants().get(variant.index()).map(|it| it.sparsify.clone());
            let asked = edits.is_some_and(|edits| {
                let asked = model.live.requested.variants.contains(&edits);
                model.live.requested.variants.retain(|it| *it != edits);
                asked
            });
            if asked {
                show(model, *variant);
            }
            model.say(Level::Info, format!("{} is measured again", variant_name(model, *variant)));
        }
        _ => {}
    }
}

fn title(model: &Model, probe: ProbeId) -> String {
    model.run.probe(probe).map_or_else(String::new, |it| sheet::title(&it.probe))
}

fn variant_name(model: &Model, id: VariantId) -> String {
    let known = model.run.variants().get(id.index());
    known.map_or_else(|| format!("variant {}", id.index()), |it| it.name.clone())
}
