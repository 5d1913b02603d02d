"""Makes the two fonts of the figures: Inter at two weights, with the letters
that names of datasets and models have.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python make.py

The variable font comes from the package `fontpkg-inter`; the output is the same
bytes each time.
"""

from pathlib import Path

import fontpkg_inter
from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

HERE = Path(__file__).resolve().parent.parent
SOURCE = Path(fontpkg_inter.__file__).parent / "files" / "Inter[opsz,wght].ttf"
# Latin with accents, Greek, Cyrillic, punctuation, super- and subscripts, signs.
RANGES = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x2C6, 0x2DD), (0x370, 0x3FF), (0x400, 0x45F),
    (0x1E00, 0x1EFF), (0x2010, 0x203A), (0x2070, 0x209C), (0x20A0, 0x20BF),
    (0x2190, 0x2193), (0x2200, 0x2265), (0xFFFD, 0xFFFD),
]

for weight, name in [(400, "Inter-Regular.ttf"), (700, "Inter-Bold.ttf")]:
    font = TTFont(SOURCE, recalcTimestamp=False)
    font = instancer.instantiateVariableFont(font, {"opsz": 14, "wght": weight}, updateFontNames=True)
    options = subset.Options(layout_features=["kern", "mark", "mkmk", "ccmp"], hinting=False)
    options.recalc_timestamp = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    cut = subset.Subsetter(options)
    cut.populate(unicodes=[code for a, b in RANGES for code in range(a, b + 1)])
    cut.subset(font)
    font.save(HERE / name)
    print(name, (HERE / name).stat().st_size, "bytes")
