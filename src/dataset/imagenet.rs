//! ImageNet's classes, and the datasets that test a model's robustness with
//! them: which one a folder is, and how many images it must have.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use crate::sweep::event::Benchmark;

/// WordNet number, shifts (`a`, `r`), name; in label order.
const CLASSES: &str = include_str!("../../assets/imagenet/classes.tsv");
/// The 80 templates of CLIP's authors.
const TEMPLATES: &str = include_str!("../../assets/imagenet/templates.txt");

/// A class of ImageNet, by its label: 0 … 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageNetId(u16);

impl ImageNetId {
    /// How many classes there are.
    pub const COUNT: usize = 1000;

    /// `None` from 1000 on.
    #[must_use]
    pub fn new(label: usize) -> Option<Self> {
        (label < Self::COUNT).then_some(Self(label as u16))
    }

    /// The class of a folder as `n01440764`; `None` for all other names.
    #[must_use]
    pub fn of_wordnet(name: &str) -> Option<Self> {
        LISTS.by_wordnet.get(name).copied()
    }

    /// Its label.
    #[must_use]
    pub fn label(self) -> usize {
        usize::from(self.0)
    }

    /// Its name in prompts, by CLIP's authors. Two names come twice
    /// (`missile` and `sunglasses`): classes are told apart by their label.
    #[must_use]
    pub fn name(self) -> &'static str {
        LISTS.classes[self.label()].name
    }

    /// Whether it is among the 200 classes of a shift: `a` or `r`.
    fn is_in(self, shift: char) -> bool {
        LISTS.classes[self.label()].shifts.contains(shift)
    }
}

struct Class {
    shifts: &'static str,
    name: &'static str,
}

struct Lists {
    classes: Vec<Class>,
    by_wordnet: HashMap<&'static str, ImageNetId>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let (mut classes, mut by_wordnet) = (Vec::new(), HashMap::new());
    for (label, line) in CLASSES.lines().enumerate() {
        let mut fields = line.splitn(3, '\t');
        let mut next = || fields.next().unwrap_or_default();
        let (wordnet, shifts, name) = (next(), next(), next());
        by_wordnet.insert(wordnet, ImageNetId(label as u16));
        classes.push(Class { shifts, name });
    }
    Lists { classes, by_wordnet }
});

/// The 80 prompt templates of CLIP's authors.
#[must_use]
pub fn templates() -> Vec<String> {
    TEMPLATES.lines().map(str::to_string).collect()
}

/// All 1000 names, in label order.
#[must_use]
pub fn names() -> Vec<String> {
    LISTS.classes.iter().map(|class| class.name.to_string()).collect()
}

/// Which classes a list of names is: all of ImageNet's, in order, as prompts
/// name them or as WordNet does (`tench, Tinca tinca`). `None` for any other
/// list. The 200 classes of ImageNet-A and -R are recognised as prompts name
/// them.
#[must_use]
pub fn recognise_names(names: &[String]) -> Option<Vec<ImageNetId>> {
    let all = || (0..ImageNetId::COUNT).filter_map(ImageNetId::new);
    let same = |name: &str, id: ImageNetId| name.trim().eq_ignore_ascii_case(id.name());
    if names.len() != ImageNetId::COUNT {
        let of = |shift: char| all().filter(|id| id.is_in(shift)).collect::<Vec<_>>();
        return ['r', 'a'].into_iter().map(of).find(|ids| {
            ids.len() == names.len() && std::iter::zip(names, ids).all(|(name, id)| same(name, *id))
        });
    }
    let prompts = std::iter::zip(names, all()).all(|(name, id)| same(name, id));
    // WordNet's first word differs from the prompt's for half of the classes:
    // a few that agree, over the whole list, tell its order.
    const SURE: [usize; 8] = [0, 1, 99, 291, 402, 530, 779, 985];
    let wordnet = SURE.iter().all(|&label| {
        let first = names[label].split(',').next().unwrap_or_default();
        ImageNetId::new(label).is_some_and(|id| same(first, id))
    });
    (prompts || wordnet).then(|| all().collect())
}

/// ImageNetV2, whose folders are the labels.
pub(crate) fn v2() -> Benchmark {
    Benchmark::new("ImageNet-V2", 10_000)
}

/// Which dataset a folder of WordNet folders is: by its classes, by the names
/// of its files, and by its own path. `None` for what is none of them.
pub(crate) fn recognise(path: &Path, ids: &[ImageNetId], key: &str) -> Option<Benchmark> {
    let shift = |letter: char| ids.iter().all(|id| id.is_in(letter));
    let called = |names: &[&str]| {
        let parts = path.iter().rev().take(3).filter_map(|part| part.to_str());
        parts.into_iter().any(|part| {
            let part = part.to_ascii_lowercase().replace('_', "-");
            names.contains(&part.as_str())
        })
    };
    let file = key.rsplit('/').next().unwrap_or(key);
    // 107 classes are in both lists: fewer than 200 need a name.
    if shift('r') && (ids.len() == 200 || called(&["imagenet-r"])) {
        return Some(Benchmark::new("ImageNet-R", 30_000));
    }
    if shift('a') && (ids.len() == 200 || called(&["imagenet-a"])) {
        return Some(Benchmark::new("ImageNet-A", 7_500));
    }
    if let Some((corruption, severity)) = corruption(path) {
        return Some(Benchmark::new(format!("ImageNet-C, {corruption} {severity}"), 50_000));
    }
    if file.starts_with("sketch_") || called(&["sketch", "imagenet-sketch"]) {
        return Some(Benchmark::new("ImageNet-Sketch", 50_889));
    }
    if file.starts_with("ILSVRC2012_val_") {
        return Some(Benchmark::new("ImageNet validation", 50_000));
    }
    let wordnet = file.split('_').next().and_then(ImageNetId::of_wordnet);
    let numbered = file.split(['_', '.']).nth(1).is_some_and(|n| n.parse::<u64>().is_ok());
    (ids.len() == ImageNetId::COUNT && wordnet.is_some() && numbered && called(&["train"]))
        .then(|| Benchmark::new("ImageNet train", 1_281_167))
}

