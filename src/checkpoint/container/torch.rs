//! What `torch.save`, `torch.jit.save` and `pickle.dump` write: a pickle whose
//! tensors lie elsewhere in the file.
//!
//! | container | pickle | numbers |
//! | --- | --- | --- |
//! | zip | member `NAME/data.pkl` | members `NAME/data/KEY`, stored |
//! | TorchScript | the same, beside `NAME/code/` | the same |
//! | legacy | after a magic number, a version and a system pickle | after it: keys, then count and numbers of each |
//! | plain pickle | the file | byte strings inside it, each a legacy file of its own |
//!
//! In the pickle a tensor is a call of `torch._utils._rebuild_tensor_v2` on a
//! storage, an offset, a shape and strides. Objects are walked for tensors, by
//! `_parameters`, `_buffers` and `_modules` where they are modules.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::walk::{self, Found};
use super::{Container, Contents, Layout, RawTensor};
use crate::checkpoint::pickle::{self, Graph, Id, Node};
use crate::checkpoint::tensor::Dtype;
use crate::plural;

/// The long integer that legacy `torch.save` begins with, as pickled.
pub(super) const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// Where the numbers of a storage are.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Element type, as the pickle names it.
    pub(super) dtype: Result<Dtype, String>,
    /// Bytes in the file.
    pub(super) range: Range<usize>,
}

/// The numbers that a pickle refers to, by key.
pub(super) type Storages = BTreeMap<String, Range<usize>>;

/// A `torch.save` or `torch.jit.save` archive, given its members.
pub(super) fn zip(bytes: &[u8]) -> Result<Contents, String> {
    let super::zip::Members { stored: members, compressed } = super::zip::members(bytes)?;
    let root = |name: &str| members.get(name).cloned();
    let (prefix, data) = members
        .iter()
        .find_map(|(name, range)| {
            let prefix = name.strip_suffix("data.pkl")?;
            let top = prefix.is_empty() || prefix.find('/') == Some(prefix.len() - 1);
            top.then(|| (prefix.to_string(), range.clone()))
        })
        .ok_or("it has no `data.pkl`, stored as it is: no archive of PyTorch")?;
    if let Some(name) = compressed.iter().find(|name| name.starts_with(&format!("{prefix}data/"))) {
        return Err(format!(
            "its member `{name}` is compressed, which torch never does to tensors; unpack it and \
             zip it again with `zip -0`"
        ));
    }
    if let Some(order) = root(&format!("{prefix}byteorder"))
        && bytes.get(order.clone()) != Some(b"little")
    {
        return Err("its numbers are big-endian; save it on a little-endian machine".into());
    }
    let script = root(&format!("{prefix}constants.pkl")).is_some()
        || compressed.iter().any(|name| name.starts_with(&format!("{prefix}code/")));
    let container = if script { Container::TorchScript } else { Container::TorchZip };
    let at = format!("{prefix}data/");
    let storages: Storages = members
        .iter()
        .filter_map(|(name, range)| Some((name.strip_prefix(&at)?.to_string(), range.clone())))
        .collect();
    let graph = pickle::read(bytes.get(..data.end).unwrap_or_default(), data.start)?;
    contents(container, bytes, &graph, &storages)
}

/// A file of `torch.save` before 1.6, or with
/// `_use_new_zipfile_serialization=False`.
pub(super) fn legacy(bytes: &[u8]) -> Result<Contents, String> {
    let (graph, storages) = legacy_stream(bytes, 0)?;
    contents(Container::TorchLegacy, bytes, &graph, &storages)
}

/// A plain `pickle.dump` of modules or of a dictionary of tensors.
pub(super) fn plain(bytes: &[u8]) -> Result<Contents, String> {
    let graph = pickle::read(bytes, 0)?;
    contents(Container::Pickle, bytes, &graph, &Storages::new())
}

