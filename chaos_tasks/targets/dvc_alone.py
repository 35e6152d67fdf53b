"""The real DVC asked for one object apart from its directory: in a repository of that one file.

DVC loads a directory's whole manifest for any file in it: minutes and over 1 GB of memory for a million files.  What it
does with the object itself, trust or check or refuse it, is the same for a file that is tracked by itself.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from chaos_tasks.targets import dvc_config
from chaos_tasks.targets.dvc_bytes import dvc_command
from chaos_tasks.targets.objects import Objects

NAME = "file"
PREFIX = ".squall-alone-"


def ask(
    command: str, cache: Objects, remote: Objects, md5: str, size: int, target: Path
) -> subprocess.CompletedProcess[str]:
    """`dvc checkout` or `dvc pull` of an object of this cache and remote; what is handed out is put at ``target``."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target.parent) as folder:
        repo = Path(folder)
        (repo / ".dvc" / "tmp").mkdir(parents=True)
        (repo / ".dvc" / "config").write_text(
            dvc_config.dump(
                {
                    "core": {
                        **{"no_scm": "true", "analytics": "false", "check_update": "false", "remote": "own"},
                        "site_cache_dir": str(repo / ".dvc" / "tmp" / "site"),
                    },
                    "cache": {"dir": str(cache.root.absolute()), "type": "copy"},
                    'remote "own"': {"url": str(remote.root.absolute())},
                }
            )
        )
        pointer = f"outs:\n- md5: {md5}\n  size: {size}\n  hash: md5\n  path: {NAME}\n"
        (repo / f"{NAME}.dvc").write_text(pointer)
        done = dvc_command(repo, command, f"{NAME}.dvc")
        if (repo / NAME).is_file():
            os.replace(repo / NAME, target)
    return done
