"""A Git repository of signed heads: a commit for each, pushed when a remote is named; history keeps what is deleted."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.sealing.folder import SUFFIX

FOLDER = "checkpoints"
TIMEOUT_S = 60.0
AUTHOR = ("-c", "user.name=squall", "-c", "user.email=squall@localhost", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class GitRepository:
    """A clone that is made when it is absent."""

    path: Path
    remote: str = ""
    branch: str = ""

    @property
    def name(self) -> str:
        """By path."""
        return f"git {self.path}"

    def publish(self, file: str, text: str) -> str:
        """Commit the file, and push; the receipt is the commit."""
        try:
            return self._publish(file, text)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be written: {error.strerror}", remedy="mend the folder") from error

    def _publish(self, file: str, text: str) -> str:
        if not (self.path / ".git").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self._git("init", "-q")
        relative = f"{FOLDER}/{file}{SUFFIX}"
        target = self.path / relative
        known = self.notes().get(file)
        if known is not None and known != text:
            raise SetupError(f"{target} is there already, and says something else")
        if known is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            self._git("add", "-f", "--", relative)
            self._git(*AUTHOR, "commit", "-q", "--no-verify", "-m", f"Checkpoint {file}", "--", relative)
        if self.remote:
            self._git("push", "-q", self.remote, f"HEAD:{self.branch}" if self.branch else "HEAD")
        return self._git("log", "--format=%H", "-1", "--", relative).strip()

    def notes(self) -> Mapping[str, str]:
        """Every file as the first commit on any branch has it, deleted since or not."""
        if not (self.path / ".git").exists() or not self._git("for-each-ref", "--count=1").strip():
            return {}
        history = self._git(
            "log", "--all", "--reverse", "--diff-filter=A", "--format=commit %H", "--name-only", "--", FOLDER
        )
        found: dict[str, str] = {}
        commit = ""
        for line in history.splitlines():
            if line.startswith("commit "):
                commit = line.removeprefix("commit ")
            elif line.endswith(SUFFIX):
                name = Path(line).name.removesuffix(SUFFIX)
                found.setdefault(name, self._git("show", f"{commit}:{line}"))
        return found

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ("git", "-C", str(self.path), *arguments),
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"git does not answer in {self.path} ({type(error).__name__})") from error
        if done.returncode:
            what = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SetupError(f"git {arguments[0]} fails in {self.path}: {what[:200]}", remedy="mend the repository")
        return done.stdout
