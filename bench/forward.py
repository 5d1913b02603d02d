"""The image tower's forward pass beside open_clip in PyTorch: same model, images and threads.

    python bench/forward.py [--model ViT-B-32] [--images 64] [--seconds 8] [--turns 4] [--precision fp32|bf16]

Takes turns (Rust, PyTorch, Rust, ...) so that a busy machine slows both alike, and prints the
median of each and of the turns' ratios. PyTorch runs at several batch sizes; its best counts.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import torch
from open_clip.factory import create_model


def torch_rate(model, images, batch, seconds):
    pixels = torch.randint(0, 256, (images, 224, 224, 3), dtype=torch.uint8)
    mean = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1)
    std = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1)
    dtype = model.visual.conv1.weight.dtype  # open_clip leaves some parameters in float32

    def run():
        for part in pixels.split(batch):
            x = ((part.permute(0, 3, 1, 2).float().div_(255) - mean) / std).to(dtype)
            model.encode_image(x, normalize=True)

    with torch.inference_mode():
        run()
        rates, start = [], time.perf_counter()
        while len(rates) < 2 or time.perf_counter() - start < seconds:
            began = time.perf_counter()
            run()
            rates.append(images / (time.perf_counter() - began))
    return statistics.median(rates)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    args = parser.parse_args()

    cargo = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    environment = {k: v for k, v in os.environ.items() if k != "LIBTORCH"}
    words = ["--json", "--model", args.model, "--images", str(args.images), "--seconds", str(args.seconds), "--precision", args.precision]

    def rust_rate():
        command = [cargo, "bench", "--quiet", "--bench", "forward", "--", *words]
        out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        return json.loads(out.strip().splitlines()[-1])

    threads = rust_rate()["threads"]
    torch.set_num_threads(threads)
    model = create_model(args.model + "-quickgelu", precision=args.precision, load_weights=False, pretrained_image=False).eval()
    # What batch suits PyTorch best here.
    sizes = sorted({min(args.images, n) for n in (16, 32, args.images)})
    batch = max(sizes, key=lambda n: torch_rate(model, args.images, n, args.seconds / 4))
    ours, theirs, ratios, peak = [], [], [], []
    for turn in range(args.turns):
        theirs.append(torch_rate(model, args.images, batch, args.seconds))
        told = rust_rate()
        ours.append(told["images_per_second"])
        peak.append(told["of_peak"])
        theirs.append(torch_rate(model, args.images, batch, args.seconds))
        ratios.append(ours[-1] / statistics.mean(theirs[-2:]))
        print(f"  turn {turn + 1}: alphascope {ours[-1]:6.2f} img/s, PyTorch {statistics.mean(theirs[-2:]):6.2f} img/s, ratio {ratios[-1]:.3f}", flush=True)
    print(
        f"{args.model}, {args.precision}, {args.images} images, {threads} threads: alphascope {statistics.median(ours):.2f} img/s"
        f" ({100 * statistics.median(peak):.1f} % of peak), open_clip in PyTorch {torch.__version__}"
        f" {statistics.median(theirs):.2f} img/s (its best batch, {batch}): ratio {statistics.median(ratios):.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
