"""How each criterion ranks the layer that is guilty by construction, over all planted pairs.

    python3 assets/demo/make/ranks.py [--program target/release/alphascope] [--keep DIR] [--update]

Runs the program headless on `finetuned-hot` and on every pair of assets/planted: layer-wise sharpness and
layer-wise paths of attentions and MLPs on the ID pictures, at both ends and the middle of the path. Half a minute to a
minute a pair on two cores. Prints a table; --update writes it into ../README.md. Needs no Python package.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent
PLANTED = DEMO.parent / "planted"
SPEC = """\
[checkpoints]
zeroshot = '{demo}/zeroshot.safetensors'
finetuned = '{finetuned}'

[[datasets]]
name = "noto"
role = "id"
path = '{demo}/data/noto/test'

[sweep]
alphas = [0.0, 0.5, 1.0]

[sharpness]
layers = "module"
overall = false
draws = 4
batches = 2

[barriers]
layers = "module"
images = 256
"""
# What a row of the report's `layers` says by each criterion; the largest comes first.
CRITERIA = {
    "sharpness": lambda row: row["score"],
    "rise": lambda row: row["rise_score"],
    "distance": lambda row: row["distance_score"],
    "barrier": lambda row: row["barrier"] / row["barrier_stderr"] if row["barrier_stderr"] else float("inf") if row["barrier"] else 0.0,
}


def pairs():
    """(guilty layer, fine-tuned file)."""
    yield "block.1.mlp", DEMO / "finetuned-hot.safetensors"
    for file in sorted(PLANTED.glob("*.safetensors")):
        yield file.stem, file


def measure(program, folder, layer, file):
    """The report of one pair; a run that is there already is read, one that was stopped goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    spec, out = folder / f"{layer}.toml", folder / layer
    spec.write_text(SPEC.format(demo=DEMO, finetuned=file))
    # Threads that wait must sleep: spinning ones make small models several times slower on a busy machine.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    how = ["--resume"] if (out / "events.jsonl").exists() else [str(spec)]
    subprocess.run([program, "sweep", *how, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, env=environment)
    return json.loads(subprocess.run([program, "report", str(out)], check=True, stdout=subprocess.PIPE).stdout)


def rank(rows, guilty, criterion):
    """Of the guilty layer: rank from 1, layers with a value, and its value; None where it has none."""
    values = {}
    for row in rows:
        if row["barrier"] is None and criterion == "barrier":
            continue
        value = CRITERIA[criterion](row)
        if value is not None:
            values[row["layer"]] = value
    own = values.get(guilty)
    if own is None:
        return None
    return 1 + sum(value > own for value in values.values()), len(values), own


def table(reports):
    lines = ["| guilty layer | " + " | ".join(CRITERIA) + " | fires; for so many others |", "| --- |" + " ---: |" * len(CRITERIA) + " --- |"]
    ranks = {criterion: [] for criterion in CRITERIA}
    for guilty, report in reports.items():
        rows = [row for row in report["layers"] if row["granularity"] == "module"]
        cells = []
        for criterion in CRITERIA:
            found = rank(rows, guilty, criterion)
            if found:
                ranks[criterion].append(found[0])
            cells.append("–" if found is None else f"{found[0]} of {found[1]} ({found[2]:.1f})")
        fired = next(row["by"] for row in rows if row["layer"] == guilty)
        others = sum(bool(row["by"]) for row in rows if row["layer"] != guilty)
        cells.append((", ".join(fired) or "none") + f"; {others} false")
        lines.append(f"| {guilty} | " + " | ".join(cells) + " |")
    first = [f"{sum(r == 1 for r in found)} of {len(found)} first, mean rank {sum(found) / max(len(found), 1):.1f}" for found in ranks.values()]
    lines.append("| all | " + " | ".join(first) + " |  |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(DEMO.parent.parent / "target/release/alphascope"))
    parser.add_argument("--keep", type=Path, help="folder of the runs, to go on with")
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        reports = {layer: measure(args.program, folder, layer, file) for layer, file in pairs()}
    text = table(reports)
    print(text)
    if args.update:
        readme = DEMO / "README.md"
        begin, end = "<!-- ranks:begin -->\n", "<!-- ranks:end -->"
        before, _, rest = readme.read_text().partition(begin)
        readme.write_text(before + begin + text + end + rest.partition(end)[2])


if __name__ == "__main__":
    sys.exit(main())
