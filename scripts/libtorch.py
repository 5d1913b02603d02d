#!/usr/bin/env python3
"""Finds or fetches libtorch 2.11 and tells cargo where it is.

    python3 scripts/libtorch.py              choose, fetch if need be, write .cargo/config.toml
    python3 scripts/libtorch.py --again      the same, forgetting the choice made before
    python3 scripts/libtorch.py --print-lib  only print the folder of the chosen libraries
    python3 scripts/libtorch.py --clean-cache  delete what was fetched

Order: $LIBTORCH, then an installed Python torch 2.11, then a pinned download of the wheels in
libtorch.lock.json into the user's cache folder, which all clones share. Environment:
CUDA=1 fetch the GPU libraries too (the default where there is a fitting NVIDIA driver),
CUDA=0 do not; XDG_CACHE_HOME; and pip's own settings for index, certificate and wheel folders
(PIP_INDEX_URL, PIP_CERT, PIP_FIND_LINKS or pip's configuration files).

Only the standard library is used, from Python 3.8 on.
"""
import argparse
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from libtorch_fetch import Problem, clean, install, say  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WANT = "2.11"
#: CUDA 13 needs at least this NVIDIA driver.
MIN_DRIVER = 580
MARK = "# Written by `make setup` (scripts/libtorch.py). Delete this file to choose again."
MAC = sys.platform == "darwin"
CPU_LIB = "libtorch_cpu.dylib" if MAC else "libtorch_cpu.so"


# --------------------------------------------------------------------------- what is here

def platform_name():
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(),
                                                           platform.machine().lower())
    if sys.platform.startswith("linux"):
        return "linux-" + machine
    if MAC:
        return "macos-" + ("arm64" if machine == "aarch64" else machine)
    return sys.platform + "-" + machine


def cache_root():
    base = os.environ.get("XDG_CACHE_HOME") or ""
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    return os.path.join(base, "alphascope")


def cuda_wish():
    """True, False, or None where CUDA was not mentioned."""
    return {"1": True, "0": False}.get(os.environ.get("CUDA", "").strip())


