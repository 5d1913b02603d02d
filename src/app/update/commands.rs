//! What is asked of the sweep: pause, skip, first, stop, and how it is left.

use super::layers;
use crate::app::library;
use crate::app::live::{Leave, Question, Target};
use crate::app::message::Effect;
use crate::app::model::{Link, Mode, Model};
use crate::sweep::command::Command;
use crate::sweep::event::{Level, Outcome};
use crate::sweep::ids::DatasetId;

/// Only a running sweep whose process hears us can be commanded; says why
/// otherwise.
pub(super) fn commanding(model: &mut Model) -> bool {
    let word = match (&model.mode, &model.link) {
        _ if model.run.header().is_none() => "nothing is running".to_string(),
        (Mode::Watch, _) if model.run.outcome == Some(Outcome::Stopped) => {
            "the sweep was stopped: `alphascope sweep --resume` goes on with it".to_string()
        }
        _ if !model.running() => "the sweep has ended".to_string(),
        (Mode::Watch, Link::Unknown) => "only watching: not yet attached".to_string(),
        (Mode::Watch, Link::Apart(why)) => format!("only watching: {why}"),
        (Mode::Watch, Link::Nobody) => "only watching: nobody measures this run".to_string(),
        _ => match model.live.requested.stop {
            Some(Leave::Now) => "stopping after the batch in hand".to_string(),
            Some(Leave::After) => "stopping after what is in hand".to_string(),
            Some(Leave::Background) => "going on in the background".to_string(),
            None => return true,
        },
    };
    model.live.word = Some(word);
    false
}

/// As [`commanding`], of what gives a sweep more to do: one that has ended goes
/// on with it.
pub(super) fn asking(model: &mut Model) -> bool {
    let over = model.mode == Mode::Own && model.run.header().is_some() && !model.running();
    over || model.is_free() || commanding(model)
}

/// What was asked of the sweep is not done: nothing waits for it any more.
pub(super) fn refused(model: &mut Model, command: &Command, why: &str) {
    let before = model.live.requested.clone();
    let requested = &mut model.live.requested;
    match command {
        Command::Probe { probe } => requested.probes.retain(|it| it != &**probe),
        Command::CancelProbe { probe } => requested.cancels.retain(|it| it != probe),
        Command::AddVariant { variant } => {
            requested.variants.retain(|it| *it != variant.sparsify);
            let known = model.run.variant_that(&variant.sparsify);
            requested.drops.retain(|(id, drop)| *drop || Some(*id) != known);
        }
        // Nobody waits for what made way.
        Command::Supersede { .. } => {}
        Command::DropVariant { variant } => requested.drops.retain(|(it, _)| it != variant),
        Command::Doctor { .. } => {
            requested.doctor = false;
            model.doctor &= model.run.doctor().is_some();
        }
        Command::Skip { dataset } | Command::Unskip { dataset } => {
            requested.skip.retain(|(it, _)| it != dataset);
        }
        Command::Focus { .. } => requested.first = None,
        Command::Pause | Command::Resume => requested.pause = None,
        Command::Stop | Command::StopAfter => requested.stop = None,
    }
    let text = format!("refused: {why}");
    // In the log of every watcher; before the eyes of the one who asked.
    if before != model.live.requested {
        model.live.word = Some(text.clone());
    }
    model.say(Level::Error, text);
    layers::forget_wish(model);
}

/// Nothing of what was asked can be done.
pub(super) fn unmet(model: &mut Model, why: String) {
    model.live.requested = Default::default();
    model.live.word = Some(why.clone());
    model.say(Level::Error, why);
    layers::forget_wish(model);
}

pub(super) fn pause(model: &mut Model) -> Vec<Effect> {
    if !commanding(model) {
        return Vec::new();
    }
    let now = model.run.paused;
    let wanted = !model.live.requested.pause.unwrap_or(now);
    model.live.requested.pause = (wanted != now).then_some(wanted);
    vec![Effect::Command(if wanted { Command::Pause } else { Command::Resume })]
}

fn focused_dataset(model: &mut Model) -> Option<DatasetId> {
    match model.live.focus {
        Some(Target::Dataset(id)) => Some(id),
        _ => {
            model.live.word = Some("choose a dataset with tab first".to_string());
            None
        }
    }
}

