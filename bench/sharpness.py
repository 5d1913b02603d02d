"""Layer-wise sharpness the straightforward way in PyTorch, beside alphascope's, in turns.

    python bench/sharpness.py [--model demo|ViT-B-32] [--kind average|worst] [--images N] [--draws N] [--steps N]
                              [--turns 3]

The same workload on both sides: block granularity, one batch, float32, the CPU, the same number of threads, a
head of 22 classes; weights and images are random on either side (what is computed does not depend on them).

- average: for every layer and draw the layer's tensors are perturbed (l2, adaptive) and the whole model is
  run forward;
- worst: for every layer and step of Auto-PGD the whole model is run forward and backward, the layer's tensors
  are moved, and the whole model is run forward again to evaluate the new point.

A layer costs PyTorch the same wherever it stands, so on ViT-B/32 two of the 14 layers are measured and scaled
linearly. Prints the median of each and of the turns' ratios.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from open_clip.factory import create_model
from open_clip.model import CLIP

DEMO = pathlib.Path(__file__).resolve().parent.parent / "assets" / "demo"
CLASSES = 22
RHO_AVERAGE, RHO_WORST = 0.2, 0.5
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1)


class Classifier(torch.nn.Module):
    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        self.classification_head = torch.nn.Linear(visual.output_dim, CLASSES)

    def forward(self, x):
        return self.classification_head(F.normalize(self.visual(x), dim=-1))


def classifier(name, images):
    """A model of random weights, and as many random images with labels."""
    if name == "demo":
        config = json.loads((DEMO / "open_clip_config.json").read_text())["model_cfg"]
        clip = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
        size = config["vision_cfg"]["image_size"]
    else:
        clip, size = create_model(name + "-quickgelu", load_weights=False, pretrained_image=False), 224
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, size, size), generator=generator, dtype=torch.uint8)
    x = (pixels.float().div_(255) - MEAN) / STD
    return Classifier(clip.visual).eval(), x, torch.arange(images) % CLASSES


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


def torch_seconds(kind, net, x, labels, count, scaled):
    """Seconds of all layers; the one unperturbed pass is not part of what is scaled."""
    layers = list(blocks(net).values())
    some = [layers[0], layers[-1]] if scaled else layers
    began = time.perf_counter()
    {"average": average, "worst": worst}[kind](net, x, labels, some, count)
    measured = time.perf_counter() - began
    passes = count * (1 if kind == "average" else 4)
    return measured / (len(some) * passes + 1) * (len(layers) * passes + 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["demo", "ViT-B-32"], action="append")
    parser.add_argument("--kind", choices=["average", "worst"], action="append")
    parser.add_argument("--images", type=int)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    cargo = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    environment = {k: v for k, v in os.environ.items() if k != "LIBTORCH"}
    for model in args.model or ["demo", "ViT-B-32"]:
        small = model == "demo"
        images = args.images or (128 if small else 16)
        draws, steps = args.draws or (8 if small else 2), args.steps or (20 if small else 4)

        def rust(kind):
            words = ["--json", "--model", model, "--kind", kind, "--layers", "block", "--images", str(images)]
            command = [cargo, "bench", "--quiet", "--bench", "sharpness", "--", *words, "--draws", str(draws), "--steps", str(steps), "--no-whole"]
            out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            return json.loads(out.strip().splitlines()[-1])

        net, x, labels = classifier(model, images)
        for kind in args.kind or ["average", "worst"]:
            count = draws if kind == "average" else steps
            ours, theirs, ratios = [], [], []
            for turn in range(args.turns):
                told = rust(kind)
                torch.set_num_threads(told["threads"])
                if turn == 0:
                    with torch.inference_mode():
                        net(x)
                ours.append(told["seconds"])
                theirs.append(torch_seconds(kind, net, x, labels, count, not small))
                ratios.append(theirs[-1] / ours[-1])
            unit = "draws" if kind == "average" else "steps"
            print(
                f"{model}, {kind}, every block, {count} {unit}, {images} images, {told['threads']} threads:"
                f" alphascope {statistics.median(ours):.2f} s, PyTorch {torch.__version__} {statistics.median(theirs):.2f} s"
                f"{'' if small else ' (scaled)'}, {statistics.median(ratios):.2f} x"
                f" ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
