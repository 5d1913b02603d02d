//! State of the layers screen that is not the run: what is highlighted, how
//! rows are sorted and filtered, what is selected, and the edit in hand.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::sweep::ids::{LayerId, ProbeId};
use crate::sweep::spec::{Edit, Method};

use super::setup::Field;
use super::sheet::Row;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Order of the forward pass.
    #[default]
    Order,
    /// Name.
    Name,
    /// Numbers in the layer.
    Parameters,
    /// Relative distance moved.
    Moved,
    /// S at the cursor.
    Sharpness,
    /// S/L at the cursor.
    Relative,
    /// Layer barrier.
    Barrier,
    /// Criteria that fired, then the robust score of sharpness.
    Straggler,
}

impl Sort {
    const RING: [Self; 8] = [
        Self::Order,
        Self::Sharpness,
        Self::Relative,
        Self::Barrier,
        Self::Straggler,
        Self::Moved,
        Self::Parameters,
        Self::Name,
    ];

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::RING.iter().position(|it| *it == self).unwrap_or(0);
        Self::RING[(at + 1) % Self::RING.len()]
    }

    /// In words, for the heading.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "forward pass",
            Self::Name => "name",
            Self::Parameters => "parameters",
            Self::Moved => "distance",
            Self::Sharpness => "S",
            Self::Relative => "S/L",
            Self::Barrier => "barrier",
            Self::Straggler => "straggler",
        }
    }

    /// Numbers come largest first; order and name as they are.
    #[must_use]
    pub fn descends(self) -> bool {
        !matches!(self, Self::Order | Self::Name)
    }
}

/// Which number stands for a layer at a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Measure {
    /// S, nats.
    #[default]
    Rise,
    /// S/L.
    Relative,
}

impl Measure {
    /// The other one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Rise => Self::Relative,
            Self::Relative => Self::Rise,
        }
    }

    /// Its symbol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rise => "S",
            Self::Relative => "S/L",
        }
    }
}

/// The layers screen's own state.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// The highlighted row (`Some(None)`: overall); `None`: the first.
    pub at: Option<Option<LayerId>>,
    /// What rows are sorted by.
    pub sort: Sort,
    /// The other way round.
    pub reversed: bool,
    /// Only layers whose name holds this.
    pub filter: String,
    /// The filter is being typed.
    pub typing: Option<Field>,
    /// One layer has the screen to itself.
    pub detail: bool,
    /// The heat map is up in place of the table.
    pub map: bool,
    /// What the heat map and the sparklines show.
    pub measure: Measure,
    /// The sharpness measurement a person chose; `None`: the latest.
    pub probe: Option<ProbeId>,
    /// The correlation screen takes all runs shown together.
    pub together: bool,
    /// Layers chosen to be edited together.
    pub picked: BTreeSet<LayerId>,
    /// How the next toggle sparsifies.
    pub method: Method,
    /// How much, in percent.
    pub percent: u8,
    /// The what-if in hand: what is toggled so far.
    pub edits: Vec<Edit>,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            at: None,
            sort: Sort::default(),
            reversed: false,
            filter: String::new(),
            typing: None,
            detail: false,
            map: false,
            measure: Measure::default(),
            probe: None,
            together: false,
            picked: BTreeSet::new(),
            method: Method::Delta,
            percent: 50,
            edits: Vec::new(),
        }
    }
}

/// Every sparsifier, in the order of its key.
pub const METHODS: [Method; 5] =
    [Method::Delta, Method::Magnitude, Method::Dare, Method::NOfM, Method::Reset];

/// As in the spec.
#[must_use]
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Magnitude => "magnitude",
        Method::Delta => "delta",
        Method::Dare => "dare",
        Method::NOfM => "n:m",
        Method::Reset => "reset",
    }
}

/// `delta 50 %`, `2:4`, `reset`.
#[must_use]
pub fn edit_name(edit: &Edit) -> String {
    match edit.method {
        Method::NOfM => format!("{}:{}", edit.n, edit.m),
        Method::Reset => "reset".to_string(),
        method => format!("{} {:.0} %", method_name(method), 100.0 * edit.amount),
    }
}

impl Layers {
    /// What a toggle of that layer would do now.
    #[must_use]
    pub fn edit(&self, layer: &str) -> Edit {
        let amount = match self.method {
            // It has none: see [`Edit::amount`].
            Method::Reset | Method::NOfM => 1.0,
            _ => f64::from(self.percent) / 100.0,
        };
        let (n, m) = (2, 4);
        Edit { layer: layer.to_string(), method: self.method, amount, n, m, embeddings: false }
    }

    /// The text rows must hold now: what is being typed, else the filter.
    #[must_use]
    pub fn wanted(&self) -> String {
        let text = self.typing.as_ref().map_or(self.filter.as_str(), Field::text);
        text.trim().to_lowercase()
    }

    /// The rows in view, in their order: overall stays first, names are
    /// filtered, what has no number comes last.
    #[must_use]
    pub fn listed<'a>(&self, rows: &'a [Row], alpha: Option<usize>) -> Vec<&'a Row> {
        let wanted = self.wanted();
        let mut listed: Vec<&Row> =
            rows.iter().filter(|row| row.name.to_lowercase().contains(&wanted)).collect();
        let descends = self.sort.descends() != self.reversed;
        let key = |row: &Row| -> Option<f64> {
            let point = alpha.and_then(|i| row.points.get(i)).and_then(|it| it.known());
            match self.sort {
                Sort::Order | Sort::Name => None,
                Sort::Parameters => Some(row.parameters as f64),
                Sort::Moved => row.moved,
                Sort::Sharpness => point.map(|it| it.rise.value),
                Sort::Relative => point.and_then(|it| it.relative()),
                Sort::Barrier => row.barrier.as_ref().map(|it| it.value),
                Sort::Straggler => {
                    let fired = row.by.len() as f64 * 1e6;
                    (fired > 0.0 || row.score.is_some()).then(|| fired + row.score.unwrap_or(0.0))
                }
            }
        };
        listed.sort_by(|a, b| {
            let overall = b.layer.is_none().cmp(&a.layer.is_none());
            let by = match self.sort {
                Sort::Order if descends => b.layer.cmp(&a.layer),
                Sort::Order => a.layer.cmp(&b.layer),
                Sort::Name if descends => b.name.cmp(&a.name),
                Sort::Name => a.name.cmp(&b.name),
                _ => match (key(a), key(b)) {
                    (Some(a), Some(b)) if descends => b.total_cmp(&a),
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                },
            };
            overall.then(by)
        });
        listed
    }

    /// Place of the highlighted row among those listed; the first where it is
    /// not in view.
    #[must_use]
    pub fn place(&self, listed: &[&Row]) -> usize {
        self.at.and_then(|at| listed.iter().position(|row| row.layer == at)).unwrap_or(0)
    }
}