def driver():
    """(there is an NVIDIA driver, its major version or None)."""
    try:
        with open("/proc/driver/nvidia/version") as f:
            m = re.search(r"\b(\d{3,4})\.\d+", f.read())
            return True, int(m.group(1)) if m else None
    except OSError:
        pass
    places = ["/usr/lib/*-linux-gnu/libcuda.so.1", "/usr/lib64/libcuda.so.1",
              "/usr/lib/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
    return bool(shutil.which("nvidia-smi") or any(glob.glob(p) for p in places)), None


def version_of(torch_dir):
    """Version of a libtorch folder from its headers, such as "2.11.0"; None if there is none."""
    for name in ("torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"):
        try:
            with open(os.path.join(torch_dir, "include", name)) as f:
                text = f.read()
        except OSError:
            continue
        parts = [re.search(r"define TORCH_VERSION_%s (\d+)" % p, text)
                 for p in ("MAJOR", "MINOR", "PATCH")]
        if all(parts):
            return ".".join(m.group(1) for m in parts)
    return None


def fault_of(torch_dir):
    """Why this folder cannot serve as libtorch, or None if it can."""
    lib = os.path.join(torch_dir, "lib", CPU_LIB)
    if not os.path.isdir(torch_dir):
        return "there is no such folder"
    if not os.path.isfile(lib):
        return "it has no lib/%s" % CPU_LIB
    if not os.path.isfile(os.path.join(torch_dir, "include", "torch", "csrc", "api", "include",
                                       "torch", "torch.h")):
        return "it has no C++ headers (include/torch/csrc/api/include/torch/torch.h)"
    version = version_of(torch_dir)
    if version is None or not (version + ".").startswith(WANT + "."):
        return "its headers say version %s; %s.x is needed" % (version or "unknown", WANT)
    # Loaded in a process of its own: a library with missing parts fails here, not in the build.
    code = "import ctypes,sys; ctypes.CDLL(sys.argv[1])"
    got = subprocess.run([sys.executable, "-c", code, lib], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, universal_newlines=True)
    if got.returncode != 0:
        lines = got.stderr.strip().splitlines()
        return "%s does not load: %s" % (CPU_LIB, lines[-1] if lines else "no message")
    return None


def has_cuda(torch_dir):
    return os.path.isfile(os.path.join(torch_dir, "lib", "libtorch_cuda.so"))


def python_torches():
    """(python, version, torch folder) of each interpreter at hand that has a torch."""
    code = ("import importlib.util as u, importlib.metadata as m, json\n"
            "s = u.find_spec('torch')\n"
            "print(json.dumps([m.version('torch'), list(s.submodule_search_locations)[0]]))")
    tried = set()
    for python in (os.path.join(os.environ.get("VIRTUAL_ENV") or "/nonexistent", "bin", "python"),
                   os.path.join(os.environ.get("CONDA_PREFIX") or "/nonexistent", "bin", "python"),
                   shutil.which("python3")):
        if not python or python in tried or not os.path.exists(python):
            continue
        tried.add(python)
        try:
            got = subprocess.run([python, "-c", code], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, timeout=60)
            if got.returncode == 0:
                version, folder = json.loads(got.stdout.decode())
                yield python, version, folder
        except (OSError, ValueError, subprocess.SubprocessError):
            continue


# --------------------------------------------------------------------------- choice

def choose(lock, name):
    """(torch folder, source, one line that says why)."""
    wish = cuda_wish()
    asked = os.environ.get("LIBTORCH")
    if asked:
        folder = os.path.abspath(asked)
        fault = fault_of(folder)
        if fault:
            raise Problem("LIBTORCH=%s cannot be used: %s.\nWhat to do: point LIBTORCH to a libtorch %s.x folder "
                          "(with include/ and lib/), or unset it to let this script choose."
                          % (asked, fault, WANT))
        return folder, "LIBTORCH", "LIBTORCH is set"
    for python, version, folder in python_torches():
        if not version.startswith(WANT + "."):
            say("torch %s of %s passed over: %s.x is needed" % (version, python, WANT))
            continue
        if wish and not has_cuda(folder):
            say("torch %s of %s passed over: CUDA=1, and it is a CPU build" % (version, python))
            continue
        fault = fault_of(folder)
        if fault:
            say("torch %s of %s passed over: %s" % (version, python, fault))
            continue
        return folder, "python", "torch %s of %s" % (version, python)
    flavor, why = "cpu", "no NVIDIA driver found"
    if wish is not None:
        flavor, why = ("cuda", "CUDA=1") if wish else ("cpu", "CUDA=0")
    elif not MAC:
        there, major = driver()
        if there and major is not None and major < MIN_DRIVER:
            why = ("NVIDIA driver %d is too old for CUDA 13, which needs %d; CUDA=1 fetches the GPU part anyway"
                   % (major, MIN_DRIVER))
        elif there:
            flavor, why = "cuda", "an NVIDIA driver is here; CUDA=0 leaves the GPU part out"
    else:
        why = "macOS"
    if MAC:
        flavor = "cpu"
    folder = install(lock, flavor, name, cache_root())
    fault = fault_of(folder)
    if fault:
        raise Problem("the fetched libtorch in %s cannot be used: %s.\nWhat to do: `make clean-cache` and run again; "
                      "or set LIBTORCH to another libtorch %s.x." % (folder, fault, WANT))
    return folder, "download", "no LIBTORCH, no Python torch %s; %s" % (WANT, why)


def stored(config):
    """The choice made before, or None."""
    try:
        with open(config) as f:
            head = f.read().split("\n", 2)
        if head[0] == MARK and head[1].startswith("# choice: "):
            return json.loads(head[1][10:])
    except (OSError, ValueError, IndexError):
        pass
    return None


def holds(old):
    """Whether the choice made before still stands; cheap, as it runs before every build."""
    asked = os.environ.get("LIBTORCH")
    if asked and os.path.abspath(asked) != old.get("dir"):
        return False
    try:
        size = os.path.getsize(os.path.join(old["dir"], "lib", CPU_LIB))
    except (OSError, KeyError, TypeError):
        return False
    if size != old.get("size") or version_of(old["dir"]) != old.get("version"):
        return False
    if not has_cuda(old["dir"]):
        if cuda_wish():
            return False
        if old.get("source") == "download" and cuda_wish() is None and not MAC:
            there, major = driver()
            return not there or (major is not None and major < MIN_DRIVER)
    return True


def write_config(config, choice):
    """Tells cargo (and rust-analyzer) where libtorch is; the file is left alone if it says so already."""
    folder = choice["dir"]
    body = "[env]\nLIBTORCH = %s\n" % json.dumps(folder)
    for extra in ("LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_CXX11_ABI"):
        if choice["source"] == "LIBTORCH" and os.environ.get(extra):
            body += "%s = %s\n" % (extra, json.dumps(os.environ[extra]))
    # Tests run beside each other: threads that spin while they wait take each other's cores.
    body += 'GOMP_SPINCOUNT = "1000"\n'
    # cargo gives documentation tests none of build.rs's link flags: they find libtorch this way.
    flags = [w for word in ("-rpath", os.path.join(folder, "lib"))
             for w in ("-Clink-arg=-Xlinker", "-Clink-arg=" + word)]
    body += "[build]\nrustdocflags = %s\n" % json.dumps(flags)
    text = "%s\n# choice: %s\n%s" % (MARK, json.dumps(choice, sort_keys=True), body)
    try:
        with open(config) as f:
            now = f.read()
    except OSError:
        now = None
    if now == text:
        return
    if now is not None and not now.startswith(MARK):
        if re.search(r'LIBTORCH\s*=\s*%s' % re.escape(json.dumps(folder)), now):
            return
        raise Problem("%s was not written by this script, so it is left alone.\nWhat to do: add to it\n%s"
                      "or remove it, and run again." % (config, body))
    os.makedirs(os.path.dirname(config), exist_ok=True)
    beside = "%s.%d" % (config, os.getpid())
    with open(beside, "w") as f:
        f.write(text)
    os.replace(beside, config)


def main():
    ap = argparse.ArgumentParser(description="Finds or fetches libtorch and tells cargo where it is.")
    ap.add_argument("--again", action="store_true", help="forget the choice made before")
    ap.add_argument("--print-lib", action="store_true", help="only print the folder of the chosen libraries")
    ap.add_argument("--clean-cache", action="store_true", help="delete what was fetched")
    ap.add_argument("--root", default=ROOT, help="the checkout (default: this one)")
    ap.add_argument("--lock", default=os.path.join(HERE, "libtorch.lock.json"), help="the list of pinned wheels")
    ap.add_argument("--platform", default=platform_name(), help="only fetch, for another machine, such as linux-aarch64")
    args = ap.parse_args()
    if args.clean_cache:
        return clean(cache_root())
    config = os.path.join(args.root, ".cargo", "config.toml")
    old = None if args.again else stored(config)
    if args.print_lib:
        if not (old and holds(old)):
            raise Problem("no libtorch chosen yet: run `make setup`")
        return print(os.path.join(old["dir"], "lib"))
    if old and holds(old):
        write_config(config, old)
        say("%s (%s; as before)" % (old["dir"], old["why"]))
        return None
    with open(args.lock) as f:
        lock = json.load(f)
    if args.platform != platform_name():
        # For a machine that has no network of its own: the folder can be carried there.
        return say(install(lock, "cuda" if cuda_wish() else "cpu", args.platform, cache_root()))
    folder, source, why = choose(lock, args.platform)
    choice = {"dir": folder, "source": source, "why": why, "version": version_of(folder),
              "cuda": has_cuda(folder), "size": os.path.getsize(os.path.join(folder, "lib", CPU_LIB))}
    write_config(config, choice)
    say("%s (%s%s)" % (folder, why, "; with CUDA" if choice["cuda"] else "; CPU only"))
    return None


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        print("libtorch: error: %s" % problem, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print("libtorch: error: %s%s\nWhat to do: check free space and permissions, then run again; "
              "what has come so far is kept." % (error.strerror or error,
                                                 " (%s)" % error.filename if error.filename else ""),
              file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nlibtorch: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
