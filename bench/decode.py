#!/usr/bin/env python3
"""open_clip's evaluation transform (Pillow), timed on what bench/decode.rs
decodes: `bench/decode.py [DIR] [SIZE]`."""

import io
import sys
import time
from pathlib import Path

from open_clip.transform import image_transform
from PIL import Image

size = int(sys.argv[2]) if len(sys.argv) > 2 else 224
fixture = Path(__file__).parents[1] / "tests/fixtures/images/jpeg_big.jpg"
files = sorted(Path(sys.argv[1]).iterdir()) if len(sys.argv) > 1 else [fixture] * 400
images = [path.read_bytes() for path in files]
steps = image_transform(size, is_train=False).transforms[:-2]
for name in ("warm-up   ", "one thread"):
    start = time.perf_counter()
    for data in images:
        image = Image.open(io.BytesIO(data))
        for step in steps:
            image = step(image)
    print(f"{name}: {len(images) / (time.perf_counter() - start):.0f} images/s to {size} px")
