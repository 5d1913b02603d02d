#!/bin/bash
# run.sh TARGET SECONDS: fuzzes one target from the fixtures, with a stable toolchain.
set -euo pipefail
cd "$(dirname "$0")"
target=$1 seconds=$2 host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
  cargo build --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" artifacts
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
fixtures=../tests/fixtures
from=("$fixtures/fuzz-$target")
case $target in
  image) from+=("$fixtures/images") ;;
  parquet) from+=("$fixtures/parquet") ;;
  text) from+=("$fixtures/parity" "$fixtures/checkpoints" ../assets/demo) ;;
  tar)
    parts=$(mktemp -d)
    trap 'rm -rf "$seeds" "$parts"' EXIT
    (cd "$parts" && printf 1 >a.cls && printf picture >a.png && printf '{"label": 0}' >b.json \
      && printf other >b.jpg && printf 'red fox' >c.txt && printf third >c.webp)
    for format in gnu pax ustar v7; do tar -C "$parts" --format=$format -cf "$seeds/$format.tar" .; done ;;
  *) from=("$fixtures/containers" "$fixtures/fuzz") ;;
esac
find "${from[@]}" -type f -size -120k -exec cp --backup=numbered {} "$seeds" \; 2>/dev/null || true
"target/$host/release/$target" "corpus/$target" "$seeds" \
  -max_total_time="$seconds" -max_len=131072 -timeout=60 -rss_limit_mb=2048 -artifact_prefix=artifacts/
