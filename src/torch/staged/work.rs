//! What was computed, for benchmarks.

use std::ops::Range;

use crate::torch::clip::Pass;

/// How many images (or prompts) went through each stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Through each stage of the image tower.
    pub image: Vec<u64>,
    /// Of these, with a gradient taken afterwards.
    pub image_gradient: Vec<u64>,
    /// Through each stage of the text tower.
    pub text: Vec<u64>,
    /// Of these, with a gradient taken afterwards.
    pub text_gradient: Vec<u64>,
}

impl Work {
    /// Nothing yet, over so many stages.
    #[must_use]
    pub fn new(image: usize, text: usize) -> Self {
        Self {
            image: vec![0; image],
            image_gradient: vec![0; image],
            text: vec![0; text],
            text_gradient: vec![0; text],
        }
    }

    pub(super) fn image(&mut self, stages: Range<usize>, images: usize, pass: Pass) {
        add(&mut self.image, &mut self.image_gradient, stages, images, pass);
    }

    pub(super) fn text(&mut self, stages: Range<usize>, prompts: usize, pass: Pass) {
        add(&mut self.text, &mut self.text_gradient, stages, prompts, pass);
    }
}

fn add(all: &mut [u64], gradient: &mut [u64], stages: Range<usize>, n: usize, pass: Pass) {
    for stage in stages {
        if let (Some(all), Some(gradient)) = (all.get_mut(stage), gradient.get_mut(stage)) {
            *all += n as u64;
            *gradient += if pass == Pass::Measure { 0 } else { n as u64 };
        }
    }
}
