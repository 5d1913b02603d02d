#!/usr/bin/env bash
# What threads that spin while they wait cost: the accuracy sweep of the demo, alone and beside as
# many busy processes as there are cores, with libgomp's own choice and with the program's.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$PWD/target/release/alphascope
folder=$(mktemp -d)
busy=()
rest() { [ ${#busy[@]} -eq 0 ] || kill "${busy[@]}" 2>/dev/null || true; busy=(); }
trap 'rest; rm -rf "$folder"' EXIT

# The demo's spec without its probes; paths become absolute.
awk -v demo="$PWD/assets/demo/" '
    /^\[/ { out = ($0 !~ /sharpness|barriers|curvature/) }
    out { if ($1 ~ /^(zeroshot|finetuned|path)$/) sub(/"/, "\"" demo); print }
' assets/demo/demo.toml > "$folder/spec.toml"

# sweep LABEL ENVIRONMENT...
sweep() {
    local label=$1 begun seconds
    shift
    rm -rf "$folder/run"
    begun=$(date +%s%N)
    env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY "$@" \
        "$program" sweep "$folder/spec.toml" --out "$folder/run" >/dev/null 2>&1
    seconds=$(( ($(date +%s%N) - begun) / 100000000 ))
    printf '%-22s %-24s %4d.%d s\n' "$load" "$label" $((seconds / 10)) $((seconds % 10))
}

sweep_all() {
    for _ in 1 2; do
        # Any turns at all keep the program from choosing; these are libgomp's own.
        sweep "spins (libgomp)" GOMP_SPINCOUNT=300000
        sweep "sleeps soon (ours)" ALPHASCOPE=
    done
}

load=alone sweep_all
for _ in $(seq "$(nproc)"); do (while :; do :; done) & busy+=($!); done
load="beside $(nproc) busy ones" sweep_all