pub(super) fn skip(model: &mut Model) -> Vec<Effect> {
    if !commanding(model) {
        return Vec::new();
    }
    let Some(dataset) = focused_dataset(model) else { return Vec::new() };
    let now = model.run.is_skipped(dataset);
    let wanted = !model.live.requested.skip_of(dataset).unwrap_or(now);
    if wanted {
        model.live.question = Some(Question::Skip(dataset));
        return Vec::new();
    }
    model.live.requested.skip.retain(|(it, _)| *it != dataset);
    if now {
        model.live.requested.skip.push((dataset, false));
    }
    vec![Effect::Command(Command::Unskip { dataset })]
}

pub(super) fn first(model: &mut Model) -> Vec<Effect> {
    if !commanding(model) {
        return Vec::new();
    }
    let Some(dataset) = focused_dataset(model) else { return Vec::new() };
    let now = model.run.focus;
    let asked = model.live.requested.first.unwrap_or(now);
    let wanted = (asked != Some(dataset)).then_some(dataset);
    model.live.requested.first = (wanted != now).then_some(wanted);
    vec![Effect::Command(Command::Focus { dataset: wanted })]
}

pub(super) fn quit(model: &mut Model) -> Vec<Effect> {
    match (model.mode, model.live.question) {
        (mode, _) if model.from_library && (mode == Mode::Watch || !model.running()) => {
            model.live.question = None;
            model.help = None;
            library::returned(model).into_iter().map(Effect::Library).collect()
        }
        (Mode::Watch, _) => vec![Effect::Quit],
        _ if !model.running() => vec![Effect::Quit],
        // Asked to stop and asked again: leave now. The journal is complete
        // up to the last event, so nothing shown is lost.
        _ if model.live.requested.stop == Some(Leave::Now) => vec![Effect::Quit],
        _ if model.live.requested.stop == Some(Leave::Background) => {
            model.live.word = Some("going on in the background after the batch in hand".into());
            Vec::new()
        }
        (_, Some(Question::Stop(_))) => yes(model),
        _ => {
            model.help = None;
            model.live.question = Some(Question::Stop(Leave::Now));
            Vec::new()
        }
    }
}

/// Asks how to stop, also where the sweep is only watched.
pub(super) fn stop(model: &mut Model) -> Vec<Effect> {
    // Who asked for a stop after this point may want it sooner.
    if model.live.requested.stop == Some(Leave::After) || commanding(model) {
        model.live.question = Some(Question::Stop(Leave::Now));
    }
    Vec::new()
}

/// The answers there are: what is watched has a process of its own already.
#[must_use]
pub fn answers(model: &Model) -> &'static [Leave] {
    match model.mode {
        Mode::Own => &Leave::ALL,
        Mode::Watch => &[Leave::Now, Leave::After],
    }
}

pub(super) fn step_answer(model: &mut Model, by: isize) {
    let ring = answers(model);
    if let Some(Question::Stop(leave)) = &mut model.live.question {
        let at = ring.iter().position(|it| it == leave).unwrap_or(0) as isize;
        *leave = ring[(at + by).rem_euclid(ring.len() as isize) as usize];
    }
}

pub(super) fn leave(model: &mut Model, leave: Leave) -> Vec<Effect> {
    if matches!(model.live.question, Some(Question::Stop(_))) && answers(model).contains(&leave) {
        model.live.question = Some(Question::Stop(leave));
        return yes(model);
    }
    Vec::new()
}

pub(super) fn yes(model: &mut Model) -> Vec<Effect> {
    match model.live.question.take() {
        Some(Question::Stop(leave)) => {
            model.live.requested.stop = Some(leave);
            vec![match leave {
                Leave::Now => Effect::Command(Command::Stop),
                Leave::After => Effect::Command(Command::StopAfter),
                Leave::Background => Effect::Detach,
            }]
        }
        Some(Question::Skip(dataset)) => {
            let now = model.run.is_skipped(dataset);
            model.live.requested.skip.retain(|(it, _)| *it != dataset);
            if !now {
                model.live.requested.skip.push((dataset, true));
            }
            vec![Effect::Command(Command::Skip { dataset })]
        }
        Some(Question::Delete) => library::delete(model).into_iter().map(Effect::Library).collect(),
        None => Vec::new(),
    }
}
