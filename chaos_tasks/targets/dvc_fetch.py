"""Take one object from a DVC remote by its name: run as a process of its own, in a folder that knows only the remotes.

    python -m chaos_tasks.targets.dvc_fetch REMOTE MD5 TARGET        (REMOTE empty: the default one)

DVC's own file systems and credentials do it; what is not asked of DVC is to load the directory that the object is in.
"""

from __future__ import annotations

import sys
from pathlib import Path


def fetch(folder: Path, remote: str, md5: str, target: Path) -> None:
    """Copy the object's bytes to ``target``; they are checked by whoever asked."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        store = repo.cloud.get_remote_odb(name=remote or None, command="fetch")
        store.fs.get_file(store.oid_to_path(md5), str(target))


if __name__ == "__main__":
    fetch(Path.cwd(), sys.argv[1], sys.argv[2], Path(sys.argv[3]))