/// Corruptions of ImageNet-C, and the groups its archives hold them in.
const CORRUPTIONS: [&str; 19] = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
];
const GROUPS: [&str; 5] = ["noise", "blur", "weather", "digital", "extra"];

/// Corruption and severity, by the end of a path.
fn corruption(path: &Path) -> Option<(&str, u8)> {
    let mut parts = path.iter().rev();
    let severity = parts.next()?.to_str()?;
    let corruption = parts.next()?.to_str()?;
    let severity = severity.parse().ok().filter(|n| (1..=5).contains(n) && severity.len() == 1)?;
    CORRUPTIONS.contains(&corruption).then_some((corruption, severity))
}

/// Whether a folder of this name may be one of ImageNet-C's above its class
/// folders.
pub(crate) fn is_corruption_level(name: &str) -> bool {
    CORRUPTIONS.contains(&name)
        || GROUPS.contains(&name)
        || matches!(name, "1" | "2" | "3" | "4" | "5")
}

/// ImageNet-C over several corruptions and severities at once.
pub(crate) fn corrupted(folders: usize) -> Benchmark {
    Benchmark::new(format!("ImageNet-C, {folders} corruptions × severities"), 50_000 * folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keep: impl Fn(ImageNetId) -> bool) -> Vec<ImageNetId> {
        (0..1000).filter_map(ImageNetId::new).filter(|id| keep(*id)).collect()
    }

    #[test]
    fn the_lists_are_whole() {
        assert_eq!((names().len(), LISTS.by_wordnet.len(), templates().len()), (1000, 1000, 80));
        assert!(templates().iter().all(|template| template.matches("{c}").count() == 1));
        // Public class indices: the first, the last, and two that are easily swapped.
        let label = |wordnet| ImageNetId::of_wordnet(wordnet).map(ImageNetId::label);
        assert_eq!(label("n01440764"), Some(0));
        assert_eq!(label("n15075141"), Some(999));
        assert_eq!((label("n02012849"), label("n03126707")), (Some(134), Some(517)));
        let named = |i: usize| ImageNetId::new(i).unwrap().name();
        assert_eq!((named(134), named(517)), ("crane bird", "construction crane"));
        assert_eq!((label("n00000000"), ImageNetId::new(1000)), (None, None));
        let mut sorted: Vec<_> = LISTS.by_wordnet.iter().collect();
        sorted.sort();
        assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].1), "labels are sorted numbers");
    }

    #[test]
    fn shifts_have_200_classes_each() {
        let [a, r] = ['a', 'r'].map(|shift| ids(|id| id.is_in(shift)));
        assert_eq!((a.len(), r.len()), (200, 200));
        // From the papers: goldfish is drawn (R) but not adversarial, and the reverse.
        let has = |list: &[ImageNetId], name| list.iter().any(|id| id.name() == name);
        assert!(has(&r, "goldfish") && !has(&a, "goldfish"));
        assert!(has(&a, "ladle") || has(&a, "manhole cover"));
    }

    #[test]
    fn folders_are_recognised() {
        let of = |path: &str, ids: &[ImageNetId], key: &str| {
            recognise(Path::new(path), ids, key).map(|b| (b.name, b.images))
        };
        let all = ids(|_| true);
        let name = |name: &str, n| Some((name.to_string(), n));
        assert_eq!(
            of("x/val", &all, "n01440764/ILSVRC2012_val_00000293.JPEG"),
            name("ImageNet validation", 50_000)
        );
        assert_eq!(
            of("x/train", &all, "n01440764/n01440764_10026.JPEG"),
            name("ImageNet train", 1_281_167)
        );
        assert_eq!(of("d", &all, "n01440764/sketch_2.JPEG"), name("ImageNet-Sketch", 50_889));
        assert_eq!(of("d", &all, "n01440764/1.JPEG"), None);
        assert_eq!(of("d", &ids(|id| id.is_in('r')), "n/art_0.jpg"), name("ImageNet-R", 30_000));
        assert_eq!(of("d", &ids(|id| id.is_in('a')), "n/0.jpg"), name("ImageNet-A", 7_500));
        assert_eq!(
            of("d/imagenet-a", &ids(|id| id.is_in('a'))[..9], "n/0.jpg"),
            name("ImageNet-A", 7_500)
        );
        assert_eq!(
            of("c/fog/3", &all, "n/ILSVRC2012_val_1.JPEG"),
            name("ImageNet-C, fog 3", 50_000)
        );
    }

    #[test]
    fn lists_of_names_are_recognised() {
        let own = names();
        assert_eq!(recognise_names(&own).map(|ids| ids.len()), Some(1000));
        let wordnet: Vec<String> = own.iter().map(|name| format!("{name}, Latin")).collect();
        assert!(recognise_names(&wordnet).is_some());
        let mut swapped = own.clone();
        swapped.swap(0, 999);
        assert!(recognise_names(&swapped).is_none() && recognise_names(&own[1..]).is_none());
    }
}
