//! The form in which θ(α) of a variant is written as a checkpoint.

use std::path::PathBuf;

use super::setup::Field;
use crate::checkpoint::{Dialect, Dtype};
use crate::sweep::ids::Alpha;
use crate::sweep::spec::Variant;

/// Types one may choose, in the order of the keys.
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// A line of the form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Line {
    /// Which file; typed.
    #[default]
    File,
    /// Whose tensor names.
    Naming,
    /// Type of the numbers.
    Type,
}

impl Line {
    /// From the top.
    pub const ALL: [Self; 3] = [Self::File, Self::Naming, Self::Type];

    /// What stands before it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Naming => "names",
            Self::Type => "numbers",
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was asked yet.
    #[default]
    Open,
    /// It is being written.
    Writing,
    /// There is a file already: asked once more, it is replaced.
    Exists,
    /// Why it was not written.
    Failed(String),
}

/// What is to be written, for the outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The file to make.
    pub out: PathBuf,
    /// A file that stands there is replaced.
    pub replace: bool,
    /// Where on the path.
    pub alpha: Alpha,
    /// With which edits.
    pub variant: Variant,
    /// Whose tensor names.
    pub dialect: Dialect,
    /// Type of the numbers.
    pub dtype: Dtype,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is a file, and nobody said that it may go.
    Exists,
    /// All else, as a sentence.
    Because(String),
}

/// The form's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Save {
    /// The highlighted line.
    pub at: Line,
    /// Which file, as typed.
    pub file: Field,
    /// Whose tensor names.
    pub dialect: Dialect,
    /// Type of the numbers.
    pub dtype: Dtype,
    /// Where on the path.
    pub alpha: Alpha,
    /// With which edits.
    pub variant: Variant,
    /// How far it is.
    pub stage: Stage,
}

impl Save {
    /// Opens on a point of a variant; the file's name is made of them.
    #[must_use]
    pub fn new(finetuned: &str, alpha: Alpha, variant: Variant) -> Self {
        let mut name = format!("{finetuned}-a{}", alpha.short());
        if !variant.is_dense() {
            name.push('-');
            name.push_str(&variant.name);
        }
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = name.chars().map(plain).collect();
        let mut parts: Vec<&str> = name.split('-').collect();
        parts.retain(|part| !part.is_empty());
        let file = Field::new(format!("{}.safetensors", parts.join("-")));
        Self {
            at: Line::default(),
            file,
            dialect: Dialect::OpenClip,
            dtype: Dtype::F32,
            alpha,
            variant,
            stage: Stage::Open,
        }
    }

    /// The line after (1) or before (−1).
    pub fn step(&mut self, by: isize) {
        let n = Line::ALL.len() as isize;
        let at = Line::ALL.iter().position(|it| *it == self.at).unwrap_or(0) as isize;
        self.at = Line::ALL[(at + by).rem_euclid(n) as usize];
    }

    /// The next (1) or last (−1) value of the highlighted line.
    pub fn change(&mut self, by: isize) {
        self.again();
        match self.at {
            Line::File => {}
            Line::Naming => {
                self.dialect = match self.dialect {
                    Dialect::OpenClip => Dialect::HuggingFace,
                    Dialect::HuggingFace => Dialect::OpenClip,
                };
            }
            Line::Type => {
                let n = DTYPES.len() as isize;
                let at = DTYPES.iter().position(|it| *it == self.dtype).unwrap_or(0) as isize;
                self.dtype = DTYPES[(at + by).rem_euclid(n) as usize];
            }
        }
    }

    /// Something was changed: what was said of it before holds no more.
    pub fn again(&mut self) {
        if self.stage != Stage::Writing {
            self.stage = Stage::Open;
        }
    }

    /// The value of a line that is not typed.
    #[must_use]
    pub fn text(&self, line: Line) -> String {
        match line {
            Line::File => self.file.text().to_string(),
            Line::Naming => self.dialect.to_string(),
            Line::Type => self.dtype.name().to_string(),
        }
    }

    /// What the outside is asked; `None` while it writes, or without a name.
    pub fn order(&mut self) -> Option<Order> {
        let out = self.file.text().trim();
        if self.stage == Stage::Writing {
            return None;
        }
        if out.is_empty() {
            self.stage = Stage::Failed("expected the name of a file, got nothing: type one".into());
            return None;
        }
        let order = Order {
            out: PathBuf::from(out),
            replace: self.stage == Stage::Exists,
            alpha: self.alpha,
            variant: self.variant.clone(),
            dialect: self.dialect,
            dtype: self.dtype,
        };
        self.stage = Stage::Writing;
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(name: &str) -> Save {
        let variant = match name {
            "" => Variant::dense(),
            name => Variant {
                name: name.into(),
                sparsify: vec![crate::sparsify::parse("block.3=delta:0.5").unwrap()],
            },
        };
        Save::new("ft", Alpha::new(0.4).unwrap(), variant)
    }

    #[test]
    fn the_file_is_named_after_what_is_in_it() {
        assert_eq!(form("").file.text(), "ft-a0.4.safetensors");
        assert_eq!(form("doctor: reset ./x").file.text(), "ft-a0.4-doctor-reset-.-x.safetensors");
    }

    #[test]
    fn a_file_that_exists_is_replaced_only_when_asked_again() {
        let mut it = form("");
        assert!(!it.order().unwrap().replace);
        assert_eq!(it.order(), None, "once is enough");
        it.stage = Stage::Exists;
        assert!(it.order().unwrap().replace);
        // Another name is another question.
        it.stage = Stage::Exists;
        it.again();
        assert!(!it.order().unwrap().replace);
        it.stage = Stage::Open;
        it.file = Field::new(" ");
        assert_eq!(it.order(), None);
        assert!(matches!(it.stage, Stage::Failed(_)));
    }

    #[test]
    fn lines_turn() {
        let mut it = form("");
        it.step(-1);
        assert_eq!(it.at, Line::Type);
        it.change(-1);
        assert_eq!(it.text(Line::Type), "bf16");
        it.step(-1);
        it.change(1);
        assert_eq!(it.text(Line::Naming), "Hugging Face");
    }
}
