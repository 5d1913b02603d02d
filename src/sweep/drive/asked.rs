//! What people ask of a sweep while it runs.

use super::coordinator::Coordinator;
use super::queue::Control;
use crate::sweep::command::Command;
use crate::sweep::doctor;
use crate::sweep::event::Event;
use crate::sweep::ids::{DatasetId, ProbeId, VariantId};
use crate::sweep::plan::Unit;
use crate::sweep::probe::Probe;
use crate::sweep::spec::Variant;

/// What comes into force once no worker measures it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    Dataset(DatasetId),
    Variant(VariantId),
    Probe(ProbeId),
}

impl Leaving {
    pub(super) fn is_of(self, unit: &Unit) -> bool {
        match (self, unit) {
            (Self::Variant(id), unit) => unit.variant() == id,
            (Self::Dataset(id), Unit::Accuracy { cell, .. }) => cell.dataset == id,
            (Self::Probe(id), Unit::Probe { cell, .. }) => cell.probe == id,
            _ => false,
        }
    }

    pub(super) fn event(self) -> Event {
        match self {
            Self::Dataset(dataset) => Event::Skipped { dataset },
            Self::Variant(variant) => Event::VariantDropped { variant },
            Self::Probe(probe) => Event::ProbeCancelled { probe },
        }
    }
}

impl Coordinator<'_> {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Pause => {
                self.pause_asked = true;
                if self.started {
                    self.queue.set(Control::Pause);
                }
            }
            Command::Resume => {
                self.pause_asked = false;
                self.meter.rest();
                if self.state.paused {
                    self.emit(Event::Resumed);
                }
                if self.started {
                    self.queue.set(self.control());
                }
            }
            Command::Stop => {
                self.stop_asked = true;
                self.queue.set(Control::Stop);
            }
            Command::StopAfter => {
                self.stop_asked = true;
                self.queue.set(Control::Last);
            }
            // What they name may be unknown until the engines are there, and
            // `Started` begins with the spec's order.
            command if !self.started => self.early.push(command),
            // What is over has made way.
            Command::Supersede { .. } if self.over => {}
            command if self.over => {
                let why = "the sweep has just ended: go on with it (--resume) and ask again";
                self.refuse(command, why.into());
            }
            Command::Skip { dataset } => {
                let known = self.mark(Leaving::Dataset(dataset), true);
                if known && !self.state.is_skipped(dataset) {
                    self.leaving.push(Leaving::Dataset(dataset));
                }
            }
            Command::Unskip { dataset } => {
                let known = self.mark(Leaving::Dataset(dataset), false);
                if known && self.state.is_skipped(dataset) {
                    self.emit(Event::Unskipped { dataset });
                }
            }
            Command::Focus { dataset } => {
                if dataset.is_none_or(|d| d.index() < self.header.datasets.len()) {
                    self.queue.lock().focus = dataset;
                    self.emit(Event::Focused { dataset });
                }
            }
            Command::Probe { probe } => self.ask(*probe),
            Command::CancelProbe { probe } => {
                let known = self.mark(Leaving::Probe(probe), true);
                if known && self.state.probe(probe).is_some_and(|it| !it.cancelled) {
                    self.leaving.push(Leaving::Probe(probe));
                }
            }
            Command::AddVariant { variant } => self.add(variant),
            Command::Doctor { spec } => {
                let fits = self.takes_more("the doctor").and_then(|()| {
                    spec.check().map_err(|it| format!("doctor, `{}`: {}", it.field, it.message))?;
                    let obstacle = doctor::obstacle(self.header);
                    obstacle.map_or(Ok(()), |why| Err(format!("the doctor cannot help: {why}")))
                });
                match fits {
                    Ok(()) => self.emit(Event::Doctor { spec }),
                    Err(why) => self.refuse(Command::Doctor { spec }, why),
                }
            }
            Command::DropVariant { variant } => self.drop_variant(variant),
            Command::Supersede { sparsify } => {
                let open = |it: &VariantId| !self.state.is_whole(*it);
                if let Some(variant) = self.state.variant_that(&sparsify).filter(open) {
                    self.drop_variant(variant);
                }
            }
        }
    }

    fn drop_variant(&mut self, variant: VariantId) {
        let known = variant != VariantId::DENSE && self.mark(Leaving::Variant(variant), true);
        if known && !self.state.is_dropped(variant) {
            self.leaving.push(Leaving::Variant(variant));
        }
    }

    /// Marks a thing as left out, or takes it back; false when there is none
    /// such.
    fn mark(&mut self, what: Leaving, leave: bool) -> bool {
        self.leaving.retain(|&it| it != what);
        self.queue.change(|state| {
            let slot = match what {
                Leaving::Dataset(id) => state.skipped.get_mut(id.index()),
                Leaving::Variant(id) => state.dropped.get_mut(id.index()),
                Leaving::Probe(id) => state.cancelled.get_mut(id.index()),
            };
            let known = slot.map(|slot| *slot = leave).is_some();
            state.count();
            known
        })
    }

    /// Whether something new may join, else why not.
    fn takes_more(&self, what: &str) -> Result<(), String> {
        match self.shard.parts() {
            None => Ok(()),
            // The parts of a run would not agree on its number.
            Some(_) => Err(format!("{what} cannot join one part of a run: put it in the spec")),
        }
    }

    fn refuse(&mut self, command: Command, why: String) {
        self.emit(Event::Refused { command: Box::new(command), why });
    }

    fn ask(&mut self, asked: Probe) {
        let probe = asked.clone().named(self.header);
        let known = self.state.probes().iter().position(|it| it.probe == probe).map(ProbeId);
        if let Some(id) = known {
            self.mark(Leaving::Probe(id), false);
            if self.state.probe(id).is_some_and(|it| it.cancelled) {
                self.emit(Event::Probing { probe });
            }
            return;
        }
        let fits = self.takes_more("a probe").and_then(|()| {
            probe.check(self.header).map_err(|text| format!("cannot probe: {text}"))
        });
        match fits {
            Ok(()) => {
                self.emit(Event::Probing { probe });
                self.plan();
            }
            Err(why) => self.refuse(Command::Probe { probe: Box::new(asked) }, why),
        }
    }

    fn add(&mut self, mut variant: Variant) {
        if let Some(id) = self.state.variant_that(&variant.sparsify) {
            if id != VariantId::DENSE {
                self.mark(Leaving::Variant(id), false);
                // Told even when it was never dropped: it is in force.
                self.emit(Event::VariantTaken { variant: id });
                self.plan();
            }
            return;
        }
        let names = self.header.layers.iter().map(|layer| layer.name.as_str());
        let fits = self.takes_more("a variant").and_then(|()| {
            let sound = variant.check_numbers().and_then(|()| variant.check_layers(names));
            let name = &variant.name;
            sound.map_err(|it| {
                format!("cannot add the variant `{name}`: `{}`: {}", it.field, it.message)
            })
        });
        if let Err(why) = fits {
            return self.refuse(Command::AddVariant { variant }, why);
        }
        variant.name = self.free_name(&variant.name);
        self.emit(Event::VariantAdded { variant });
        self.plan();
    }

    /// The name, or the next like it that no variant has.
    pub(super) fn free_name(&self, name: &str) -> String {
        let name = if name.trim().is_empty() { "variant" } else { name.trim() };
        let taken = |name: &str| self.state.variants().iter().any(|it| it.name == name);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let mut names = std::iter::once(name.to_string()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}
