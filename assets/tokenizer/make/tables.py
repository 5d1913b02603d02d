#!/usr/bin/env python3
"""Makes the tokenizer's data files from the Python packages that define them.

Run with a Python that has open_clip_torch 3.2 and ftfy 6.3:

    python assets/tokenizer/make/tables.py

- merges.txt.gz: the merges CLIP uses, in rank order.
- clean.json.gz: what text cleaning looks up: ftfy's character classes,
  single-byte encodings, replacements, and HTML's character references.
"""

import gzip
import html
import html.entities
import json
import os
import re
from pathlib import Path

import ftfy.bad_codecs  # noqa: F401 (registers the sloppy encodings)
import open_clip
from ftfy import badness, chardata

OUT = Path(__file__).parents[1]


def write(name, text):
    (OUT / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(name, (OUT / name).stat().st_size, "bytes")


def merges():
    path = os.path.join(os.path.dirname(open_clip.__file__), "bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.open(path).read().decode().split("\n")
    return "\n".join(lines[1:49152 - 256 - 2 + 1]) + "\n"


def plain(pattern):
    """A verbose Python pattern without its spaces and comments, in the syntax
    and with the classes that Rust's regex needs to mean the same."""
    out, inside, at = [], False, 0
    while at < len(pattern):
        c = pattern[at]
        if not inside and c == "#":
            at = pattern.index("\n", at)
            continue
        if not inside and c.isspace() and c in " \n\t":
            at += 1
            continue
        if c == "\\":
            # Python's \s has four separators more; its \w no marks.
            out.append({"s": r"[\s\x1c-\x1f]", "w": r"[\p{L}\p{N}_]"}.get(
                pattern[at + 1], pattern[at:at + 2]))
            at += 2
            continue
        inside = c == "[" or (inside and c != "]")
        out.append(c)
        at += 1
    return "".join(out)


def members(ranges):
    """All characters of the inside of a character class."""
    return "".join(chr(c) for c in range(0x110000)
                   if not 0xD800 <= c < 0xE000 and re.match(f"[{ranges}]", chr(c)))


def encoding(name):
    table = bytes(range(256)).decode(name)
    assert len(set(table)) == 256
    return table


def main():
    write("merges.txt.gz", merges())
    clues = {k: members(v) for k, v in chardata.UTF8_CLUES.items()}
    html5 = html.entities.html5
    upper = {k[1:]: v for k, v in chardata.HTML_ENTITIES.items() if k[1:] not in html5}
    assert all(html5[k[1:]] == v for k, v in chardata.HTML_ENTITIES.items() if k[1:] in html5)
    tables = {
        "badness": plain(badness.BADNESS_RE.pattern),
        "encodings": [{"name": name, "table": encoding(name)}
                      for name in chardata.CHARMAP_ENCODINGS],
        "windows_1252": bytes(range(256)).decode("windows-1252", "replace"),
        "first_of_2": clues["utf8_first_of_2"],
        "first_of_3": clues["utf8_first_of_3"],
        "first_of_4": clues["utf8_first_of_4"],
        "continuation": clues["utf8_continuation"],
        "continuation_strict": clues["utf8_continuation_strict"],
        "replace": {chr(k): v for k, v in (chardata.LIGATURES | chardata.WIDTH_MAP).items()},
        "remove": "".join(chr(c) for c in chardata.CONTROL_CHARS),
        "html5": html5,
        "html_upper": upper,
        "invalid_references": {str(k): v for k, v in html._invalid_charrefs.items()},
        "invalid_codepoints": sorted(html._invalid_codepoints),
    }
    assert not set(chardata.LIGATURES) & set(chardata.WIDTH_MAP)
    write("clean.json.gz", json.dumps(tables, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
