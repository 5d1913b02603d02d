//! One message in, effects out.

mod boxes;
mod commands;
mod layers;

pub use boxes::compare_with;

use crate::sweep::event::{Event, Header, Level};
use crate::sweep::ids::{AlphaId, DatasetId};
use crate::sweep::journal;
use crate::sweep::state::SweepState;

use super::axis::{self, Axis, NATS, PERCENT};
use super::contest::RivalId;
use super::help;
use super::key::Key;
use super::keymap::{self, Action, Context};
use super::library;
use super::live::{Live, SMALLEST, Target, ZOOM_STEPS};
use super::look::spell;
use super::message::{Effect, Message, Pick};
use super::model::{LOG_SIGN, Lag, Link, Mode, Model, Screen};
use super::setup;
use super::tab::Tab;
pub use commands::answers;
use commands::{asking, commanding, first, leave, pause, quit, skip, step_answer, stop, yes};

/// Folds a message into the model. Pure: no clock, no terminal, no waiting.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return on_key(model, key),
        Message::Pick(pick) => picked(model, pick),
        Message::Wheel(lines) => wheel(model, lines),
        Message::Event(event) => on_event(model, &event),
        Message::Progress(progress) => model.progress = Some(progress),
        Message::Resize(width, height) => model.size = (width, height),
        Message::Tick => model.live.word = None,
        Message::Setup(setup::Message::Paste(text)) if model.screen == Screen::Live => {
            let save = model.save.as_mut().map(|it| &mut it.file);
            if let Some(field) = model.opening.as_mut().or(save) {
                field.insert(text.trim());
            }
        }
        Message::Library(message) => {
            return asked(library::answer(&mut model.library, message));
        }
        Message::Setup(message) => {
            let effects = setup::update(&mut model.setup, message);
            return effects.into_iter().map(Effect::Setup).collect();
        }
        Message::Ended(result) => {
            if let Err(message) = &result {
                model.say(Level::Error, message.as_str());
                // Its words, not only that there was an error.
                model.live.log = true;
            }
            let leave = model.live.requested.stop.is_some();
            model.ended = Some(result);
            model.full = false;
            model.live.requested = Default::default();
            model.live.question = None;
            model.ask = None;
            if leave {
                return vec![Effect::Quit];
            }
        }
        Message::NotResumed(why) => {
            let stop = model.live.requested.stop;
            commands::unmet(model, format!("the sweep cannot go on: {why}"));
            model.live.requested.stop = stop;
        }
        Message::NotTaken(why) => commands::unmet(model, why),
        Message::Merged(result) => boxes::merged(model, result),
        Message::Guest(result) => boxes::guest(model, result),
        Message::Link(link) => {
            if link != Link::Attached {
                // Nobody is there to bring into force what was asked.
                model.live.requested = Default::default();
            }
            model.link = link;
        }
        Message::Log(level, text) => model.say(level, text),
        Message::Stands(why) => {
            if let Some(why) = &why {
                model.say(Level::Error, why.as_str());
            }
            model.full = why.is_some();
        }
    }
    Vec::new()
}

// ---------------------------------------------------------------- events

