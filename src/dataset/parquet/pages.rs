//! Where the pages of a column lie, and whether their sizes can be believed.
//!
//! Walking the headers once gives every row its page, so that one image costs
//! one read, and refuses pages that would swell beyond reason when unpacked.

use std::fs::File;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::super::shards::read_at;
use super::thrift::{Broken, Walk};

/// Bytes of one unpacked page; writers aim at one megabyte.
const MOST_UNPACKED: i64 = 256 << 20;
/// Smaller pages may swell as they like …
const SMALL: i64 = 16 << 20;
/// … larger ones so many times when unpacked. Images are packed already.
const MOST_SWELLING: i64 = 256;
/// Bytes of one value of a dictionary: a number of 32 bits, or the length of bytes.
const LEAST_DISTINCT: i64 = 4;
/// Bytes of a page's header with its statistics.
const MOST_HEADER: usize = 1 << 20;
/// Bytes of a file's footer.
const MOST_FOOTER: u64 = 64 << 20;
/// How deep columns are nested.
const DEPTH: usize = 24;

/// A file that is read at places, by many threads at once.
#[derive(Debug)]
pub(super) struct Source {
    pub file: File,
    pub length: u64,
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = std::io::Cursor<Vec<u8>>;

    /// A buffer for a page's header: the crate reads nothing else this way.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let length = self.length.saturating_sub(start).min(MOST_HEADER as u64);
        Ok(std::io::Cursor::new(read_at(&self.file, start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.length);
        if end.is_none() {
            return Err(ParquetError::EOF("the file is cut short".into()));
        }
        Ok(read_at(&self.file, start, length as u64)?.into())
    }
}

/// One page of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Where its header starts.
    pub offset: u64,
    /// Bytes of header and data.
    pub length: i32,
    /// Values in it; of a column that is not repeated, rows.
    pub rows: u64,
    /// Bytes of header and levels, in front of what is packed.
    ahead: u32,
    /// Bytes that this claims to be when it is unpacked.
    unpacked: u32,
}

/// Encodings that are read, by their numbers in the format, with the ways of writing values that
/// the crate unpacks without trusting a count inside the data.
const PLAIN: i64 = 0;
const DICTIONARIES: [i64; 2] = [2, 8];
/// Of whole numbers. (Of bytes the crate gives memory for as many lengths as the data claims.)
const DELTA: i64 = 5;

/// An encoding's name in the format.
fn encoding_name(number: i64) -> String {
    let name = match number {
        3 => "RLE",
        4 => "BIT_PACKED",
        5 => "DELTA_BINARY_PACKED",
        6 => "DELTA_LENGTH_BYTE_ARRAY",
        7 => "DELTA_BYTE_ARRAY",
        9 => "BYTE_STREAM_SPLIT",
        _ => return format!("number {number} of the format"),
    };
    name.into()
}

/// What a page's header says.
#[derive(Default)]
struct Header {
    unpacked: Option<i64>,
    packed: Option<i64>,
    /// Of a page of values.
    values: Option<i64>,
    encoding: Option<i64>,
    /// Of a dictionary.
    distinct: Option<i64>,
    /// Bytes of levels, which version 2 does not pack.
    levels: i64,
    /// Version 2 says where nothing is packed.
    plain: bool,
}

