//! Weights by name: what a tower is built from.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::error::TorchError;
use super::path::PathWeights;

/// Named tensors of one type on one device.
pub trait Lookup {
    /// The tensor of a canonical name; it may share storage with others.
    ///
    /// # Errors
    /// When there is none, or its shape is not the one given.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, TorchError>;

    /// Where the tensors are.
    fn device(&self) -> Device;

    /// Their type.
    fn kind(&self) -> Kind;
}

impl Lookup for PathWeights {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, TorchError> {
        Self::get(self, name, shape)
    }

    fn device(&self) -> Device {
        Self::device(self)
    }

    fn kind(&self) -> Kind {
        Self::kind(self)
    }
}

/// Tensors by canonical name.
pub type Tensors = BTreeMap<String, Tensor>;

/// One set of weights with some of its tensors replaced.
#[derive(Debug)]
pub struct Replaced<'a, W> {
    /// All of them.
    pub base: &'a W,
    /// Those that stand in for the base's, in its type and on its device.
    pub over: &'a Tensors,
}

impl<W: Lookup> Lookup for Replaced<'_, W> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, TorchError> {
        let Some(tensor) = self.over.get(name) else { return self.base.get(name, shape) };
        let got = tensor.size();
        if got.iter().copied().eq(shape.iter().map(|&n| n as i64)) {
            Ok(tensor.shallow_clone())
        } else {
            Err(TorchError::Input(format!(
                "replace `{name}`: expected shape {shape:?}, got {got:?}"
            )))
        }
    }

    fn device(&self) -> Device {
        self.base.device()
    }

    fn kind(&self) -> Kind {
        self.base.kind()
    }
}

/// Tensors of one type on one device, by canonical name. Those taken from a [`PathWeights`] share
/// its storage and follow it.
#[derive(Debug)]
pub struct Named {
    tensors: Tensors,
    device: Device,
    kind: Kind,
}

impl Named {
    /// Float32 tensors on a device.
    #[must_use]
    pub fn new(tensors: Tensors, device: Device) -> Self {
        Self { tensors, device, kind: Kind::Float }
    }

    /// All of them.
    #[must_use]
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }
}

impl Lookup for Named {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, TorchError> {
        let over = &self.tensors;
        Replaced { base: &Nothing(self.device, self.kind), over }.get(name, shape)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.kind
    }
}

/// No weights at all.
struct Nothing(Device, Kind);

impl Lookup for Nothing {
    fn get(&self, name: &str, _: &[usize]) -> Result<Tensor, TorchError> {
        Err(TorchError::Input(format!("build the model: `{name}` was not loaded")))
    }

    fn device(&self) -> Device {
        self.0
    }

    fn kind(&self) -> Kind {
        self.1
    }
}
