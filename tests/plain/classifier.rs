//! The small classifiers of `tests/fixtures/sharpness`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use alphascope::checkpoint::{Architecture, Overrides, Pair};
use alphascope::torch::staged::{ClassWeights, Runner};
use alphascope::torch::weights::Named;
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::plain;

pub const NAMES: [&str; 3] = ["path", "one-patch", "gelu"];

pub struct Classifier {
    pub architecture: Architecture,
    /// Float32.
    pub weights: BTreeMap<String, Tensor>,
    pub bytes: Tensor,
    pub classes: Tensor,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let kind = match view.dtype() {
            safetensors::Dtype::F32 => Kind::Float,
            safetensors::Dtype::I32 => Kind::Int,
            safetensors::Dtype::U8 => Kind::Uint8,
            other => panic!("{other:?}"),
        };
        (name, Tensor::f_from_data_size(view.data(), &shape, kind).unwrap())
    };
    file.tensors().into_iter().map(tensor).collect()
}

impl Classifier {
    pub fn read(name: &str) -> Self {
        let overrides = Overrides {
            architecture: Some(fixture(&format!("parity/{name}.json")).display().to_string()),
            ..Overrides::default()
        };
        let file = fixture(&format!("sharpness/{name}.safetensors"));
        let architecture = Pair::open(&file, &file, &overrides).unwrap().architecture;
        let mut images = read(&format!("sharpness/{name}.images.safetensors"));
        Self {
            architecture,
            weights: read(&format!("sharpness/{name}.safetensors")),
            bytes: images.remove("pixels").unwrap(),
            classes: images.remove("labels").unwrap().to_kind(Kind::Int64),
        }
    }

    pub fn labels(&self, range: Range<usize>) -> Tensor {
        self.classes.narrow(0, range.start as i64, range.len() as i64)
    }

    /// As the plain model reads them.
    pub fn pixels(&self, range: Range<usize>, kind: Kind) -> Tensor {
        let bytes = self.bytes.narrow(0, range.start as i64, range.len() as i64);
        plain::normalized_pixels(&self.architecture, &bytes, kind)
    }

    /// A runner over these batches.
    pub fn runner(&self, batches: &[Range<usize>], micro: usize, budget: usize) -> Runner {
        let tensors = self.weights.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        let base = Named::new(tensors, Device::Cpu);
        let head = ClassWeights::Stored(None);
        let mut runner = Runner::new(self.architecture.clone(), base, head, micro, budget).unwrap();
        for range in batches {
            let images: Vec<Vec<u8>> = range
                .clone()
                .map(|i| Vec::try_from(self.bytes.get(i as i64).contiguous().view(-1)).unwrap())
                .collect();
            let labels: Vec<usize> =
                range.clone().map(|i| self.classes.int64_value(&[i as i64]) as usize).collect();
            runner.add_batch(&images, &labels).unwrap();
        }
        runner
    }
}
