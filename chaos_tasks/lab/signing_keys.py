"""The lab's own log key and report key, and where it keeps signed heads: a folder, and a bucket of its S3."""

from __future__ import annotations

from pathlib import Path

from chaos_tasks.model.sealing import FolderPlace, KeyFiles, S3Place, SealingPlaces
from chaos_tasks.signing.keys import SigningKey, save_signing_key

ORIGIN = "lab.localhost/squall"
FOLDER = "keys"
BUCKET = "squall-checkpoints"


def make_keys(home: Path) -> None:
    """Those that are missing; a key is never replaced by a start."""
    names = {"log": ORIGIN, "report": f"{ORIGIN}/report"}
    for role, path in _paths(home).items():
        if not path.exists():
            save_signing_key(SigningKey.generate(names[role]), path)


def files(home: Path) -> KeyFiles:
    """As settings name them; none before they were made."""
    paths = _paths(home)
    if not all(path.exists() for path in paths.values()):
        return KeyFiles()
    return KeyFiles(origin=ORIGIN, log=str(paths["log"]), report=str(paths["report"]))


def places(home: Path, s3_endpoint: str) -> SealingPlaces:
    """A folder beside the lab's data, and the bucket where S3 runs."""
    s3 = (S3Place(bucket=BUCKET, endpoint=s3_endpoint),) if s3_endpoint else ()
    return SealingPlaces(folders=(FolderPlace(path=str(home / "checkpoints")),), s3=s3)


def _paths(home: Path) -> dict[str, Path]:
    return {role: home / FOLDER / f"{role}.key" for role in ("log", "report")}
