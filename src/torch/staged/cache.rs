//! Activations between stages, kept within a budget of bytes.

use std::collections::BTreeMap;

use crate::torch::clip::Tokens;

/// Which part of which tower's input.
pub type Part = (Side, usize, usize);

/// One of the two towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Images: batch and first image of the part.
    Image,
    /// Prompts: number of the part, 0.
    Text,
}

#[derive(Debug)]
struct Entry {
    tokens: Tokens,
    bytes: usize,
    asked: u64,
}

/// What stages read, by part and boundary (0 is before the first stage). What was asked for
/// longest ago goes first: layers are mostly gone through in the order of the pass, so that each
/// boundary is made from the one before.
#[derive(Debug, Default)]
pub struct Cache {
    budget: usize,
    held: usize,
    clock: u64,
    entries: BTreeMap<(Part, usize), Entry>,
}

impl Cache {
    /// Holds at most `budget` bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// The last boundary up to `boundary` that is held for a part.
    pub fn nearest(&mut self, part: Part, boundary: usize) -> Option<(usize, Tokens)> {
        let range = (part, 0)..=(part, boundary);
        let (&(_, found), entry) = self.entries.range_mut(range).next_back()?;
        self.clock += 1;
        entry.asked = self.clock;
        Some((found, entry.tokens.share()))
    }

    /// Holds activations, if they fit after those asked for longer ago have gone. They are shared
    /// afterwards.
    pub fn put(&mut self, part: Part, boundary: usize, tokens: &mut Tokens) {
        let bytes = tokens.x.numel() * tokens.x.kind().elt_size_in_bytes();
        if bytes > self.budget {
            return;
        }
        self.drop_one(&(part, boundary));
        while self.held + bytes > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            self.drop_one(&key);
        }
        self.clock += 1;
        self.held += bytes;
        let entry = Entry { tokens: tokens.share(), bytes, asked: self.clock };
        self.entries.insert((part, boundary), entry);
    }

    fn drop_one(&mut self, key: &(Part, usize)) {
        if let Some(entry) = self.entries.remove(key) {
            self.held -= entry.bytes;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.held = 0;
    }

    /// Forgets everything and holds half as much from now on. False when nothing was held.
    pub fn shrink(&mut self) -> bool {
        let held = self.held;
        self.clear();
        self.budget = held / 2;
        held > 0
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Tokens of 4·n bytes.
    fn tokens(n: i64) -> Tokens {
        let x = Tensor::zeros([n, 1], (Kind::Float, Device::Cpu));
        Tokens { x, batch: n, length: 1, shared: false }
    }

    #[test]
    fn the_nearest_earlier_boundary_is_found_and_shared() {
        let mut cache = Cache::new(1000);
        let part = (Side::Image, 1, 0);
        let mut own = tokens(2);
        cache.put(part, 3, &mut own);
        assert!(own.shared);
        cache.put(part, 5, &mut tokens(7));
        assert!(cache.nearest(part, 2).is_none());
        assert_eq!(cache.nearest(part, 4).map(|(at, t)| (at, t.batch)), Some((3, 2)));
        assert_eq!(cache.nearest(part, 9).map(|(at, t)| (at, t.shared)), Some((5, true)));
        assert!(cache.nearest((Side::Text, 1, 0), 9).is_none());
        assert_eq!(cache.held(), 36);
    }

    #[test]
    fn the_budget_holds_and_what_was_asked_for_last_stays() {
        let mut cache = Cache::new(100);
        let part = |n| (Side::Image, n, 0);
        cache.put(part(0), 1, &mut tokens(10));
        cache.put(part(1), 1, &mut tokens(10));
        assert!(cache.nearest(part(0), 1).is_some());
        cache.put(part(2), 1, &mut tokens(10));
        assert!(cache.nearest(part(1), 1).is_none());
        assert!(cache.nearest(part(0), 1).is_some());
        let mut large = tokens(26);
        cache.put(part(3), 1, &mut large);
        assert!(!large.shared && cache.held() == 80, "what cannot fit displaces nothing");
        assert!(cache.shrink());
        assert!(!cache.shrink());
        cache.put(part(0), 1, &mut tokens(1));
        assert_eq!(cache.held(), 0);
    }
}
