"""Sets up the virtual environment from the committed lock; a second call finds it done.  Standard library only.

Environment: SQUALL_TORCH = cpu | cuda | auto (default: cuda where nvidia-smi works, else cpu), PIP_FIND_LINKS (a folder
of local wheels, honoured for torch too), PIP_INDEX_URL and PIP_EXTRA_INDEX_URL (mirrors).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "squall-setup.stamp"
INSTALLING = VENV / ".squall-installing"  # `squall up` refuses an environment that is half-made
LOCK = ROOT / "requirements" / "lock.txt"
BOOTSTRAP = ROOT / "requirements" / "bootstrap.txt"
TORCH = "torch==2.13.0"
OLDEST, NEWEST = (3, 11), (3, 14)


def main() -> None:
    check_python()
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and (BIN / "squall").exists():
        return
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)  # without the stamp everybody sees that this is half-done
    make_venv()
    INSTALLING.touch()
    uv("pip", "sync", "--require-hashes", str(LOCK), str(BOOTSTRAP), what="packages of the lock (about 700 MB)")
    uv("pip", "install", *torch_options(), TORCH, what=f"torch for {torch_backend()}")
    uv("pip", "install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT), what="squall itself")
    STAMP.write_text(wanted)
    INSTALLING.unlink(missing_ok=True)
    say(f"done in {time.monotonic() - started:.0f} s")


def check_python() -> None:
    if not OLDEST <= sys.version_info[:2] < NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        fail(f"Python {found} at {sys.executable} does not fit", "use 3.11 to 3.13: make setup PYTHON=python3.11")


def fingerprint() -> str:
    """What the environment depends on."""
    digest = hashlib.sha256()
    for path in (LOCK, BOOTSTRAP, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()} {TORCH} {torch_backend()} {sys.version_info[:2]} {ROOT}\n"


def make_venv() -> None:
    if not (BIN / "python").exists() or not works(BIN / "python"):
        say(f"making {VENV.name}")
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(BOOTSTRAP)]
    call(pip, "the installer", env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})


def works(python: Path) -> bool:
    """A virtual environment whose interpreter is gone, or of another version, is made again."""
    code = "import sys; print(sys.version_info[:2])"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() == str(tuple(sys.version_info[:2]))


def torch_backend() -> str:
    chosen = os.environ.get("SQUALL_TORCH", "auto")
    if chosen not in {"auto", "cpu", "cuda"}:
        fail(f"SQUALL_TORCH={chosen} is unknown", "choose cpu, cuda or auto")
    if chosen == "auto":
        chosen = "cuda" if shutil.which("nvidia-smi") and not subprocess.call(["nvidia-smi", "-L"]) else "cpu"
    return chosen


def torch_options() -> list[str]:
    """A local wheel wins; else uv knows where the build for a backend is."""
    folders = os.environ.get("PIP_FIND_LINKS", "").split()
    local = [folder for folder in folders if Path(folder).is_dir() and list(Path(folder).glob("torch-*.whl"))]
    if local and torch_backend() == "cpu":
        return [option for folder in local for option in ("--find-links", folder)]
    return ["--torch-backend", "cpu" if torch_backend() == "cpu" else "auto"]


def uv(*arguments: str, what: str) -> None:
    say(what)
    # Compiled once, here: else each of the night's many short processes may compile what it imports.
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "UV_LINK_MODE": "copy", "UV_COMPILE_BYTECODE": "1"}
    mirrors = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
    for theirs, ours in mirrors.items():
        if os.environ.get(theirs) and ours not in env:
            env[ours] = os.environ[theirs]
    call([str(BIN / "uv"), "--quiet", *arguments], what, env=env)


def call(command: list[str], what: str, env: dict[str, str]) -> None:
    if subprocess.run(command, env=env, check=False).returncode:
        fail(f"{what} could not be installed", "see the message above; `make setup` goes on where it stopped")


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def fail(text: str, remedy: str) -> None:
    sys.exit(f"setup: {text}\n  -> {remedy}")


if __name__ == "__main__":
    main()
