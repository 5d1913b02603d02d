"""Does the doctor find the layer that is guilty by construction, and does it say that nothing helps where nothing does?

    python3 assets/demo/make/doctor.py [--program target/release/alphascope] [--keep DIR] [--update]

Runs `alphascope sweep --doctor`, its orders as by default, at α = 0, 0.2 … 1 on the five OOD styles: on the failed and
the good pair of the demo, on `finetuned-hot` and on every pair of assets/planted. Of a pair with a known guilty layer every edit that the doctor may try is also
measured on that layer in full (as variants of the spec, which change nothing of the search: tests/doctor.rs). So it is
known whether editing it truly helps on the images that the doctor did not choose by:

    helps       the interval of an edit's gain over dense lies above 0 there, at 95 % over all edits together
                (Bonferroni: 99 % each of five)
    hit         the doctor proposes an edit of the guilty layer, and editing it helps by that standard
    miss        editing it helps, and the doctor does not propose it
    false       the doctor proposes an edit of another layer, or one of the guilty layer where no edit helps
    right       nothing helps, and nothing is proposed

About a minute a pair on two cores. Prints a table; --update writes it into ../README.md and ../../../README.md.
Needs no Python package.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ranks import pairs

DEMO = Path(__file__).resolve().parent.parent
ROOT = DEMO.parent.parent
OOD = ["twemoji", "openmoji", "fluent", "fluent-hc", "fxemoji"]
SPEC = """\
[checkpoints]
zeroshot = '{demo}/zeroshot.safetensors'
finetuned = '{finetuned}'

{datasets}
[sweep]
alphas = {{ from = 0.0, to = 1.0, steps = 6 }}
seed = {seed}
precision = "fp32"
"""
DATASET = """\
[[datasets]]
name = "{name}"
role = "{role}"
path = '{demo}/data/{name}/test'

"""
# What the doctor may do to a layer by default.
EDITS = [("reset", 1.0), ("delta", 0.9), ("delta", 0.5), ("dare", 0.9), ("dare", 0.5)]
VARIANT = """\
[[variants]]
name = "truth: {method} {amount}"
sparsify = [{{ layer = "{layer}", method = "{method}", amount = {amount} }}]

