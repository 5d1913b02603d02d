"""Makes assets/planted: fine-tuned checkpoints in which one layer, known since it was made so, learnt 20 times faster.

    python assets/demo/make/planted.py [LAYER...]

Each is `finetuned-hot` (same recipe, same seed) with another guilty layer. It starts from what is shipped, the float16
zero-shot file and the noto training pictures, so that it needs neither the art nor the pretraining. One to ten minutes
each, on one core; a layer whose file is there is left alone.
"""
import io
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from export import write_safetensors
from finetune import RECIPES, finetune
from model import Classifier, build, zero_shot_head

DEMO = Path(__file__).resolve().parent.parent
OUT = DEMO.parent / "planted"
# Attention and MLP, early, middle and late; block.1.mlp is the demo's own.
LAYERS = ["block.2.mlp", "block.0.attn", "block.4.mlp", "block.5.attn", "block.3.attn"]
SPEC = """\
# Constructed pair: {layer} learnt 20 times faster than the other layers (see ../demo/README.md).
label = "constructed: {layer} was trained with a 20 times larger learning rate"
[checkpoints]
zeroshot = "../demo/zeroshot.safetensors"
finetuned = "{layer}.safetensors"
"""


class Shipped:
    """The training pictures as they are shipped, by their key; stands in for `model.Data`."""

    def __init__(self):
        with tarfile.open(DEMO / "data/noto/train/0.tar") as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
        keys = sorted(name.removesuffix(".cls") for name in files if name.endswith(".cls"))
        pictures = [np.asarray(Image.open(io.BytesIO(files[f"{key}.png"])).convert("RGB")) for key in keys]
        self.pixels = torch.from_numpy(np.stack(pictures))
        self.labels = torch.tensor([int(files[f"{key}.cls"]) for key in keys])

    def dataset(self, style, part):
        assert (style, part) == ("noto", "train")
        return None, list(range(len(self.labels))), self.labels


def prefix(layer):
    _, index, module = layer.split(".")
    return f"visual.transformer.resblocks.{index}.{module}"


def spec(layer):
    """The hot demo's spec with this pair in it."""
    datasets = (DEMO / "demo-hot.toml").read_text().partition("\n[[datasets]]")[2]
    return SPEC.format(layer=layer) + "\n[[datasets]]" + datasets.replace('"data/', '"../demo/data/')


def main(layers):
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    clip = build()
    zero = {name: value.float() for name, value in load_file(DEMO / "zeroshot.safetensors").items()}
    clip.load_state_dict(zero, strict=False)
    clip.eval()
    with torch.no_grad():
        start = Classifier(clip.visual, zero_shot_head(clip))
    data = Shipped()
    for layer in layers or LAYERS:
        (OUT / f"{layer}.toml").write_text(spec(layer))
        file = OUT / f"{layer}.safetensors"
        if file.exists():
            continue
        began = time.time()
        net, steps, loss = finetune(start, data, replace(RECIPES["finetuned-hot"], hot=prefix(layer)))
        write_safetensors(file, net.state_dict(), f"constructed: as finetuned, but {prefix(layer)} learnt 20 times faster")
        print(f"{layer}: {steps} steps, {time.time() - began:.0f} s, last batch's loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
