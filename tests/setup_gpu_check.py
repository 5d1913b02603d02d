"""Tests of scripts/gpu-check.sh with a pretend GPU, Python and program: no toolchain is needed."""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "gpu-check.sh")


class GpuCheck(unittest.TestCase):
    def setUp(self):
        box = tempfile.TemporaryDirectory()
        self.addCleanup(box.cleanup)
        self.box = box.name
        self.tool("nvidia-smi", "echo 'GPU 0: pretend'")
        self.tool("alphascope", 'echo "ran $* with ${LD_LIBRARY_PATH:-nothing}"; [ "$1" != gpu-check ] || exit ${CODE:-0}')

    def tool(self, name, code):
        path = os.path.join(self.box, name)
        with open(path, "w") as f:
            f.write("#!/bin/bash\n%s\n" % code)
        os.chmod(path, 0o755)
        return path

    def run_script(self, *args, **more):
        env = {"PATH": self.box + ":/usr/bin:/bin", "HOME": self.box,
               "ALPHASCOPE_BIN": os.path.join(self.box, "alphascope")}
        env.update(more)
        return subprocess.run(["/bin/bash", SCRIPT, *args], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)

    def test_a_carried_program_runs_with_the_torch_of_python(self):
        self.tool("python3", "cat >/dev/null; echo /site/torch/lib")
        got = self.run_script("--quick")
        self.assertEqual(got.returncode, 0, got.stdout)
        self.assertIn("ran devices with /site/torch/lib\nran gpu-check --quick with /site/torch/lib", got.stdout)

    def test_without_such_a_torch_the_program_finds_its_own(self):
        self.tool("python3", "exit 1")
        got = self.run_script()
        self.assertIn("ran gpu-check with nothing", got.stdout)

    def test_the_real_question_to_python_can_be_asked(self):
        got = self.run_script(PYTHON=sys.executable)
        self.assertEqual(got.returncode, 0, got.stdout)

    def test_libtorch_named_by_the_user_comes_first(self):
        got = self.run_script(LIBTORCH="/mine")
        self.assertIn("ran gpu-check with /mine/lib", got.stdout)

    def test_a_failed_check_fails(self):
        self.assertEqual(self.run_script(CODE="1", LIBTORCH="/mine").returncode, 1)

    def test_a_missing_program_is_told(self):
        got = self.run_script(ALPHASCOPE_BIN=os.path.join(self.box, "nowhere"))
        self.assertEqual(got.returncode, 2)
        self.assertIn("make build", got.stdout)


if __name__ == "__main__":
    unittest.main()
