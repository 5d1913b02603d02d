//! safetensors: 8 bytes of header length, a JSON header, raw tensors.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype as RawDtype, Metadata, TensorInfo};
use serde::Deserialize;
use serde_json::Value;

use super::{Container, Contents, Layout, RawTensor};
use crate::checkpoint::tensor::Dtype;
use crate::plural::{counted, either};

/// Longest header accepted: fifty times that of the largest CLIP with its optimizer's state. What a
/// hostile one of this length makes of itself in memory stays below 200 MB.
pub(super) const MAX_HEADER: u64 = 10_000_000;
/// Most dimensions of a tensor.
const MAX_SIDES: usize = 16;

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
    let parsed: Metadata = serde_json::from_slice(header).map_err(|error| wrong(header, &error))?;
    let tensors = parsed.tensors();
    if let Some((name, info)) = tensors.iter().find(|(_, info)| info.shape.len() > MAX_SIDES) {
        return Err(format!(
            "its header is wrong at tensor `{name}`: expected at most {MAX_SIDES} dimensions, got {}",
            info.shape.len()
        ));
    }
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
    let tensors = tensors
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

/// What is wrong with a header that was refused, naming the tensor.
fn wrong(header: &[u8], error: &serde_json::Error) -> String {
    let Ok(mut entries) = serde_json::from_slice::<BTreeMap<String, Value>>(header) else {
        return format!("its header is wrong: {error}");
    };
    entries.remove("__metadata__");
    let mut tensors = Vec::new();
    for (name, entry) in entries {
        match TensorInfo::deserialize(&entry) {
            Ok(info) => tensors.push((name, info)),
            Err(error) => return format!("its header is wrong at tensor `{name}`: {error}"),
        }
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut before = 0;
    for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in tensors {
        if from != before {
            return format!(
                "its header is wrong at tensor `{name}`: expected data_offsets from {before}, where \
                 the tensor before ends, got {from}"
            );
        }
        let elements = shape.iter().try_fold(1_usize, |n, &side| n.checked_mul(side));
        let bits = elements.and_then(|n| n.checked_mul(dtype.bitsize()));
        if bits.is_none_or(|bits| to.checked_sub(from) != Some(bits / 8) || bits % 8 != 0) {
            let bytes =
                bits.map_or("more than can be counted".into(), |bits| (bits / 8).to_string());
            return format!(
                "its header is wrong at tensor `{name}`: expected data_offsets of {bytes} bytes for \
                 {shape:?} of {dtype}, got {from} to {to}"
            );
        }
        before = to;
    }
    format!("its header is wrong: {error}")
}