fn contents(
    container: Container,
    bytes: &[u8],
    graph: &Graph<'_>,
    storages: &Storages,
) -> Result<Contents, String> {
    let mut reader = Reader { bytes, graph, storages, embedded: BTreeMap::new() };
    let found = walk::tensors(graph, graph.root, |id| reader.is_tensor(id))?;
    let mut tensors = BTreeMap::new();
    for Found { name, id } in found {
        let tensor = reader.tensor(id).map_err(|message| format!("tensor `{name}`: {message}"))?;
        tensors.insert(name, tensor);
    }
    Ok(Contents { tensors, foreign: foreign(graph), ..Contents::empty(container) })
}

/// Names of code that Python would run or import for this file, beyond what
/// tensors and dictionaries need. Shown to people; nothing of it is run.
fn foreign(graph: &Graph<'_>) -> BTreeSet<String> {
    const SHOWN: usize = 40;
    graph
        .ids()
        .filter_map(|id| graph.global(id))
        .filter(|(module, name)| {
            let torch = module.starts_with("torch.") || matches!(*module, "torch" | "collections");
            !(torch || module.starts_with("__torch__") || (*module == "builtins" && *name == "set"))
        })
        .map(|(module, name)| format!("{module}.{name}").chars().take(80).collect())
        .take(SHOWN)
        .collect()
}

/// A legacy stream that starts at a byte: its pickle, and its storages.
fn legacy_stream(bytes: &[u8], start: usize) -> Result<(Graph<'_>, Storages), String> {
    if !bytes.get(start..).unwrap_or_default().starts_with(LEGACY_MAGIC) {
        return Err("it has no legacy magic number".into());
    }
    let magic = pickle::read(bytes, start)?;
    let version = pickle::read(bytes, magic.end)?;
    if version.int(version.root) != Some(1001) {
        return Err("its protocol is not 1001; save it again with a newer torch".into());
    }
    let system = pickle::read(bytes, version.end)?;
    let items = system.items(system.root).unwrap_or_default();
    if let Some(Node::Bool(false)) = system.value(&items, "little_endian").map(|id| system.node(id))
    {
        return Err("its numbers are big-endian; save it on a little-endian machine".into());
    }
    let graph = pickle::read(bytes, system.end)?;
    let keys = pickle::read(bytes, graph.end)?;
    let mut sizes = BTreeMap::new();
    for id in graph.ids() {
        if let Node::Persistent(key) = graph.node(id)
            && let Some(storage) = reference(&graph, *key)
        {
            sizes.insert(storage.key, storage.size);
        }
    }
    let mut at = keys.end;
    let mut storages = Storages::new();
    for key in keys.members(keys.root).ok_or("its storage keys are no list")? {
        let key = keys.text(*key).ok_or("a storage key is no text")?;
        let size = *sizes.get(key).ok_or_else(|| {
            format!("storage `{key}` is in its list, but no tensor says what it is")
        })?;
        let count = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .map(|count| u64::from_le_bytes(*count))
            .ok_or_else(|| format!("it ends before storage `{key}`: truncated"))?;
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size)?.checked_add(at + 8))
            .filter(|end| *end <= bytes.len())
            .ok_or_else(|| {
                format!(
                    "storage `{key}` declares {} of {}, but only {} \
                     follow: truncated",
                    plural::counted(count, "number"),
                    plural::counted(size, "byte"),
                    plural::counted(bytes.len() - at - 8, "byte")
                )
            })?;
        storages.insert(key.to_string(), at + 8..end);
        at = end;
    }
    Ok((graph, storages))
}

/// A persistent reference to a storage.
struct Reference<'a> {
    key: &'a str,
    dtype: Result<Dtype, String>,
    /// Bytes of an element.
    size: usize,
    count: usize,
    /// A view of another storage, as torch before 0.4 had them.
    view: bool,
}

