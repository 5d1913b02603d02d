#!/usr/bin/env python3
"""When the first whole curve stands: runs `alphascope sweep ARGS... --json` and prints which share of its time passed
until every dataset had a result at every α, beside the share of the images. Standard library only."""

import json
import subprocess
import sys
import time


def main():
    program, *args = sys.argv[1:]
    cells, seen, images, measured = None, set(), 0, 0
    first = None
    begun = time.monotonic()
    sweep = subprocess.Popen([program, "sweep", *args, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in sweep.stdout:
        now = time.monotonic() - begun
        event = json.loads(line)
        kind = event.get("event")
        if kind == "header":
            cells = len(event["alphas"]) * len(event["datasets"])
            images = len(event["alphas"]) * sum(it["images"] for it in event["datasets"])
        elif kind == "measured" and event["cell"]["variant"] == 0:
            seen.add((event["cell"]["dataset"], event["cell"]["alpha"]))
            measured += event["images"]
            if first is None and len(seen) == cells:
                first = (now, measured)
    if sweep.wait() != 0 or first is None:
        sys.exit("the sweep did not come to its end (exit code %s)" % sweep.returncode)
    whole = time.monotonic() - begun
    at, counted = first
    print("first whole curve: %.2f s of %.2f s from start to end = %.1f %% of the time, %.1f %% of the images"
          % (at, whole, 100 * at / whole, 100 * counted / images))


if __name__ == "__main__":
    main()
