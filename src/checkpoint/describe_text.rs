//! Descriptions as text, for a terminal of 80 columns.

use std::fmt;
use std::path::Path;

use super::describe::Description;
use super::describe_pair::PairDescription;
use crate::plain;
use crate::plural::{counted, noun};

/// Columns.
const WIDTH: usize = 80;
/// Longest key of metadata beside which its value stands; else it stands below.
const KEY: usize = 28;
/// Where values begin.
const INDENT: usize = 16;

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.path.display())?;
        self.facts(f)?;
        writeln!(f, "\n  {:<24}{:>9}{:>16}", "layer", "tensors", "parameters")?;
        for layer in &self.layers {
            let (name, tensors) = (plain::name(&layer.name), layer.tensors.len());
            writeln!(f, "  {name:<24}{tensors:>9}{:>16}", thousands(layer.parameters))?;
        }
        if !self.metadata.is_empty() {
            writeln!(f, "\n  metadata")?;
            let lengths = self.metadata.keys().map(|key| key.chars().count());
            let column = lengths.filter(|&n| n <= KEY).max().unwrap_or(0).max(INDENT - 3);
            for (key, value) in &self.metadata {
                let value = clip(&value.split_whitespace().collect::<Vec<_>>().join(" "), 400);
                let key = clip(key, WIDTH - 3);
                let longest = value.split(' ').map(|word| word.chars().count()).max();
                if key.chars().count() > column || longest > Some(WIDTH - 3 - column) {
                    writeln!(f, "  {key}")?;
                    wrapped(f, INDENT, "", &broken(&value, WIDTH - INDENT))?;
                } else {
                    wrapped(f, 2, &format!("{key:<column$} "), &value)?;
                }
            }
        }
        notices(f, &self.notices, self.problem.as_deref())
    }
}

