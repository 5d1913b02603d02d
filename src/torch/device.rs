//! Which device an engine computes on.

use std::fmt;

use tch::Device;

use super::runtime::{CudaStatus, Runtime};

/// One device; each engine has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The processor, with all its cores.
    Cpu,
    /// A GPU, as libtorch numbers them.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// What `--device` asks for: `auto` (every GPU, else the processor), `cpu`, `cuda` (every GPU),
    /// `cuda:0,2` (these).
    ///
    /// # Errors
    /// Expected, got, and why a GPU that was asked for is not there.
    pub fn parse(text: &str, runtime: &Runtime) -> Result<Vec<Self>, String> {
        Self::among(text, &runtime.cuda)
    }

    fn among(text: &str, cuda: &CudaStatus) -> Result<Vec<Self>, String> {
        let there: Vec<usize> = cuda.devices().iter().map(|device| device.index).collect();
        let every = || there.iter().map(|&index| Self::Cuda(index)).collect::<Vec<_>>();
        let missing = || cuda.missing().unwrap_or("libtorch sees no GPU");
        match text.trim() {
            "cpu" => Ok(vec![Self::Cpu]),
            "auto" if there.is_empty() => Ok(vec![Self::Cpu]),
            "cuda" if there.is_empty() => {
                Err(format!("device `cuda`: {}; use `--device cpu`", missing()))
            }
            "auto" | "cuda" => Ok(every()),
            text => {
                let expected = "expected auto, cpu, cuda or cuda:N,M";
                let list = text
                    .strip_prefix("cuda:")
                    .ok_or_else(|| format!("device `{text}`: {expected}"))?;
                let mut devices = Vec::new();
                for number in list.split(',') {
                    let index: usize = number
                        .trim()
                        .parse()
                        .map_err(|_| format!("device `{text}`: {expected}, got `{number}`"))?;
                    if !there.contains(&index) {
                        let why = if there.is_empty() {
                            missing().to_string()
                        } else {
                            format!("the GPUs here are {}", numbers(&there))
                        };
                        return Err(format!("device `cuda:{index}`: {why}"));
                    }
                    if !devices.contains(&Self::Cuda(index)) {
                        devices.push(Self::Cuda(index));
                    }
                }
                Ok(devices)
            }
        }
    }

    /// libtorch's name of it.
    #[must_use]
    pub fn torch(self) -> Device {
        match self {
            Self::Cpu => Device::Cpu,
            Self::Cuda(index) => Device::Cuda(index),
        }
    }
}

fn numbers(indices: &[usize]) -> String {
    indices.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::cuda::CudaDevice;

    fn gpus(indices: &[usize]) -> CudaStatus {
        let device = |&index: &usize| CudaDevice {
            index,
            name: "NVIDIA H200".into(),
            memory: 1 << 37,
            capability: (9, 0),
            uuid: format!("GPU-{index}"),
        };
        CudaStatus::Available {
            devices: indices.iter().map(device).collect(),
            driver: None,
            version: None,
        }
    }

    #[test]
    fn what_can_be_asked_for() {
        use DeviceChoice::{Cpu, Cuda};
        let none = CudaStatus::Missing { reason: "no NVIDIA driver".into() };
        let two = gpus(&[0, 1]);
        let among = |text: &str, cuda: &CudaStatus| DeviceChoice::among(text, cuda);
        assert_eq!(among("auto", &none), Ok(vec![Cpu]));
        assert_eq!(among("auto", &two), Ok(vec![Cuda(0), Cuda(1)]));
        assert_eq!(among("cpu", &two), Ok(vec![Cpu]));
        assert_eq!(among("cuda", &two), Ok(vec![Cuda(0), Cuda(1)]));
        assert_eq!(among("cuda:1,0,1", &two), Ok(vec![Cuda(1), Cuda(0)]));
        let error = |text: &str, cuda: &CudaStatus| among(text, cuda).unwrap_err();
        assert!(error("cuda", &none).contains("no NVIDIA driver"));
        assert!(error("cuda:0", &none).contains("no NVIDIA driver"));
        assert!(error("cuda:7", &two).contains("the GPUs here are 0, 1"));
        assert!(error("cuda:", &two).contains("expected"));
        assert!(error("gpu", &two).contains("expected auto"));
    }
}
