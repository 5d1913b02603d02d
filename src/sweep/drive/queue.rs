//! The queue that workers share: what is to be measured, what each has in hand,
//! and what people want left out.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Told;
use crate::sweep::event::{Event, Header};
use crate::sweep::ids::{AlphaId, DatasetId, VariantId, WorkerId};
use crate::sweep::plan::{Group, Unit};
use crate::sweep::probe::Probe;
use crate::sweep::spec::Variant;
use crate::sweep::state::SweepState;

/// What all workers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Engines are being loaded.
    Hold,
    Run,
    Pause,
    /// What is in hand is measured to its end, and nothing after it.
    Last,
    Stop,
}

pub(super) struct Queue {
    state: Mutex<QueueState>,
    pub(super) changed: Condvar,
}

pub(super) struct QueueState {
    pub(super) control: Control,
    units: VecDeque<Unit>,
    /// Cost of the units that are wanted: asked after each batch, so not counted
    /// each time.
    queued: u64,
    /// By dataset, variant, probe: left out on request.
    pub(super) skipped: Vec<bool>,
    pub(super) dropped: Vec<bool>,
    pub(super) cancelled: Vec<bool>,
    pub(super) focus: Option<DatasetId>,
    /// No worker looks at the activation yet, and one should.
    pub(super) unconfirmed: bool,
    variants: Vec<Arc<Variant>>,
    probes: Vec<Arc<Probe>>,
    /// What each worker measures.
    pub(super) current: Vec<Option<Unit>>,
    /// The group whose point each worker's engine holds.
    holding: Vec<Option<Group>>,
    pub(super) waiting: Vec<bool>,
    /// Ends of units that were told, and not heard yet.
    pub(super) unheard: usize,
    /// Units that came to an end in this session, and are no part of what is known:
    /// not measured again in it.
    ended: HashSet<Unit>,
    /// Units that a worker was lost in.
    fatal: Vec<Unit>,
    /// Where zeros were counted, or cannot be.
    pub(super) counted: HashSet<(VariantId, AlphaId)>,
}

/// A unit with what it names.
pub(super) struct Job {
    pub(super) unit: Unit,
    pub(super) variant: Arc<Variant>,
    pub(super) probe: Option<Arc<Probe>>,
}

/// How a unit ended.
pub(super) enum End {
    Done(Box<Event>),
    Abandoned,
    Failed(String),
    Lost(String),
}

impl QueueState {
    /// True when people want the unit left out.
    pub(super) fn is_left_out(&self, unit: &Unit) -> bool {
        let marked = |marks: &[bool], index: usize| marks.get(index).copied().unwrap_or(true);
        let kind = match unit {
            Unit::Accuracy { cell, .. } => marked(&self.skipped, cell.dataset.index()),
            Unit::Probe { cell, .. } => marked(&self.cancelled, cell.probe.index()),
        };
        kind || marked(&self.dropped, unit.variant().index())
    }

    /// True when another worker's engine holds what the unit needs.
    fn is_held(&self, worker: WorkerId, unit: &Unit) -> bool {
        let group = unit.group();
        let others = self.holding.iter().enumerate().filter(|(it, _)| *it != worker.index());
        group.is_some() && others.map(|(_, held)| held).any(|held| *held == group)
    }

    /// Takes the next unit: the first that no other worker had better measure,
    /// or the focused dataset's in its round.
    pub(super) fn take(&mut self, worker: WorkerId) -> Option<Job> {
        let wanted = |unit: &Unit| !self.is_left_out(unit);
        let alone = |unit: &Unit| wanted(unit) && !self.is_held(worker, unit);
        // Rather help another worker than stand idle.
        let first = self.units.iter().position(alone);
        let first = first.or_else(|| self.units.iter().position(wanted))?;
        let focused = self.focus.and_then(|focus| {
            let Unit::Accuracy { round: now, .. } = &self.units[first] else { return None };
            self.units.iter().position(|unit| {
                matches!(unit, Unit::Accuracy { cell, round, .. }
                    if cell.dataset == focus && round == now && wanted(unit))
            })
        });
        let unit = self.units.remove(focused.unwrap_or(first))?;
        self.queued -= unit.cost();
        let variant = self.variants.get(unit.variant().index()).cloned()?;
        let probe = match unit.group() {
            None => None,
            Some(group) => Some(self.probes.get(group.probe.index()).cloned()?),
        };
        self.current[worker.index()] = Some(unit.clone());
        self.holding[worker.index()] = unit.group();
        Some(Job { unit, variant, probe })
    }