/// The pages of values of one column of one row group, in order. `numbers`: of whole numbers.
///
/// # Errors
/// In words, when headers and sizes contradict each other or the file.
pub(super) fn walk(
    source: &Source,
    chunk: &ColumnChunkMetaData,
    numbers: bool,
) -> Result<Vec<Page>, String> {
    let gzip = matches!(chunk.compression(), Compression::GZIP(_));
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
    let (mut at, end) = range
        .and_then(|(start, length)| Some((start, start.checked_add(length)?)))
        .filter(|&(_, end)| end <= source.length)
        .ok_or_else(|| {
            format!("a column ends beyond the file's {} bytes: it is cut short", source.length)
        })?;
    let mut pages = Vec::new();
    while at < end {
        let (header, length) = header(source, at, end)?;
        let (Some(unpacked), Some(packed)) = (header.unpacked, header.packed) else {
            return Err("a page's header names no sizes".into());
        };
        if !(0..=MOST_UNPACKED).contains(&unpacked) {
            return Err(format!(
                "a page claims {unpacked} bytes unpacked; expected at most {MOST_UNPACKED}"
            ));
        }
        if unpacked > SMALL && unpacked / MOST_SWELLING > packed {
            return Err(format!(
                "a page of {packed} bytes claims {unpacked} unpacked, more than {MOST_SWELLING} times as many: no images are packed so"
            ));
        }
        if let Some(distinct) = header.distinct
            && distinct.saturating_mul(LEAST_DISTINCT) > unpacked
        {
            return Err(format!("a dictionary claims {distinct} values in {unpacked} bytes"));
        }
        let known = |encoding: &i64| {
            *encoding == PLAIN || DICTIONARIES.contains(encoding) || numbers && *encoding == DELTA
        };
        if let Some(encoding) = header.encoding.filter(|encoding| !known(encoding)) {
            return Err(format!(
                "column `{}` is encoded as {}, which is not read: write it plain or by dictionary, as `datasets` and pyarrow do by themselves",
                chunk.column_path().parts().first().map_or("", String::as_str),
                encoding_name(encoding)
            ));
        }
        let whole = u64::try_from(packed).ok().and_then(|packed| packed.checked_add(length));
        let Some((whole, short)) = whole
            .filter(|&whole| whole <= end - at)
            .and_then(|whole| Some((whole, i32::try_from(whole).ok()?)))
        else {
            return Err(format!("a page claims {packed} bytes, more than its column has"));
        };
        let levels = u64::try_from(header.levels).ok().filter(|levels| *levels <= unpacked as u64);
        let levels = levels.ok_or("a page claims more bytes of levels than it has")?;
        let page = Page {
            offset: at,
            length: short,
            rows: 0,
            ahead: u32::try_from(length + levels).unwrap_or(u32::MAX),
            unpacked: if header.plain { 0 } else { (unpacked as u64 - levels) as u32 },
        };
        if let Some(values) = header.values {
            let rows = u64::try_from(values).map_err(|_| "a page claims less than no values")?;
            pages.push(Page { rows, ..page });
        } else if gzip {
            page.check_gzip(source)?;
        }
        at += whole;
    }
    Ok(pages)
}

impl Page {
    /// Unpacks the page into nothing, to see that it is what it claims: the crate unpacks gzip to
    /// its end, however much that is.
    ///
    /// # Errors
    /// In words.
    pub(super) fn check_gzip(&self, source: &Source) -> Result<(), String> {
        if self.unpacked == 0 {
            return Ok(());
        }
        let length = u64::from(self.length.unsigned_abs());
        let bytes =
            read_at(&source.file, self.offset, length).map_err(|error| error.to_string())?;
        let packed = bytes.get(self.ahead as usize..).ok_or("a page ends within its levels")?;
        let claimed = u64::from(self.unpacked);
        let mut all = MultiGzDecoder::new(packed).take(claimed + 1);
        let got = std::io::copy(&mut all, &mut std::io::sink());
        match got.map_err(|error| format!("a page is no whole gzip stream: {error}"))? {
            got if got == claimed => Ok(()),
            got if got > claimed => {
                Err(format!("a page unpacks to more than the {claimed} bytes it claims"))
            }
            got => Err(format!("a page claims {claimed} bytes unpacked and has {got}")),
        }
    }
}

