//! Which row of a stored head stands for which class.
//!
//! ImageNet's classes are told apart by their label where it is known: two of
//! the names that everyone prompts with come twice.

use std::collections::HashMap;

use super::{HeadClasses, InputsError};
use crate::checkpoint::Pair;
use crate::dataset::{DEFAULT_TEMPLATE, Dataset, ImageNetId, read_classes, recognise_names};
use crate::sweep::spec::{Role, Spec};

/// A stored head whose rows have names.
pub(super) struct NamedHead {
    pub classes: HeadClasses,
    from: String,
    imagenet: Option<Vec<ImageNetId>>,
}

impl NamedHead {
    /// The head's row of each of the dataset's rows.
    pub fn rows_of(&self, dataset: &Dataset) -> Result<Vec<usize>, InputsError> {
        let head = List { names: &self.classes.names, imagenet: self.imagenet.as_deref() };
        let set = List { names: dataset.rows(), imagenet: dataset.imagenet() };
        match_rows(head, set).map_err(|wrong| match wrong {
            Mismatch::Missing(missing) => InputsError::UnknownClasses {
                name: dataset.name().into(),
                missing,
                head: self.classes.names.len(),
                from: self.from.clone(),
            },
            Mismatch::TwiceInHead(class) => {
                InputsError::TwiceNamed { what: "the stored head's class list".into(), class }
            }
            Mismatch::TwiceInSet(class) => {
                InputsError::TwiceNamed { what: format!("dataset `{}`", dataset.name()), class }
            }
        })
    }
}

/// A list of classes, and which of ImageNet's they are where that is known.
#[derive(Clone, Copy)]
struct List<'a> {
    names: &'a [String],
    imagenet: Option<&'a [ImageNetId]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Mismatch {
    Missing(Vec<String>),
    TwiceInHead(String),
    TwiceInSet(String),
}

/// The place in `head` of each class of `set`.
fn match_rows(head: List<'_>, set: List<'_>) -> Result<Vec<usize>, Mismatch> {
    let same = |(a, b): (&String, &String)| key(a) == key(b);
    if head.names.len() == set.names.len() && std::iter::zip(head.names, set.names).all(same) {
        return Ok((0..head.names.len()).collect());
    }
    let mut rows = Vec::with_capacity(set.names.len());
    let mut missing = Vec::new();
    if let (Some(head), Some(ids)) = (head.imagenet, set.imagenet) {
        let row_of: HashMap<ImageNetId, usize> =
            head.iter().enumerate().map(|(row, &id)| (id, row)).collect();
        for (id, name) in std::iter::zip(ids, set.names) {
            match row_of.get(id) {
                Some(&row) => rows.push(row),
                None => missing.push(name.clone()),
            }
        }
        return if missing.is_empty() { Ok(rows) } else { Err(Mismatch::Missing(missing)) };
    }
    // `None` marks a name that comes twice: wrong only where it is asked for.
    let mut row_of: HashMap<String, Option<usize>> = HashMap::with_capacity(head.names.len());
    for (row, name) in head.names.iter().enumerate() {
        row_of.entry(key(name)).and_modify(|row| *row = None).or_insert(Some(row));
    }
    let mut asked = HashMap::new();
    for name in set.names {
        match row_of.get(&key(name)) {
            None => missing.push(name.clone()),
            Some(None) => return Err(Mismatch::TwiceInHead(name.clone())),
            Some(Some(row)) => {
                if asked.insert(*row, name).is_some() {
                    return Err(Mismatch::TwiceInSet(name.clone()));
                }
                rows.push(*row);
            }
        }
    }
    if missing.is_empty() { Ok(rows) } else { Err(Mismatch::Missing(missing)) }
}

/// Names are compared without case and surrounding space.
fn key(class: &str) -> String {
    class.trim().to_lowercase()
}

/// Names the rows of the pair's stored head, if it has one: by
/// `checkpoints.head_classes`, else by the first id dataset's classes. The
/// prompts of its zero-shot twin are the first id dataset's too.
pub(super) fn stored_head(
    spec: &Spec,
    pair: &Pair,
    datasets: &[Dataset],
) -> Result<Option<NamedHead>, InputsError> {
    let Some(info) = &pair.head else { return Ok(None) };
    let path = if info.finetuned { pair.finetuned.path() } else { pair.zeroshot.path() };
    let first_id = std::iter::zip(&spec.datasets, datasets)
        .find(|(asked, _)| asked.role == Role::Id)
        .map(|(_, dataset)| dataset);
    let (names, imagenet, from) = match (&spec.checkpoints.head_classes, first_id) {
        (Some(file), _) => {
            let names = read_classes(file).map_err(InputsError::HeadClasses)?;
            let imagenet = recognise_names(&names);
            (names, imagenet, file.display().to_string())
        }
        (None, Some(dataset)) => (
            dataset.rows().to_vec(),
            dataset.imagenet().map(<[ImageNetId]>::to_vec),
            format!("the first id dataset, `{}`,", dataset.name()),
        ),
        (None, None) => {
            return Err(InputsError::NoHeadClasses { path: path.into(), rows: info.classes });
        }
    };
    if names.len() != info.classes {
        return Err(InputsError::HeadRows {
            path: path.into(),
            rows: info.classes,
            from,
            got: names.len(),
        });
    }
    let templates = first_id
        .or(datasets.first())
        .map_or_else(|| vec![DEFAULT_TEMPLATE.to_string()], |dataset| dataset.templates().to_vec());
    Ok(Some(NamedHead { classes: HeadClasses { names, templates }, from, imagenet }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn by_name(head: &[&str], set: &[&str]) -> Result<Vec<usize>, Mismatch> {
        let (head, set) = (list(head), list(set));
        match_rows(List { names: &head, imagenet: None }, List { names: &set, imagenet: None })
    }

    #[test]
    fn names_find_their_rows() {
        assert_eq!(by_name(&["Cat", "dog ", "fox"], &["FOX", "cat"]), Ok(vec![2, 0]));
        assert_eq!(by_name(&["cat"], &["cow", "cat"]), Err(Mismatch::Missing(list(&["cow"]))));
        assert_eq!(
            by_name(&["cat", "fox"], &["cat", "cat"]),
            Err(Mismatch::TwiceInSet("cat".into()))
        );
    }

    #[test]
    fn a_name_that_comes_twice_matters_only_where_it_is_asked_for() {
        let head = ["missile", "fox", "missile"];
        assert_eq!(by_name(&head, &["fox"]), Ok(vec![1]));
        assert_eq!(by_name(&head, &["missile"]), Err(Mismatch::TwiceInHead("missile".into())));
        assert_eq!(by_name(&head, &head), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn imagenet_goes_by_label() {
        let all: Vec<ImageNetId> = (0..1000).filter_map(ImageNetId::new).collect();
        let names: Vec<String> = all.iter().map(|id| id.name().to_string()).collect();
        let head = List { names: &names, imagenet: Some(&all) };
        // The second `missile`, and a name of the user's own.
        let ids = [744, 3].map(|label| all[label]);
        assert_eq!(names[744], names[657]);
        let own = list(&["missile", "my shark"]);
        assert_eq!(match_rows(head, List { names: &own, imagenet: Some(&ids) }), Ok(vec![744, 3]));
        let part = List { names: &names[..700], imagenet: Some(&all[..700]) };
        let set = List { names: &own, imagenet: Some(&ids) };
        assert_eq!(match_rows(part, set), Err(Mismatch::Missing(list(&["missile"]))));
    }
}
