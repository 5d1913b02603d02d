//! Which columns hold images and labels, and what the classes are called.
//!
//! `datasets` writes its features as JSON into the file's metadata, under
//! `huggingface`; other writers leave names and types to go by.

use std::collections::BTreeMap;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::FileMetaData;
use serde::Deserialize;

use super::super::IMAGE_EXTENSIONS;

/// Columns of these names hold labels, in order of preference.
const LABELS: [&str; 7] = ["label", "labels", "cls", "target", "class", "class_name", "fine_label"];

/// What is taken from a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Leaf column of the encoded images.
    pub image: usize,
    /// Leaf column of the labels.
    pub label: usize,
    /// How labels are written.
    pub kind: LabelKind,
    /// The label column's name.
    pub label_name: String,
    /// Class names of the metadata.
    pub names: Option<Vec<String>>,
}

/// How labels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    Int32,
    Int64,
    Text,
}

#[derive(Deserialize)]
struct Written {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: BTreeMap<String, serde_json::Value>,
}

/// A feature that matters here.
enum Feature {
    Image,
    Label(Vec<String>),
}

/// The features `datasets` wrote, by column; empty without them.
fn features(meta: &FileMetaData) -> BTreeMap<String, Feature> {
    let text = meta
        .key_value_metadata()
        .and_then(|all| all.iter().find(|pair| pair.key == "huggingface"))
        .and_then(|pair| pair.value.as_deref());
    let written = text.and_then(|text| serde_json::from_str::<Written>(text).ok());
    let Some(written) = written else { return BTreeMap::new() };
    let known = |value: &serde_json::Value| match value.get("_type")?.as_str()? {
        "Image" => Some(Feature::Image),
        "ClassLabel" => {
            let names = value.get("names").and_then(|names| names.as_array())?;
            let names = names.iter().map(|name| name.as_str().map(str::to_string));
            Some(Feature::Label(names.collect::<Option<_>>()?))
        }
        _ => None,
    };
    written.info.features.into_iter().filter_map(|(k, v)| Some((k, known(&v)?))).collect()
}

/// A leaf that could be used: its number, and the name of its top column.
struct Leaf<'a> {
    index: usize,
    name: &'a str,
    kind: Physical,
    /// Field `bytes` of a group.
    bytes: bool,
    /// Not below a group.
    top: bool,
    text: bool,
}

/// Finds the columns; names given by the spec come first.
///
/// # Errors
/// In words: what was expected, the columns that are there, what to do.
pub(super) fn columns(
    meta: &FileMetaData,
    image: Option<&str>,
    label: Option<&str>,
) -> Result<Columns, String> {
    let schema = meta.schema_descr();
    let features = features(meta);
    let leaves: Vec<Leaf> = schema
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| column.max_rep_level() == 0)
        .map(|(index, column)| {
            let parts = column.path().parts();
            let text = matches!(column.logical_type_ref(), Some(LogicalType::String))
                || column.converted_type() == ConvertedType::UTF8;
            Leaf {
                index,
                name: parts.first().map_or("", String::as_str),
                kind: column.physical_type(),
                bytes: parts.len() == 2 && parts[1] == "bytes",
                top: parts.len() == 1,
                text,
            }
        })
        .collect();
    let there = || {
        let mut names: Vec<&str> = leaves.iter().map(|leaf| leaf.name).collect();
        names.dedup();
        super::super::few(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    };

    let images = || {
        let holds = |leaf: &&Leaf| leaf.kind == Physical::BYTE_ARRAY && (leaf.bytes || leaf.top);
        leaves.iter().filter(holds)
    };
    let rules: [&dyn Fn(&Leaf) -> bool; 4] = [
        &|leaf| image == Some(leaf.name),
        &|leaf| matches!(features.get(leaf.name), Some(Feature::Image)),
        &|leaf| leaf.bytes,
        &|leaf| {
            let name = leaf.name.to_ascii_lowercase();
            !leaf.text
                && (matches!(name.as_str(), "image" | "img")
                    || IMAGE_EXTENSIONS.contains(&name.as_str()))
        },
    ];
    let rules = if image.is_some() { &rules[..1] } else { &rules[1..] };
    let found: Vec<&Leaf> = rules
        .iter()
        .map(|rule| images().filter(|leaf| rule(leaf)).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default();
    let image = match found[..] {
        [one] => one,
        [] => {
            return Err(format!(
                "expected a column of images (a struct with `bytes`, or binary{}), got the columns {}; name it by `image_column`",
                image.map_or(String::new(), |name| format!(", named `{name}`")),
                there()
            ));
        }
        [first, second, ..] => {
            return Err(format!(
                "expected one column of images, got `{}` and `{}`; choose one by `image_column`",
                first.name, second.name
            ));
        }
    };

    let kind_of = |leaf: &Leaf| match leaf.kind {
        _ if !leaf.top => None,
        Physical::INT32 => Some(LabelKind::Int32),
        Physical::INT64 => Some(LabelKind::Int64),
        Physical::BYTE_ARRAY if leaf.text => Some(LabelKind::Text),
        _ => None,
    };
    let named: Vec<&Leaf> = leaves
        .iter()
        .filter(|leaf| {
            label == Some(leaf.name) || label.is_none() && is_label(features.get(leaf.name))
        })
        .collect();
    let by_name = || LABELS.iter().find_map(|name| leaves.iter().find(|leaf| leaf.name == *name));
    let label = match named[..] {
        [one] => one,
        [] if label.is_none() => by_name().ok_or_else(|| {
            format!(
                "expected a column of labels, as `label`, got the columns {}; name it by `label_column`",
                there()
            )
        })?,
        [] => {
            return Err(format!(
                "expected the column `{}` that `label_column` names, got {}",
                label.unwrap_or_default(),
                there()
            ));
        }
        [first, second, ..] => {
            return Err(format!(
                "expected one column of labels, got `{}` and `{}`; choose one by `label_column`",
                first.name, second.name
            ));
        }
    };
    let kind = kind_of(label).ok_or_else(|| {
        format!(
            "expected whole numbers or text in the label column `{}`, got {}",
            label.name, label.kind
        )
    })?;
    let names = match features.get(label.name) {
        Some(Feature::Label(names)) if kind != LabelKind::Text => Some(names.clone()),
        _ => None,
    };
    Ok(Columns {
        image: image.index,
        label: label.index,
        kind,
        label_name: label.name.into(),
        names,
    })
}

fn is_label(feature: Option<&Feature>) -> bool {
    matches!(feature, Some(Feature::Label(_)))
}