fn on_event(model: &mut Model, event: &Event) {
    if let Event::Header(header) = event {
        begin(model, header);
    }
    let misfits = model.run.misfits;
    model.run.apply(event);
    // Of our own, the session says so.
    if misfits == 0 && model.run.misfits > 0 && model.mode == Mode::Watch {
        let text = journal::misfit(1).unwrap_or_default();
        model.say(Level::Warning, text);
    }
    model.behind(Lag::Data);
    let requested = &mut model.live.requested;
    match event {
        Event::Measured(_) => follow(model, false),
        Event::CellFailed { cell, message, .. } => {
            let name = dataset_name(model, cell.dataset);
            let alpha = model.run.header().and_then(|h| h.alphas.get(cell.alpha.index()).copied());
            let at = alpha.map(|it| it.short()).unwrap_or_default();
            model.say(Level::Error, format!("{name} at α {at}: {message}"));
        }
        Event::Paused if requested.pause == Some(true) => requested.pause = None,
        Event::Resumed if requested.pause == Some(false) => requested.pause = None,
        Event::Skipped { dataset } => {
            requested.skip.retain(|it| *it != (*dataset, true));
            let name = dataset_name(model, *dataset);
            model.say(Level::Info, format!("{name} is skipped from here on"));
        }
        Event::Unskipped { dataset } => {
            requested.skip.retain(|it| *it != (*dataset, false));
            let name = dataset_name(model, *dataset);
            model.say(Level::Info, format!("{name} is taken back"));
        }
        Event::Doctor { .. } => {
            requested.doctor = false;
            model.say(Level::Info, "the doctor looks for a repair when nothing else is owed");
        }
        Event::Focused { dataset } if requested.first == Some(*dataset) => requested.first = None,
        Event::Probing { .. }
        | Event::ProbeCancelled { .. }
        | Event::ProbeFailed { .. }
        | Event::VariantAdded { .. }
        | Event::VariantDropped { .. }
        | Event::VariantTaken { .. } => layers::in_force(model, event),
        Event::Refused { command, why } => commands::refused(model, command, why),
        Event::Notice { level, text, .. } => model.say(*level, text.as_str()),
        Event::Started { devices, program, .. } => {
            let text = format!("{program} measures on {}", devices.join(", "));
            model.say(Level::Info, text);
            model.ended = None;
        }
        Event::Finished { .. } => {
            // A session of our own has a last word yet.
            let stop = requested.stop.filter(|_| model.mode == Mode::Own);
            model.live.requested = Default::default();
            model.live.requested.stop = stop;
            follow(model, true);
        }
        _ => {}
    }
}

fn asked(effects: Vec<library::Effect>) -> Vec<Effect> {
    effects.into_iter().map(Effect::Library).collect()
}

/// A new run takes the screen. The header of the run that is on it already
/// (every shard's journal begins with one) changes nothing.
fn begin(model: &mut Model, header: &Header) {
    let over = model.ended.is_some() || model.run.outcome.is_some();
    match model.run.header() {
        // From the library any run is opened anew.
        _ if model.screen == Screen::Library => {}
        Some(known) if known == header || !over => return,
        _ => {}
    }
    model.screen = Screen::Live;
    model.tab = Tab::Live;
    model.run = SweepState::default();
    model.live = Live::default();
    model.layers = Default::default();
    model.rival = RivalId::DENSE;
    // What they have in common was told of the run before.
    model.guests.clear();
    model.ask = None;
    model.save = None;
    model.doctor = false;
    model.axis = Axis::default();
    model.ended = None;
    model.progress = None;
}

fn dataset_name(model: &Model, id: DatasetId) -> String {
    let header = model.run.header();
    header
        .and_then(|header| header.datasets.get(id.index()))
        .map_or_else(|| format!("dataset {}", id.index()), |set| set.name.clone())
}

/// Lets the axes follow the data. Per event, not per frame, so that a replay
/// ends with the same axes.
fn follow(model: &mut Model, last: bool) {
    let Some(header) = model.run.header() else { return };
    let run = &model.run;
    let (sets, grid) = (header.datasets.len(), header.alphas.len());
    let cells = || {
        (0..sets)
            .flat_map(move |d| (0..grid).map(move |a| (DatasetId(d), AlphaId(a))))
            .filter_map(|(dataset, alpha)| run.dense(dataset, alpha).filter(|cell| cell.done > 0))
    };
    let top1 = cells().map(|cell| 100.0 * cell.correct as f64 / cell.done as f64);
    let loss = cells().map(|cell| cell.loss_sum / cell.done as f64);
    let (top1, loss) = (axis::fit(top1, 5.0, PERCENT), axis::fit(loss, 0.1, NATS));
    for (axis, need) in [(&mut model.axis.accuracy, top1), (&mut model.axis.loss, loss)] {
        if last { axis.settle(need) } else { axis.follow(need) }
    }
}

// ------------------------------------------------------------------ keys

/// Which table of the keymap holds now.
#[must_use]
pub fn context(model: &Model) -> Context {
    if model.live.question.is_some() {
        Context::Dialog
    } else if model.help.is_some() {
        Context::Help
    } else if model.log_page.is_some() {
        Context::Log
    } else if model.screen == Screen::Setup {
        setup::context(&model.setup)
    } else if model.screen == Screen::Library {
        let typing = model.library.typing.is_some();
        if typing { Context::LibraryText } else { Context::Library }
    } else if model.ask.is_some() {
        Context::Ask
    } else if model.save.is_some() {
        Context::Save
    } else if model.doctor {
        Context::Doctor
    } else if model.opening.is_some() {
        Context::Open
    } else {
        match model.tab {
            Tab::Live => Context::Live,
            Tab::Layers if model.layers.typing.is_some() => Context::Filter,
            Tab::Layers => Context::Layers,
            Tab::Correlation => Context::Correlation,
            Tab::Compare => Context::Compare,
        }
    }
}

