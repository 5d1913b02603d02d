"""The model (open_clip's own CLIP), its inputs, and the zero-shot classifier."""
import math

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

from concepts import CLASS_NAMES, ID, SIZE, TEMPLATES, read_concepts, split_concepts

CONFIG = {
    "embed_dim": 96,
    "vision_cfg": {"image_size": SIZE, "patch_size": 8, "width": 96, "layers": 6, "head_width": 32, "mlp_ratio": 4.0},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
PREPROCESS = {
    "mean": list(OPENAI_DATASET_MEAN),
    "std": list(OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
MEAN = torch.tensor(OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
STD = torch.tensor(OPENAI_DATASET_STD).view(1, 3, 1, 1)


def build():
    return CLIP(CONFIG["embed_dim"], CLIPVisionCfg(**CONFIG["vision_cfg"]), CLIPTextCfg(**CONFIG["text_cfg"]))


def tokenizer():
    return SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])


class Data:
    """Drawings with their split. `pixels` is uint8 [N,48,48,3]; `rows[(concept, style)]` indexes it."""

    def __init__(self, work):
        z = np.load(work / "images.npz")
        self.pixels = torch.from_numpy(z["images"])
        self.concepts = read_concepts(work / "npm/node_modules")
        self.rows = {(int(i), str(s)): k for k, (i, s) in enumerate(zip(z["concept"], z["style"]))}
        self.part, self.task = split_concepts(self.concepts)

    def dataset(self, style, part):
        """Concept indices, rows and labels of one style's train or test half."""
        ids = [i for i in self.task if self.part[i] == part and (i, style) in self.rows]
        rows = [self.rows[i, style] for i in ids]
        return ids, rows, torch.tensor([self.concepts[i].label for i in ids])


def normalize(u8):
    return (u8.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def augment(u8, gray, strength):
    """Random shift, turn, zoom, mirror image, ink colour and (with chance `gray`) loss of colour, on white."""
    x = u8.permute(0, 3, 1, 2).float() / 255
    n = len(x)
    angle = (torch.rand(n) * 2 - 1) * 0.21 * strength
    scale = 1 + (torch.rand(n) * 0.6 - 0.18) * strength
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() * scale * flip, -angle.sin() * scale
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() * scale * flip, angle.cos() * scale
    theta[:, :, 2] = (torch.rand(n, 2) * 2 - 1) * 0.12 * strength
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = 1 - F.grid_sample(1 - x, grid, align_corners=False, padding_mode="zeros")
    mask = (torch.rand(n, 1, 1, 1) < gray).float()
    x = x * (1 - mask) + x.mean(1, keepdim=True) * mask
    ink = 1 + (torch.rand(n, 3, 1, 1) * 2 - 1) * 0.3 * strength
    return ((1 - (1 - x) * ink).clamp(0, 1) - MEAN) / STD


@torch.no_grad()
def zero_shot_head(clip, class_names=CLASS_NAMES, templates=TEMPLATES):
    """[C,D]: per class the normalised mean of the normalised prompt embeddings, times exp(logit_scale)."""
    tok = tokenizer()
    rows = []
    for name in class_names:
        e = clip.encode_text(tok([t.replace("{c}", name) for t in templates]), normalize=True).mean(0)
        rows.append(e / e.norm())
    return torch.stack(rows) * clip.logit_scale.exp()


class Classifier(torch.nn.Module):
    """Image tower and linear head: logits = normalised features @ weight.T + bias."""

    def __init__(self, visual, weight):
        super().__init__()
        self.visual = visual
        self.classification_head = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.classification_head.weight.copy_(weight)
            self.classification_head.bias.zero_()

    def forward(self, x):
        return self.classification_head(F.normalize(self.visual(x), dim=-1))


def cosine(step, total, warmup):
    """Learning-rate factor: linear warm-up over `warmup` steps, times a cosine to 0."""
    return min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * step / total))


def decay_groups(named, wd):
    """AdamW groups: weight decay on matrices only."""
    named = list(named)
    return [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": wd},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
