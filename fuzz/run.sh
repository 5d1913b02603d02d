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
find ../tests/fixtures/containers ../tests/fixtures/fuzz -type f -size -120k -exec cp {} "$seeds" \; 2>/dev/null || true
"target/$host/release/$target" "corpus/$target" "$seeds" \
  -max_total_time="$seconds" -max_len=131072 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=artifacts/
