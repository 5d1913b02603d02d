//! Python pickles as data: a bounded machine that builds a graph of values.
//!
//! Nothing is imported and nothing is called. What Python would call stays in
//! the graph as an [`Object`]: the callable's name, its arguments, and the
//! state given to it. Who knows a callable's meaning (a tensor's rebuild
//! function, say) reads its arguments; everybody else steps over it.
//!
//! All loops are over bytes of the file, none is over nesting, so a pickle of a
//! million levels is no deeper for the machine than a flat one. Memory is
//! bounded by [`MAX_STEPS`]; strings and byte strings stay where they are in
//! the file, as ranges.

mod machine;

use std::ops::Range;

pub use machine::{MAX_STEPS, read};

/// Index of a [`Node`] in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A longer one: little-endian two's complement, in the file.
    Long(Range<usize>),
    /// A floating-point number.
    Float(f64),
    /// Text, UTF-8 in the file (not yet checked).
    Text(Range<usize>),
    /// Raw bytes in the file.
    Bytes(Range<usize>),
    /// A tuple.
    Tuple(Box<[Id]>),
    /// A list or a set.
    List(Vec<Id>),
    /// A dictionary, in the order it was filled; a key may come twice.
    Dict(Vec<(Id, Id)>),
    /// A class or function by name: module and name, in the file.
    Global(Range<usize>, Range<usize>),
    /// What Python would make by a call.
    Object(Box<Object>),
    /// A reference to something kept outside the pickle.
    Persistent(Id),
    /// A value of a kind that no checkpoint needs (extension codes).
    Opaque,
}

/// What Python would make by calling something that is never called here.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The callable.
    pub class: Id,
    /// Its arguments, usually a tuple.
    pub args: Id,
    /// What the object would be told afterwards (`__setstate__`).
    pub state: Option<Id>,
    /// What would be set on it as on a dictionary.
    pub items: Vec<(Id, Id)>,
    /// What would be appended to it as to a list.
    pub elements: Vec<Id>,
}

/// A pickle, read.
#[derive(Clone, Debug)]
pub struct Graph<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    /// The value that the pickle is of.
    pub root: Id,
    /// Where the next byte after it is.
    pub end: usize,
}

impl<'a> Graph<'a> {
    /// A value.
    #[must_use]
    pub fn node(&self, id: Id) -> &Node {
        // Ids come from this graph alone; the fallback is never seen.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::Opaque)
    }

    /// Every value, in the order they were made.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(Id)
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: a pickle is of something.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Text that is UTF-8.
    #[must_use]
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.node(id) {
            Node::Text(range) => self.str(range),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number that is a size or an index.
    #[must_use]
    pub fn size(&self, id: Id) -> Option<usize> {
        self.int(id).and_then(|value| usize::try_from(value).ok())
    }

    /// Members of a tuple or list.
    #[must_use]
    pub fn members(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(members) => Some(members),
            Node::List(members) => Some(members),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    #[must_use]
    pub fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        match self.node(id) {
            Node::Global(module, name) => Some((self.str(module)?, self.str(name)?)),
            _ => None,
        }
    }

    /// An object with the name of its class.
    #[must_use]
    pub fn object(&self, id: Id) -> Option<((&'a str, &'a str), &Object)> {
        match self.node(id) {
            Node::Object(object) => Some((self.global(object.class)?, object)),
            _ => None,
        }
    }

    /// Keys and values of a dictionary, an `OrderedDict` included.
    #[must_use]
    pub fn items(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.node(id) {
            Node::Dict(items) => Some(items.clone()),
            Node::Object(object) => {
                let (module, name) = self.global(object.class)?;
                let ordered = matches!(module, "collections" | "builtins" | "__builtin__")
                    && matches!(name, "OrderedDict" | "defaultdict" | "dict");
                if !ordered {
                    return None;
                }
                // Python 2 gave the pairs as one list argument.
                let mut items: Vec<(Id, Id)> = self
                    .members(object.args)
                    .and_then(|args| self.members(*args.first()?))
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|pair| match self.members(*pair) {
                        Some(&[key, value]) => Some((key, value)),
                        _ => None,
                    })
                    .collect();
                items.extend_from_slice(&object.items);
                Some(items)
            }
            _ => None,
        }
    }

    /// The value of a text key of a dictionary; the last where it comes twice.
    #[must_use]
    pub fn value(&self, items: &[(Id, Id)], key: &str) -> Option<Id> {
        items.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, value)| *value)
    }

    fn str(&self, range: &Range<usize>) -> Option<&'a str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }
}

#[cfg(test)]
mod tests;