/// The header at `at` and its length.
fn header(source: &Source, at: u64, end: u64) -> Result<(Header, u64), String> {
    for most in [256, 16 << 10, MOST_HEADER] {
        let length = (end - at).min(most as u64);
        let bytes = read_at(&source.file, at, length).map_err(|error| error.to_string())?;
        match parse(&bytes) {
            Ok((header, length)) => return Ok((header, length as u64)),
            Err(Broken::Short) if length < end - at => {}
            Err(Broken::Short) => return Err("a page's header is cut short".into()),
            Err(Broken::Wrong(why)) => return Err(format!("a page has no valid header: {why}")),
        }
    }
    Err(format!("a page's header is longer than {MOST_HEADER} bytes"))
}

/// `PageHeader`: 2 unpacked and 3 packed size; 5 and 8 are the headers of values, 7 of a
/// dictionary; field 1 of each counts the values.
fn parse(bytes: &[u8]) -> Result<(Header, usize), Broken> {
    let mut header = Header::default();
    let mut walk = Walk::new(bytes);
    walk.fields(|walk, field| {
        match field.id {
            2 if field.is_number() => header.unpacked = Some(walk.number()?),
            3 if field.is_number() => header.packed = Some(walk.number()?),
            kind @ (5 | 7 | 8) if field.is_struct() => walk.fields(|walk, field| {
                if kind == 8 && matches!(field.id, 5 | 6) && field.is_number() {
                    header.levels = header.levels.saturating_add(walk.number()?);
                    return Ok(true);
                }
                header.plain |= (kind, field.id) == (8, 7) && field.is_false();
                let to = match (kind, field.id) {
                    (7, 1) => &mut header.distinct,
                    (5 | 8, 1) => &mut header.values,
                    (5, 2) | (8, 4) => &mut header.encoding,
                    _ => return Ok(false),
                };
                if field.is_number() {
                    *to = Some(walk.number()?);
                }
                Ok(field.is_number())
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((header, walk.at()))
}

/// Checks the footer before the crate builds anything from it: its length, the lengths of all
/// lists, and how deep columns are nested.
///
/// # Errors
/// In words.
pub(super) fn check_footer(source: &Source) -> Result<(), String> {
    let tail = source.length.checked_sub(8).filter(|&tail| tail >= 4);
    let tail = tail.ok_or("expected a parquet file, got one of under 12 bytes")?;
    let last = read_at(&source.file, tail, 8).map_err(|error| error.to_string())?;
    match last[4..] {
        [b'P', b'A', b'R', b'1'] => {}
        [b'P', b'A', b'R', b'E'] => {
            return Err("it is encrypted, which cannot be read: write it without encryption".into());
        }
        _ => return Err("expected a parquet file, got one without its end mark `PAR1`".into()),
    }
    let length = u64::from(u32::from_le_bytes([last[0], last[1], last[2], last[3]]));
    let start = tail.checked_sub(length).filter(|_| length <= MOST_FOOTER).ok_or_else(|| {
        format!("the footer claims {length} bytes, of a file of {}", source.length)
    })?;
    let bytes = read_at(&source.file, start, length).map_err(|error| error.to_string())?;
    let mut walk = Walk::new(&bytes);
    // How many children each open group still expects, the root's first.
    let mut open: Vec<i64> = Vec::new();
    let checked = walk.fields(|walk, field| {
        if !(field.id == 2 && field.is_list()) {
            return Ok(false);
        }
        walk.structs(|walk| {
            let mut children = 0;
            walk.fields(|walk, field| {
                let counts = field.id == 5 && field.is_number();
                if counts {
                    children = walk.number()?;
                }
                Ok(counts)
            })?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(parent) = open.last_mut() {
                *parent -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            if open.len() > DEPTH {
                return Err(Broken::Wrong("columns are nested too deep"));
            }
            Ok(())
        })?;
        Ok(true)
    });
    checked.map_err(|broken| match broken {
        Broken::Short => "the footer is cut short".into(),
        Broken::Wrong(why) => format!("the footer is not valid: {why}"),
    })
}
