//! A run as a file for others: numbers for programs, tables and a figure for
//! people. Pure: from the fold of its events.

mod csv;
mod doctor;
mod json;
mod layer_table;
mod layers;
mod pixels;
mod rows;
mod svg;
mod table;
mod variants;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::sweep::state::SweepState;
use crate::sweep::stats::Member;

pub use table::table;

/// What a report is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Everything, for programs.
    #[default]
    Json,
    /// One line a cell, for spreadsheets.
    Csv,
    /// The result table, for texts.
    Md,
    /// The curves, for papers and talks.
    Svg,
    /// The same as pixels, 288 to the inch.
    Png,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as clap::ValueEnum>::from_str(text, true)
            .map_err(|_| format!("expected json, csv, md, svg or png, got `{text}`"))
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The journal has no header.
    #[error(
        "cannot report: the run's journal does not say what is measured (no header line); \
         was the run folder copied whole?"
    )]
    NoHeader,
    /// The figure does not become pixels.
    #[error("cannot draw the PNG: {0}; `--format svg` writes the same figure without pixels")]
    Png(String),
    /// The folder to write into is not there.
    #[error("cannot write {path}: {folder} is no folder; make it first", path = path.display(), folder = folder.display())]
    Folder {
        /// Which file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The numbers do not go into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; nothing is left there half-written", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The report's bytes; text ends with a line break.
///
/// # Errors
/// When the state has no header, or there is no memory for a picture.
pub fn render(state: &SweepState, format: Format) -> Result<Vec<u8>, ReportError> {
    state.header().ok_or(ReportError::NoHeader)?;
    Ok(match format {
        Format::Json => json::json(&[Member { name: "", run: state }])?,
        Format::Csv => csv::csv(state).into_bytes(),
        Format::Md => table::markdown(state).into_bytes(),
        Format::Svg => svg::svg(state).into_bytes(),
        Format::Png => pixels::draw(&svg::svg(state))?,
    })
}

/// The JSON report of the first run, with `together`: what the points of all of
/// them say together of sharpness and OOD accuracy.
///
/// # Errors
/// When the first has no header.
pub fn render_together(members: &[Member<'_>]) -> Result<Vec<u8>, ReportError> {
    json::json(members)
}

/// Writes a whole file or none: beside, then renamed. No folder is made.
///
/// # Errors
/// When its folder is not there, or the system says no.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|it| !it.is_dir()) {
        return Err(ReportError::Folder { path: path.into(), folder: folder.into() });
    }
    crate::config::write_whole(path, bytes)
        .map_err(|source| ReportError::Io { path: path.into(), source })
}