    /// Notes how a worker's unit ended; what is to be told must then be told.
    pub(super) fn end(&mut self, worker: WorkerId, unit: Unit, end: End) -> Told {
        self.current[worker.index()] = None;
        self.unheard += 1;
        let message = match end {
            End::Done(event) => {
                self.ended.insert(unit.clone());
                return Told::Done(worker, unit, event);
            }
            End::Failed(message) => message,
            // A unit that ends one worker after the other is not tried on all.
            End::Lost(message) if self.fatal.contains(&unit) => message,
            End::Abandoned | End::Lost(_) => {
                if matches!(end, End::Lost(_)) {
                    self.fatal.push(unit.clone());
                    self.holding[worker.index()] = None;
                }
                self.units.push_front(unit);
                self.count();
                return Told::Abandoned(worker);
            }
        };
        let of_cell = |other: &Unit| match (other, &unit) {
            (Unit::Accuracy { cell, .. }, Unit::Accuracy { cell: failed, .. }) => cell == failed,
            (other, unit) => other == unit,
        };
        let (failed, left): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.units).into_iter().partition(of_cell);
        self.units = left;
        self.count();
        self.ended.extend(failed);
        self.ended.insert(unit.clone());
        Told::Failed(worker, unit, message)
    }

    /// The unit's result is known: it is not owed any more.
    pub(super) fn forget(&mut self, unit: &Unit) {
        self.ended.remove(unit);
    }

    /// What is owed after something joined the sweep.
    pub(super) fn plan(&mut self, units: Vec<Unit>, state: &SweepState) {
        self.know(state);
        let in_hand: Vec<&Unit> = self.current.iter().flatten().collect();
        let news = |unit: &Unit| !self.ended.contains(unit) && !in_hand.contains(&unit);
        self.units = units.into_iter().filter(news).collect();
        self.count();
    }

    fn know(&mut self, state: &SweepState) {
        for variant in &state.variants()[self.variants.len()..] {
            self.dropped.push(state.is_dropped(VariantId(self.variants.len())));
            self.variants.push(Arc::new(variant.clone()));
        }
        for probe in &state.probes()[self.probes.len()..] {
            self.cancelled.push(probe.cancelled);
            self.probes.push(Arc::new(probe.probe.clone()));
        }
    }

    /// Forward passes that will still be made, in images.
    pub(super) fn work_left(&self) -> u64 {
        self.queued + self.current.iter().flatten().map(Unit::cost).sum::<u64>()
    }

    /// After something is wanted that was not, or the other way round.
    pub(super) fn count(&mut self) {
        let queued = self.units.iter().filter(|unit| !self.is_left_out(unit));
        self.queued = queued.map(Unit::cost).sum();
    }

    /// True when a worker measures such a unit, or told of one and was not
    /// heard yet.
    pub(super) fn is_busy(&self, with: impl Fn(&Unit) -> bool) -> bool {
        self.unheard > 0 || self.current.iter().flatten().any(with)
    }

    /// True when no worker measures, and all that was told was heard.
    pub(super) fn is_still(&self) -> bool {
        self.unheard == 0 && self.waiting.iter().all(|&waiting| waiting)
    }
}

impl Queue {
    pub(super) fn new(
        units: Vec<Unit>,
        header: &Header,
        state: &SweepState,
        workers: usize,
    ) -> Self {
        let datasets = (0..header.datasets.len()).map(DatasetId);
        let mut queue = QueueState {
            control: Control::Hold,
            units: units.into(),
            queued: 0,
            skipped: datasets.map(|dataset| state.is_skipped(dataset)).collect(),
            dropped: Vec::new(),
            cancelled: Vec::new(),
            focus: None,
            unconfirmed: false,
            variants: Vec::new(),
            probes: Vec::new(),
            current: vec![None; workers],
            holding: vec![None; workers],
            waiting: vec![false; workers],
            unheard: 0,
            ended: HashSet::new(),
            fatal: Vec::new(),
            counted: state.counted().collect(),
        };
        queue.know(state);
        queue.count();
        Self { state: Mutex::new(queue), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, control: Control) {
        self.change(|state| {
            // Nothing comes after a stop, and after the last but a stop.
            let last = state.control == Control::Last && control != Control::Stop;
            if state.control != Control::Stop && !last {
                state.control = control;
            }
        });
    }

    /// Changes the state and wakes every worker.
    pub(super) fn change<T>(&self, how: impl FnOnce(&mut QueueState) -> T) -> T {
        let answer = how(&mut self.lock());
        self.changed.notify_all();
        answer
    }
}
