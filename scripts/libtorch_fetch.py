"""The download behind libtorch.py: package index, resumable files, checks, unpacking.

Nothing here chooses; `install` is told what to fetch. What it guarantees: a wheel is unpacked
only after its SHA-256 equals the pinned one; a run that breaks off goes on where it stopped; two
runs at once do the work once; a folder in the cache is either complete or not there.
"""
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

DEFAULT_INDEX = "https://pypi.org/simple"
TRIES = 6


class Problem(Exception):
    """Something the user has to know; the message says what to do next."""


def say(text):
    print("libtorch: " + text, flush=True)


def mb(n):
    return "%.0f MB" % (n / 1e6) if n < 10e9 else "%.1f GB" % (n / 1e9)


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
        self.live = sys.stdout.isatty()
        self.steps = 10 if total > 50e6 else 1
        self.step = self.steps * start // total

    def at(self, n):
        now = time.monotonic()
        if self.live:
            if now - self.shown < 0.2 and n < self.total:
                return
        elif self.steps * n // self.total == self.step:
            return
        self.shown, self.step = now, self.steps * n // self.total
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
        before = have
        try:
            if progress is None:
                if have:
                    say("going on with %s after %s" % (wheel["file"], mb(have)))
                progress = Progress("-".join(wheel["file"].split("-")[:2]), have, total)
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
            # Progress in this request means that the line is poor, not dead.
            gained = os.path.isfile(part) and os.path.getsize(part) > before
            failures = 1 if gained else failures + 1
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
def only_one(root):
    """One process at a time in this cache folder; a second one says so and waits."""
    with open(os.path.join(root, "lock"), "a+") as f:
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


def install(lock, flavor, name, root):
    """The libtorch folder under the cache folder `root`, fetched if it is not there yet."""
    where = os.path.join(root, "libtorch-%s-%s-%s" % (lock["torch"], flavor, name))
    stamp = os.path.join(where, "complete.json")
    torch_dir = os.path.join(where, "torch")
    if os.path.isfile(stamp):
        return torch_dir
    wheels = [w for w in lock["wheels"].get(name, []) if flavor in w["kept"]]
    if not wheels:
        raise Problem("there is no pinned libtorch for %s %s (there is for %s).\n"
                      "What to do: set LIBTORCH to a libtorch %s folder, or install torch %s for python3."
                      % (flavor, name, ", ".join(sorted(lock["wheels"])), lock["torch"], lock["torch"]))
    folder, stage = os.path.join(root, "downloads"), where + ".unpacking"
    os.makedirs(folder, exist_ok=True)
    with only_one(root):
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


def clean(root):
    """Deletes all that `install` made."""
    if not os.path.isdir(root):
        return say("nothing in %s" % root)
    freed = 0
    with only_one(root):
        for path in glob.glob(os.path.join(glob.escape(root), "libtorch-*")) + [os.path.join(root, "downloads")]:
            for folder, _, names in os.walk(path):
                freed += sum(os.path.getsize(os.path.join(folder, n)) for n in names)
            shutil.rmtree(path, ignore_errors=True)
    return say("removed %s from %s" % (mb(freed), root))


def finish(stage, lock):
    torch_dir = os.path.join(stage, "torch")
    with open(os.path.join(torch_dir, "build-version"), "w") as f:
        f.write(lock["torch"] + "\n")
    if os.path.exists(os.path.join(torch_dir, "lib", "libtorch_cpu.so")):
        # The wheel's libtorch.so is empty but for its need of libtorch_cuda.so. All that
        # `-ltorch` has to find is this linker script; nothing loads it at run time.
        with open(os.path.join(torch_dir, "lib", "libtorch.so"), "w") as f:
            f.write("/* linker script: libtorch is libtorch_cpu here */\nINPUT ( libtorch_cpu.so )\n")
