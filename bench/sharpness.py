"""Layer-wise sharpness the straightforward way in PyTorch: what bench/sharpness.rs is compared with.

    python bench/sharpness.py [--model demo|ViT-B-32] [--threads N] [--json]

The same workload: block granularity, the model at alpha = 0.5, one batch of 128 images, float32, the CPU.

- average: for every layer and each of 8 draws the layer's tensors are perturbed (l2, adaptive) and the
  whole model is run forward;
- worst: for every layer and each of 20 steps of Auto-PGD the whole model is run forward and backward, the
  layer's tensors are moved, and the whole model is run forward again to evaluate the new point.

On the demo's model all layers are measured, with all draws and with 4 of the 20 steps; on ViT-B/32 (random
weights and images; open_clip's, with a head of 1000 classes) three layers with one pair of draws and one
layer with one step. A layer costs the same here wherever it stands, so the rest is scaled linearly, and the
line says so.

With --json one object a line: model, kind (average | worst), layers, draws or steps, batch, threads,
seconds (of the whole workload), measured (seconds really measured), passes (forward passes of the whole
workload, a backward pass counted as two).
"""

import argparse
import io
import json
import os
import pathlib
import sys
import tarfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.factory import create_model
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import load_file

DEMO = pathlib.Path(__file__).resolve().parent.parent / "assets" / "demo"
BATCH, DRAWS, STEPS = 128, 8, 20
RHO_AVERAGE, RHO_WORST = 0.2, 0.5
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1)


class Classifier(torch.nn.Module):
    def __init__(self, visual, classes, embed):
        super().__init__()
        self.visual = visual
        self.classification_head = torch.nn.Linear(embed, classes)

    def forward(self, x):
        return self.classification_head(F.normalize(self.visual(x), dim=-1))


def zero_shot_weight(clip):
    """The demo's zero-shot head, times exp(logit_scale)."""
    from open_clip.tokenizer import SimpleTokenizer

    folder = DEMO / "data/noto"
    names = (folder / "classnames.txt").read_text().splitlines()
    templates = (folder / "zeroshot_classification_templates.txt").read_text().splitlines()
    tokenizer = SimpleTokenizer(context_length=clip.context_length)
    rows = [clip.encode_text(tokenizer([t.replace("{c}", n) for t in templates]), normalize=True).mean(0) for n in names]
    return torch.stack([row / row.norm() for row in rows]) * clip.logit_scale.exp()


@torch.no_grad()
def demo():
    """The shipped pair at alpha = 0.5 and its first ID pictures."""
    config = json.loads((DEMO / "open_clip_config.json").read_text())["model_cfg"]
    clip = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).eval()
    zero = {k: v.float() for k, v in load_file(DEMO / "zeroshot.safetensors").items()}
    clip.load_state_dict(zero, strict=False)
    one = {k: v.float() for k, v in load_file(DEMO / "finetuned.safetensors").items()}
    zero["classification_head.weight"] = zero_shot_weight(clip)
    zero["classification_head.bias"] = torch.zeros(len(zero["classification_head.weight"]))
    net = Classifier(clip.visual, *zero["classification_head.weight"].shape)
    net.load_state_dict({k: zero[k] + 0.5 * (v - zero[k]) for k, v in one.items()})
    pictures, labels = [], []
    with tarfile.open(DEMO / "data/noto/test/0.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    for name in sorted(n for n in files if n.endswith(".png"))[:BATCH]:
        pictures.append(np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")))
        labels.append(int(files[name.removesuffix("png") + "cls"]))
    return net.eval(), torch.from_numpy(np.stack(pictures)), torch.tensor(labels)


def random_vit(name):
    clip = create_model(name + "-quickgelu", load_weights=False, pretrained_image=False)
    net = Classifier(clip.visual, 1000, clip.visual.output_dim)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, 224, 224, 3), generator=generator, dtype=torch.uint8)
    return net.eval(), pixels, torch.randint(0, 1000, (BATCH,), generator=generator)


