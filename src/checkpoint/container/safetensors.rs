//! safetensors: 8 bytes of header length, a JSON header, raw tensors.

use safetensors::tensor::{Dtype as RawDtype, Metadata};

use super::{Container, Contents, Layout, RawTensor};
use crate::checkpoint::tensor::Dtype;
use crate::plural::{counted, either};

/// Longest header accepted, as the format's own library has it.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// Reads the header.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(format!(
            "{} {} too few for the 8-byte header length",
            counted(bytes.len(), "byte"),
            either(&bytes.len(), "is", "are")
        ));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "it declares a header of {}, at most {MAX_HEADER} are allowed",
            counted(length, "byte")
        ));
    }
    let header = usize::try_from(length).ok().and_then(|n| rest.get(..n)).ok_or_else(|| {
        let (length, left) = (counted(length, "byte"), rest.len());
        format!("it declares a header of {length}, but only {left} follow: truncated")
    })?;
    let parsed: Metadata =
        serde_json::from_slice(header).map_err(|error| format!("its header is wrong: {error}"))?;
    let start = 8 + header.len();
    let data = bytes.len() - start;
    let declared = parsed.data_len();
    if declared > data {
        return Err(format!(
            "its header declares {} of tensors, but only {data} follow: truncated",
            counted(declared, "byte")
        ));
    }
    if declared < data {
        return Err(format!(
            "its header declares {} of tensors, but {data} follow: {} too many",
            counted(declared, "byte"),
            data - declared
        ));
    }
    let tensors = parsed
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let (from, to) = info.data_offsets;
            let dtype = match info.dtype {
                RawDtype::F16 => Ok(Dtype::F16),
                RawDtype::BF16 => Ok(Dtype::Bf16),
                RawDtype::F32 => Ok(Dtype::F32),
                RawDtype::F64 => Ok(Dtype::F64),
                other => Err(other.to_string()),
            };
            let range = start + from..start + to;
            let layout = Layout::Whole(range);
            (name, RawTensor { dtype, shape: info.shape.clone(), file: 0, layout })
        })
        .collect();
    let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { tensors, metadata, ..Contents::empty(Container::Safetensors) })
}
