"""The guard of the child process, tried from inside: each thing an attacker would do next is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

import voxswap_store

_PRELUDE = """
import sys
sys.path.append(sys.argv[1])
import ctypes, mmap, os, socket, subprocess, threading
from voxswap_store.sandbox import guard
held = guard.lock_down(memory_bytes=1 << 30, cpu_s=20, file_bytes=1 << 20, namespaces=sys.argv[2] == "walls")
try:
    {attempt}
except guard.Refused as refused:
    os.write(1, ("refused " + str(refused)).encode())
except BaseException as error:
    os.write(1, ("failed " + type(error).__name__).encode())
else:
    os.write(1, b"done")
os._exit(0)
"""


def attempt(code, walls, tmp_path):
    """What became of one statement after the guard went up; the folder it runs in is empty."""
    root = str(Path(voxswap_store.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", _PRELUDE.format(attempt=code), root, walls]
    ran = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, timeout=30, check=False)
    return ran.stdout.decode(), ran.returncode


@pytest.mark.parametrize("walls", ["walls", "hook alone"])
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket()",
        "socket.getaddrinfo('localhost', 80)",
        "os.system('touch canary')",
        "subprocess.Popen(['true'])",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "open('canary', 'w')",
        "open('/etc/passwd')",
        "os.listdir('/')",
        "os.mkdir('canary')",
        "os.remove('/etc/hostname')",
        "os.open('/etc/passwd', os.O_RDONLY)",
        "import wave",
        "ctypes.CDLL(None)",
        "eval('1')",
        "compile('1', 'x', 'eval')",
        "exec('1')",
        "sys._getframe().f_code.replace(co_name='x')",
        "mmap.mmap(-1, 10)",
        "os.kill(1, 0)",
        "sys.addaudithook(print)",
    ],
)
def test_everything_that_is_not_computing_is_refused(code, walls, tmp_path):
    said, returncode = attempt(code, walls, tmp_path)
    assert returncode == 0
    assert said.startswith("refused"), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("walls", ["walls", "hook alone"])
def test_computing_is_not_refused(walls, tmp_path):
    assert attempt("sum(range(1000)); memoryview(b'abcd').cast('H')[::2].tobytes()", walls, tmp_path)[0] == "done"


def test_memory_is_bounded(tmp_path):
    assert attempt("bytearray(2 << 30)", "hook alone", tmp_path)[0] == "failed MemoryError"


@pytest.mark.parametrize(("walls", "told"), [("walls", True), ("hook alone", False)])
def test_it_says_what_holds(walls, told, tmp_path):
    said, _ = attempt("os.write(1, ('; '.join(held) + '; ').encode())", walls, tmp_path)
    assert "audit hook; " in said
    assert "limits" in said
    if "namespaces" not in said and told:
        pytest.skip("this machine allows no namespaces")
    assert ("user and net namespaces" in said) is told


def test_the_kernel_walls_stand_without_the_hook(tmp_path):
    """With namespaces alone there is no network interface that is up, and no file to see."""
    root = str(Path(voxswap_store.__file__).parent.parent)
    code = (
        "import sys; sys.path.append(sys.argv[1]); import os, socket; from voxswap_store.sandbox import guard;"
        "held = guard._namespaces(); files = os.listdir('/');"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "code = s.connect_ex(('192.0.2.1', 9)); print(guard.EMPTY_ROOT in held, files, code)"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, root],
        cwd=tmp_path,
        env={},
        capture_output=True,
        timeout=30,
        check=True,
    )
    walled, rest = ran.stdout.decode().split(" ", 1)
    if walled != "True":
        pytest.skip("this machine allows no namespaces")
    files, _, code = rest.rpartition(" ")
    assert files == "[]"
    assert int(code) != 0
