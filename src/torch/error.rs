//! What libtorch says when it fails, sorted by what can be done about it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::TchError;
use thiserror::Error;

use crate::sweep::engine::{GONE, POISONED};

/// A step on libtorch that did not work.
#[derive(Debug, Error)]
pub enum TorchError {
    /// The device has no room left: fewer images at a time may fit.
    #[error("{doing}: out of memory: {message}")]
    Memory {
        /// What was being done.
        doing: String,
        /// libtorch's first line.
        message: String,
    },
    /// The device is in an unknown state; nothing more can be computed on it.
    #[error("{doing}: the GPU failed: {message}; {POISONED}")]
    Device {
        /// What was being done.
        doing: String,
        /// libtorch's first line.
        message: String,
    },
    /// The device is not there any more.
    #[error("{doing}: the GPU failed: {message}; {GONE}")]
    Gone {
        /// What was being done.
        doing: String,
        /// libtorch's first line.
        message: String,
    },
    /// Everything else: shapes that do not fit, an operation that is missing.
    #[error("{doing}: {message}")]
    Other {
        /// What was being done.
        doing: String,
        /// libtorch's first line.
        message: String,
    },
    /// An input that does not fit the model: expected, got, what to do.
    #[error("{0}")]
    Input(String),
}

/// Words in libtorch's messages for an allocation that failed, on either kind of device.
const MEMORY: [&str; 4] =
    ["out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED"];
/// Words for errors after which a CUDA context answers nothing any more.
const DEVICE: [&str; 9] = [
    "CUDA error",
    "CUDA driver error",
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_INTERNAL_ERROR",
];
/// … for a device that is not there any more: pulled out, reset, or fallen off the bus.
const GONE_WORDS: [&str; 7] = [
    "no CUDA-capable device",
    "No CUDA GPUs are available",
    "device(s) is/are busy or unavailable",
    "invalid device ordinal",
    "GPU is lost",
    "device not ready",
    "uncorrectable ECC error",
];

impl TorchError {
    /// Sorts a message of libtorch's.
    #[must_use]
    pub fn sort(doing: &str, message: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let doing = doing.to_string();
        // What follows the first line is libtorch's own call stack.
        let first = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        let message = first.trim().to_string();
        if has(&MEMORY) {
            Self::Memory { doing, message }
        } else if has(&GONE_WORDS) {
            Self::Gone { doing, message }
        } else if has(&DEVICE) {
            Self::Device { doing, message }
        } else {
            Self::Other { doing, message }
        }
    }

    /// True when fewer images at a time may help.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    /// True when the device must be given up.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Device { .. } | Self::Gone { .. })
    }
}

/// Runs a step on libtorch: errors of the fallible calls and panics of the others both become a
/// [`TorchError`] that says what was being done.
///
/// # Errors
/// What libtorch said, sorted.
pub fn guarded<T>(
    doing: &str,
    step: impl FnOnce() -> Result<T, TchError>,
) -> Result<T, TorchError> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(TorchError::sort(doing, &error.to_string())),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(TorchError::sort(doing, message.unwrap_or("libtorch failed without a message")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_by_what_can_be_done() {
        let sort = |message| TorchError::sort("forward", message);
        assert!(sort("CUDA out of memory. Tried to allocate 2.00 GiB").is_memory());
        assert!(sort("CUDA error: out of memory").is_memory());
        assert!(
            sort("DefaultCPUAllocator: not enough memory: you tried to allocate 8").is_memory()
        );
        assert!(sort("CUDA error: an illegal memory access was encountered").is_device());
        let gone = sort("CUDA error: no CUDA-capable device is detected");
        assert!(gone.is_device() && gone.to_string().contains("nvidia-smi"), "{gone}");
        assert!(!sort("mat1 and mat2 shapes cannot be multiplied").is_device());
        let text = sort("shapes differ\nException raised from f at g.cpp:1\nframe #0").to_string();
        assert_eq!(text, "forward: shapes differ");
    }

    #[test]
    fn what_unwinds_is_an_error_too() {
        let mut hook = Some(std::panic::take_hook());
        std::panic::set_hook(Box::new(|_| {}));
        let caught = guarded::<()>("a step", || std::panic::panic_any("thrown".to_string()));
        if let Some(hook) = hook.take() {
            std::panic::set_hook(hook);
        }
        assert_eq!(caught.map_err(|e| e.to_string()), Err("a step: thrown".into()));
    }

    #[test]
    fn a_real_mismatch_is_an_error() {
        let a = tch::Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu));
        let error = guarded("multiply", || a.f_matmul(&a)).unwrap_err();
        assert!(matches!(error, TorchError::Other { .. }), "{error}");
        let error = guarded("multiply", || Ok(a.matmul(&a))).unwrap_err();
        assert!(matches!(error, TorchError::Other { .. }), "{error}");
    }
}
