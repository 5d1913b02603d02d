#!/usr/bin/env python3
"""A sweep over a real SSH line: how many bytes it takes, and what a cut leaves.

Makes a throw-away sshd on loopback (package openssh-server) with a proxy before
it that counts bytes and can be cut. Then, at 80x24 in a pseudo-terminal:

1. `ssh -tt box alphascope --demo`: bytes per second down the line while it measures;
2. the line is cut: the sweep must go on in another process, on the same run;
3. `ssh -tt box alphascope watch`: attached, pause and go on by key, until the end;
4. the run equals one that nothing happened to.

Prints what it measured and ends with 0, or says what is wrong.

    scripts/ssh_check.py [--program target/release/alphascope] [--seconds 60] [--sim 10]
"""

import argparse
import fcntl
import getpass
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

PATIENCE = 1800.0


class Proxy:
    """One listening port; every connection is carried to sshd, counted."""

    def __init__(self, target: int):
        self.target, self.down, self.up = target, 0, 0
        self.pairs: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs += [near, far]
            for source, sink, name in ((far, near, "down"), (near, far, "up")):
                threading.Thread(target=self.carry, args=(source, sink, name), daemon=True).start()

    def carry(self, source, sink, name):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
                setattr(self, name, getattr(self, name) + len(data))
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """As when the line drops: both ends see a reset, nobody says goodbye."""
        for end in self.pairs:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self.pairs.clear()


class Terminal:
    """`ssh -tt` in a pseudo-terminal of 80x24."""

    def __init__(self, config: Path, command: str):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execvp("ssh", ["ssh", "-F", str(config), "-tt", "box", command])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = b""

    def read(self, seconds: float):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += data

    def until(self, text: str):
        end = time.monotonic() + PATIENCE
        wanted = text.encode()
        while wanted not in self.plain():
            if time.monotonic() > end:
                raise SystemExit(f"`{text}` never came; last seen:\n{self.plain()[-2000:]!r}")
            self.read(0.2)

    def plain(self) -> bytes:
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.seen)

    def press(self, keys: str):
        self.seen = b""
        os.write(self.fd, keys.encode())

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.read(0.2)
        self.pid = 0
        return os.waitstatus_to_exitcode(ended[1])

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def sshd(dir: Path) -> tuple[subprocess.Popen, int]:
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(server).exists():
        raise SystemExit("no sshd: install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "id"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(dir / name)]
        subprocess.run(key, check=True)
    shutil.copy(dir / "id.pub", dir / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (dir / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nPidFile none\n"
        f"AuthorizedKeysFile {dir}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n"
    )
    with (dir / "sshd.log").open("w") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", str(dir / "sshd_config")], stderr=log)
    return process, port


def client(dir: Path, port: int) -> Path:
    config = dir / "ssh_config"
    config.write_text(
        f"Host box\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {dir}/id\n IdentitiesOnly yes\n UserKnownHostsFile {dir}/known\n"
        " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking no\n LogLevel ERROR\n"
    )
    for _ in range(100):
        if subprocess.run(["ssh", "-F", str(config), "box", "true"]).returncode == 0:
            return config
        time.sleep(0.1)
    raise SystemExit("sshd does not answer:\n" + (dir / "sshd.log").read_text())


def events(run: Path) -> list[dict]:
    text = (run / "events.jsonl").read_text() if (run / "events.jsonl").exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def count(run: Path, kind: str) -> int:
    return sum(event["event"] == kind for event in events(run))


def until(what: str, check):
    end = time.monotonic() + PATIENCE
    while not (value := check()):
        if time.monotonic() > end:
            raise SystemExit(f"{what} never came")
        time.sleep(0.1)
    return value


def owner(run: Path):
    try:
        return json.loads((run / "events.owner").read_text())["pid"]
    except (OSError, ValueError):
        return None


def numbers(program: str, run: Path):
    report = json.loads(subprocess.check_output([program, "report", str(run)]))
    del report["header"]["seconds"]
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/alphascope")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long bytes are counted")
    parser.add_argument(
        "--sim", metavar="MS", help="pretend to measure, so many milliseconds a batch: sooner over"
    )
    asked = parser.parse_args()
    demo = "sweep --demo" + (f" --sim --sim-ms {asked.sim}" if asked.sim else "")
    program = str(Path(asked.program).resolve())
    work = Path(tempfile.mkdtemp(prefix="alphascope-ssh-"))
    run, plain = work / "run", work / "plain"
    server, port = sshd(work)
    terminals: list[Terminal] = []
    try:
        client(work, port)
        proxy = Proxy(port)
        config = client(work, proxy.port)

        def ssh(command: str) -> Terminal:
            terminals.append(Terminal(config, command))
            return terminals[-1]

        it = ssh(f"{program} {demo.removeprefix('sweep ')} --out {run}")
        it.until("OOD mean")
        until("the first number", lambda: count(run, "measured") > 0)
        before, began, cells = proxy.down, time.monotonic(), len(events(run))
        while time.monotonic() - began < asked.seconds and count(run, "finished") == 0:
            it.read(0.5)
        seconds = time.monotonic() - began
        rate = (proxy.down - before) / seconds
        cells = len(events(run)) - cells
        print(f"down the line: {rate:.0f} B/s over {seconds:.0f} s ({cells} events), 80x24")
        if count(run, "finished"):
            raise SystemExit("the sweep was over before the line was cut: fewer --seconds")
        first = owner(run)
        proxy.cut()
        second = until("a process that goes on", lambda: owner(run) not in (None, first) and owner(run))
        until("its start", lambda: count(run, "started") == 2)
        session = os.getsid(second)
        print(f"cut: process {first} handed over to {second}, in session {session}")
        if session != second:
            raise SystemExit("it is not in a session of its own")
        # Only what changed comes over the line, so a word may come in parts: the
        # journal tells what the keys did.
        it = ssh(f"{program} watch {run}")
        it.until("OOD mean")
        while count(run, "paused") == 0:
            it.press("p")
            it.read(20.0)
        it.press("p")
        until("the end of the pause", lambda: it.read(0.5) or count(run, "resumed") == 1)
        print("attached again: paused and went on by key")
        until("the end", lambda: it.read(0.5) or count(run, "finished") == 2)
        it.press("q")
        if it.wait() != 0:
            raise SystemExit("the watcher did not leave in good order")
        subprocess.run(
            [program, *demo.split(), "--out", str(plain)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        if numbers(program, run) != numbers(program, plain):
            raise SystemExit("the run that was cut has other numbers")
        seen = [json.dumps([e["cell"], e.get("round")]) for e in events(run) if "hits" in e]
        if len(seen) != len(set(seen)):
            raise SystemExit("a round was measured twice")
        print(f"the same numbers as an undisturbed run; {len(seen)} rounds, none measured twice")
    finally:
        for terminal in terminals:
            terminal.end()
        left = owner(run)
        if left:
            os.kill(left, signal.SIGTERM)
        server.terminate()
        server.wait()
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
