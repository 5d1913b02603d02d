"""Recomputes the demo's numbers from the shipped files alone, with open_clip and Pillow (about a minute).

report.py             prints the tables as Markdown
report.py --update    also writes them between the markers in ../README.md
"""
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file

DEMO = Path(__file__).resolve().parent.parent
ID, OOD = "noto", ["twemoji", "openmoji", "fluent", "fluent-hc", "fxemoji"]
PAIRS = ["finetuned", "finetuned-failed", "finetuned-hot"]
ALPHAS = [k / 10 for k in range(11)]
BATCH = 128
RESAMPLES, SEED = 10_000, 0


def load_config():
    return json.loads((DEMO / "open_clip_config.json").read_text())


def load_zero_shot():
    """The whole CLIP, float16 on disk, float32 here."""
    clip = CLIP(**load_config()["model_cfg"])
    clip.load_state_dict({k: v.float() for k, v in load_file(DEMO / "zeroshot.safetensors").items()})
    return clip.eval()


class Dataset:
    """One WebDataset folder: keys in tar order, preprocessed images, labels."""

    def __init__(self, name, part="test"):
        cfg = load_config()
        pre = cfg["preprocess_cfg"]
        transform = image_transform(
            cfg["model_cfg"]["vision_cfg"]["image_size"],
            is_train=False,
            mean=tuple(pre["mean"]),
            std=tuple(pre["std"]),
            interpolation=pre["interpolation"],
            resize_mode=pre["resize_mode"],
        )
        root = DEMO / "data" / name
        self.name, self.path = name, f"data/{name}/{part}"
        self.classes = (root / "classnames.txt").read_text().splitlines()
        self.templates = (root / "zeroshot_classification_templates.txt").read_text().splitlines()
        samples = {}
        for shard in range(int((root / part / "nshards.txt").read_text())):
            with tarfile.open(root / part / f"{shard}.tar") as tar:
                for member in tar:
                    key, suffix = member.name.split(".", 1)
                    samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
        self.keys = list(samples)
        self.labels = torch.tensor([int(s["cls"]) for s in samples.values()])
        self.images = torch.stack([transform(Image.open(io.BytesIO(s["png"]))) for s in samples.values()])


@torch.no_grad()
def zero_shot_head(clip, classes, templates):
    """[C,D]: per class the normalised mean of the normalised prompt embeddings, times exp(logit_scale)."""
    tok = SimpleTokenizer(context_length=clip.context_length)
    rows = []
    for name in classes:
        e = F.normalize(clip.encode_text(tok([t.replace("{c}", name) for t in templates])), dim=-1).mean(0)
        rows.append(F.normalize(e, dim=-1))
    return torch.stack(rows) * clip.logit_scale.exp()


class Interpolation:
    """theta(alpha) of image tower, head weight and head bias, in float32."""

    def __init__(self, clip, head, pair):
        self.visual = clip.visual
        ends = {f"visual.{k}": v.clone() for k, v in clip.visual.state_dict().items()}
        self.start = ends | {"classification_head.weight": head, "classification_head.bias": torch.zeros(len(head))}
        self.end = {k: v.float() for k, v in load_file(DEMO / f"{pair}.safetensors").items()}
        if self.start.keys() != self.end.keys():
            raise ValueError(f"{pair}: tensors differ: {sorted(self.start.keys() ^ self.end.keys())}")

    @torch.no_grad()
    def logits(self, alpha, images):
        at = {k: (1 - alpha) * v + alpha * self.end[k] for k, v in self.start.items()}
        visual = {k.removeprefix("visual."): v for k, v in at.items() if k.startswith("visual.")}
        out = []
        for x in images.split(BATCH):
            f = F.normalize(torch.func.functional_call(self.visual, visual, (x,)), dim=-1)
            out.append(f @ at["classification_head.weight"].T + at["classification_head.bias"])
        return torch.cat(out)


def sweep(path, datasets):
    """Per dataset: correct [alpha, image] as bool, and mean cross-entropy per alpha."""
    right, loss = {}, {}
    for d in datasets:
        logits = [path.logits(a, d.images) for a in ALPHAS]
        right[d.path] = np.stack([(z.argmax(1) == d.labels).numpy() for z in logits])
        loss[d.path] = [F.cross_entropy(z, d.labels).item() for z in logits]
    return right, loss