fn on_key(model: &mut Model, key: Key) -> Vec<Effect> {
    model.live.word = None;
    let context = context(model);
    if model.screen == Screen::Setup
        && !matches!(context, Context::Dialog | Context::Help)
        && let Some(effects) = setup::key(&mut model.setup, key)
    {
        return effects.into_iter().map(Effect::Setup).collect();
    }
    let Some(action) = keymap::action(context, key) else {
        if context == Context::LibraryText {
            library::typed(&mut model.library, key);
        }
        let filter = model.layers.typing.as_mut().filter(|_| context == Context::Filter);
        let path = model.opening.as_mut().filter(|_| context == Context::Open);
        if let Some(field) = filter.or(path) {
            field.key(key);
        } else if let Some(save) = model.save.as_mut().filter(|_| context == Context::Save) {
            boxes::type_save(save, key);
        }
        return Vec::new();
    };
    act(model, action)
}

fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    // The help page or the log is over the screen.
    let over = model.help.is_some() || model.log_page.is_some();
    if model.screen == Screen::Live && model.tab == Tab::Live && model.is_small() {
        let what = match action {
            Action::Table => Some("the table"),
            Action::Log => Some("the log"),
            Action::Zoom | Action::ZoomIn | Action::ZoomOut => Some("the chart"),
            _ => None,
        };
        // It is remembered for a larger one, but nothing of it can be seen here.
        model.live.word = what
            .map(|what| format!("too small for {what}: {} x {} at least", SMALLEST.0, SMALLEST.1));
    }
    let live = &mut model.live;
    match action {
        // The set-up screen has done its own already.
        Action::Setup(_) => {}
        Action::Runs => return asked(library::open(model)),
        Action::Library(act) => return asked(library::act(model, act)),
        Action::Tab(tab) => {
            model.tab = tab;
            // Each screen derives what it alone shows.
            model.behind(Lag::Asked);
        }
        Action::Variant => layers::next_variant(model),
        Action::Layers(act) => return layers::act(model, act),
        Action::Ask(act) => return layers::on_ask(model, act),
        Action::Compare(act) => return layers::on_compare(model, act),
        Action::Doctor => return boxes::doctor(model),
        Action::OnDoctor(act) => boxes::on_doctor(model, act),
        Action::Save => boxes::save(model),
        Action::OnSave(act) => return boxes::on_save(model, act),
        Action::OnOpen(act) => return boxes::on_open(model, act),
        Action::Help => model.help = Some(0),
        Action::Close => (model.help, model.log_page) = (None, None),
        Action::ScrollUp => leaf(model, -1),
        Action::ScrollDown => leaf(model, 1),
        Action::Theme => model.look.palette = model.look.palette.next(),
        Action::Charset => model.look.charset = model.look.charset.next(),
        Action::Mouse => {
            model.mouse = !model.mouse;
            return vec![Effect::Mouse(model.mouse)];
        }
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => return quit(model),
        Action::Stop => return stop(model),
        Action::Leave(how) => return leave(model, how),
        Action::AnswerUp => step_answer(model, -1),
        Action::AnswerDown => step_answer(model, 1),
        Action::Pause => return pause(model),
        Action::Skip => return skip(model),
        Action::First => return first(model),
        Action::Yes => return yes(model),
        Action::No => live.question = None,
        Action::CursorLeft => step_cursor(model, -1),
        Action::CursorRight => step_cursor(model, 1),
        Action::CursorStart => set_cursor(model, 0),
        Action::CursorEnd => set_cursor(model, usize::MAX),
        Action::CursorBest => {
            live.cursor = None;
            moved(model);
        }
        Action::FocusNext => step_focus(model, 1),
        Action::FocusPrevious => step_focus(model, -1),
        Action::Alone => alone(model),
        Action::Back => {
            if live.alone {
                live.alone = false;
            } else {
                live.focus = None;
            }
        }
        Action::Zoom => {
            live.zoom = live.zoom.next();
            live.steps = 0;
        }
        Action::ZoomIn => live.steps = (live.steps + 1).min(ZOOM_STEPS),
        Action::ZoomOut => live.steps = (live.steps - 1).max(-ZOOM_STEPS),
        Action::Metric => live.metric = live.metric.next(),
        Action::Show => live.shown = live.shown.next(),
        Action::Table => {
            live.table = !live.table;
            live.scroll = 0;
        }
        Action::Log if model.screen == Screen::Live && model.tab == Tab::Live => {
            live.log = !live.log;
            live.scroll = 0;
        }
        Action::Log => model.log_page = Some(0),
        Action::PageUp if over => leaf(model, -page(model)),
        Action::PageDown if over => leaf(model, page(model)),
        Action::PageUp => scroll(model, -5),
        Action::PageDown => scroll(model, 5),
    }
    Vec::new()
}