fn reference<'a>(graph: &Graph<'a>, key: Id) -> Option<Reference<'a>> {
    let &[kind, class, key, _device, count, ref rest @ ..] = graph.members(key)? else {
        return None;
    };
    if graph.text(kind) != Some("storage") {
        return None;
    }
    let (_, class) = graph.global(class)?;
    let (dtype, size) = element(class)?;
    let view = rest.first().is_some_and(|id| !matches!(graph.node(*id), Node::None));
    Some(Reference { key: graph.text(key)?, dtype, size, count: graph.size(count)?, view })
}

/// Element type and size of a storage class.
fn element(class: &str) -> Option<(Result<Dtype, String>, usize)> {
    let float = |dtype: Dtype| Some((Ok(dtype), dtype.size()));
    let other = |name: &str, size| Some((Err(name.to_string()), size));
    match class.strip_suffix("Storage")? {
        "Half" => float(Dtype::F16),
        "BFloat16" => float(Dtype::Bf16),
        "Float" => float(Dtype::F32),
        "Double" => float(Dtype::F64),
        "Long" => other("int64", 8),
        "Int" => other("int32", 4),
        "Short" => other("int16", 2),
        "Char" => other("int8", 1),
        "Byte" | "Untyped" => other("uint8", 1),
        "Bool" => other("bool", 1),
        "ComplexFloat" => other("complex64", 8),
        "ComplexDouble" => other("complex128", 16),
        "QInt8" | "QUInt8" => other("quantized", 1),
        "QInt32" => other("quantized", 4),
        _ => None,
    }
}

struct Reader<'a, 'g> {
    bytes: &'a [u8],
    graph: &'g Graph<'a>,
    storages: &'g Storages,
    /// Storages that are byte strings in the pickle, by where they start: a
    /// shared one is read once.
    embedded: BTreeMap<usize, Stored>,
}

impl Reader<'_, '_> {
    /// A call that rebuilds a tensor, of whatever kind.
    fn is_tensor(&self, id: Id) -> bool {
        self.graph.object(id).is_some_and(|((module, name), _)| {
            matches!(module, "torch._utils" | "torch._tensor") && name.starts_with("_rebuild_")
        })
    }

    fn tensor(&mut self, id: Id) -> Result<RawTensor, String> {
        let mut id = id;
        // A parameter is a call on a tensor; a few such wrappers may lie around one another.
        for _ in 0..4 {
            let Some(((_, function), object)) = self.graph.object(id) else {
                return Err("it is made of something that is no tensor".into());
            };
            let args = self.graph.members(object.args).ok_or("its arguments are no tuple")?;
            match (function, args) {
                ("_rebuild_parameter" | "_rebuild_parameter_with_state", [inner, ..]) => {
                    id = *inner;
                }
                // (function, type, arguments, state) of a subclass.
                ("_rebuild_from_type_v2", [function, _, args, ..]) => {
                    return match self.graph.global(*function) {
                        Some((_, "_rebuild_tensor_v2" | "_rebuild_tensor")) => {
                            let args = self.graph.members(*args);
                            self.rebuilt(args.ok_or("its arguments are no tuple")?)
                        }
                        _ => Ok(unreadable("a subclass of Tensor")),
                    };
                }
                ("_rebuild_tensor" | "_rebuild_tensor_v2", args) => return self.rebuilt(args),
                (other, _) => {
                    let kind = other.trim_start_matches("_rebuild_");
                    return Ok(unreadable(kind));
                }
            }
        }
        Err("it is wrapped too often".into())
    }

