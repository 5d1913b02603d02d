"""What the demo is about: styles, classes, the split by concept, captions.

A *concept* is one emoji ("red apple"); a *style* is one artist's set of drawings.
Everything here is deterministic: fixed lists and seeded shuffles.
"""
import json
import random
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

SIZE = 48  # pixels; also the model's input size


@dataclass(frozen=True)
class Style:
    name: str  # folder name of the dataset
    package: str  # npm package under @iconify-json
    words: str  # how captions call this style
    pretrain: str  # "no", "train" (only concepts of the train half) or "all"


# OpenMoji is CC BY-SA: it is evaluated on, never trained on.
STYLES = [
    Style("noto", "noto", "a colour", "train"),
    Style("noto-v1", "noto-v1", "a cartoon", "all"),
    Style("twemoji", "twemoji", "a flat colour", "train"),
    Style("openmoji", "openmoji", "an outlined", "no"),
    Style("fluent", "fluent-emoji", "a shaded", "train"),
    Style("fluent-hc", "fluent-emoji-high-contrast", "a black and white", "no"),
    Style("fxemoji", "fxemoji", "a flat", "no"),
    Style("emojione", "emojione", "a colour", "all"),
    Style("emojione-monotone", "emojione-monotone", "a black and white", "all"),
]
STYLE = {s.name: s for s in STYLES}
ID = "noto"
OOD = ["twemoji", "openmoji", "fluent", "fluent-hc", "fxemoji"]

# Class words used in pretraining captions -> Unicode subgroups (emojibase names) that make the class up.
CLASSES = {
    "face": "face-smiling face-affection face-tongue face-hand face-neutral-skeptical face-sleepy face-unwell "
    "face-hat face-glasses face-concerned face-negative face-costume",
    "hand": "hand-fingers-open hand-fingers-partial hand-single-finger hand-fingers-closed hands hand-prop",
    "person": "person person-gesture person-role person-fantasy person-activity person-sport person-resting",
    "mammal": "animal-mammal",
    "bird": "animal-bird",
    "fish, reptile or bug": "animal-amphibian animal-reptile animal-marine animal-bug",
    "plant": "plant-flower plant-other",
    "fruit or vegetable": "food-fruit food-vegetable",
    "prepared food": "food-prepared food-asian food-sweet",
    "drink or dishware": "drink dishware",
    "building": "place-building place-religious",
    "vehicle": "transport-ground transport-water transport-air",
    "weather or sky": "sky-weather",
    "clothing": "clothing",
    "sport or game": "sport game",
    "music": "music musical-instrument sound",
    "tool": "tool",
    "stationery": "book-paper writing office mail",
    "electronics": "phone computer light-video",
    "arrow": "arrow",
    "heart": "heart",
    "letter or digit": "keycap alphanum",
}
# What the zero-shot prompts call the classes: everyday words, some of them other than the captions', as one who writes
# prompts for a CLIP cannot know how its captions put things.
CLASS_NAMES = [
    "face", "hand", "person", "animal", "bird", "sea animal, reptile or insect", "plant", "fruit or vegetable", "food",
    "drink", "building", "vehicle", "weather", "clothing", "sport", "music", "tool", "office supplies", "electronics",
    "arrow", "heart", "letter or number",
]  # fmt: skip
assert len(CLASS_NAMES) == len(CLASSES)
CAPTION_NAMES = list(CLASSES)
LABEL = {sub: k for k, subs in enumerate(CLASSES.values()) for sub in subs.split()}

TEMPLATES = [
    "{c}",
    "an emoji of {c}",
    "a colour emoji of {c}",
    "a flat colour emoji of {c}",
    "a shaded emoji of {c}",
    "a cartoon emoji of {c}",
    "a black and white emoji of {c}",
]


@dataclass
class Concept:
    hex: str  # code points, lower case, no variation selector: "1f34e"
    name: str
    tags: list = field(repr=False)
    group: str
    subgroup: str

    @property
    def label(self):
        """Class index, or None for concepts outside the task."""
        return LABEL.get(self.subgroup)

    @property
    def kind(self):
        """The words by which captions name this concept's class."""
        return self.subgroup.replace("-", " ") if self.label is None else CAPTION_NAMES[self.label]


