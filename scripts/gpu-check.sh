#!/usr/bin/env bash
# Compares the demo on CUDA with the CPU: `alphascope devices`, then `alphascope gpu-check`.
#
# Needs only the program and a Python torch 2.11 (or a libtorch the program finds by itself): no
# Rust toolchain. So a program built elsewhere can be carried to a GPU machine and checked there.
#   ALPHASCOPE_BIN  the program (default: target/release/alphascope of this checkout)
#   LIBTORCH        a libtorch with CUDA to use instead of Python's
#   PYTHON          the Python whose torch is used (default: python3)
# Further arguments go to `alphascope gpu-check`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
bin=${ALPHASCOPE_BIN:-$here/target/release/alphascope}
python=${PYTHON:-python3}

driver() {
    [ -e /proc/driver/nvidia/version ] && return 0
    command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q . && return 0
    ls /usr/lib/*-linux-gnu/libcuda.so.1 /usr/lib64/libcuda.so.1 /usr/lib/wsl/lib/libcuda.so.1 2>/dev/null | grep -q .
}
if ! driver; then
    echo "gpu-check: skipped: this machine has no NVIDIA driver"
    exit 0
fi
if [ ! -x "$bin" ]; then
    echo "gpu-check: there is no program at $bin: run \`make build\`, or set ALPHASCOPE_BIN" >&2
    exit 2
fi

lib=""
if [ -n "${LIBTORCH:-}" ]; then
    lib=$LIBTORCH/lib
elif command -v "$python" >/dev/null; then
    lib=$("$python" - <<'PY' || true
import importlib.metadata as m, importlib.util as u, os
s = u.find_spec("torch")
if s and (m.version("torch") + ".").startswith("2.11."):
    lib = os.path.join(list(s.submodule_search_locations)[0], "lib")
    if os.path.exists(os.path.join(lib, "libtorch_cuda.so")):
        print(lib)
PY
)
fi
if [ -n "$lib" ]; then
    echo "gpu-check: libtorch of $lib"
    export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
    echo "gpu-check: no Python torch 2.11 with CUDA; the libtorch the program was built with is used"
fi
"$bin" devices
exec "$bin" gpu-check "$@"
