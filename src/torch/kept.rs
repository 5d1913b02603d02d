//! Activations of the dense model that are kept for the images that come first, so that a variant
//! is run only from the first layer that it edits: what-if in a fraction of a pass.
//!
//! ```text
//!  dense    pixels ─ stem ─┬─ block.0 ─┬─ block.1 ─┬─ … ─┬─ block.L−1 ─┬─ head ─┬─►
//!                          ▼           ▼           ▼     ▼             ▼        ▼
//!                        kept        kept        kept  kept          kept     kept
//!  variant of block.1                  └─ block.1 ─── … ─── block.L−1 ─── head ───►
//! ```
//!
//! What is kept first stays: a sweep's first rounds come first, and a what-if begins with them.
//! Values are those of the whole pass, bit for bit: the same images go through the same kernels in
//! the same pieces.

use std::collections::BTreeMap;

use super::clip::Tokens;
use crate::checkpoint::ImageTower;
use crate::checkpoint::resnet::{self, STAGES};
use crate::sweep::ids::{Alpha, DatasetId};

/// Which images at which point: a dataset, the first of its positions, how many, and α.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Whose images.
    pub dataset: DatasetId,
    /// The first position in its order.
    pub start: usize,
    /// Images.
    pub images: usize,
    alpha: u64,
}

impl Part {
    /// Some images at θ(α).
    #[must_use]
    pub fn new(dataset: DatasetId, start: usize, images: usize, alpha: Alpha) -> Self {
        Self { dataset, start, images, alpha: alpha.get().to_bits() }
    }
}

/// Activations by part and boundary. Boundary b is what stage b of the image tower reads; after
/// the last stage it is the normalised features.
#[derive(Debug, Default)]
pub struct Kept {
    budget: usize,
    held: usize,
    plan: Wanted,
    entries: BTreeMap<(Part, usize), Tokens>,
}

/// Which boundaries are kept.
#[derive(Debug)]
enum Wanted {
    /// Of a ViT of so many blocks, in front of every `stride`th, counted from the last.
    Every { blocks: usize, stride: usize },
    /// Of a ResNet, from this one on: later ones are smaller, and nearer to most edits.
    From(usize),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::From(usize::MAX)
    }
}

/// Images of each dataset that should fit at every α, if need be with fewer boundaries.
const IMAGES: usize = 64;

