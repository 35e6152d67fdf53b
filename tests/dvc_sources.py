"""Small Git+DVC repositories for tests, made with DVC itself as a user would."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import git

PARQUET, CSV = "raw/flights.parquet", "raw/flights.csv"
DIRECTORY = "raw/parts"
PARTS = tuple(f"{DIRECTORY}/{name}.parquet" for name in ("a", "b b", "c/d", "z\u00fcrich"))
"""Files of a directory that is tracked as one."""


@dataclass(frozen=True)
class Source:
    """A source repository with two data versions, v1 and v2, pushed to a remote folder."""

    repo: Path
    remote: Path

    def spec(self, path: str = PARQUET) -> DvcSource:
        return DvcSource(repo=str(self.repo), rev="main", data=(path,), format="csv" if path == CSV else "parquet")


def table(rows: int, seed: int = 1) -> pa.Table:
    """Rows that look like flights: numbers with nulls, a category, a flag, and an outcome in minutes."""
    rng = np.random.default_rng(seed)
    delay = np.round(rng.gamma(1.2, 20, rows) - 15)
    return pa.table(
        {
            "id": pa.array(np.arange(rows)),
            "carrier": pa.array(rng.choice(["AA", "UA", "DL"], rows)).dictionary_encode(),
            "distance": pa.array(rng.integers(80, 5000, rows), pa.int32()),
            "temp": pa.array(rng.normal(55, 18, rows), mask=rng.random(rows) < 0.05),
            "arr_delay": pa.array(delay, mask=rng.random(rows) < 0.03),
            "late": pa.array((delay >= 15).astype(np.int8)),
            "diverted": pa.array(rng.random(rows) < 0.1),
        },
        metadata={b"origin": b"test"},
    )


def write_table(path: Path, data: pa.Table) -> None:
    """By the file's suffix."""
    if path.suffix == ".csv":
        pacsv.write_csv(data, path)
    else:
        pq.write_table(data, path, row_group_size=400, compression="zstd")


def make_source(
    folder: Path,
    *,
    rows: int = 1000,
    link: str = "copy",
    paths: Sequence[str] = (PARQUET, CSV),
    tracked: Sequence[str] = (),
    write: Callable[[Path, int, int], None] | None = None,
) -> Source:
    """Two versions (v1, v2 = main), committed, tagged, and pushed; the cache uses links of type ``link``.

    ``tracked`` is what `dvc add` is given: by default each of the paths by itself.  ``write`` makes the data at a path
    from the version and the number of the path; by default a table.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DVC's own use of its libraries
        return _make(folder, rows, link, paths, tracked or paths, write)


def make_directory_source(folder: Path, *, rows: int = 1000, link: str = "copy") -> Source:
    """The same with one tracked directory of a few files."""
    return make_source(folder, rows=rows, link=link, paths=PARTS, tracked=[DIRECTORY])


def _make(
    folder: Path,
    rows: int,
    link: str,
    paths: Sequence[str],
    tracked: Sequence[str],
    write: Callable[[Path, int, int], None] | None,
) -> Source:
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    repo, remote = folder / "source", folder / "remote"
    (repo / "raw").mkdir(parents=True)
    git.git(None, "init", "--quiet", "-b", "main", str(repo))
    Repo.init(str(repo)).close()
    with Repo(str(repo)) as dvc, dvc.config.edit() as config:
        config["core"] |= {"remote": "store", "analytics": False, "site_cache_dir": str(folder / "site")}
        config["cache"] |= {"type": link.split(",")}
        config["remote"]["store"] = {"url": str(remote)}
    for version in (1, 2):
        for number, path in enumerate(paths):
            if write is not None:
                write(repo / path, version, number)
                continue
            (repo / path).unlink(missing_ok=True)
            (repo / path).parent.mkdir(parents=True, exist_ok=True)
            write_table(repo / path, table(rows + 100 * version, seed=version + 10 * number * (tracked != paths)))
        with Repo(str(repo)) as dvc:
            dvc.add([str(repo / path) for path in tracked])
        git.git(repo, "add", "-A")
        git.git(repo, "commit", "--quiet", "-m", f"version {version}")
        git.git(repo, "tag", f"v{version}")
    with Repo(str(repo)) as dvc:
        dvc.push(all_tags=True)
    return Source(repo, remote)
