//! Hugging Face datasets as parquet: encoded images in one column, labels in
//! another. A file is indexed once; an image is then read by its page alone.

mod pages;
mod schema;
mod thrift;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::basic::Compression;
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;

use pages::{Page, Source};
use schema::{Columns, LabelKind};

use super::error::{DatasetError, open_file};
use super::quiet::quiet;
use super::{Entry, Location};
use crate::plural::counted;

/// A row takes more bytes than this, or the file lies about how many it has.
const LEAST_ROW: u64 = 16;
/// Labels are read in steps of so many.
const STEP: usize = 4096;

/// One open parquet file.
#[derive(Debug)]
pub(crate) struct Table {
    /// Where it is.
    pub path: PathBuf,
    source: Arc<Source>,
    meta: ParquetMetaData,
    columns: Columns,
    /// Pages of images, of all row groups.
    pages: Vec<Place>,
    /// Those packed by gzip that are known to be what they claim.
    checked: Vec<AtomicBool>,
}

/// A page of images, and what is needed to read it.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    /// The first page of values in its column: before it lies the dictionary.
    first: Page,
    page: Page,
}

/// Labels as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Labels {
    Numbers(Vec<u32>),
    Words(Vec<String>),
}

impl Labels {
    /// The largest number.
    pub fn most(&self) -> Option<u32> {
        if let Self::Numbers(all) = self { all.iter().max().copied() } else { None }
    }

    /// All words; none where labels are numbers.
    pub fn words(&self) -> &[String] {
        if let Self::Words(all) = self { all } else { &[] }
    }
}

/// Why a file cannot be used.
enum Fault {
    /// It is not what it claims to be, or of a kind that is not read.
    File(String),
    /// A row without a usable label: the file may be sound.
    Label(String),
}

impl<T: Into<String>> From<T> for Fault {
    fn from(message: T) -> Self {
        Self::File(message.into())
    }
}

/// What a spec says of the columns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub image: Option<&'a str>,
    pub label: Option<&'a str>,
}

impl Table {
    /// Opens a file and finds every image in it.
    ///
    /// # Errors
    /// When the file is no parquet file, is cut short, contradicts itself, has
    /// no usable columns, or a row without a label.
    pub fn open(path: &Path, asked: Asked<'_>) -> Result<(Self, Labels), DatasetError> {
        let file = open_file(path)?;
        let length = file.metadata().map_err(DatasetError::read(path))?.len();
        let source = Arc::new(Source { file, length });
        let wrong = |message: String| DatasetError::layout(path, message);
        pages::check_footer(&source).map_err(wrong)?;
        let opened = quiet(|| -> Result<_, Fault> {
            let meta = ParquetMetaDataReader::new()
                .parse_and_finish(source.as_ref())
                .map_err(|error| in_words(&error))?;
            let columns = schema::columns(meta.file_metadata(), asked.image, asked.label)?;
            let mut table = Self {
                path: path.into(),
                source: source.clone(),
                meta,
                columns,
                pages: Vec::new(),
                checked: Vec::new(),
            };
            table.check_sizes()?;
            let labels = table.index()?;
            Ok((table, labels))
        });
        opened.unwrap_or_else(|| Err("its headers are damaged".into())).map_err(|fault| {
            wrong(match fault {
                Fault::File(message) => format!(
                    "{message} (parquet); write or download the file again if it is damaged"
                ),
                Fault::Label(message) => {
                    format!("{message}; choose another split, or another column by `label_column`")
                }
            })
        })
    }

    /// The class names in the file's metadata.
    pub fn names(&self) -> Option<&[String]> {
        self.columns.names.as_deref()
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.source.length
    }

    /// Row groups must not claim more rows, or more bytes, than the file has.
    fn check_sizes(&self) -> Result<(), String> {
        let length = self.source.length;
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        for group in self.meta.row_groups() {
            let claimed = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
            rows = rows.saturating_add(claimed);
            for column in [self.columns.image, self.columns.label] {
                let Some(chunk) = group.columns().get(column) else {
                    return Err("a row group lacks a column".into());
                };
                if !matches!(
                    chunk.compression(),
                    Compression::UNCOMPRESSED
                        | Compression::SNAPPY
                        | Compression::ZSTD(_)
                        | Compression::GZIP(_)
                ) {
                    return Err(format!(
                        "compressed by {}, which is not read: write it with snappy, zstd or gzip",
                        chunk.compression()
                    ));
                }
                let size = chunk.compressed_size();
                bytes = bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
            }
        }
        if bytes > length {
            return Err(format!(
                "its columns claim {}, the file has {length}",
                counted(bytes, "byte")
            ));
        }
        if rows > length / LEAST_ROW {
            return Err(format!(
                "it claims {}, more than {length} bytes can hold",
                counted(rows, "row")
            ));
        }
        Ok(())
    }