    /// `_rebuild_tensor(storage, offset, shape, strides, …)`.
    fn rebuilt(&mut self, args: &[Id]) -> Result<RawTensor, String> {
        let &[storage, offset, shape, strides, ..] = args else {
            return Err("it lacks storage, offset, shape or strides".into());
        };
        let stored = self.stored(storage)?;
        let sizes = |id: Id, what: &str| -> Result<Vec<usize>, String> {
            let members =
                self.graph.members(id).ok_or_else(|| format!("its {what} is no tuple"))?;
            if members.len() > MAX_RANK {
                return Err(format!("its {what} has {} dimensions", members.len()));
            }
            members
                .iter()
                .map(|n| self.graph.size(*n).ok_or_else(|| format!("its {what} is no size")))
                .collect()
        };
        let (shape, strides) = (sizes(shape, "shape")?, sizes(strides, "stride")?);
        let offset = self.graph.size(offset).ok_or("its offset is no size")?;
        let dtype = match stored.dtype {
            Ok(dtype) => dtype,
            Err(other) => {
                return Ok(RawTensor { shape, ..unreadable(&other) });
            }
        };
        let layout = Layout::of(dtype, &shape, &strides, offset, stored.range, self.bytes.len())?;
        Ok(RawTensor { dtype: Ok(dtype), shape, file: 0, layout })
    }

    /// True where a storage's bytes were pickled as text (`_codecs.encode(…, 'latin1')`).
    fn encoded(&self, id: Id) -> bool {
        self.graph.object(id).is_some_and(|(_, object)| {
            let first = self.graph.members(object.args).and_then(|args| args.first());
            let text = first.and_then(|first| self.graph.object(*first));
            text.is_some_and(|(class, _)| class == ("_codecs", "encode"))
        })
    }

    fn stored(&mut self, id: Id) -> Result<Stored, String> {
        if let Node::Persistent(key) = self.graph.node(id) {
            return located(self.graph, *key, self.storages);
        }
        // A storage pickled by itself is a call on the bytes of a legacy file.
        let range = self.graph.object(id).and_then(|((_, name), object)| {
            let args = self.graph.members(object.args)?;
            match (name, self.graph.node(*args.first()?)) {
                ("_load_from_bytes", Node::Bytes(range)) => Some(range.clone()),
                _ => None,
            }
        });
        let range = range.ok_or_else(|| match self.encoded(id) {
            true => {
                "its numbers are written as text, as `pickle.dump` does with protocol 2 and \
                     below: save it with `torch.save`, or with `protocol=4`"
            }
            false => "its storage is neither in the file nor in the pickle",
        })?;
        if let Some(stored) = self.embedded.get(&range.start) {
            return Ok(stored.clone());
        }
        let inner = self.bytes.get(..range.end).unwrap_or_default();
        let (graph, storages) = legacy_stream(inner, range.start)?;
        let Node::Persistent(key) = graph.node(graph.root) else {
            return Err("its embedded storage is something else".into());
        };
        let stored = located(&graph, *key, &storages)?;
        self.embedded.insert(range.start, stored.clone());
        Ok(stored)
    }
}

/// More dimensions than any tensor has.
const MAX_RANK: usize = 16;

/// A storage that a pickle refers to, where it is.
fn located(graph: &Graph<'_>, key: Id, storages: &Storages) -> Result<Stored, String> {
    let Some(found) = reference(graph, key) else {
        return Err("its storage is of an unknown kind".into());
    };
    if found.view {
        return Err("its storage is a view of another (torch before 0.4); save it again".into());
    }
    let range = storages
        .get(found.key)
        .cloned()
        .ok_or_else(|| format!("its storage `{}` is not in the file: truncated", found.key))?;
    let expected = found.count.checked_mul(found.size);
    if expected.is_none_or(|expected| range.len() < expected) {
        return Err(format!(
            "its storage `{}` should hold {} of {}, but has {}: truncated",
            found.key,
            plural::counted(found.count, "number"),
            plural::counted(found.size, "byte"),
            plural::counted(range.len(), "byte")
        ));
    }
    Ok(Stored { dtype: found.dtype, range })
}

/// A tensor that is told of by name, but cannot be a weight.
fn unreadable(kind: &str) -> RawTensor {
    RawTensor { dtype: Err(kind.into()), shape: Vec::new(), file: 0, layout: Layout::Whole(0..0) }
}
