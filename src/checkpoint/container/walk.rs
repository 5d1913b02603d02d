//! Finds tensors in a graph of Python values, with dotted names.
//!
//! Dictionaries and lists are entered by their keys; modules (whatever their
//! class) by `_parameters`, `_buffers` and `_modules`, as their own state
//! dictionary would name them; other objects by their attributes (TorchScript
//! keeps parameters and submodules so).

use crate::checkpoint::pickle::{Graph, Id, Node};

/// A tensor's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Keys and attributes on the way to it, joined by dots.
    pub(super) name: String,
    /// Its value in the graph.
    pub(super) id: Id,
}

/// Deepest nesting that is entered; a wrapped CLIP has about 12 levels.
const MAX_DEPTH: usize = 64;
/// Most values that are visited, each counted as often as it is reached.
const MAX_VISITS: usize = 2_000_000;
/// Most values that wait to be visited.
const MAX_WAITING: usize = 4_000_000;
/// Most bytes of all names together.
const MAX_NAMES: usize = 64 << 20;

/// One level on the way down: what it is, and what is still to be visited.
struct Level {
    id: Id,
    /// Length of the name up to here.
    name: usize,
    children: std::vec::IntoIter<(String, Id)>,
    /// How many there were.
    count: usize,
    /// Whether a tensor was found below.
    fruitful: bool,
}

/// Every tensor that can be reached from `root`.
///
/// # Errors
/// When more is reached than any checkpoint has: values that contain one
/// another many times over.
pub(super) fn tensors(
    graph: &Graph<'_>,
    root: Id,
    is_tensor: impl Fn(Id) -> bool,
) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    if is_tensor(root) {
        return Ok(vec![Found { name: "tensor".into(), id: root }]);
    }
    let mut name = String::new();
    let mut names = 0_usize;
    // Values below which no tensor is, and those on the way down (a cycle leads back to them).
    let mut closed = std::collections::HashSet::new();
    let first = children(graph, root);
    let mut waiting = first.len();
    let count = waiting;
    let mut levels = vec![Level { id: root, name: 0, children: first, count, fruitful: false }];
    closed.insert(root);
    for _ in 0..MAX_VISITS {
        let Some(level) = levels.last_mut() else { return Ok(found) };
        name.truncate(level.name);
        let Some((key, id)) = level.children.next() else {
            let done = levels.pop();
            waiting -= done.as_ref().map_or(0, |level| level.count);
            if let Some(done) = done.filter(|level| level.fruitful) {
                closed.remove(&done.id);
                if let Some(parent) = levels.last_mut() {
                    parent.fruitful = true;
                }
            }
            continue;
        };
        if !key.is_empty() {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&key);
        }
        if is_tensor(id) {
            level.fruitful = true;
            names += name.len();
            if names > MAX_NAMES {
                break;
            }
            found.push(Found { name: name.clone(), id });
        } else if levels.len() < MAX_DEPTH && closed.insert(id) {
            let children = children(graph, id);
            let count = children.len();
            if count > 0 {
                waiting += count;
                levels.push(Level { id, name: name.len(), children, count, fruitful: false });
            }
            if waiting > MAX_WAITING {
                break;
            }
        }
    }
    Err("its values contain one another more often than in any checkpoint; refused".into())
}

/// Longest key that is part of a name.
const MAX_KEY: usize = 200;

/// What lies directly in a value, with the part of the name it adds.
fn children(graph: &Graph<'_>, id: Id) -> std::vec::IntoIter<(String, Id)> {
    let mut all = Vec::new();
    collect(graph, id, &mut all);
    all.into_iter()
}

fn collect(graph: &Graph<'_>, id: Id, all: &mut Vec<(String, Id)>) {
    if let Some(items) = graph.items(id) {
        all.extend(items.into_iter().filter_map(|(k, value)| Some((key(graph, k)?, value))));
        return;
    }
    match graph.node(id) {
        Node::Tuple(members) => numbered(members, all),
        Node::List(members) => numbered(members, all),
        Node::Object(object) => {
            // A state may be a pair of dictionaries, the second of slots.
            let states = match object.state.map(|state| (state, graph.members(state))) {
                Some((_, Some(parts))) => parts.to_vec(),
                Some((state, None)) => vec![state],
                None => Vec::new(),
            };
            for state in states {
                let Some(items) = graph.items(state) else { continue };
                let parts = ["_parameters", "_buffers", "_modules"];
                if parts.iter().any(|part| graph.value(&items, part).is_some()) {
                    let parts = parts.iter().filter_map(|part| graph.value(&items, part));
                    all.extend(parts.map(|part| (String::new(), part)));
                } else {
                    let named = items.into_iter().filter_map(|(k, v)| Some((key(graph, k)?, v)));
                    all.extend(named);
                }
            }
            numbered(&object.elements, all);
        }
        _ => {}
    }
}

fn numbered(members: &[Id], all: &mut Vec<(String, Id)>) {
    all.extend(members.iter().enumerate().map(|(i, id)| (i.to_string(), *id)));
}

/// A text or whole-number key as part of a name.
fn key(graph: &Graph<'_>, id: Id) -> Option<String> {
    match graph.node(id) {
        Node::Int(value) => Some(value.to_string()),
        _ => graph.text(id).filter(|text| text.len() <= MAX_KEY).map(str::to_string),
    }
}
