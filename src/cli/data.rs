//! `alphascope data`: what was typed → a [`DatasetSpec`] → what the dataset is.

use std::path::PathBuf;

use clap::ValueEnum;

use super::print;
use crate::dataset::{Depth, describe};
use crate::sweep::spec::{self, DatasetSpec, Role};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image folder, WebDataset folder, tar or list of tars, parquet file or folder
    path: PathBuf,
    /// Decode every image in full, to find all that cannot be read
    #[arg(long)]
    every: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: Keys,
}

/// The keys of a dataset's section in a spec.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "As in a spec's [[datasets]]")]
struct Keys {
    /// Class names, one a line
    #[arg(long, value_name = "FILE")]
    classnames: Option<PathBuf>,
    /// Prompts, one a line, the class where {c} or {} stands
    #[arg(long, value_name = "FILE")]
    templates: Option<PathBuf>,
    /// Of ObjectNet: which protocol
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Of ObjectNet: the folder of its four mapping files
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// Of parquet: the column of images
    #[arg(long, value_name = "NAME")]
    image_column: Option<String>,
    /// Of parquet: the column of labels
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    /// A frame cut off, ImageNet's prompts
    WiseFt,
    /// Whole images, ObjectNet's own names
    ClipBenchmark,
}

impl Args {
    /// Prints what the dataset is.
    ///
    /// # Errors
    /// When it cannot be opened so, or no image can be read.
    pub fn run(self) -> anyhow::Result<u8> {
        let depth = if self.every { Depth::Every } else { Depth::Sample };
        let described = describe(&self.keys.spec(self.path), depth)?;
        let code = print(&described, self.json)?;
        if described.is_unreadable() {
            anyhow::bail!(
                "{}: expected images that can be decoded, got none among the {} tried: see what is \
                 said of them, and copy or download the dataset again",
                described.path.display(),
                described.decoded
            );
        }
        Ok(code)
    }
}

impl Keys {
    fn spec(self, path: PathBuf) -> DatasetSpec {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        DatasetSpec {
            classnames: self.classnames,
            templates: self.templates,
            protocol: self.protocol.map(|it| match it {
                Protocol::WiseFt => spec::Protocol::WiseFt,
                Protocol::ClipBenchmark => spec::Protocol::ClipBenchmark,
            }),
            mappings: self.mappings,
            image_column: self.image_column,
            label_column: self.label_column,
            ..DatasetSpec::new(name, Role::Id, path)
        }
    }
}