    /// Finds the pages of images and reads all labels.
    fn index(&mut self) -> Result<Labels, Fault> {
        let mut labels = match self.columns.kind {
            LabelKind::Text => Labels::Words(Vec::new()),
            _ => Labels::Numbers(Vec::new()),
        };
        let mut places = Vec::new();
        for (number, group) in self.meta.row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).map_err(|_| "a row group has no rows")?;
            let walk = |column: usize, what: &str, numbers: bool| {
                let chunk = group.columns().get(column).ok_or("a row group lacks a column")?;
                let pages = pages::walk(&self.source, chunk, numbers)?;
                let held = pages.iter().fold(0_u64, |sum, page| sum.saturating_add(page.rows));
                if held == rows {
                    return Ok(pages);
                }
                Err(Fault::File(format!(
                    "row group {number} claims {}, its {what} are {held}",
                    counted(rows, "row")
                )))
            };
            let images = walk(self.columns.image, "images", false)?;
            places.extend(images.iter().filter(|page| page.rows > 0).map(|&page| Place {
                group: number as u32,
                first: images[0],
                page,
            }));
            let numbers = self.columns.kind != LabelKind::Text;
            let pages = walk(self.columns.label, "labels", numbers)?;
            if self.is_gzip(number, self.columns.label) {
                pages.iter().try_for_each(|page| page.check_gzip(&self.source))?;
            }
            self.labels(number, rows as usize, &pages, &mut labels)?;
        }
        self.checked = places.iter().map(|_| AtomicBool::new(false)).collect();
        self.pages = places;
        Ok(labels)
    }

    fn is_gzip(&self, group: usize, column: usize) -> bool {
        let chunk = self.meta.row_group(group).column(column);
        matches!(chunk.compression(), Compression::GZIP(_))
    }

    /// Appends the labels of one row group.
    fn labels(
        &self,
        group: usize,
        rows: usize,
        pages: &[Page],
        labels: &mut Labels,
    ) -> Result<(), Fault> {
        if rows == 0 {
            return Ok(());
        }
        let mut start = 0;
        let locations = pages
            .iter()
            .map(|page| {
                let location = location(page, start);
                start += page.rows as i64;
                location
            })
            .collect();
        let column = self.columns.label;
        let before = match labels {
            Labels::Numbers(all) => all.len(),
            Labels::Words(all) => all.len(),
        };
        let unusable = |i: usize, got: &str| {
            let expected = match self.columns.kind {
                LabelKind::Text => "a class name",
                _ => "a class number from 0",
            };
            Fault::Label(format!(
                "row {} of the column `{}`: expected {expected} as label, got {got}",
                before + i,
                self.columns.label_name
            ))
        };
        let number = |i: usize, value: i64| {
            u32::try_from(value).map_err(|_| match value {
                -1 => unusable(i, "-1, which marks a split without labels"),
                _ => unusable(i, &value.to_string()),
            })
        };
        let null = |i: usize| unusable(i, "null, which marks a split without labels");
        match (self.columns.kind, labels) {
            (LabelKind::Int32, Labels::Numbers(all)) => {
                let values = self.values::<Int32Type>(group, column, rows, locations, null)?;
                for (i, value) in values.into_iter().enumerate() {
                    all.push(number(i, value.into())?);
                }
            }
            (LabelKind::Int64, Labels::Numbers(all)) => {
                let values = self.values::<Int64Type>(group, column, rows, locations, null)?;
                for (i, value) in values.into_iter().enumerate() {
                    all.push(number(i, value)?);
                }
            }
            (_, Labels::Words(all)) => {
                let values = self.values::<ByteArrayType>(group, column, rows, locations, null)?;
                for (i, value) in values.iter().enumerate() {
                    let text =
                        value.as_utf8().map_err(|_| unusable(i, "bytes that are not UTF-8"))?;
                    all.push(text.to_string());
                }
            }
            (LabelKind::Text, Labels::Numbers(_)) => {}
        }
        Ok(())
    }

    /// All values of a column of one row group; `null` is the error for a row that has none.
    fn values<T: DataType>(
        &self,
        group: usize,
        column: usize,
        rows: usize,
        locations: Vec<PageLocation>,
        null: impl Fn(usize) -> Fault,
    ) -> Result<Vec<T::T>, Fault> {
        let mut reader = self.reader::<T>(group, column, rows, locations)?;
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while values.len() < rows {
            levels.clear();
            let before = values.len();
            let step = STEP.min(rows - before);
            let (read, ..) = reader
                .read_records(step, Some(&mut levels), None, &mut values)
                .map_err(|error| in_words(&error))?;
            if read == 0 {
                let message = format!("the labels end after {before} of {}", counted(rows, "row"));
                return Err(Fault::File(message));
            }
            if values.len() - before < read {
                let most = levels.iter().max().copied().unwrap_or(0);
                let first = levels.iter().position(|&level| level < most).unwrap_or(0);
                return Err(null(before + first));
            }
        }
        Ok(values)
    }

    fn reader<T: DataType>(
        &self,
        group: usize,
        column: usize,
        rows: usize,
        locations: Vec<PageLocation>,
    ) -> Result<ColumnReaderImpl<T>, String> {
        let chunk = self.meta.row_group(group).column(column);
        let pages: Box<dyn PageReader> = Box::new(
            SerializedPageReader::new(self.source.clone(), chunk, rows, Some(locations))
                .map_err(|error| in_words(&error))?,
        );
        let description = self.meta.file_metadata().schema_descr().column(column);
        Ok(ColumnReaderImpl::new(description, pages))
    }

    /// An entry for each row; `number` is this file's number in the dataset.
    pub fn entries<'a>(&'a self, number: u32, stem: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let rows = self.pages.iter().enumerate().flat_map(|(page, place)| {
            (0..place.page.rows as u32).map(move |row| (page as u32, row))
        });
        rows.enumerate().map(move |(i, (page, row))| Entry {
            key: format!("{stem}/{i:07}"),
            label: 0,
            at: Location::Row { table: number, page, row },
        })
    }

    /// The encoded image in one row of a page.
    ///
    /// # Errors
    /// When the page is damaged, or the row holds no bytes.
    pub fn image(&self, page: u32, row: u32) -> Result<Vec<u8>, DatasetError> {
        let read = quiet(|| self.image_at(page, row)).unwrap_or_else(|| Err(DAMAGED.into()));
        read.map_err(|message| DatasetError::layout(&self.path, message))
    }

    fn image_at(&self, number: u32, row: u32) -> Result<Vec<u8>, String> {
        let Place { group, first, page } = self.pages[number as usize];
        let unpacks = |error: &ParquetError| format!("{DAMAGED}: {}", in_words(error));
        let checked = &self.checked[number as usize];
        if self.is_gzip(group as usize, self.columns.image) && !checked.load(Ordering::Relaxed) {
            page.check_gzip(&self.source)?;
            checked.store(true, Ordering::Relaxed);
        }
        // The page reader finds the dictionary before the first location, so
        // that the column's first page is named even where another is wanted;
        // one row each is enough to tell them apart.
        let ahead = usize::from(first != page);
        let mut locations = vec![location(&page, ahead as i64)];
        if ahead == 1 {
            locations.insert(0, location(&first, 0));
        }
        let rows = ahead + page.rows as usize;
        let mut reader =
            self.reader::<ByteArrayType>(group as usize, self.columns.image, rows, locations)?;
        reader.skip_records(ahead + row as usize).map_err(|error| unpacks(&error))?;
        let (mut values, mut levels) = (Vec::<ByteArray>::new(), Vec::new());
        let (read, ..) = reader
            .read_records(1, Some(&mut levels), None, &mut values)
            .map_err(|error| unpacks(&error))?;
        match (&values[..], read) {
            ([image], _) => Ok(image.data().to_vec()),
            (_, 1) => Err("the row holds no image bytes, perhaps only a path to a file elsewhere: write the dataset with its images embedded".into()),
            _ => Err(DAMAGED.into()),
        }
    }
}

const DAMAGED: &str = "a page of images is damaged";

fn location(page: &Page, first_row: i64) -> PageLocation {
    PageLocation {
        offset: page.offset as i64,
        compressed_page_size: page.length,
        first_row_index: first_row,
    }
}

/// The crate's errors without their type's name in front.
fn in_words(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text) => {
            text.trim().to_string()
        }
        other => other.to_string(),
    }
}
