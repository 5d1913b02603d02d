//! `alphascope merge`: what was typed → a [`Request`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use crate::checkpoint::{self, Overrides, Pair};
use crate::dataset::{DEFAULT_TEMPLATE, read_classes, read_templates};
use crate::inputs::HeadClasses;
use crate::merge::{self, Request, Summary, Twin, merge};
use crate::sparsify;
use crate::sweep::ids::Alpha;
use crate::sweep::spec::{Edit, Variant};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// θ₀
    #[arg(long, value_name = "CKPT")]
    zeroshot: PathBuf,
    /// θ₁
    #[arg(long, value_name = "CKPT")]
    finetuned: PathBuf,
    /// The point: 0 zero-shot, 1 fine-tuned, others extrapolate
    #[arg(long, value_parser = alpha, allow_hyphen_values = true)]
    alpha: Alpha,
    /// The file to make (it must not exist)
    #[arg(short, long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Make a layer sparse: block.3=delta:0.5, block.3.mlp=2:4, head=reset; methods magnitude,
    /// delta, dare, N:M, reset; LAYER+embeddings for its embeddings too; repeatable
    #[arg(long, value_name = "LAYER=METHOD:AMOUNT", value_parser = sparsify::parse)]
    sparsify: Vec<Edit>,
    /// Whose tensor names
    #[arg(long, value_enum, default_value_t)]
    dialect: Dialect,
    /// Type of the numbers; the sum is taken in f32
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Of `dare`: the run's seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where one end stores a linear head: its classes, one a line, to make the other end's
    #[arg(long, value_name = "FILE")]
    head_classes: Option<PathBuf>,
    /// Prompts of these classes, one a line, the class where {c} or {} stands
    #[arg(long, value_name = "FILE", requires = "head_classes")]
    templates: Option<PathBuf>,
    /// Write no stored linear head
    #[arg(long, conflicts_with = "head_classes")]
    no_head: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Dialect {
    /// OpenAI's and open_clip's
    #[default]
    OpenClip,
    /// Hugging Face's `CLIPModel`
    Hf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Dtype {
    #[default]
    F32,
    F16,
    Bf16,
}

fn alpha(text: &str) -> Result<Alpha, String> {
    let number: f64 = text.parse().map_err(|_| format!("expected a number, got `{text}`"))?;
    Alpha::try_from(number)
}

impl Args {
    /// Writes the file.
    pub fn run(self) -> anyhow::Result<Summary> {
        let mut request = Request {
            zeroshot: self.zeroshot,
            finetuned: self.finetuned,
            overrides: Overrides::default(),
            alpha: self.alpha,
            variant: Variant { name: "merge".into(), sparsify: self.sparsify },
            seed: self.seed,
            out: self.out,
            replace: false,
            dialect: match self.dialect {
                Dialect::OpenClip => checkpoint::Dialect::OpenClip,
                Dialect::Hf => checkpoint::Dialect::HuggingFace,
            },
            dtype: match self.dtype {
                Dtype::F32 => checkpoint::Dtype::F32,
                Dtype::F16 => checkpoint::Dtype::F16,
                Dtype::Bf16 => checkpoint::Dtype::Bf16,
            },
            twin: if self.no_head { Twin::LeaveOut } else { Twin::Unknown },
        };
        if let Some(classes) = self.head_classes {
            request.twin = twin(&request, &classes, self.templates.as_deref())
                .context("cannot make the other end's zero-shot head")?;
        }
        Ok(merge(&request)?)
    }
}

/// The zero-shot head of the end that stores none.
fn twin(request: &Request, classes: &Path, templates: Option<&Path>) -> anyhow::Result<Twin> {
    let pair = Pair::open(&request.zeroshot, &request.finetuned, &Overrides::default())?;
    let templates = match templates {
        Some(file) => read_templates(file)?,
        None => vec![DEFAULT_TEMPLATE.to_string()],
    };
    let classes = HeadClasses { names: read_classes(classes)?, templates };
    merge::twin::of(&pair, &classes).context("leave `--head-classes` out")
}
