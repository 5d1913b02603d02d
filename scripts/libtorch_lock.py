#!/usr/bin/env python3
"""Writes libtorch.lock.json: the exact wheels that libtorch.py may download.

Run by maintainers when the torch version changes, never by users:

    python3 scripts/libtorch_lock.py > scripts/libtorch.lock.json

The pins below follow torch's own metadata (`Requires-Dist` of the torch wheel, and of the
cuda-toolkit wheel it names). File name, size and SHA-256 come from the package index; the
unpacked size is read from the wheel's table of contents with HTTP range requests, so that
nothing large is downloaded. Needs an index that serves the JSON form of the simple API.
"""
import io
import json
import sys
import urllib.request
import zipfile

import libtorch_fetch as libtorch

TORCH = "2.11.0"
#: The libraries libtorch_cpu.so itself links to: needed even without a GPU.
CPU_PINS = {"nvidia-cuda-runtime": "13.0.96", "nvidia-cuda-cupti": "13.0.85"}
#: The rest of what libtorch_cuda.so links to or opens at run time.
CUDA_PINS = {
    "nvidia-cublas": "13.1.0.3",
    "nvidia-cuda-nvrtc": "13.0.88",
    "nvidia-cudnn-cu13": "9.19.0.56",
    "nvidia-cufft": "12.0.0.61",
    "nvidia-cufile": "1.15.1.6",
    "nvidia-curand": "10.4.0.35",
    "nvidia-cusolver": "12.0.4.66",
    "nvidia-cusparse": "12.6.3.3",
    "nvidia-cusparselt-cu13": "0.8.0",
    "nvidia-nccl-cu13": "2.28.9",
    "nvidia-nvjitlink": "13.0.88",
    "nvidia-nvshmem-cu13": "3.4.5",
    "nvidia-nvtx": "13.0.85",
}
#: platform -> (end of the torch wheel's name, word that the nvidia wheels' names end with)
PLATFORMS = {
    "linux-x86_64": ("cp312-cp312-manylinux_2_28_x86_64.whl", "x86_64.whl"),
    "linux-aarch64": ("cp312-cp312-manylinux_2_28_aarch64.whl", "aarch64.whl"),
    "macos-arm64": ("cp312-cp312-macosx_11_0_arm64.whl", None),
}


class Remote(io.RawIOBase):
    """A file on a web server, read in pieces."""

    def __init__(self, url, size):
        super().__init__()
        self.url, self.size, self.at = url, size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = (0, self.at, self.size)[whence] + offset
        return self.at

    def readinto(self, buffer):
        n = min(len(buffer), self.size - self.at)
        if n <= 0:
            return 0
        span = "bytes=%d-%d" % (self.at, self.at + n - 1)
        with urllib.request.urlopen(urllib.request.Request(self.url, headers={"Range": span})) as r:
            if r.status != 206:
                raise OSError("%s does not serve ranges" % self.url)
            data = r.read()
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def pin(index, name, version, ending, part):
    found = [
        f for f in index.files(name)
        if f["filename"].split("-")[1] == version and f["filename"].endswith(ending)
    ]
    if len(found) != 1:
        sys.exit("%s %s: expected one file ending in %s, found %d" % (name, version, ending, len(found)))
    f = found[0]
    with zipfile.ZipFile(io.BufferedReader(Remote(f["url"], f["size"]), 1 << 20)) as z:
        kept = {
            flavor: sum(i.file_size for i in z.infolist() if libtorch.wanted(i.filename, flavor))
            for flavor in part
        }
    print("%-80s %11d" % (f["filename"], f["size"]), file=sys.stderr)
    return {"name": name, "file": f["filename"], "size": f["size"], "sha256": f["sha256"], "kept": kept}


def main():
    index = libtorch.Index()
    wheels = {}
    for platform, (torch_end, nvidia_end) in PLATFORMS.items():
        flavors = ("cpu", "cuda") if nvidia_end else ("cpu",)
        rows = [pin(index, "torch", TORCH, torch_end, flavors)]
        if nvidia_end:
            rows += [pin(index, n, v, nvidia_end, flavors) for n, v in CPU_PINS.items()]
            rows += [pin(index, n, v, nvidia_end, ("cuda",)) for n, v in CUDA_PINS.items()]
        wheels[platform] = rows
    json.dump({"torch": TORCH, "wheels": wheels}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
