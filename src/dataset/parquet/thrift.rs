//! Just enough of Thrift's compact protocol to check parquet headers before
//! anything is allocated for what they claim.
//!
//! The `parquet` crate trusts sizes and nesting it reads; this module walks the
//! same bytes first, in bounded time, and allocates nothing.

/// Nested so deep at most; parquet's own headers need six levels.
const DEPTH: usize = 32;

/// Why bytes are no header. `Short`: more of them may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The bytes end inside a value.
    Short,
    /// No bytes that follow can mend it.
    Wrong(&'static str),
}

/// The types of the compact protocol that have a payload of their own.
mod kind {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
}

/// A place in the bytes of a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One field's number and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub id: i16,
    kind: u8,
}

impl<'a> Walk<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes walked so far.
    pub fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let byte = *self.bytes.get(self.at).ok_or(Broken::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken::Wrong("a number of more than 64 bits"))
    }

    /// A signed number (zigzag).
    pub fn number(&mut self) -> Result<i64, Broken> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next field of a struct, given the one before (0 at its start);
    /// `None` at the struct's end.
    pub fn field(&mut self, before: i16) -> Result<Option<Field>, Broken> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let id = match head >> 4 {
            0 => i16::try_from(self.number()?).ok(),
            step => before.checked_add(i16::from(step)),
        };
        let id = id.ok_or(Broken::Wrong("a field number of more than 16 bits"))?;
        Ok(Some(Field { id, kind: head & 0x0F }))
    }

    /// The length of a list and the type of its elements. No list is longer
    /// than the bytes that are left.
    fn list(&mut self) -> Result<(usize, u8), Broken> {
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        self.fits(length)?;
        Ok((length as usize, head & 0x0F))
    }

    fn fits(&self, length: u64) -> Result<(), Broken> {
        let left = (self.bytes.len() - self.at) as u64;
        if length > left { Err(Broken::Short) } else { Ok(()) }
    }

    /// A field's value, passed over.
    pub fn skip(&mut self, field: Field) -> Result<(), Broken> {
        // In a field, the type of a truth is the truth itself: no payload.
        if matches!(field.kind, kind::TRUE | kind::FALSE) {
            return Ok(());
        }
        self.value(field.kind, 0)
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH {
            return Err(Broken::Wrong("it is nested too deep"));
        }
        match kind {
            kind::TRUE | kind::FALSE | kind::BYTE => drop(self.byte()?),
            kind::I16..=kind::I64 => drop(self.varint()?),
            kind::DOUBLE => self.pass(8)?,
            kind::BINARY => {
                let length = self.varint()?;
                self.pass(length)?;
            }
            kind::LIST | kind::SET => {
                let (length, element) = self.list()?;
                (0..length).try_for_each(|_| self.value(element, depth + 1))?;
            }
            kind::MAP => {
                let length = self.varint()?;
                self.fits(length)?;
                if length > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..length {
                        self.value(kinds >> 4, depth + 1)?;
                        self.value(kinds & 0x0F, depth + 1)?;
                    }
                }
            }
            kind::STRUCT => {
                let mut before = 0;
                while let Some(field) = self.field(before)? {
                    before = field.id;
                    if !matches!(field.kind, kind::TRUE | kind::FALSE) {
                        self.value(field.kind, depth + 1)?;
                    }
                }
            }
            _ => return Err(Broken::Wrong("a type that does not exist")),
        }
        Ok(())
    }

    fn pass(&mut self, length: u64) -> Result<(), Broken> {
        self.fits(length)?;
        self.at += length as usize;
        Ok(())
    }

    /// The fields of the struct that is `field`'s value: `each` either takes
    /// the value from the walk and says so, or leaves it to be passed over.
    pub fn fields(
        &mut self,
        mut each: impl FnMut(&mut Self, Field) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        let mut before = 0;
        while let Some(field) = self.field(before)? {
            before = field.id;
            if !each(self, field)? {
                self.skip(field)?;
            }
        }
        Ok(())
    }

    /// The elements of the list of structs that is `field`'s value.
    pub fn structs(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let (length, element) = self.list()?;
        if length > 0 && element != kind::STRUCT {
            return Err(Broken::Wrong("a list of another type than expected"));
        }
        (0..length).try_for_each(|_| each(self))
    }
}

impl Field {
    /// Whether it is a whole number.
    pub fn is_number(self) -> bool {
        (kind::I16..=kind::I64).contains(&self.kind)
    }

    /// Whether it is a truth that is not so.
    pub fn is_false(self) -> bool {
        self.kind == kind::FALSE
    }

    pub fn is_struct(self) -> bool {
        self.kind == kind::STRUCT
    }

    pub fn is_list(self) -> bool {
        self.kind == kind::LIST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nesting() {
        // {1: i32 = -3, 2: {1: binary "ab"}, 20: list<i32> [1, 2], 21: true}
        let bytes = [0x15, 5, 0x1C, 0x18, 2, b'a', b'b', 0, 0x09, 40, 0x25, 2, 4, 0x11, 0];
        let mut seen = Vec::new();
        let mut walk = Walk::new(&bytes);
        walk.fields(|walk, field| {
            seen.push((field.id, if field.is_number() { walk.number()? } else { 0 }));
            Ok(field.is_number())
        })
        .unwrap();
        assert_eq!(seen, [(1, -3), (2, 0), (20, 0), (21, 0)]);
        assert_eq!(walk.at(), bytes.len());
        for end in 0..bytes.len() {
            assert_eq!(Walk::new(&bytes[..end]).fields(|_, _| Ok(false)), Err(Broken::Short));
        }
    }

    #[test]
    fn lies_are_refused_without_work() {
        let whole = |bytes: &[u8]| Walk::new(bytes).fields(|_, _| Ok(false));
        // A binary of 2^40 bytes, a list of 2^40 truths, structs in structs.
        assert_eq!(whole(&[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]), Err(Broken::Short));
        assert_eq!(whole(&[0x19, 0xF1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]), Err(Broken::Short));
        assert!(matches!(whole(&[0x1C; 1 << 20]), Err(Broken::Wrong(_))));
        assert!(matches!(whole(&[0x1E, 0]), Err(Broken::Wrong(_))));
    }
}