def blocks(net):
    """The tensors of every layer at block granularity."""
    groups = {}
    for name, p in net.named_parameters():
        if name.startswith("visual.transformer.resblocks."):
            layer = "block." + name.split(".")[3]
        elif name.startswith(("visual.ln_post.", "visual.proj", "classification_head.")):
            layer = "head"
        else:
            layer = "stem"
        groups.setdefault(layer, []).append(p)
    return groups


def average(net, x, labels, layers, draws):
    """The rise of every layer, by antithetic pairs."""
    rises = []
    with torch.inference_mode():
        first = F.cross_entropy(net(x), labels).item()
        for parameters in layers:
            start = [p.clone() for p in parameters]
            rise = 0.0
            for _ in range(draws // 2):
                noise = [RHO_AVERAGE * w.abs() * torch.randn_like(w) for w in start]
                for sign in (1, -1):
                    for p, w, e in zip(parameters, start, noise):
                        p.copy_(w + sign * e)
                    rise += F.cross_entropy(net(x), labels).item() - first
            for p, w in zip(parameters, start):
                p.copy_(w)
            rises.append(rise / draws)
    return rises


def worst(net, x, labels, layers, steps):
    """The largest rise of every layer, by steps of the gradient. They are kept in the ball by scaling alone:
    what a projection costs is nothing beside the passes, on either side."""
    rises = []
    with torch.no_grad():
        first = F.cross_entropy(net(x), labels).item()
    for parameters in layers:
        start = [p.detach().clone() for p in parameters]
        best = 0.0
        for _ in range(steps):
            net.zero_grad()
            F.cross_entropy(net(x), labels).backward()
            with torch.no_grad():
                length = torch.stack([p.grad.square().sum() for p in parameters]).sum().sqrt()
                delta = [p - w + 2 * RHO_WORST / (length + 1e-12) * p.grad * w.abs() for p, w in zip(parameters, start)]
                size = torch.stack([(d / w).nan_to_num().square().sum() for d, w in zip(delta, start)]).sum().sqrt()
                factor = min(1.0, RHO_WORST / size.item())
                for p, w, d in zip(parameters, start, delta):
                    p.copy_(w + factor * d)
                best = max(best, F.cross_entropy(net(x), labels).item() - first)
        with torch.no_grad():
            for p, w in zip(parameters, start):
                p.copy_(w)
        rises.append(best)
    return rises


def timed(run, *arguments):
    began = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["demo", "ViT-B-32"], action="append")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for model in args.model or ["demo", "ViT-B-32"]:
        net, pixels, labels = demo() if model == "demo" else random_vit(model)
        x = (pixels.permute(0, 3, 1, 2).float().div_(255) - MEAN) / STD
        layers = list(blocks(net).values())
        whole = model == "demo"
        some = layers if whole else [layers[0], layers[len(layers) // 2], layers[-1]]
        draws, steps = (DRAWS, 4) if whole else (2, 1)
        with torch.inference_mode():
            net(x)
        told = []
        for kind, run, some, count, full, passes in (
            ("average", average, some, draws, DRAWS, 1),
            ("worst", worst, some if whole else some[:1], steps, STEPS, 4),
        ):
            measured = timed(run, net, x, labels, some, count)
            # The one unperturbed pass is not part of what is scaled.
            done = len(some) * count * passes
            seconds = measured / (done + 1) * (len(layers) * full * passes + 1)
            told.append({
                "model": model, "kind": kind, "layers": len(layers), "draws" if kind == "average" else "steps": full,
                "batch": BATCH, "threads": args.threads, "seconds": seconds, "measured": measured, "passes": len(layers) * full * passes + 1,
            })  # fmt: skip
        for entry in told:
            if args.json:
                print(json.dumps(entry), flush=True)
                continue
            count = f"{entry['draws']} draws" if "draws" in entry else f"{entry['steps']} steps"
            scaled = "" if entry["seconds"] == entry["measured"] else f"  (scaled linearly from {entry['measured']:.1f} s)"
            print(
                f"{model:9} {entry['kind']:8} {entry['layers']} layers x {count}, 1 batch of {BATCH}, {args.threads} threads:"
                f" PyTorch {torch.__version__} {entry['seconds']:8.2f} s{scaled}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
