//! Keys of the boxes over a run's screens: the doctor's panel, the form that
//! writes a checkpoint, and the line that opens another run.

use std::path::{Path, PathBuf};

use crate::app::Key;
use crate::app::contest::{Guest, RivalId};
use crate::app::keymap::{DoctorAct, OpenAct, SaveAct};
use crate::app::message::Effect;
use crate::app::model::{Lag, Model};
use crate::app::save::{Line, Refused, Save, Stage};
use crate::app::setup::Field;
use crate::app::tab::Tab;
use crate::plural;
use crate::sweep::command::Command;
use crate::sweep::doctor::obstacle;
use crate::sweep::event::Level;
use crate::sweep::ids::VariantId;
use crate::sweep::spec::DoctorSpec;

use super::asking;

// ------------------------------------------------------------------ doctor

/// Starts the doctor where there is none, and shows how far it is.
pub(super) fn doctor(model: &mut Model) -> Vec<Effect> {
    if model.run.doctor().is_some() || model.live.requested.doctor {
        open_doctor(model);
        return Vec::new();
    }
    if !asking(model) {
        return Vec::new();
    }
    if let Some(why) = model.run.header().and_then(obstacle) {
        let text = format!("the doctor cannot help: {why}");
        model.live.word = Some(text.clone());
        // The footer has one line, the log has all of it.
        model.say(Level::Warning, text);
        return Vec::new();
    }
    model.live.requested.doctor = true;
    open_doctor(model);
    vec![Effect::Command(Command::Doctor { spec: DoctorSpec::default() })]
}

fn open_doctor(model: &mut Model) {
    model.doctor = true;
    model.behind(Lag::Asked);
}

pub(super) fn on_doctor(model: &mut Model, act: DoctorAct) {
    model.doctor = false;
    if act == DoctorAct::Show {
        let best = model.findings.as_ref().and_then(|it| it.best.as_ref());
        if let Some(best) = best {
            model.rival = best.variant.into();
            model.tab = Tab::Compare;
            model.behind(Lag::Asked);
        }
    }
}

// -------------------------------------------------------------- checkpoint

/// Opens the form on the variant and the point under the cursor.
pub(super) fn save(model: &mut Model) {
    let (Some(header), Some(at)) = (model.run.header(), model.cursor()) else {
        model.live.word = Some("nothing is known of the checkpoints yet".into());
        return;
    };
    let id = match (model.tab, model.rival) {
        (Tab::Compare, RivalId { guest: None, variant }) => variant,
        (Tab::Compare, _) => {
            model.live.word = Some("of another run: open it by itself to write of it".into());
            return;
        }
        _ => model.live.variant,
    };
    let variant = model.run.variants().get(id.index()).cloned();
    let alpha = header.alphas.get(at).copied();
    model.save = alpha.zip(variant).map(|(a, variant)| Save::new(&header.finetuned, a, variant));
}

pub(super) fn on_save(model: &mut Model, act: SaveAct) -> Vec<Effect> {
    let Some(save) = model.save.as_mut() else { return Vec::new() };
    match act {
        SaveAct::Up => save.step(-1),
        SaveAct::Down => save.step(1),
        SaveAct::Close => model.save = None,
        SaveAct::Send => {
            let order = save.order();
            return order.map(|it| Effect::Merge(Box::new(it))).into_iter().collect();
        }
    }
    Vec::new()
}

/// A key that the table has not: typed, or it changes the line.
pub(super) fn type_save(save: &mut Save, key: Key) {
    match (save.at, key) {
        (Line::File, key) if save.stage != Stage::Writing && save.file.key(key) => save.again(),
        (Line::File, _) => {}
        (_, Key::Left) => save.change(-1),
        (_, Key::Right | Key::Char(' ')) => save.change(1),
        _ => {}
    }
}

pub(super) fn merged(model: &mut Model, result: Result<String, Refused>) {
    let waits = model.save.as_mut().filter(|it| it.stage == Stage::Writing);
    match result {
        Ok(text) => {
            model.live.word = Some(in_short(&text));
            if waits.is_some() {
                model.save = None;
            }
            model.say(Level::Info, text);
        }
        Err(refused) => {
            let (stage, text) = match refused {
                Refused::Exists => (Stage::Exists, "not written: the file exists".to_string()),
                Refused::Because(why) => (Stage::Failed(why.clone()), why),
            };
            match waits {
                Some(save) => save.stage = stage,
                None => model.live.word = Some(text.clone()),
            }
            model.say(Level::Error, text);
        }
    }
}

/// What was written and how many notes there are: they may matter, and are in the log.
fn in_short(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let short = first.split_once(": ").map_or(first, |(short, _)| short);
    match text.lines().filter(|line| line.trim_start().starts_with("note:")).count() {
        0 => short.to_string(),
        1 => format!("{short} (a note: l)"),
        notes => format!("{short} ({notes} notes: l)"),
    }
}

// -------------------------------------------------------------- other runs

/// Asks for the folder of another run, to be shown beside this one.
pub(super) fn open(model: &mut Model) {
    model.opening = Some(Field::default());
}

pub(super) fn on_open(model: &mut Model, act: OpenAct) -> Vec<Effect> {
    let Some(field) = model.opening.take() else { return Vec::new() };
    let text = field.text().trim();
    if act == OpenAct::Close || text.is_empty() {
        return Vec::new();
    }
    let home = model.setup.home.clone();
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    compare_with(model, &path)
}

/// Shows the run in a folder beside the present one, on the compare screen or
/// the correlation screen. It is read once, and again when it is opened again.
pub fn compare_with(model: &mut Model, dir: &Path) -> Vec<Effect> {
    model.live.word = Some(format!("reads {}", dir.display()));
    vec![Effect::Guest(dir.to_path_buf())]
}

pub(super) fn guest(model: &mut Model, result: Result<Box<Guest>, String>) {
    match result {
        Ok(guest) => {
            let index = match model.guests.iter().position(|it| it.dir == guest.dir) {
                Some(index) => {
                    model.guests[index] = *guest;
                    index
                }
                None => {
                    model.guests.push(*guest);
                    model.guests.len() - 1
                }
            };
            let it = &model.guests[index];
            let paired = match it.same.len() {
                0 => "no dataset in common image by image".to_string(),
                n => format!("{} of the very same images", plural::counted(n, "dataset")),
            };
            let text = format!("beside this run: {} ({paired})", it.name);
            model.live.word = Some(text.clone());
            model.say(Level::Info, text);
            model.rival = RivalId { guest: Some(index), variant: VariantId::DENSE };
            // Asked for on the correlation screen, it is for that screen.
            if model.tab == Tab::Correlation {
                model.layers.together = true;
            } else {
                model.tab = Tab::Compare;
            }
            model.behind(Lag::Asked);
        }
        Err(why) => {
            model.live.word = Some(why.clone());
            model.say(Level::Error, why);
        }
    }
}

/// Takes another run away from the screen; nothing happens to the run.
pub(super) fn part(model: &mut Model, index: usize) {
    if index < model.guests.len() {
        let guest = model.guests.remove(index);
        model.rival = RivalId::DENSE;
        model.live.word = Some(format!("{} is no longer beside this run", guest.name));
        model.behind(Lag::Asked);
    }
}
