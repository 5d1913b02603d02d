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
import base64
import contextlib
import errno
import fcntl
import fnmatch
import glob
import hashlib
import html.parser
import json
import netrc
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WANT = "2.11"
#: CUDA 13 needs at least this NVIDIA driver.
MIN_DRIVER = 580
DEFAULT_INDEX = "https://pypi.org/simple"
MARK = "# Written by `make setup` (scripts/libtorch.py). Delete this file to choose again."
MAC = sys.platform == "darwin"
CPU_LIB = "libtorch_cpu.dylib" if MAC else "libtorch_cpu.so"
TRIES = 6


class Problem(Exception):
    """Something the user has to know; the message says what to do next."""


def say(text):
    print("libtorch: " + text, flush=True)


def mb(n):
    return "%.0f MB" % (n / 1e6) if n < 10e9 else "%.1f GB" % (n / 1e9)


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


# --------------------------------------------------------------------------- the package index

class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(href)


class Index:
    """The package indexes and wheel folders that pip would use on this machine."""

    def __init__(self):
        conf = self._pip_config()
        first = conf.get("index-url") or DEFAULT_INDEX
        self.urls = [first] + conf.get("extra-index-url", "").split()
        self.folders = [urllib.parse.unquote(p[7:]) if p.startswith("file://") else p
                        for p in conf.get("find-links", "").split()]
        cert = next((c for c in (conf.get("cert"), os.environ.get("SSL_CERT_FILE"),
                                 os.environ.get("REQUESTS_CA_BUNDLE")) if c and os.path.exists(c)),
                    None)
        context = ssl.create_default_context(cafile=cert)
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self.timeout = 60

    @staticmethod
    def _pip_config():
        """pip's settings; environment before site before user before global, as in pip."""
        rank = ["global", "user", "site", "install", "download", ":env:"]
        conf, level = {}, {}
        try:
            text = subprocess.run([sys.executable, "-m", "pip", "config", "list"], timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        except (OSError, subprocess.SubprocessError):
            text = ""
        for line in text.splitlines():
            m = re.match(r"([^.=]+)\.([\w-]+)='(.*)'$", line.strip())
            if m:
                at = rank.index(m.group(1)) if m.group(1) in rank else 0
                if at >= level.get(m.group(2), -1):
                    conf[m.group(2)] = m.group(3).replace("\\n", " ")
                    level[m.group(2)] = at
        for name in ("index-url", "extra-index-url", "find-links", "cert"):
            value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
            if value:
                conf[name] = value
        return conf

    def open(self, url, headers=None):
        """Opens a URL; a user name in it, or in ~/.netrc, becomes basic authentication."""
        parts = urllib.parse.urlsplit(url)
        user, secret = parts.username, parts.password
        if user is None:
            with contextlib.suppress(OSError, netrc.NetrcParseError):
                found = netrc.netrc().authenticators(parts.hostname or "")
                if found:
                    user, secret = found[0], found[2]
        request = urllib.request.Request(plain(url), headers=dict(headers or {}))
        request.add_header("User-Agent", "alphascope-setup")
        if user is not None:
            pair = "%s:%s" % (urllib.parse.unquote(user), urllib.parse.unquote(secret or ""))
            # Unredirected: the file host must not see the index's password.
            request.add_unredirected_header(
                "Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        return self.opener.open(request, timeout=self.timeout)

    def files(self, name, index=None):
        """What one index lists for a project: dicts of filename, url, size, sha256."""
        page = (index or self.urls[0]).rstrip("/") + "/" + name + "/"
        accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
        with self.open(page, {"Accept": accept}) as reply:
            kind, base, body = reply.headers.get("Content-Type", ""), reply.url, reply.read()
        if "json" in kind:
            return [{"filename": f["filename"], "url": keep_login(page, urllib.parse.urljoin(base, f["url"])),
                     "size": f.get("size"), "sha256": f.get("hashes", {}).get("sha256")}
                    for f in json.loads(body.decode())["files"]]
        links = Links()
        links.feed(body.decode("utf-8", "replace"))
        rows = []
        for href in links.found:
            url, mark = urllib.parse.urldefrag(urllib.parse.urljoin(base, href))
            rows.append({"filename": urllib.parse.unquote(url.split("?")[0].rsplit("/", 1)[-1]),
                         "url": keep_login(page, url), "size": None,
                         "sha256": mark[7:] if mark.startswith("sha256=") else None})
        return rows

    def find(self, wheel):
        """Where a pinned wheel can be had: a path on this machine or a URL."""
        for folder in self.folders:
            path = os.path.join(folder, wheel["file"])
            if os.path.isfile(path):
                return path
        said = []
        for index in self.urls:
            try:
                for f in retry(lambda i=index: self.files(wheel["name"], i)):
                    if f["filename"] == wheel["file"]:
                        return f["url"]
                said.append("%s does not list it" % plain(index))
            except (OSError, ValueError, KeyError) as e:
                said.append("%s: %s" % (plain(index), reason(e)))
        raise Problem("cannot find %s on the package index\n  %s\n%s"
                      % (wheel["file"], "\n  ".join(said), NO_NETWORK))


NO_NETWORK = """What to do, one of:
  - connect to the network, or set PIP_INDEX_URL (and PIP_CERT, HTTPS_PROXY) to reach a mirror
  - put the wheels that scripts/libtorch.lock.json names in a folder and set PIP_FIND_LINKS to it
  - install torch 2.11 for your python3 (pip install torch==2.11.0)
  - unpack libtorch 2.11 yourself and set LIBTORCH to its folder
and run the same command again: what has come so far is kept."""


def plain(url):
    """The URL without user name and password."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def keep_login(page, url):
    """Files on the index's own host need the index's login, files elsewhere must not get it."""
    a, b = urllib.parse.urlsplit(page), urllib.parse.urlsplit(url)
    if "@" in a.netloc and "@" not in b.netloc and a.netloc.rpartition("@")[2] == b.netloc:
        return urllib.parse.urlunsplit(b._replace(netloc=a.netloc))
    return url


def reason(error):
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def retry(action):
    """Runs it again after network errors, waiting a little longer each time."""
    for left in range(2, -1, -1):
        try:
            return action()
        except urllib.error.HTTPError as e:
            if left == 0 or e.code < 500 and e.code != 429:
                raise
        except OSError:
            if left == 0:
                raise
        time.sleep(2 * (3 - left))


# --------------------------------------------------------------------------- download

class Progress:
    """One line that moves on a terminal; a line at every tenth elsewhere."""

    def __init__(self, name, start, total):
        self.name, self.total, self.start = name, total, start
        self.began = self.shown = time.monotonic()
        self.tenth = 10 * start // total
        self.live = sys.stdout.isatty()

    def at(self, n):
        now = time.monotonic()
        if self.live:
            if now - self.shown < 0.2 and n < self.total:
                return
        elif 10 * n // self.total == self.tenth:
            return
        self.shown, self.tenth = now, 10 * n // self.total
        speed = (n - self.start) / max(now - self.began, 1e-6)
        text = "  %s %3d %%  %.0f of %s, %.1f MB/s" % (
            self.name, 100 * n // self.total, n / 1e6, mb(self.total), speed / 1e6)
        print("\r\x1b[K" + text if self.live else text, end="" if self.live else "\n", flush=True)

    def end(self):
        if self.live:
            print(flush=True)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for piece in iter(lambda: f.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def download(index, wheel, folder):
    """The verified wheel in `folder`; goes on from a partial file left by an earlier run."""
    final = os.path.join(folder, wheel["file"])
    part = final + ".part"
    if os.path.isfile(final):
        if os.path.getsize(final) == wheel["size"] and sha256_of(final) == wheel["sha256"]:
            return final
        os.remove(final)
    source = index.find(wheel)
    resumed = os.path.isfile(part) and os.path.getsize(part) > 0
    if os.path.isfile(source):
        shutil.copyfile(source, part)
        resumed = False
    else:
        fetch(index, source, part, wheel)
    got = sha256_of(part)
    if got != wheel["sha256"] and resumed:
        say("the continued file is damaged; fetching it again from the start")
        os.remove(part)
        fetch(index, source, part, wheel)
        got = sha256_of(part)
    if got != wheel["sha256"]:
        os.remove(part)
        raise Problem("refusing %s: its SHA-256 is not the pinned one, so it was deleted\n"
                      "  from      %s\n  expected  %s\n  got       %s\n"
                      "What to do: run again; if it stays, the index or a proxy alters files: use another one\n"
                      "(PIP_INDEX_URL), or set LIBTORCH to a libtorch 2.11 that you trust."
                      % (wheel["file"], plain(source), wheel["sha256"], got))
    os.replace(part, final)
    return final


def fetch(index, url, part, wheel):
    """Brings `part` to the wheel's full size, in as many requests as it takes."""
    total, failures, have = wheel["size"], 0, 0
    progress = None
    while True:
        have = os.path.getsize(part) if os.path.isfile(part) else 0
        if have > total:
            os.remove(part)
            have = 0
        if have == total:
            break
        try:
            if progress is None:
                if have:
                    say("going on with %s after %s" % (wheel["file"], mb(have)))
                progress = Progress(wheel["file"].split("-manylinux")[0].split("-cp3")[0], have, total)
            with index.open(url, {"Range": "bytes=%d-" % have} if have else {}) as reply:
                # A server that ignores ranges answers 200: then from the start.
                m = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
                onward = reply.status == 206 and m and int(m.group(1)) == have
                with open(part, "ab" if onward else "wb") as out:
                    have = have if onward else 0
                    while have < total:
                        piece = reply.read(1 << 18)
                        if not piece:
                            raise ConnectionError("the server closed the connection")
                        out.write(piece[:total - have])
                        have += min(len(piece), total - have)
                        progress.at(have)
            failures = 0
        except urllib.error.HTTPError as e:
            failures += 1
            if e.code == 416 and have:
                os.remove(part)
            elif e.code < 500 and e.code != 429 or failures >= TRIES:
                progress.end()
                raise Problem("cannot download %s: %s said %s\n%s"
                              % (wheel["file"], plain(url), e, NO_NETWORK))
            time.sleep(min(2 ** failures, 20))
        except (OSError, EOFError, ValueError) as e:
            if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            # Progress since the last failure means the line is slow, not dead.
            gained = (os.path.getsize(part) if os.path.isfile(part) else 0) - have
            failures = 1 if gained > 0 else failures + 1
            if failures >= TRIES:
                progress.end()
                raise Problem("cannot download %s from %s: %s\n%s"
                              % (wheel["file"], plain(url), reason(e), NO_NETWORK))
            time.sleep(min(2 ** failures, 20))
    if progress:
        progress.end()


# --------------------------------------------------------------------------- install

#: Parts of torch/lib that only Python or only the GPU needs.
PYTHON_ONLY = ("libtorch_python.*", "libshm.*", "libtorch_global_deps.*")
GPU_ONLY = ("libtorch_cuda*", "libc10_cuda*", "libcaffe2_nvrtc*", "libtorch_nvshmem*")


def wanted(member, flavor):
    """Whether a wheel's member is unpacked for "cpu" or for "cuda"."""
    if member.endswith("/"):
        return False
    if re.match(r"[^/]+\.dist-info/(licenses/)?(LICEN[CS]E|NOTICE|License)[^/]*$", member):
        return True
    folder, name = os.path.split(member)
    if member.startswith("torch/include/"):
        return not member.startswith("torch/include/pybind11/")
    if folder == "torch/lib":
        skip = PYTHON_ONLY + (("libtorch.so",)) + (GPU_ONLY if flavor == "cpu" else ())
        return not any(fnmatch.fnmatch(name, p) for p in skip)
    if member.startswith("nvidia/") and folder.endswith("/lib"):
        if flavor == "cpu":
            return name in ("libcudart.so.13", "libcupti.so.13")
        return ".so" in name
    return False


def unpack(wheel_path, to, flavor):
    with zipfile.ZipFile(wheel_path) as z:
        for item in z.infolist():
            # Wheels are hash-checked; this guards against a mistake in the lock all the same.
            if not wanted(item.filename, flavor) or ".." in item.filename.split("/"):
                continue
            target = os.path.join(to, *item.filename.split("/"))
            if ".dist-info/" in item.filename:
                dist, _, rest = item.filename.partition(".dist-info/")
                target = os.path.join(to, "licenses", dist, os.path.basename(rest))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with z.open(item) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)


@contextlib.contextmanager
def only_one(path):
    """One process at a time; a second one says so and waits."""
    with open(path, "a+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EACCES):
                say("this file system has no locks; going on without (%s)" % e.strerror)
            else:
                f.seek(0)
                say("another set-up (process %s) is fetching it; waiting for that one"
                    % (f.read().strip() or "unknown"))
                fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        f.truncate()
        f.write(str(os.getpid()))
        f.flush()
        yield


def install(lock, flavor, name):
    """The libtorch folder in the cache, fetched if it is not there yet."""
    root = cache_root()
    where = os.path.join(root, "libtorch-%s-%s-%s" % (lock["torch"], flavor, name))
    stamp = os.path.join(where, "complete.json")
    torch_dir = os.path.join(where, "torch")
    if os.path.isfile(stamp):
        return torch_dir
    wheels = [w for w in lock["wheels"].get(name, []) if flavor in w["kept"]]
    if not wheels:
        raise Problem("there is no pinned libtorch for %s %s (there is for %s).\n"
                      "What to do: set LIBTORCH to a libtorch %s.x folder, or install torch %s for python3."
                      % (flavor, name, ", ".join(sorted(lock["wheels"])), WANT, lock["torch"]))
    folder, stage = os.path.join(root, "downloads"), where + ".unpacking"
    os.makedirs(folder, exist_ok=True)
    with only_one(where + ".lock"):
        if os.path.isfile(stamp):
            return torch_dir
        done = os.path.join(stage, "done")
        os.makedirs(done, exist_ok=True)
        owed = [w for w in wheels if not os.path.exists(os.path.join(done, w["sha256"]))]
        down, keep = sum(w["size"] for w in owed), sum(w["kept"][flavor] for w in wheels)
        have = sum(os.path.getsize(p) for w in owed
                   for p in glob.glob(glob.escape(os.path.join(folder, w["file"])) + "*"))
        say("fetching %s %s for %s: %s to download%s, %s kept in %s"
            % (lock["torch"], "with CUDA" if flavor == "cuda" else "(CPU part)", name,
               mb(max(down - have, 0)), " (%s already here)" % mb(have) if have else "", mb(keep), where))
        need = sum(w["kept"][flavor] for w in owed) + max([w["size"] for w in owed] or [0]) - have
        free = shutil.disk_usage(root).free
        if free < need * 1.05:
            raise Problem("not enough room in %s: %s needed, %s free.\nWhat to do: free some space, set "
                          "XDG_CACHE_HOME to a folder on a larger disk%s."
                          % (root, mb(need * 1.05), mb(free),
                             ", or CUDA=0 to do without the GPU" if flavor == "cuda" else ""))
        index, began = Index(), time.monotonic()
        for wheel in owed:
            path = download(index, wheel, folder)
            unpack(path, stage, flavor)
            open(os.path.join(done, wheel["sha256"]), "w").close()
            os.remove(path)
        finish(stage, lock)
        shutil.rmtree(done)
        with open(os.path.join(stage, "complete.json"), "w") as f:
            json.dump({"torch": lock["torch"], "flavor": flavor, "platform": name,
                       "wheels": [w["file"] for w in wheels]}, f, indent=1)
        if os.path.isdir(where):
            shutil.rmtree(where)
        os.rename(stage, where)
        say("checked and unpacked in %.0f s" % (time.monotonic() - began))
    return torch_dir


def finish(stage, lock):
    torch_dir = os.path.join(stage, "torch")
    with open(os.path.join(torch_dir, "build-version"), "w") as f:
        f.write(lock["torch"] + "\n")
    if os.path.exists(os.path.join(torch_dir, "lib", "libtorch_cpu.so")):
        # The wheel's libtorch.so is empty but for its need of libtorch_cuda.so. All that
        # `-ltorch` has to find is this linker script; nothing loads it at run time.
        with open(os.path.join(torch_dir, "lib", "libtorch.so"), "w") as f:
            f.write("/* linker script: libtorch is libtorch_cpu here */\nINPUT ( libtorch_cpu.so )\n")


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
    folder = install(lock, flavor, name)
    fault = fault_of(folder) if name == platform_name() else None
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


def clean_cache():
    root, freed = cache_root(), 0
    for path in sorted(glob.glob(os.path.join(glob.escape(root), "libtorch-*"))
                       + [os.path.join(root, "downloads")]):
        for folder, _, names in os.walk(path):
            freed += sum(os.path.getsize(os.path.join(folder, n)) for n in names)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
    say("removed %s from %s" % (mb(freed), root))


def main():
    ap = argparse.ArgumentParser(description="Finds or fetches libtorch and tells cargo where it is.")
    ap.add_argument("--again", action="store_true", help="forget the choice made before")
    ap.add_argument("--print-lib", action="store_true", help="only print the folder of the chosen libraries")
    ap.add_argument("--clean-cache", action="store_true", help="delete what was fetched")
    ap.add_argument("--root", default=ROOT, help="the checkout (default: this one)")
    ap.add_argument("--lock", default=os.path.join(HERE, "libtorch.lock.json"), help="the list of pinned wheels")
    ap.add_argument("--platform", default=platform_name(), help="fetch for another machine, such as linux-aarch64")
    args = ap.parse_args()
    if args.clean_cache:
        return clean_cache()
    config = os.path.join(args.root, ".cargo", "config.toml")
    old = None if args.again else stored(config)
    if args.print_lib:
        if not (old and holds(old)):
            raise Problem("no libtorch chosen yet: run `make setup`")
        return print(os.path.join(old["dir"], "lib"))
    if old and holds(old):
        say("%s (%s; as before)" % (old["dir"], old["why"]))
        return None
    with open(args.lock) as f:
        lock = json.load(f)
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
