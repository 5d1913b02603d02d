#!/usr/bin/env bash
# Makes assets/demo again: art -> drawings -> pretraining -> fine-tuning -> files -> report.
#
#   assets/demo/make/make.sh [WORK]
#
# Needs npm, Python 3.11 and about 6 GB in WORK (default: ~/.cache/alphascope/demo-make). No GPU.
# About 25 minutes on two idle cores. Each step is skipped when its result is there already;
# pretraining goes on from its last checkpoint. PYTHON=... uses that Python as it is, without a venv.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/alphascope/demo-make}
mkdir -p "$work/npm"
work=$(cd "$work" && pwd)
step() { printf '\n== %s\n' "$*"; }

# Threads that wait must sleep: spinning ones make training several times slower on a busy machine.
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1

step "art and names (npm, pinned by the lock file)"
cp "$here/package.json" "$here/package-lock.json" "$work/npm/"
[ -d "$work/npm/node_modules" ] || npm ci --ignore-scripts --no-audit --no-fund --prefix "$work/npm"

if [ -z "${PYTHON:-}" ]; then
  step "Python packages (pinned)"
  PYTHON=$work/venv/bin/python
  [ -x "$PYTHON" ] || python3 -m venv "$work/venv"
  "$PYTHON" -m pip install --quiet -r "$here/requirements.txt"
fi

step "drawings (2 minutes)"
[ -f "$work/images.npz" ] || "$PYTHON" "$here/data.py" "$work"

step "pretraining (1200 steps, about 17 minutes)"
[ -f "$work/zeroshot.pt" ] || "$PYTHON" "$here/pretrain.py" "$work"

step "fine-tuning (three runs, about a minute each)"
for recipe in finetuned finetuned-failed finetuned-hot; do
  [ -f "$work/$recipe.pt" ] || "$PYTHON" "$here/finetune.py" "$work" "$recipe"
done

step "files"
"$PYTHON" "$here/export.py" "$work" "$here/.."

step "report"
"$PYTHON" "$here/report.py" --update