class Bootstrap:
    """Resamples *concepts*: the same emoji recur in every style, so that styles are not independent samples."""

    def __init__(self, datasets):
        concepts = sorted({k for d in datasets for k in d.keys})
        rng = np.random.default_rng(SEED)
        weights = rng.multinomial(len(concepts), np.full(len(concepts), 1 / len(concepts)), size=RESAMPLES)
        self.concepts, self.weights = concepts, weights.astype(np.float32)
        index = {k: n for n, k in enumerate(concepts)}
        self.columns = {d.path: np.array([index[k] for k in d.keys]) for d in datasets}

    def mean_curves(self, right, paths, weights=None):
        """[resample, alpha]: accuracy averaged over `paths`, each concept counted by its weight."""
        weights = self.weights if weights is None else weights
        curves = []
        for p in paths:
            w = weights[:, self.columns[p]]
            curves.append((w @ right[p].T.astype(np.float32)) / w.sum(1, keepdims=True))
        return np.mean(curves, 0)

    def cross_fitted_gain(self, right, paths, splits=500):
        """The gain when alpha is chosen on one random half of the concepts and measured on the other."""
        rng = np.random.default_rng(SEED + 1)
        half = np.array([rng.permutation(len(self.concepts)) < len(self.concepts) // 2 for _ in range(splits)])
        a = self.mean_curves(right, paths, half.astype(np.float32))
        b = self.mean_curves(right, paths, (~half).astype(np.float32))
        gains = []
        for choose, measure in ((a, b), (b, a)):
            best = 1 + choose[:, 1:-1].argmax(1)
            gains.append(measure[np.arange(splits), best] - measure[:, [0, -1]].max(1))
        return float(np.mean(gains))


def ci(values):
    lo, hi = np.percentile(100 * values, [2.5, 97.5])
    return f"[{lo:+.1f}, {hi:+.1f}]"


def describe(name, right, loss, boot, id_test, id_train, ood):
    """Markdown of one pair: the table over alpha and the paired differences, in points of top-1."""
    mean = np.mean([right[p].mean(1) for p in ood], 0)
    lines = [f"### `{name}`", ""]
    head = ["α", "noto (ID)", *OOD, "OOD mean", "ID train", "loss noto", "loss ID train"]
    lines += ["| " + " | ".join(head) + " |", "|" + " ---: |" * len(head)]
    for k, a in enumerate(ALPHAS):
        row = [f"{a:.1f}"] + [f"{100 * right[p][k].mean():.1f}" for p in (id_test, *ood)] + [f"{100 * mean[k]:.1f}"]
        row += [f"{100 * right[id_train][k].mean():.1f}", f"{loss[id_test][k]:.3f}", f"{loss[id_train][k]:.3f}"]
        lines.append("| " + " | ".join(row) + " |")
    best = 1 + int(mean[1:-1].argmax())
    end = 0 if mean[0] >= mean[-1] else -1
    sample = boot.mean_curves(right, ood)
    lines += ["", "Paired differences, 95 % bootstrap over concepts:", ""]
    lines.append(f"- best interior α {ALPHAS[best]:.1f}, OOD mean: {100 * (mean[best] - mean[0]):+.1f} {ci(sample[:, best] - sample[:, 0])} "
                 f"against zero-shot, {100 * (mean[best] - mean[-1]):+.1f} {ci(sample[:, best] - sample[:, -1])} against fine-tuned")
    gain = mean[best] - max(mean[0], mean[-1])
    lines.append(f"- RFT gain {100 * gain:+.1f} {ci(sample[:, best] - sample[:, end])}; with α chosen on one half of the concepts "
                 f"and measured on the other (mean of 500 splits, two ways): {100 * boot.cross_fitted_gain(right, ood):+.1f}")
    below = [f"{a:.1f}" for k, a in enumerate(ALPHAS) if k and np.percentile(sample[:, k] - sample[:, 0], 97.5) < 0]
    where = "every α > 0" if len(below) == len(ALPHAS) - 1 else f"α {', '.join(below)}" if below else "no α"
    lines.append(f"- OOD mean significantly below zero-shot at {where}")
    for what, paths in (("ID (noto)", [id_test]), ("OOD mean", ood)):
        point = np.mean([right[p].mean(1) for p in paths], 0)
        chord = (1 - np.array(ALPHAS)) * point[0] + np.array(ALPHAS) * point[-1] - point
        k = int(chord.argmax())
        s = boot.mean_curves(right, paths)
        if k in (0, len(ALPHAS) - 1):
            lines.append(f"- barrier, {what}: 0.0 (the curve is nowhere below its chord)")
            continue
        drop = (1 - ALPHAS[k]) * s[:, 0] + ALPHAS[k] * s[:, -1] - s[:, k]
        lines.append(
            f"- barrier, {what}: {100 * chord[k]:.1f} {ci(drop)} at α {ALPHAS[k]:.1f} "
            f"({100 * (point[k] - point[0]):+.1f} {ci(s[:, k] - s[:, 0])} from zero-shot, "
            f"{100 * (point[k] - point[-1]):+.1f} {ci(s[:, k] - s[:, -1])} from fine-tuned)"
        )
    return lines + [""]


def main(update):
    torch.set_num_threads(2)
    clip = load_zero_shot()
    tests = [Dataset(n) for n in (ID, *OOD)]
    train = Dataset(ID, "train")
    head = zero_shot_head(clip, tests[0].classes, tests[0].templates)
    boot = Bootstrap(tests)
    lines = [
        "Images: " + ", ".join(f"{d.path.split('/')[1]} {len(d.keys)}" for d in tests) + f"; ID train {len(train.keys)}. "
        f"Majority class on noto: {100 * tests[0].labels.bincount().max() / len(tests[0].keys):.1f}. Accuracies in percent.",
        "",
    ]
    for pair in PAIRS:
        right, loss = sweep(Interpolation(clip, head, pair), [*tests, train])
        lines += describe(pair, right, loss, boot, tests[0].path, train.path, [d.path for d in tests[1:]])
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if update:
        readme = DEMO / "README.md"
        before, rest = readme.read_text().split("<!-- report:begin -->\n")
        _, after = rest.split("<!-- report:end -->")
        readme.write_text(f"{before}<!-- report:begin -->\n{text}<!-- report:end -->{after}")


if __name__ == "__main__":
    main("--update" in sys.argv[1:])
