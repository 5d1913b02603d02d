#!/usr/bin/env bash
# All measurements, one section each; `make bench` runs it. A section that cannot run here says
# why and is passed over; one that fails makes the whole fail.
#   PYTHON / ALPHASCOPE_PYTHON  the Python with torch and open_clip for the side-by-side run
#   ALPHASCOPE_BENCH            only the sections whose name holds this word
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
# How threads wait, as the program sets it: for PyTorch beside it too.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"
failed=()

# section NAME COMMAND...
section() {
    local name=$1
    shift
    [[ $name == *"${ALPHASCOPE_BENCH:-}"* ]] || return 0
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
}
skip() { printf '\n== %s\nskipped: %s\n' "$1" "$2"; }
cargo_bench() { env -u LIBTORCH cargo bench --quiet --bench "$1"; }

printf '== machine\n'
target/release/alphascope devices || failed+=(machine)

# -- Rust programs: every [[bench]] of Cargo.toml is a file bench/NAME.rs that prints its numbers.
for source in bench/*.rs; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .rs)
    section "$name" cargo_bench "$name"
done

section first-curve scripts/first_curve.py target/release/alphascope --demo --out "$(mktemp -d)/run"
section waiting bench/waiting.sh

# -- Side by side with PyTorch: every bench/*.py, on the same machine right after.
python=${ALPHASCOPE_PYTHON:-${PYTHON:-python3}}
for source in bench/*.py; do
    [ -e "$source" ] || continue
    name=$(basename "$source")
    if "$python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ("torch", "open_clip"))))' 2>/dev/null; then
        section "$name" "$python" "$source"
    else
        skip "$name" "$python has no torch and open_clip (ALPHASCOPE_PYTHON names another Python)"
    fi
done

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nfailed: %s\n' "${failed[*]}"
    exit 1
fi