impl Kept {
    /// Keeps nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Keeps up to `budget` bytes of a tower whose numbers take `element` bytes, in a sweep of so
    /// many datasets and points.
    #[must_use]
    pub fn new(
        tower: &ImageTower,
        element: usize,
        budget: usize,
        datasets: usize,
        points: usize,
    ) -> Self {
        let images = element * IMAGES * datasets.max(1) * points.max(1);
        let plan = match tower.resnet {
            Some(blocks) => Wanted::From(first(tower, blocks, budget / images.max(1))),
            None => {
                let one = (tower.grid * tower.grid + 1) * tower.width * images;
                let fit = (budget / one.max(1)).max(1);
                let stride = tower.layers.div_ceil(fit).max(1);
                Wanted::Every { blocks: tower.layers, stride }
            }
        };
        Self { budget, held: 0, plan, entries: BTreeMap::new() }
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether a boundary is one to keep. Of a ViT the last block's inner ones (one token an image)
    /// and features always are, of a ResNet the pool's input and features.
    fn wants(&self, boundary: usize) -> bool {
        match self.plan {
            Wanted::From(first) => boundary >= first,
            Wanted::Every { blocks, stride } => {
                let last = (2 * blocks).saturating_sub(1);
                boundary > last
                    || boundary % 2 == 1 && ((last - boundary) / 2).is_multiple_of(stride)
            }
        }
    }

    /// The last boundary up to `limit` that is kept of a part.
    pub fn nearest(&mut self, part: Part, limit: usize) -> Option<(usize, Tokens)> {
        let (&(_, found), tokens) =
            self.entries.range_mut((part, 0)..=(part, limit)).next_back()?;
        Some((found, tokens.share()))
    }

    /// Whether [`Self::nearest`] finds something.
    #[must_use]
    pub fn has(&self, part: Part, limit: usize) -> bool {
        self.entries.range((part, 0)..=(part, limit)).next_back().is_some()
    }

    /// Keeps what a part gives at a boundary, where there is room; it is shared then.
    pub fn put(&mut self, part: Part, boundary: usize, tokens: &mut Tokens) {
        let bytes = tokens.x.numel() * tokens.x.kind().elt_size_in_bytes();
        let known = self.entries.contains_key(&(part, boundary));
        if self.wants(boundary) && !known && self.held + bytes <= self.budget {
            self.held += bytes;
            self.entries.insert((part, boundary), tokens.share());
        }
    }

    /// Forgets everything and keeps nothing more: the memory is needed elsewhere. False when
    /// nothing was held.
    pub fn give_up(&mut self) -> bool {
        let held = self.held > 0;
        self.clear();
        self.budget = 0;
        held
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.held = 0;
    }
}

/// The first boundary of a ResNet from which on all fit in `numbers` an image.
fn first(tower: &ImageTower, blocks: [usize; STAGES], mut numbers: usize) -> usize {
    let stages = (1..).zip(blocks).flat_map(|(stage, n)| std::iter::repeat_n(stage, n));
    let mut sizes = vec![resnet::given(tower.size, tower.width, 0)];
    sizes.extend(stages.map(|stage| resnet::given(tower.size, tower.width, stage)));
    // Boundary b is what stage b reads, so what stage b − 1 gives.
    let mut first = sizes.len();
    for size in sizes.into_iter().rev().skip(1) {
        match numbers.checked_sub(size) {
            Some(left) => (numbers, first) = (left, first - 1),
            None => break,
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    const TOWER: ImageTower = ImageTower {
        size: 16,
        patch: 8,
        grid: 2,
        width: 4,
        layers: 6,
        heads: 1,
        mlp_width: 8,
        resnet: None,
    };

    fn tokens() -> Tokens {
        let x = Tensor::zeros([5, 4], (Kind::Float, Device::Cpu));
        Tokens { x, batch: 1, length: 5, shared: false }
    }

    fn part(start: usize) -> Part {
        Part::new(DatasetId(0), start, 1, Alpha::ZERO_SHOT)
    }

    #[test]
    fn what_comes_first_stays_and_the_budget_holds() {
        let mut kept = Kept::new(&TOWER, 4, 200, 1, 1);
        for start in 0..4 {
            kept.put(part(start), 11, &mut tokens());
        }
        assert_eq!(kept.held(), 160);
        assert!(kept.has(part(1), 11) && !kept.has(part(2), 11) && !kept.has(part(1), 10));
        assert!(kept.give_up());
        let mut own = tokens();
        kept.put(part(0), 11, &mut own);
        assert!(!own.shared && kept.held() == 0 && !kept.give_up());
    }

    #[test]
    fn scarce_memory_spaces_the_boundaries_and_keeps_the_last_blocks() {
        let wanted = |budget| -> Vec<usize> {
            let kept = Kept::new(&TOWER, 4, budget, 1, 1);
            (0..15).filter(|&boundary| kept.wants(boundary)).collect()
        };
        let one = 80 * IMAGES;
        assert_eq!(wanted(6 * one), [1, 3, 5, 7, 9, 11, 12, 13, 14]);
        assert_eq!(wanted(3 * one), [3, 7, 11, 12, 13, 14]);
        assert_eq!(wanted(0), [11, 12, 13, 14]);
    }

    #[test]
    fn of_a_resnet_the_late_boundaries_are_kept() {
        let tower = ImageTower { size: 64, patch: 32, resnet: Some([1, 1, 1, 2]), ..TOWER };
        let first = |numbers: usize| match Kept::new(&tower, 4, 4 * IMAGES * numbers, 1, 1).plan {
            Wanted::From(first) => first,
            Wanted::Every { .. } => panic!("a ResNet"),
        };
        // An image's numbers in front of layer1.0 … layer4.1 and the pool: 16²·4, 16²·16, 8²·32,
        // 4²·64, 2²·128, 2²·128.
        assert_eq!(first(0), 6, "the pool's input always");
        assert_eq!(first(512), 5);
        assert_eq!(first(512 + 1024), 4);
        assert_eq!(first(512 + 1024 + 2048 + 4096 + 1024), 1);
        assert_eq!(first(1 << 30), 1);
    }

    #[test]
    fn the_nearest_boundary_is_shared_and_parts_do_not_mix() {
        let mut kept = Kept::new(&TOWER, 4, 1 << 20, 1, 1);
        kept.put(part(0), 3, &mut tokens());
        kept.put(part(0), 7, &mut tokens());
        kept.put(part(1), 1, &mut tokens());
        let found =
            |kept: &mut Kept, limit| kept.nearest(part(0), limit).map(|(at, t)| (at, t.shared));
        assert_eq!(found(&mut kept, 2), None);
        assert_eq!(found(&mut kept, 6), Some((3, true)));
        assert_eq!(found(&mut kept, 14), Some((7, true)));
        let other = Part::new(DatasetId(0), 0, 1, Alpha::FINE_TUNED);
        assert!(!kept.has(other, 14));
    }
}
