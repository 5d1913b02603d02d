"""Tests of scripts/libtorch.py against a package index on this machine, with tiny wheels.

    python3 -m unittest discover -s tests -p 'setup_*.py'

Nothing is fetched from the network, and no real libtorch is needed.
"""
import ctypes
import hashlib
import http.server
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(ROOT, "scripts")
sys.dont_write_bytecode = True
sys.path.insert(0, SCRIPTS)
libtorch = importlib.import_module("libtorch")
fetch = importlib.import_module("libtorch_fetch")

VERSION_H = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR %d\n#define TORCH_VERSION_PATCH 0\n"
TORCH_H = "torch/include/torch/csrc/api/include/torch/torch.h"
HEADER = "torch/include/torch/headeronly/version.h"
NOISE = os.urandom(1 << 20)


def shared_library():
    """The bytes of some loadable shared library."""
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "lib.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", out, "-xc", "-"], input=b"int tiny;", check=True)
        ctypes.CDLL(out)
        with open(out, "rb") as f:
            return f.read()


LIB = shared_library()


def wheel(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, body in members.items():
            z.writestr(name, body)
    return data.getvalue()


def torch_members(minor=11):
    return {
        HEADER: VERSION_H % minor,
        TORCH_H: "// torch",
        "torch/include/pybind11/pybind11.h": "// only Python needs it",
        "torch/lib/" + libtorch.CPU_LIB: LIB,
        "torch/lib/libc10.so": NOISE,
        "torch/lib/libtorch.so": b"needs libtorch_cuda.so",
        "torch/lib/libtorch_cuda.so": b"large",
        "torch/lib/libtorch_python.so": b"python",
        "torch/nn/modules.py": b"pass",
        "torch-2.11.0.dist-info/licenses/LICENSE": b"BSD",
    }


class FakeIndex(http.server.ThreadingHTTPServer):
    """Serves {file: bytes} as a package index. Knobs: html, ranges, break_after, spoil, status."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.html, self.ranges, self.spoil = files, False, True, False
        self.break_after, self.gate, self.status = [], None, None
        self.asked = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server_address[1]

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def reply(self, status, body, kind, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return body

    def do_GET(self):
        s, path = self.server, self.path
        if path.startswith("/simple/"):
            name = path.split("/")[2].replace("-", "_")
            names = [f for f in s.files if f.split("-")[0] == name]
            if s.html:
                page = "".join("<a href='../../files/%s#sha256=0'>%s</a>" % (f, f) for f in names).encode()
                self.wfile.write(self.reply(200, page, "text/html"))
            else:
                page = {"files": [{"filename": f, "url": s.url + "/files/" + f} for f in names]}
                kind = "application/vnd.pypi.simple.v1+json"
                self.wfile.write(self.reply(200, json.dumps(page).encode(), kind))
            return
        name = path.rsplit("/", 1)[-1]
        span = self.headers.get("Range")
        s.asked.append((name, span))
        if s.status:
            self.wfile.write(self.reply(s.status, b"no", "text/plain"))
            return
        body = s.files[name]
        if s.spoil:
            body = body[:-1] + bytes([body[-1] ^ 1])
        start = int(span[6:].rstrip("-")) if span and s.ranges else 0
        rest = body[start:]
        if span and s.ranges:
            self.reply(206, rest, "x", Content_Range="bytes %d-%d/%d" % (start, len(body) - 1, len(body)))
        else:
            self.reply(200, rest, "x")
        if s.gate:
            s.gate.wait(30)
        if s.break_after:
            self.wfile.write(rest[: s.break_after.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(rest)


class Case(unittest.TestCase):
    def setUp(self):
        box = tempfile.TemporaryDirectory()
        self.addCleanup(box.cleanup)
        self.box = box.name
        self.root = os.path.join(self.box, "checkout")
        self.bin = os.path.join(self.box, "bin")
        os.makedirs(self.root)
        os.makedirs(self.bin)
        # A python3 that has no torch, whatever this machine has.
        self.python3("import sys; sys.exit(1)")
        self.files = {
            "torch-2.11.0-cp312-cp312-here.whl": wheel(torch_members()),
            "nvidia_cuda_runtime-13.0.96-py3-none-here.whl": wheel({
                "nvidia/cu13/lib/libcudart.so.13": b"cudart",
                "nvidia/cu13/lib/libcudart_static.a": b"static",
                "nvidia/cu13/include/cuda.h": b"header"}),
            "nvidia_cublas-13.1.0.3-py3-none-here.whl": wheel({
                "nvidia/cu13/lib/libcublas.so.13": b"cublas"}),
        }
        self.lock = os.path.join(self.box, "lock.json")
        rows = []
        for name, data in self.files.items():
            flavors = ["cuda"] if "cublas" in name else ["cpu", "cuda"]
            rows.append({"name": name.split("-")[0].replace("_", "-"), "file": name, "size": len(data),
                         "sha256": hashlib.sha256(data).hexdigest(), "kept": dict.fromkeys(flavors, len(data))})
        with open(self.lock, "w") as f:
            json.dump({"torch": "2.11.0", "wheels": {libtorch.platform_name(): rows}}, f)
        self.index = FakeIndex(dict(self.files))
        self.addCleanup(self.index.stop)

    def python3(self, code):
        path = os.path.join(self.bin, "python3")
        with open(path, "w") as f:
            f.write("#!%s\n%s\n" % (sys.executable, code))
        os.chmod(path, 0o755)

    def env(self, **more):
        env = {"PATH": self.bin + os.pathsep + "/usr/bin:/bin", "HOME": self.box, "CUDA": "0",
               "XDG_CACHE_HOME": os.path.join(self.box, "cache"), "PIP_CONFIG_FILE": os.devnull,
               "PIP_INDEX_URL": self.index.url + "/simple", "PIP_NO_INPUT": "1", "NO_PROXY": "*"}
        env.update(more)
        return env

    def command(self, *args):
        return [sys.executable, os.path.join(SCRIPTS, "libtorch.py"), "--root", self.root, "--lock", self.lock, *args]

    def run_script(self, *args, **more):
        return subprocess.run(self.command(*args), env=self.env(**more), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=120)

    def config(self):
        with open(os.path.join(self.root, ".cargo", "config.toml")) as f:
            return f.read()

    def installed(self, flavor="cpu"):
        return os.path.join(self.box, "cache", "alphascope",
                            "libtorch-2.11.0-%s-%s" % (flavor, libtorch.platform_name()))

    def part(self, n):
        """Leaves the first n bytes of the torch wheel behind, as a run that broke off does."""
        folder = os.path.join(self.box, "cache", "alphascope", "downloads")
        os.makedirs(folder)
        name = "torch-2.11.0-cp312-cp312-here.whl"
        with open(os.path.join(folder, name + ".part"), "wb") as f:
            f.write(self.files[name][:n])
        return name

    def good(self, got):
        self.assertEqual(got.returncode, 0, got.stdout)
        self.assertIn('LIBTORCH = "%s"' % os.path.join(self.installed(), "torch"), self.config())

    def test_a_fresh_machine_fetches_only_what_is_needed(self):
        got = self.run_script()
        self.good(got)
        have = {os.path.relpath(os.path.join(d, f), self.installed())
                for d, _, names in os.walk(self.installed()) for f in names}
        self.assertIn("torch/lib/" + libtorch.CPU_LIB, have)
        self.assertIn("nvidia/cu13/lib/libcudart.so.13", have)
        self.assertIn("licenses/torch-2.11.0/LICENSE", have)
        for not_needed in ("torch/lib/libtorch_cuda.so", "torch/lib/libtorch_python.so", "torch/nn/modules.py",
                           "torch/include/pybind11/pybind11.h", "nvidia/cu13/lib/libcudart_static.a"):
            self.assertNotIn(not_needed, have)
        with open(os.path.join(self.installed(), "torch/lib/libtorch.so")) as f:
            self.assertIn("INPUT ( libtorch_cpu.so )", f.read())
        self.assertEqual(os.listdir(os.path.join(self.box, "cache/alphascope/downloads")), [])

    def test_the_second_run_asks_nobody_and_leaves_the_file_alone(self):
        self.good(self.run_script())
        path = os.path.join(self.root, ".cargo", "config.toml")
        before, asked = os.stat(path), len(self.index.asked)
        got = self.run_script()
        self.assertIn("as before", got.stdout)
        self.assertEqual(len(self.index.asked), asked)
        after = os.stat(path)
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))
        # Another clone shares what the first one fetched.
        self.root = os.path.join(self.box, "another")
        os.makedirs(self.root)
        self.good(self.run_script())
        self.assertEqual(len(self.index.asked), asked)

    def test_cuda_adds_its_wheels_and_replaces_a_cpu_choice(self):
        self.good(self.run_script())
        got = self.run_script(CUDA="1")
        self.assertEqual(got.returncode, 0, got.stdout)
        self.assertIn(self.installed("cuda"), self.config())
        self.assertTrue(os.path.exists(os.path.join(self.installed("cuda"), "torch/lib/libtorch_cuda.so")))
        self.assertTrue(os.path.exists(os.path.join(self.installed("cuda"), "nvidia/cu13/lib/libcublas.so.13")))

    def test_an_index_without_json_serves_too(self):
        self.index.html = True
        self.good(self.run_script())

    def test_a_broken_connection_is_resumed(self):
        self.index.break_after = [300000, 200000]
        got = self.run_script()
        self.good(got)
        asked = [span for name, span in self.index.asked if name.startswith("torch-")]
        self.assertEqual(asked, [None, "bytes=300000-", "bytes=500000-"])

    def test_a_run_that_broke_off_goes_on(self):
        name = self.part(400000)
        got = self.run_script()
        self.good(got)
        self.assertIn("going on with %s" % name, got.stdout)
        self.assertEqual(self.index.asked[0], (name, "bytes=400000-"))

    def test_a_server_that_ignores_ranges_means_from_the_start(self):
        self.part(400000)
        self.index.ranges = False
        self.good(self.run_script())

    def test_a_damaged_partial_file_is_fetched_anew(self):
        name = self.part(400000)
        with open(os.path.join(self.box, "cache/alphascope/downloads", name + ".part"), "r+b") as f:
            f.write(b"damaged")
        got = self.run_script()
        self.good(got)
        self.assertIn("from the start", got.stdout)

    def test_a_file_with_another_hash_is_refused(self):
        self.index.spoil = True
        got = self.run_script()
        self.assertEqual(got.returncode, 1)
        self.assertIn("refusing torch-2.11.0", got.stdout)
        self.assertIn("expected", got.stdout)
        self.assertFalse(os.path.exists(self.installed()))
        self.assertFalse(os.path.exists(os.path.join(self.root, ".cargo")))
        self.assertEqual(os.listdir(os.path.join(self.box, "cache/alphascope/downloads")), [])

    def test_two_at_once_fetch_once(self):
        self.index.gate = threading.Event()
        first = subprocess.Popen(self.command(), env=self.env(), stdout=subprocess.PIPE, universal_newlines=True)
        lines = []
        while not any("fetching" in line for line in lines):
            lines.append(first.stdout.readline())
        second = subprocess.Popen(self.command(), env=self.env(), stdout=subprocess.PIPE, universal_newlines=True)
        line = second.stdout.readline()
        self.assertIn("another set-up (process %d)" % first.pid, line)
        self.index.gate.set()
        out = first.communicate(timeout=60)[0] + second.communicate(timeout=60)[0]
        self.assertEqual((first.returncode, second.returncode), (0, 0), out)
        names = [name for name, _ in self.index.asked]
        self.assertEqual(len(names), len(set(names)), names)

    def test_no_such_file_on_the_server_is_told_with_a_way_out(self):
        self.index.status = 403
        got = self.run_script()
        self.assertEqual(got.returncode, 1)
        for word in ("403", "PIP_INDEX_URL", "PIP_FIND_LINKS", "LIBTORCH"):
            self.assertIn(word, got.stdout)

    def test_a_folder_of_wheels_needs_no_index(self):
        folder = os.path.join(self.box, "wheels")
        os.makedirs(folder)
        for name, data in self.files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
        self.good(self.run_script(PIP_FIND_LINKS=folder, PIP_INDEX_URL="http://127.0.0.1:9/simple"))
        self.assertEqual(self.index.asked, [])

    def tree(self, name, minor=11):
        top = os.path.join(self.box, name)
        with zipfile.ZipFile(io.BytesIO(wheel(torch_members(minor)))) as z:
            z.extractall(top)
        return os.path.join(top, "torch")

    def test_libtorch_from_the_environment_comes_first(self):
        folder = self.tree("own")
        got = self.run_script(LIBTORCH=folder)
        self.assertEqual(got.returncode, 0, got.stdout)
        self.assertIn('LIBTORCH = "%s"' % folder, self.config())
        self.assertEqual(self.index.asked, [])
        # It stays in force for later runs that do not name it.
        self.assertIn("as before", self.run_script().stdout)

    def test_a_wrong_libtorch_is_an_error_that_says_why(self):
        broken = self.tree("broken")
        with open(os.path.join(broken, "lib", libtorch.CPU_LIB), "wb") as f:
            f.write(b"not a library")
        for folder, why in ((os.path.join(self.box, "nowhere"), "no such folder"),
                            (self.box, "has no lib/"),
                            (self.tree("old", 10), "version 2.10.0; 2.11.x is needed"),
                            (broken, "does not load")):
            got = self.run_script(LIBTORCH=folder)
            self.assertEqual(got.returncode, 1)
            self.assertIn(why, got.stdout)
            self.assertIn("What to do", got.stdout)
            self.assertEqual(self.index.asked, [])

    def test_an_installed_torch_is_used_and_a_wrong_one_passed_over(self):
        for version, folder, used in (("2.11.0+cu130", self.tree("site"), True), ("2.10.1", self.tree("site10", 10), False)):
            self.python3("print(%r)" % json.dumps([version, folder]))
            got = self.run_script("--again")
            self.assertEqual(got.returncode, 0, got.stdout)
            self.assertEqual('LIBTORCH = "%s"' % folder in self.config(), used)
        self.assertIn("passed over: 2.11.x is needed", got.stdout)

    def test_a_choice_that_is_gone_is_made_again(self):
        folder = self.tree("own")
        self.run_script(LIBTORCH=folder)
        os.remove(os.path.join(folder, "lib", libtorch.CPU_LIB))
        self.good(self.run_script())

    def test_a_configuration_of_somebody_else_is_left_alone(self):
        os.makedirs(os.path.join(self.root, ".cargo"))
        mine = "[build]\njobs = 1\n"
        with open(os.path.join(self.root, ".cargo", "config.toml"), "w") as f:
            f.write(mine)
        got = self.run_script()
        self.assertEqual(got.returncode, 1)
        self.assertIn("left alone", got.stdout)
        self.assertEqual(self.config(), mine)

    def test_clean_cache_removes_what_was_fetched(self):
        self.good(self.run_script())
        self.assertEqual(self.run_script("--clean-cache").returncode, 0)
        self.assertEqual(os.listdir(os.path.join(self.box, "cache/alphascope")), ["lock"])


class Secrets(unittest.TestCase):
    def test_a_login_is_neither_shown_nor_sent_elsewhere(self):
        page = "https://me:secret@index.example/simple/torch/"
        self.assertEqual(fetch.plain(page), "https://index.example/simple/torch/")
        self.assertIn("me:secret@", fetch.keep_login(page, "https://index.example/f/torch.whl"))
        self.assertNotIn("secret", fetch.keep_login(page, "https://files.example/f/torch.whl"))


class Lock(unittest.TestCase):
    def test_every_platform_is_pinned(self):
        with open(os.path.join(SCRIPTS, "libtorch.lock.json")) as f:
            lock = json.load(f)
        self.assertEqual(sorted(lock["wheels"]), ["linux-aarch64", "linux-x86_64", "macos-arm64"])
        for platform, rows in lock["wheels"].items():
            self.assertEqual(rows[0]["name"], "torch")
            for row in rows:
                self.assertRegex(row["sha256"], "^[0-9a-f]{64}$")
                self.assertGreater(row["size"], 0)
                self.assertIn("arm64" if platform == "macos-arm64" else platform[6:], row["file"])


if __name__ == "__main__":
    unittest.main()
