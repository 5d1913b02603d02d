//! Choices that a spec leaves open, made once and written down.

use super::{BarrierSpec, CurvatureSpec, Role, SharpnessSpec, Spec};
use crate::plural::either;
use crate::sweep::event::Header;
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::plan::alpha_order;
use crate::sweep::probe::{Direction, Probe};

impl Spec {
    /// Names the datasets of every probe, and takes no more batches than there
    /// are images. `images` of each dataset, in order. Gives what a person
    /// should hear.
    pub fn settle(&mut self, images: &[usize]) -> Vec<String> {
        let first = self.datasets.iter().position(|it| it.role == Role::Id).unwrap_or(0);
        let names: Vec<&String> = self.datasets.iter().map(|it| &it.name).collect();
        let Some(&default) = names.get(first) else { return Vec::new() };
        let ids: Vec<String> = self
            .datasets
            .iter()
            .filter(|it| it.role == Role::Id)
            .map(|it| it.name.clone())
            .collect();
        let of = |name: &String| names.iter().position(|it| *it == name).unwrap_or(first);
        let mut heard = Vec::new();
        if let Some(spec) = &mut self.sharpness {
            let name = spec.dataset.get_or_insert_with(|| default.clone());
            let there = images.get(of(name)).copied().unwrap_or(0);
            let fewer = fit(&mut spec.batch, &mut spec.batches, there);
            heard.extend(fewer.map(|text| format!("sharpness: {text}")));
        }
        if let Some(spec) = &mut self.barriers {
            let fallback = if ids.is_empty() { vec![default.clone()] } else { ids };
            spec.datasets.get_or_insert(fallback);
        }
        if let Some(spec) = &mut self.curvature {
            let name = spec.dataset.get_or_insert_with(|| default.clone());
            let there = images.get(of(name)).copied().unwrap_or(0);
            let fewer = fit(&mut spec.batch, &mut spec.batches, there);
            heard.extend(fewer.map(|text| format!("curvature: {text}")));
        }
        let grid = self.grid();
        if let Some(spec) = &mut self.curvature {
            spec.alphas.get_or_insert_with(|| few(&grid));
        }
        heard
    }

    /// What it measures beside accuracy, in order. [`Self::settle`] comes
    /// first; a probe whose dataset is unknown is left out.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        let id =
            |name: &String| self.datasets.iter().position(|it| it.name == *name).map(DatasetId);
        let mut probes = Vec::new();
        if let Some(spec) = &self.sharpness
            && let Some(on) = spec.dataset.as_ref().and_then(id)
        {
            probes.push(Probe::Sharpness { spec: spec.clone(), on });
        }
        if let Some(spec) = &self.barriers {
            let on: Vec<_> = spec.datasets.iter().flatten().filter_map(id).collect();
            let directions: &[Direction] = match spec.control {
                true => &[Direction::Path, Direction::Random],
                false => &[Direction::Path],
            };
            // The direction says it: a probe asked for in other words is the
            // same probe.
            let spec = BarrierSpec { control: false, ..spec.clone() };
            let probe = |&direction| Probe::Path { spec: spec.clone(), on: on.clone(), direction };
            probes.extend(directions.iter().map(probe));
        }
        if let Some(spec) = &self.curvature
            && let Some(on) = spec.dataset.as_ref().and_then(id)
        {
            probes.push(Probe::Curvature { spec: spec.clone(), on });
        }
        probes
    }
}

/// Both ends and the middle of a grid.
fn few(grid: &[Alpha]) -> Vec<Alpha> {
    let mut few: Vec<Alpha> =
        alpha_order(grid.len()).into_iter().take(3).map(|id| grid[id.index()]).collect();
    few.sort_by(|a, b| a.get().total_cmp(&b.get()));
    few
}

/// Takes no more batches than there are whole ones; says so.
fn fit(batch: &mut usize, batches: &mut usize, images: usize) -> Option<String> {
    if images == 0 || batch.saturating_mul(*batches) <= images {
        return None;
    }
    let asked = (*batches, *batch);
    *batch = (*batch).min(images);
    *batches = (images / *batch).clamp(1, *batches);
    Some(format!(
        "{} × {} images were asked for, there {} {images}: {batches} × {batch} are used",
        asked.0,
        asked.1,
        either(&images, "is", "are")
    ))
}

impl Probe {
    /// The same question in the words that a run's own spec would have: asked
    /// twice, it is then one probe.
    #[must_use]
    pub fn named(self, header: &Header) -> Self {
        let name = |id: DatasetId| header.datasets.get(id.index()).map(|it| it.name.clone());
        let images = |id: DatasetId| header.datasets.get(id.index()).map_or(0, |it| it.images);
        match self {
            Self::Sharpness { spec, on } => {
                let mut spec = SharpnessSpec { dataset: name(on), ..spec };
                let _ = fit(&mut spec.batch, &mut spec.batches, images(on));
                Self::Sharpness { spec, on }
            }
            Self::Path { spec, on, direction } => {
                let datasets = Some(on.iter().copied().filter_map(name).collect());
                Self::Path { spec: BarrierSpec { datasets, control: false, ..spec }, on, direction }
            }
            Self::Curvature { mut spec, on } => {
                let _ = fit(&mut spec.batch, &mut spec.batches, images(on));
                let alphas = spec.alphas.unwrap_or_else(|| few(&header.alphas));
                Self::Curvature {
                    spec: CurvatureSpec { dataset: name(on), alphas: Some(alphas), ..spec },
                    on,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_settled_once() {
        let text = "[checkpoints]\nzeroshot = 'a'\nfinetuned = 'b'\n\
                    [[datasets]]\nname = 'o'\nrole = 'ood'\npath = 'o'\n\
                    [[datasets]]\nname = 'i'\nrole = 'id'\npath = 'i'\n\
                    [sharpness]\n[barriers]\ncontrol = true\n[curvature]\nbatch = 400\n";
        let mut spec: Spec = toml::from_str(text).unwrap();
        let heard = spec.settle(&[1000, 300]);
        assert_eq!(heard.len(), 2, "{heard:?}");
        let sharpness = spec.sharpness.clone().unwrap();
        assert_eq!((sharpness.batch, sharpness.batches), (128, 2));
        assert_eq!(sharpness.dataset.as_deref(), Some("i"));
        let curvature = spec.curvature.clone().unwrap();
        assert_eq!((curvature.batch, curvature.batches), (300, 1));
        let points: Vec<f64> = curvature.alphas.unwrap().into_iter().map(Alpha::get).collect();
        assert_eq!(points, [0.0, 0.5, 1.0]);
        assert_eq!(spec.probes().len(), 4, "the control is a probe of its own");
        let before = spec.clone();
        assert_eq!(spec.settle(&[1000, 300]), Vec::<String>::new());
        assert_eq!(spec, before);
    }
}
