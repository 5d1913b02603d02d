//! Writes a checkpoint: safetensors in open_clip's or Hugging Face's naming.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::arch::Expected;
use super::error::CheckpointError;
use super::names::Dialect;
use super::names::hugging_face::{Theirs, from_canonical};
use super::tensor::{Dtype, TensorView, transposed};

/// Writes the canonical tensors `tensors` (names and shapes, as
/// [`super::Architecture::image_tensors`] gives them) as one safetensors file.
///
/// `values` is asked for one tensor at a time, in this order, and only that one
/// is in memory. Values of type `dtype` are written bit for bit, others are
/// rounded to it once. The file is written beside `path` and renamed to it at
/// the end: an interrupted write leaves what was there before.
///
/// Hugging Face's naming cuts q, k and v apart and transposes the projections;
/// a stored head keeps its name in both.
///
/// # Errors
/// When the system says no, a tensor is missing or of another shape, a value
/// does not fit `dtype` (it would become infinite), or a name has no place in
/// the dialect.
pub fn write<'a>(
    path: &Path,
    dialect: Dialect,
    dtype: Dtype,
    tensors: &[Expected],
    metadata: &BTreeMap<String, String>,
    mut values: impl FnMut(&str) -> Result<TensorView<'a>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Write { path: path.into(), source };
    let wrong = |tensor: &str, message: String| CheckpointError::Tensor {
        path: path.into(),
        tensor: tensor.into(),
        message,
    };
    let plans = tensors
        .iter()
        .map(|(name, shape)| {
            plan(name, shape, dialect)
                .ok_or_else(|| wrong(name, format!("{dialect} naming has no place for it")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let header = header(&plans, dtype, metadata)
        .ok_or_else(|| wrong("header", "its shapes are larger than memory".into()))?;
    let file = Beside::create(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, &file.file);
    out.write_all(&header).map_err(failed)?;
    for ((name, shape), plan) in tensors.iter().zip(&plans) {
        let tensor = values(name)?;
        if tensor.shape() != shape.as_slice() {
            let got = tensor.shape();
            return Err(wrong(name, format!("expected shape {shape:?} to write, got {got:?}")));
        }
        let turned = if plan.transposed { transposed(&tensor) } else { Some(tensor) };
        let tensor = turned.ok_or_else(|| wrong(name, "expected a matrix".into()))?;
        let bytes = converted(&tensor, dtype).map_err(|message| wrong(name, message))?;
        out.write_all(&bytes).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    file.keep(path).map_err(failed)
}

/// What one canonical tensor is written as: parts of equal shape, one after
/// the other.
struct Plan {
    names: Vec<String>,
    shape: Vec<usize>,
    transposed: bool,
}

fn plan(name: &str, shape: &[usize], dialect: Dialect) -> Option<Plan> {
    let whole = |name: String| Plan { names: vec![name], shape: shape.into(), transposed: false };
    match dialect {
        Dialect::OpenClip => Some(whole(name.into())),
        Dialect::HuggingFace => match from_canonical(name)? {
            Theirs::Whole(name) => Some(whole(name)),
            Theirs::Transposed(name) => {
                let &[rows, columns] = shape else { return None };
                Some(Plan { names: vec![name], shape: vec![columns, rows], transposed: true })
            }
            Theirs::Parts(names) => {
                let mut shape = shape.to_vec();
                let rows = shape.first_mut().filter(|rows| rows.is_multiple_of(3))?;
                *rows /= 3;
                Some(Plan { names: names.into(), shape, transposed: false })
            }
        },
    }
}

/// The header's length and JSON, padded so that tensors begin at a multiple of 8.
fn header(plans: &[Plan], dtype: Dtype, metadata: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    let mut table = Map::new();
    // What every program of PyTorch's writes, and some ask for.
    let mut free: Map<String, Value> =
        metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    free.entry("format").or_insert(json!("pt"));
    table.insert("__metadata__".into(), Value::Object(free));
    let kind = match dtype {
        Dtype::F16 => "F16",
        Dtype::Bf16 => "BF16",
        Dtype::F32 => "F32",
        Dtype::F64 => "F64",
    };
    let mut at = 0_usize;
    for plan in plans {
        for name in &plan.names {
            let elements = plan.shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))?;
            let end = elements.checked_mul(dtype.size())?.checked_add(at)?;
            let entry = json!({"dtype": kind, "shape": plan.shape, "data_offsets": [at, end]});
            table.insert(name.clone(), entry);
            at = end;
        }
    }
    let mut text = Value::Object(table).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    Some(bytes)
}

/// A tensor's bytes in another type.
fn converted<'t>(tensor: &'t TensorView<'_>, dtype: Dtype) -> Result<Cow<'t, [u8]>, String> {
    if tensor.dtype() == dtype {
        return Ok(Cow::Borrowed(tensor.bytes()));
    }
    let mut bytes = Vec::with_capacity(tensor.len() * dtype.size());
    let mut before = 0;
    let mut lost = None;
    tensor.runs_f32(|run| {
        for (i, x) in run.iter().enumerate() {
            let fits = match dtype {
                Dtype::F16 => {
                    let half = f16::from_f32(*x);
                    bytes.extend_from_slice(&half.to_le_bytes());
                    half.is_finite()
                }
                Dtype::Bf16 => {
                    let brain = bf16::from_f32(*x);
                    bytes.extend_from_slice(&brain.to_le_bytes());
                    brain.is_finite()
                }
                Dtype::F32 => {
                    bytes.extend_from_slice(&x.to_le_bytes());
                    x.is_finite()
                }
                Dtype::F64 => {
                    bytes.extend_from_slice(&f64::from(*x).to_le_bytes());
                    x.is_finite()
                }
            };
            if !fits && lost.is_none() {
                lost = Some((before + i, *x));
            }
        }
        before += run.len();
        lost.is_none()
    });
    match lost {
        Some((at, value)) => Err(format!(
            "element {at} is {value}, which is no finite number in {}; write another type",
            dtype.name()
        )),
        None => Ok(Cow::Owned(bytes)),
    }
}

/// A file that is written beside its place; deleted where it never gets there.
struct Beside {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Beside {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        Self::clean(target, &beside);
        beside.push(format!(".{}.part", std::process::id()));
        let path = target.with_file_name(beside);
        let file = File::create(&path)?;
        // Tells others that it is being written. Where a file system knows no
        // locks, what a dead process left behind stays.
        let _ = file.try_lock();
        Ok(Self { file, path, kept: false })
    }

    /// Deletes what programs left behind that were killed while they wrote the
    /// same file: parts that nobody has locked.
    fn clean(target: &Path, beside: &OsStr) {
        let folder = target.parent().filter(|it| !it.as_os_str().is_empty());
        let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
        for entry in entries.flatten() {
            let (name, beside) = (entry.file_name(), beside.as_encoded_bytes());
            let rest = name.as_encoded_bytes().strip_prefix(beside);
            let process = rest.and_then(|it| it.strip_prefix(b".")?.strip_suffix(b".part"));
            let written = process.is_some_and(|it| it.iter().all(u8::is_ascii_digit));
            let left = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if written && left() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn keep(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, target)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done where this fails too; the write's own error is reported.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
