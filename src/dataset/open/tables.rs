//! Parquet files: labels and class names of all of them together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;

use super::{Gathered, Named, check_labels};
use crate::dataset::parquet::{Asked, Labels, Table};
use crate::dataset::{DatasetError, Problem, imagenet};
use crate::plural::counted;
use crate::sweep::spec::DatasetSpec;

/// Labels without names go no further: a column of larger numbers is none of
/// labels.
const MOST_UNNAMED: u32 = 1 << 16;

/// Parquet: class names of the spec, else of the metadata, else of a file
/// beside it; labels that are words name themselves.
pub(super) fn open(
    spec: &DatasetSpec,
    parts: &[PathBuf],
    named: Named,
    problems: &mut Vec<Problem>,
) -> Result<Gathered, DatasetError> {
    let asked = Asked { image: spec.image_column.as_deref(), label: spec.label_column.as_deref() };
    let opened = parts
        .par_iter()
        .map(|path| Table::open(path, asked))
        .collect::<Result<Vec<_>, DatasetError>>()?;
    let own = opened.first().and_then(|(table, _)| table.names()).map(<[String]>::to_vec);
    if let Some((table, _)) = opened.iter().find(|(table, _)| table.names() != own.as_deref()) {
        let message = "its metadata has other class names than the first shard's; the shards are not of one dataset";
        return Err(DatasetError::layout(&table.path, message));
    }
    let words: BTreeSet<&String> = opened.iter().flat_map(|(_, labels)| labels.words()).collect();
    let words: Vec<String> = words.into_iter().cloned().collect();
    let (classes, from) = match (named, own) {
        (Some((path, classes)), _) if spec.classnames.is_some() => {
            (classes, path.display().to_string())
        }
        (_, Some(own)) => (own, "the metadata".into()),
        (Some((path, classes)), None) => (classes, path.display().to_string()),
        (None, None) if !words.is_empty() => (words.clone(), "the labels".into()),
        (None, None) => {
            let most = opened.iter().filter_map(|(_, labels)| labels.most()).max().unwrap_or(0);
            if most >= MOST_UNNAMED {
                let message = format!(
                    "the labels go up to {most} and there are no class names; add classnames.txt, or choose another column by `label_column`"
                );
                return Err(DatasetError::layout(&spec.path, message));
            }
            problems.push(Problem::new("the labels are numbers and there are no class names: prompts will say so; add classnames.txt"));
            ((0..=most).map(|n| n.to_string()).collect(), "the labels".into())
        }
    };
    if !words.is_empty() && words.len() != classes.len() {
        let message = format!(
            "expected one class name for each of the {}, got {} from {from}; give as many, in the order of the sorted labels",
            counted(words.len(), "label"),
            classes.len()
        );
        return Err(DatasetError::layout(&spec.path, message));
    }
    let mut entries = Vec::new();
    let mut tables = Vec::new();
    for (number, (table, labels)) in opened.into_iter().enumerate() {
        let stem = table.path.file_stem().unwrap_or_default().to_string_lossy();
        let first = entries.len();
        entries.extend(table.entries(number as u32, &stem));
        let labels = match labels {
            Labels::Numbers(all) => all,
            Labels::Words(all) => all
                .iter()
                .map(|word| words.binary_search(word).unwrap_or(usize::MAX) as u32)
                .collect(),
        };
        std::iter::zip(&mut entries[first..], labels)
            .for_each(|(entry, label)| entry.label = label);
        tables.push(table);
    }
    check_labels(spec, &entries, classes.len(), &from)?;
    let imagenet = imagenet::recognise_names(&classes);
    Ok(Gathered { classes, imagenet, entries, tables, ..Gathered::default() })
}