"""
# Half-widths of the normal law: 95 %, and 95 % over all edits together.
ONE, ALL = 1.959964, 2.575829


def spec(finetuned, guilty, seed):
    # Nothing here looks at ID images: a few, for the class names.
    datasets = DATASET.format(name="noto", role="id", demo=DEMO).replace("\n\n", "\nlimit = 32\n\n")
    datasets += "".join(DATASET.format(name=name, role="ood", demo=DEMO) for name in OOD)
    text = SPEC.format(demo=DEMO, finetuned=finetuned, datasets=datasets, seed=seed)
    return text + "".join(VARIANT.format(layer=guilty, method=method, amount=amount) for method, amount in EDITS if guilty)


def measure(program, folder, name, guilty, file, seed):
    """The report of one pair; a run that is there already is read, one that was stopped goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    path, out = folder / f"{name}.toml", folder / name
    path.write_text(spec(file, guilty, seed))
    # Threads that wait must sleep: spinning ones make small models several times slower on a busy machine.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    how = ["--resume"] if (out / "events.jsonl").exists() else [str(path)]
    command = [program, "sweep", *how, "--doctor", "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return json.loads(subprocess.run([program, "report", str(out)], check=True, stdout=subprocess.PIPE).stdout)["doctor"]


def signed(value):
    """One decimal with a sign; zero has none."""
    text = f"{abs(value):.1f}"
    return text if text == "0.0" else ("−" if value < 0 else "+") + text


def points(it, wide=1.0):
    if it is None:
        return "–"
    lo, hi = (it["value"] + wide * (it[end] - it["value"]) for end in ("lo", "hi"))
    return f"{signed(it['value'])} [{signed(lo)}, {signed(hi)}]"


def layers(it):
    return [edit["layer"] for edit in it["sparsify"]]


def edit(it):
    first = it["sparsify"][0]
    amount = "" if first["method"] == "reset" else f" {first['amount']:g}"
    return f"{first['method']}{amount} {', '.join(layers(it))}"


def truth(doctor, guilty):
    """The guilty layer's edit that helps most surely on the untouched images; whether it does."""
    own = [it for it in doctor["trials"] if layers(it) == [guilty] and it["gain"]]
    if not own:
        return None, None
    wide = ALL / ONE
    low = lambda it: it["gain"]["value"] + wide * (it["gain"]["lo"] - it["gain"]["value"])
    best = max(own, key=low)
    return best, low(best) > 0


def outcome(doctor, guilty, helps):
    if guilty is None:
        return ""
    proposed = doctor["best"] if doctor["helps"] else None
    right = proposed and layers(proposed) == [guilty]
    match (bool(proposed), bool(right), helps):
        case (True, True, True):
            return "hit"
        case (True, _, _):
            return "false"
        case (False, _, True):
            return "miss"
    return "right"


def table(reports):
    lines = [
        "| pair | the doctor's edit | gain on the rest | proposed | control's edit | its gain | guilty layer's surest edit, on the rest | |",
        "| --- | --- | ---: | --- | --- | ---: | --- | --- |",
    ]
    counts = {"hit": 0, "miss": 0, "false": 0, "right": 0}
    named = controls = beaten = loose = 0
    for name, (guilty, it) in reports.items():
        best, control = it["best"], it["control"]
        surest, helps = truth(it, guilty)
        told = outcome(it, guilty, helps)
        if told:
            counts[told] += 1
            named += layers(best) == [guilty]
            controls += bool(control and control["gain"]["lo"] > 0)
            beaten += bool(it["beats_control"])
            loose += any(layers(one) == [guilty] and one["gain"] and one["gain"]["lo"] > 0 for one in it["trials"])
        known = "" if surest is None else f"{edit(surest)}: {points(surest['gain'], ALL / ONE)}"
        lines.append(
            f"| {name} | {edit(best)} | {points(best['gain'])} | {'yes' if it['helps'] else 'no'} | "
            f"{edit(control)} | {points(control['gain'])} | {known} | {told} |"
        )
    pairs = sum(counts.values())
    tuning, rest = (next(iter(reports.values()))[1][key] for key in ("tuning_images", "report_images"))
    lines += [
        "",
        f"Of {pairs} pairs with a known guilty layer it is the doctor's choice in {named}. Editing it truly helps in "
        f"{counts['hit'] + counts['miss']}: {counts['hit']} hits, {counts['miss']} misses; {counts['false']} false "
        f"repairs; nothing helps and nothing is proposed in {counts['right']}. (Were each of the five edits held to 95 % by "
        f"itself, some edit of the guilty layer would help in {loose}: {loose - counts['hit']} more misses.) The best edit of a random layer passes the doctor's "
        f"own test in {controls}; the chosen edit beats it in {beaten}. Chosen on {tuning} OOD images, judged on the other "
        f"{rest}; percentage points of the OOD mean over the interior α against dense, paired, [95 %]; the last numbers "
        "at 99 % (five edits looked at).",
    ]
    return "\n".join(lines) + "\n"


def write(path, text):
    begin, end = "<!-- doctor:begin -->\n", "<!-- doctor:end -->"
    before, _, rest = path.read_text().partition(begin)
    path.write_text(before + begin + text + end + rest.partition(end)[2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "target/release/alphascope"))
    parser.add_argument("--keep", type=Path, help="folder of the runs, to go on with")
    parser.add_argument("--seed", type=int, default=0, help="another seed parts the images otherwise")
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    known = [(f"planted {layer}", layer, file) for layer, file in pairs()]
    others = [("failed", None, DEMO / "finetuned-failed.safetensors"), ("good", None, DEMO / "finetuned.safetensors")]
    known[0] = ("hot block.1.mlp", *known[0][1:])
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        reports = {}
        for name, guilty, file in [*known, *others]:
            place = name.replace(" ", "-")
            reports[name] = (guilty, measure(args.program, folder, place, guilty, file, args.seed))
            print(f"{name}: {edit(reports[name][1]['best'])} {points(reports[name][1]['best']['gain'])}", file=sys.stderr, flush=True)
    text = table(reports)
    print(text)
    if args.update:
        for path in (DEMO / "README.md", ROOT / "README.md"):
            write(path, text)


if __name__ == "__main__":
    sys.exit(main())