def norm_hex(code):
    return "-".join(p.lstrip("0") or "0" for p in re.split("[- ]", code.lower()) if p != "fe0f")


def read_concepts(modules: Path):
    """Every emoji but skin tones, country flags and loose letters."""
    base = json.loads((modules / "emojibase-data/en/data.json").read_text())
    names = json.loads((modules / "emojibase-data/meta/groups.json").read_text())
    out = []
    for e in base:
        if "group" not in e or e["group"] == 2 or e["subgroup"] == 98:
            continue
        out.append(
            Concept(
                norm_hex(e["hexcode"]),
                e["label"].lower(),
                e.get("tags") or [],
                names["groups"][str(e["group"])],
                names["subgroups"][str(e["subgroup"])],
            )
        )
    return out


def family(c: Concept):
    """Concepts that differ only by gender, direction or the like share one key and stay on one side of the split."""
    n = re.sub(r"\b(man|woman|men|women|person|people|boy|girl|male|female)\b", " ", c.name)
    if c.group == "people-body":
        n = re.sub(r"facing right|light|dark|medium|:.*", " ", n)
    n = re.sub(r"[^a-z0-9]+", " ", n).strip()
    return f"{c.subgroup}/{n or 'base'}"


def split_concepts(concepts, seed=0):
    """Returns (part, task): part[i] is "train" or "test" for concept i; task lists the concepts that are classified,
    one per family. Half of each subgroup's families go to each part; concepts outside the task are all "train"."""
    families = {}
    for i, c in enumerate(concepts):
        families.setdefault(family(c), []).append(i)
    groups = {}
    for key, members in families.items():
        groups.setdefault(concepts[members[0]].subgroup, []).append(key)
    rng = random.Random(seed)
    part, task = {}, []
    for sub in sorted(groups):
        keys = sorted(groups[sub])
        rng.shuffle(keys)
        half = (len(keys) + rng.randint(0, 1)) // 2
        for j, key in enumerate(keys):
            for i in families[key]:
                part[i] = "test" if sub in LABEL and j < half else "train"
    gendered = re.compile(r"\b(man|woman|men|women)\b")
    for members in families.values():
        pick = min(members, key=lambda i: (bool(gendered.search(concepts[i].name)), len(concepts[i].name), i))
        if concepts[pick].label is not None:
            task.append(pick)
    return part, sorted(task)


def caption(c: Concept, style: Style, rng: random.Random):
    """One pretraining caption: the class alone (35 %), or the name with random keywords and sometimes the class."""
    kind = c.kind if rng.random() < 0.75 else c.subgroup.replace("-", " ")
    r = rng.random()
    if r < 0.2:
        return kind if rng.random() < 0.3 else f"an emoji of {kind}"
    if r < 0.35:
        return f"{style.words} emoji of {kind}"
    text = c.name if r < 0.5 else f"an emoji of {c.name}" if r < 0.75 else f"{style.words} emoji of {c.name}"
    if c.tags and rng.random() < 0.4:
        text += ", " + ", ".join(rng.sample(c.tags, min(len(c.tags), rng.randint(1, 3))))
    return text + f", {kind}" if rng.random() < 0.4 else text


def corpus(concepts):
    """Every piece of text that captions and prompts are put together from (to find the tokens in use)."""
    yield ","
    yield from TEMPLATES
    yield from CLASS_NAMES
    yield from CAPTION_NAMES
    yield from (f"{s.words} emoji of" for s in STYLES)
    for c in concepts:
        yield c.name
        yield c.subgroup.replace("-", " ")
        yield from c.tags


def slug(text):
    t = "".join(ch for ch in unicodedata.normalize("NFD", text.lower()) if not 0x300 <= ord(ch) <= 0x36F)
    t = re.sub(r"[’'“”:.,!()]", "", t).replace("&", "and")
    return re.sub(r"[^a-z0-9]+", "", t)
