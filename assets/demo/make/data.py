"""Draws every (concept, style) pair: npm packages of SVG bodies -> WORK/images.npz ([N,48,48,3] uint8 on white)."""
import io
import json
import sys
import unicodedata
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from concepts import SIZE, STYLES, norm_hex, read_concepts, slug

OVERSAMPLE = 4  # drawn larger and averaged down, so that thin lines survive


def names_to_hex(modules, known):
    """Icon names of the sets that give no code points are matched by slug; the first source to claim a slug wins."""
    out = {}

    def add(name, code):
        if code in known:
            out.setdefault(slug(name), code)

    for s in STYLES:
        chars = modules / f"@iconify-json/{s.package}/chars.json"
        if chars.exists():
            for code, name in json.loads(chars.read_text()).items():
                add(name, norm_hex(code))
    for code, c in known.items():
        add(c.name, code)
    for emoji, v in json.loads((modules / "unicode-emoji-json/data-by-emoji.json").read_text()).items():
        add(v["name"], norm_hex("-".join(f"{ord(ch):x}" for ch in emoji)))
    for code in known:
        if "-" not in code and (name := unicodedata.name(chr(int(code, 16)), "")):
            add(name, code)
    return out


def find_svgs(modules, concepts):
    """Yields (concept index, style, svg text)."""
    index = {c.hex: i for i, c in enumerate(concepts)}
    by_name = names_to_hex(modules, {c.hex: c for c in concepts})
    for s in STYLES:
        folder = modules / f"@iconify-json/{s.package}"
        icons = json.loads((folder / "icons.json").read_text())
        aliases = icons.get("aliases", {})

        def resolve(name):
            while name not in icons["icons"]:
                a = aliases.get(name)
                if a is None or any(a.get(k) for k in ("hFlip", "vFlip", "rotate")):
                    return None
                name = a["parent"]
            return icons["icons"][name]

        chosen = {}
        if (folder / "chars.json").exists():
            for code, name in json.loads((folder / "chars.json").read_text()).items():
                i = index.get(norm_hex(code))
                if i is not None and resolve(name):
                    chosen[i] = name
        for name in [*icons["icons"], *aliases]:
            icon, code = resolve(name), by_name.get(slug(name))
            if icon and not icon.get("hidden") and code in index:
                chosen.setdefault(index[code], name)
        for i, name in sorted(chosen.items()):
            icon = resolve(name)
            w, h = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
            box = f"{icon.get('left', 0)} {icon.get('top', 0)} {w} {h}"
            yield i, s.name, (
                '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{box}" width="{w}" height="{h}" color="black">{icon["body"]}</svg>'
            )


def draw(job):
    _, _, svg = job
    big = SIZE * OVERSAMPLE
    png = resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", skip_system_fonts=True, width=big)
    im = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    side = max(im.size)
    if im.size != (side, side):
        square = Image.new("RGB", (side, side), "white")
        square.paste(im, ((side - im.width) // 2, (side - im.height) // 2))
        im = square
    a = np.asarray(im.resize((SIZE, SIZE), Image.Resampling.BOX if side == big else Image.Resampling.LANCZOS))
    return a if (a < 245).any(-1).sum() >= 25 else None  # all but empty drawings are left out


def main(modules, out):
    concepts = read_concepts(modules)
    jobs = list(find_svgs(modules, concepts))
    with Pool() as pool:
        drawn = pool.map(draw, jobs, chunksize=64)
    keep = [(j[0], j[1], a) for j, a in zip(jobs, drawn) if a is not None]
    print(f"{len(keep)} images, {len(jobs) - len(keep)} left out")
    for s in STYLES:
        print(f"  {s.name:18} {sum(k[1] == s.name for k in keep)}")
    np.savez(
        out,
        images=np.stack([k[2] for k in keep]),
        concept=np.array([k[0] for k in keep]),
        style=np.array([k[1] for k in keep]),
    )


if __name__ == "__main__":
    work = Path(sys.argv[1])
    main(work / "npm/node_modules", work / "images.npz")