impl Description {
    fn facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtypes: Vec<String> = match self.dtypes.len() {
            1 => self.dtypes.keys().map(|name| (*name).to_string()).collect(),
            _ => self.dtypes.iter().map(|(name, count)| format!("{name} ({count})")).collect(),
        };
        let size = bytes(self.bytes);
        let tensors = counted(self.tensors, "tensor");
        let dtypes = dtypes.join(" + ");
        line(f, "file", &format!("{}, {size}, {tensors}, {dtypes}", self.container))?;
        let prefix = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!(", under `{prefix}`"),
        };
        let wrapper = self.wrapper.map_or(String::new(), |name| format!(" ({name})"));
        line(f, "naming", &format!("{}{prefix}{wrapper}", self.dialect))?;
        let map = &self.mapping;
        let mut parts = vec![format!("{} as they are", map.whole)];
        for (count, what) in [(map.transposed, "transposed"), (map.stacked, "stacked of q, k, v")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let outside: usize = map.outside.values().copied().sum();
        for (count, what) in [(self.ignored.len(), "ignored"), (outside, "outside the prefix")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        line(f, "mapping", &parts.join(", "))?;
        if self.files.len() > 1 {
            line(f, "shards", &self.files.len().to_string())?;
        }
        line(f, "architecture", &self.label)?;
        let image = &self.dims.image;
        let resolved = self.architecture.as_ref();
        let heads = |heads: Option<usize>| heads.map_or("? heads".into(), |n| counted(n, "head"));
        let side = resolved.map_or(image.grid.saturating_mul(image.patch), |a| a.image.size);
        let grid = format!("({}×{})", image.grid, image.grid);
        let own_heads = heads(resolved.map(|a| a.image.heads));
        let tower = match image.resnet {
            Some(_) => format!(
                "{}, image {side} {grid}, pool of {own_heads}, {} channels",
                image.label(),
                image.mlp_width
            ),
            None => format!(
                "{} × {}, {own_heads}, MLP {}, image {side}, patch {} {grid}",
                counted(image.layers, "layer"),
                image.width,
                image.mlp_width,
                image.patch
            ),
        };
        line(f, "image tower", &tower)?;
        let text = match &self.dims.text {
            None => "none".into(),
            Some(text) => format!(
                "{} × {}, {}, MLP {}, context {}, vocabulary {}",
                counted(text.layers, "layer"),
                text.width,
                heads(resolved.and_then(|a| a.text.as_ref()).map(|text| text.heads)),
                text.mlp_width,
                text.context,
                thousands(text.vocab as u64)
            ),
        };
        line(f, "text tower", &text)?;
        line(f, "embedding", &self.dims.embed.to_string())?;
        if let Some(a) = resolved {
            line(f, "heads by", &a.sources.heads.to_string())?;
            let mut activation = a.activation.name().to_string();
            if a.text.is_some() && a.text_activation != a.activation {
                activation = format!("{activation}, text {}", a.text_activation.name());
            }
            line(f, "activation", &format!("{activation} ({})", a.sources.activation))?;
            line(
                f,
                "normalisation",
                &format!(
                    "mean {}, std {} ({})",
                    colours(a.mean),
                    colours(a.std),
                    a.sources.preprocess
                ),
            )?;
        }
        let scale = self.logit_scale.map_or("none".into(), |scale| match scale {
            1e-3..1e6 => format!("{scale:.4}"),
            odd => format!("{odd:.4e}"),
        });
        line(f, "logit scale", &scale)?;
        let head = match self.head {
            None => "none".into(),
            Some(head) => {
                let bias = if head.bias { "with" } else { "without" };
                let classes = noun(&head.classes, "class");
                format!("{} {classes}, {bias} bias", thousands(head.classes as u64))
            }
        };
        line(f, "stored head", &head)?;
        line(f, "parameters", &thousands(self.parameters))?;
        if !self.ignored.is_empty() {
            line(f, "ignored", &clip(&self.ignored.join(", "), 400))?;
        }
        if !self.foreign.is_empty() {
            let names = clip(&self.foreign.join(", "), 400);
            line(f, "code in it", &format!("not run: {names}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for PairDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, file) in [("zero-shot", &self.zeroshot), ("fine-tuned", &self.finetuned)] {
            writeln!(f, "{title}: {}", file.path.display())?;
            file.facts(f)?;
            writeln!(f)?;
        }
        let verdict = match (self.matches, self.identical) {
            (true, true) => "they match, and have the same values: the path is a point",
            (true, false) => "they match: a sweep can be run between them",
            (false, _) => "they do NOT make a path",
        };
        wrapped(f, 0, "", verdict)?;
        if let Some(text_same) = self.text_same {
            let text = if text_same { "the same at both ends" } else { "moves along the path" };
            line(f, "text tower", text)?;
        }
        if let Some(head) = self.head {
            let at = match (head.zeroshot, head.finetuned) {
                (true, true) => "both ends",
                (true, false) => "the zero-shot end",
                _ => "the fine-tuned end",
            };
            line(f, "stored head", &format!("{}, at {at}", counted(head.classes, "class")))?;
        }
        if self.matches && !self.unchanged.is_empty() && !self.identical {
            let n = self.unchanged.len();
            let list = clip(&self.unchanged.join(", "), 200);
            line(f, "unchanged", &format!("{}: {list}", counted(n, "tensor")))?;
        }
        if !self.layers.is_empty() {
            self.table(f)?;
        }
        if !self.not_finite.is_empty() {
            writeln!(f, "\n  NaN or infinite")?;
            for bad in self.not_finite.iter().take(10) {
                let file = file_name(&bad.path);
                wrapped(f, 2, "- ", &format!("{} in {file}, element {}", bad.tensor, bad.element))?;
            }
            if self.not_finite.len() > 10 {
                writeln!(f, "  … and {}", counted(self.not_finite.len() - 10, "more tensor"))?;
            }
        }
        notices(f, &self.notices, self.problem.as_deref())
    }
}

impl PairDescription {
    /// One row a layer: size, distance moved, a bar against the largest.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.layers.iter().filter_map(|l| l.relative).fold(0.0_f64, f64::max);
        writeln!(f, "\n  {:<18}{:>14}  {:>10}", "layer", "parameters", "moved")?;
        for layer in &self.layers {
            let moved = match (layer.relative, layer.distance) {
                (Some(relative), _) => format!("{relative:.4}"),
                (None, Some(distance)) if distance.not_finite > 0 => "not finite".into(),
                (None, Some(_)) => "from zero".into(),
                (None, None) => "one end".into(),
            };
            let share = match layer.relative {
                Some(relative) if largest > 0.0 => (relative / largest * 24.0).round() as usize,
                _ => 0,
            };
            let row = format!(
                "  {:<18}{:>14}  {moved:>10}  {}",
                layer.name,
                thousands(layer.parameters),
                "▪".repeat(share)
            );
            writeln!(f, "{}", row.trim_end())?;
        }
        if let Some(relative) = self.overall.and_then(|all| all.relative()) {
            let parameters: u64 = self.layers.iter().map(|layer| layer.parameters).sum();
            writeln!(f, "  {:<18}{:>14}  {relative:>10.4}", "all", thousands(parameters))?;
        }
        writeln!(f, "\n  moved = ‖θ₁ − θ₀‖ / ‖θ₀‖")
    }
}

fn notices(f: &mut fmt::Formatter<'_>, notices: &[String], problem: Option<&str>) -> fmt::Result {
    if let Some(problem) = problem {
        writeln!(f, "\n  problem")?;
        for (i, text) in problem.lines().enumerate() {
            let deeper = text.len() - text.trim_start().len();
            wrapped(f, 2 + deeper, if i == 0 { "- " } else { "  " }, text.trim_start())?;
        }
    }
    if !notices.is_empty() {
        writeln!(f, "\n  notices")?;
        for notice in notices {
            wrapped(f, 2, "- ", notice)?;
        }
    }
    Ok(())
}

/// `  label         value`, wrapped under the value.
fn line(f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
    wrapped(f, 2, &format!("{label:<width$}", width = INDENT - 2), value)
}

/// Writes words after a first prefix, later lines indented as far. A word
/// longer than a line stands alone.
fn wrapped(f: &mut fmt::Formatter<'_>, indent: usize, prefix: &str, text: &str) -> fmt::Result {
    let start = indent + prefix.chars().count();
    let mut current = format!("{}{prefix}", " ".repeat(indent));
    let mut fresh = true;
    for word in text.split_whitespace() {
        if !fresh && current.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", current.trim_end())?;
            current = " ".repeat(start);
            fresh = true;
        }
        if !fresh {
            current.push(' ');
        }
        current.push_str(word);
        fresh = false;
    }
    writeln!(f, "{}", current.trim_end())
}

/// With a space within words that are longer than a line, as JSON's.
fn broken(text: &str, longest: usize) -> String {
    let mut all = String::with_capacity(text.len());
    let mut run = 0;
    for c in text.chars() {
        run = if c == ' ' { 0 } else { run + 1 };
        if run > longest {
            all.push(' ');
            run = 1;
        }
        all.push(c);
    }
    all
}

fn colours(values: [f32; 3]) -> String {
    values.map(|x| format!("{}", (f64::from(x) * 1e4).round() / 1e4)).join(" ")
}

fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// `1,234,567`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `45.2 kB`, `1.7 GB`: powers of 1000.
fn bytes(n: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1e3;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}