/// The log counts lines up from its end, the table down from its start.
fn scroll(model: &mut Model, lines: isize) {
    let lines = if model.live.log && !model.live.table { -lines } else { lines };
    let most = if model.live.log { model.log.len() } else { model.board.alphas.len() };
    model.live.scroll = model.live.scroll.saturating_add_signed(lines).min(most);
}

fn wheel(model: &mut Model, lines: i16) {
    match model.help.or(model.log_page) {
        Some(_) => leaf(model, isize::from(lines)),
        None => step_cursor(model, isize::from(lines.signum())),
    }
}

/// Lines of a page over the screen that are seen at once, less one that stays in sight.
fn page(model: &Model) -> isize {
    isize::from(i16::try_from(model.size.1).unwrap_or(i16::MAX)).saturating_sub(3).max(1)
}

/// Scrolls the help page to its last line at most, the log to its first.
fn leaf(model: &mut Model, lines: isize) {
    let seen = page(model).unsigned_abs() + 1;
    if let Some(up) = model.log_page {
        let first = log_lines(model).saturating_sub(seen);
        model.log_page = Some(up.saturating_add_signed(lines.saturating_neg()).min(first));
        return;
    }
    let last = help::page(model, help::columns(model.size.0)).len().saturating_sub(seen);
    model.help = model.help.map(|at| at.saturating_add_signed(lines).min(last));
}

/// Lines of the log over the screen.
fn log_lines(model: &Model) -> usize {
    let columns = help::columns(model.size.0).saturating_sub(LOG_SIGN).max(1);
    let spelled = model.log.iter().map(|line| spell(model.look.charset, &line.text));
    spelled.map(|text| super::format::wrap(&text, columns).len()).sum()
}

fn picked(model: &mut Model, pick: Pick) {
    if !context(model).in_run() {
        return;
    }
    match pick {
        Pick::Alpha(at) => set_cursor(model, at),
        Pick::Curve(target) => {
            if model.board.curve(target).is_some() {
                model.live.focus = Some(target);
            }
        }
        Pick::Layer(layer) => model.layers.at = Some(layer),
        Pick::Variant(id) => model.rival = id,
        Pick::Tab(tab) => {
            model.tab = tab;
            model.behind(Lag::Asked);
        }
    }
}

fn set_cursor(model: &mut Model, at: usize) {
    let last = model.board.alphas.len().checked_sub(1);
    model.live.cursor = last.map(|last| at.min(last));
    moved(model);
}

/// The compare screen takes its differences at the cursor.
fn moved(model: &mut Model) {
    if model.tab == Tab::Compare {
        model.behind(Lag::Asked);
    }
}

fn step_cursor(model: &mut Model, by: isize) {
    let at = model.cursor().unwrap_or(0).saturating_add_signed(by);
    set_cursor(model, at);
}

/// Through `nothing, OOD mean, datasets …` and round.
fn step_focus(model: &mut Model, by: isize) {
    let mut ring: Vec<Option<Target>> = vec![None];
    ring.extend(model.board.targets().map(|curve| Some(curve.target)));
    if model.live.alone {
        ring.remove(0);
    }
    let Some(n) = isize::try_from(ring.len()).ok().filter(|n| *n > 0) else { return };
    let at = ring.iter().position(|it| *it == model.live.focus).unwrap_or(0) as isize;
    model.live.focus = ring.get((at + by).rem_euclid(n) as usize).copied().flatten();
}

fn alone(model: &mut Model) {
    if model.live.focus.is_none() {
        model.live.focus = model.board.targets().next().map(|curve| curve.target);
        model.live.alone = model.live.focus.is_some();
    } else {
        model.live.alone = !model.live.alone;
    }
}
