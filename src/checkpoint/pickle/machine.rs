//! The machine: one pass over the opcodes, a stack, a memo.

use std::collections::HashMap;
use std::ops::Range;

use super::{Graph, Id, Node, Object};

/// Most opcodes that are read: ten times what the largest CLIP's training
/// checkpoint needs, and a bound of about 200 MB on what a hostile one takes.
pub const MAX_STEPS: usize = 2_000_000;

/// Reads the pickle that starts at byte `start`.
///
/// # Errors
/// What is wrong and at which byte: truncated, an unknown opcode, a stack that
/// runs empty, more than [`MAX_STEPS`] opcodes.
pub fn read(bytes: &[u8], start: usize) -> Result<Graph<'_>, String> {
    let mut machine = Machine {
        bytes,
        at: start,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..MAX_STEPS {
        let opcode_at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Graph { bytes, nodes: machine.nodes, root, end: machine.at });
            }
            Err(Fault(what)) => {
                return Err(format!("its pickle is wrong at byte {opcode_at}: {what}"));
            }
        }
    }
    Err(format!("its pickle has more than {MAX_STEPS} opcodes; no CLIP checkpoint needs as many"))
}

/// What was wrong with one opcode.
struct Fault(String);

fn fault<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(what.into()))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack where a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    /// Obeys one opcode; `Some` is the pickle's value, at its end.
    fn step(&mut self) -> Result<Option<Id>, Fault> {
        let opcode = self.byte()?;
        match opcode {
            // PROTO, FRAME: nothing that has to be known.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.drop_one()?,
            b'1' => drop(self.popped_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b | b'F' | b'G' => self.number(opcode)?,
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => {
                self.string(opcode)?;
            }
            b')' | b']' | b'}' | 0x8f | b't' | b'l' | b'd' | 0x85 | 0x86 | 0x87 | 0x91 => {
                self.container(opcode)?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memory(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' => self.call(opcode)?,
            b'P' => {
                let line = self.line()?;
                self.push(Node::Text(line));
                let key = self.pop()?;
                self.push(Node::Persistent(key));
            }
            b'Q' => {
                let key = self.pop()?;
                self.push(Node::Persistent(key));
            }
            // EXT1, EXT2, EXT4: classes by a number that only a running Python knows.
            0x82 => self.extension(1)?,
            0x83 => self.extension(2)?,
            0x84 => self.extension(4)?,
            0x97 | 0x98 => return fault("it refers to buffers that are not in the file"),
            other => return fault(format!("unknown opcode 0x{other:02x}")),
        }
        Ok(None)
    }

    fn number(&mut self, opcode: u8) -> Result<(), Fault> {
        let node = match opcode {
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Node::Int(i64::from(self.byte()?)),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'I' | b'L' => {
                let line = self.line()?;
                match self.bytes.get(line.clone()).unwrap_or_default() {
                    b"00" if opcode == b'I' => Node::Bool(false),
                    b"01" if opcode == b'I' => Node::Bool(true),
                    digits => self.decimal(digits, line.clone())?,
                }
            }
            0x8a => {
                let n = usize::from(self.byte()?);
                self.long(n)?
            }
            0x8b => {
                let n = i32::from_le_bytes(self.array()?);
                let n = usize::try_from(n).or_else(|_| fault("a negative length"))?;
                self.long(n)?
            }
            b'G' => Node::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let line = self.line()?;
                let text = std::str::from_utf8(self.bytes.get(line).unwrap_or_default());
                match text.ok().and_then(|text| text.trim().parse().ok()) {
                    Some(value) => Node::Float(value),
                    None => return fault("expected a number"),
                }
            }
        };
        self.push(node);
        Ok(())
    }

    fn decimal(&self, digits: &[u8], line: Range<usize>) -> Result<Node, Fault> {
        let digits = digits.strip_suffix(b"L").unwrap_or(digits);
        match std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse().ok()) {
            Some(value) => Ok(Node::Int(value)),
            None if digits.iter().all(|d| d.is_ascii_digit() || *d == b'-') => Ok(Node::Long(line)),
            None => fault("expected a whole number"),
        }
    }

    fn long(&mut self, n: usize) -> Result<Node, Fault> {
        let range = self.take(n)?;
        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
        if n > 8 {
            return Ok(Node::Long(range));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole[..n].copy_from_slice(bytes);
        Ok(Node::Int(i64::from_le_bytes(whole)))
    }

    fn string(&mut self, opcode: u8) -> Result<(), Fault> {
        let n = match opcode {
            b'S' | b'V' => {
                let line = self.line()?;
                let line = if opcode == b'S' { self.unquoted(line) } else { line };
                self.push(Node::Text(line));
                return Ok(());
            }
            b'U' | b'C' | 0x8c => u64::from(self.byte()?),
            b'T' | b'X' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        let n = usize::try_from(n).or_else(|_| fault("a string longer than memory"))?;
        let range = self.take(n)?;
        self.push(match opcode {
            b'X' | 0x8c | 0x8d => Node::Text(range),
            // Python 2's strings were bytes and hold both.
            b'T' | b'U'
                if std::str::from_utf8(self.bytes.get(range.clone()).unwrap_or_default())
                    .is_ok() =>
            {
                Node::Text(range)
            }
            _ => Node::Bytes(range),
        });
        Ok(())
    }

    fn unquoted(&self, line: Range<usize>) -> Range<usize> {
        match self.bytes.get(line.clone()) {
            Some([b'\'', .., b'\''] | [b'"', .., b'"']) => line.start + 1..line.end - 1,
            _ => line,
        }
    }

    fn container(&mut self, opcode: u8) -> Result<(), Fault> {
        let node = match opcode {
            b')' => Node::Tuple(Box::default()),
            b']' | 0x8f => Node::List(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b't' => Node::Tuple(self.popped_mark()?.into()),
            b'l' | 0x91 => Node::List(self.popped_mark()?),
            b'd' => Node::Dict(pairs(&self.popped_mark()?)?),
            _ => {
                let n = usize::from(opcode - 0x84);
                let from = self.floor(n)?;
                Node::Tuple(self.stack.split_off(from).into())
            }
        };
        self.push(node);
        Ok(())
    }

    fn fill(&mut self, opcode: u8) -> Result<(), Fault> {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let from = self.floor(2)?;
                self.stack.split_off(from)
            }
            _ => self.popped_mark()?,
        };
        let into = self.top()?;
        let as_pairs = matches!(opcode, b's' | b'u');
        match (self.nodes.get_mut(into.0 as usize), as_pairs) {
            (Some(Node::Dict(items)), true) => items.extend(pairs(&values)?),
            (Some(Node::Object(object)), true) => object.items.extend(pairs(&values)?),
            (Some(Node::List(elements)), false) => elements.extend(values),
            (Some(Node::Object(object)), false) => object.elements.extend(values),
            (Some(Node::Opaque | Node::Persistent(_)), _) => {}
            _ => return fault("it fills something that is no list or dictionary"),
        }
        Ok(())
    }

    fn memory(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = match opcode {
            b'h' | b'q' => u64::from(self.byte()?),
            b'j' | b'r' => u64::from(u32::from_le_bytes(self.array()?)),
            0x94 => self.memo.len() as u64,
            _ => {
                let line = self.line()?;
                let text = std::str::from_utf8(self.bytes.get(line).unwrap_or_default());
                match text.ok().and_then(|text| text.trim().parse().ok()) {
                    Some(slot) => slot,
                    None => return fault("expected a whole number"),
                }
            }
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            match self.memo.get(&slot) {
                Some(id) => self.stack.push(*id),
                None => return fault(format!("it asks for value {slot}, which it never kept")),
            }
        } else {
            let top = self.top()?;
            self.memo.insert(slot, top);
        }
        Ok(())
    }

    fn call(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let texts = [module, name].map(|id| match self.nodes.get(id.0 as usize) {
                    Some(Node::Text(range)) => Some(range.clone()),
                    _ => None,
                });
                match texts {
                    [Some(module), Some(name)] => self.push(Node::Global(module, name)),
                    _ => return fault("expected the name of a class as text"),
                }
            }
            b'R' | 0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.object(class, args);
            }
            0x92 => {
                let (_keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(class, args);
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let args = self.popped_mark()?;
                let class = self.add(Node::Global(module, name));
                let args = self.add(Node::Tuple(args.into()));
                self.object(class, args);
            }
            b'o' => {
                let mut args = self.popped_mark()?;
                if args.is_empty() {
                    return fault("an object without a class");
                }
                let class = args.remove(0);
                let args = self.add(Node::Tuple(args.into()));
                self.object(class, args);
            }
            _ => {
                let state = self.pop()?;
                let top = self.top()?;
                if let Some(Node::Object(object)) = self.nodes.get_mut(top.0 as usize) {
                    object.state = Some(state);
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, class: Id, args: Id) {
        let object = Object { class, args, state: None, items: Vec::new(), elements: Vec::new() };
        self.push(Node::Object(Box::new(object)));
    }

    fn extension(&mut self, bytes: usize) -> Result<(), Fault> {
        self.skip(bytes)?;
        self.push(Node::Opaque);
        Ok(())
    }

    fn add(&mut self, node: Node) -> Id {
        // At most two nodes a step, so the index fits: MAX_STEPS is far below 2³¹.
        let id = Id(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    fn push(&mut self, node: Node) {
        let id = self.add(node);
        self.stack.push(id);
    }

    /// Lowest height the stack may fall to: what lies under a mark is out of reach.
    fn floor(&self, n: usize) -> Result<usize, Fault> {
        let mark = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(from) if from >= mark => Ok(from),
            _ => fault("its stack runs empty"),
        }
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        self.floor(1)?;
        self.stack.pop().map_or_else(|| fault("its stack runs empty"), Ok)
    }

    fn top(&self) -> Result<Id, Fault> {
        self.floor(1)?;
        self.stack.last().copied().map_or_else(|| fault("its stack runs empty"), Ok)
    }

    /// POP takes a mark away where one is on top.
    fn drop_one(&mut self) -> Result<(), Fault> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            Ok(())
        } else {
            self.pop().map(drop)
        }
    }

    /// Everything above the last mark, which is taken away.
    fn popped_mark(&mut self) -> Result<Vec<Id>, Fault> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height.min(self.stack.len()))),
            None => fault("it ends a group that it never began"),
        }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let range = self.take(N)?;
        match self.bytes.get(range).and_then(|bytes| bytes.first_chunk()) {
            Some(array) => Ok(*array),
            None => fault("the file ends here: truncated"),
        }
    }

    fn skip(&mut self, n: usize) -> Result<(), Fault> {
        self.take(n).map(drop)
    }

    /// The next `n` bytes, which are there.
    fn take(&mut self, n: usize) -> Result<Range<usize>, Fault> {
        let left = self.bytes.len().saturating_sub(self.at);
        if n > left {
            return fault(format!("{n} bytes are announced, {left} are left: truncated"));
        }
        let range = self.at..self.at + n;
        self.at = range.end;
        Ok(range)
    }

    /// Up to the next line feed, which is passed over.
    fn line(&mut self) -> Result<Range<usize>, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
            Some(n) => {
                let range = self.at..self.at + n;
                self.at = range.end + 1;
                Ok(range)
            }
            None => fault("a line does not end: truncated or no pickle"),
        }
    }
}

/// Longest line of a text opcode: names and numbers.
const MAX_LINE: usize = 1 << 16;

fn pairs(values: &[Id]) -> Result<Vec<(Id, Id)>, Fault> {
    let (pairs, rest) = values.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        fault("a key without a value")
    }
}
