"""One file corrupted in a source of a million tracked files and 2 TB: seconds, bytes on disk, memory, what is written.

    python -m benchmarks.sparse [--entries 1000000] [--pointers 100000] [--only "bit rot"]

The sources are real Git repositories with a DVC cache and a remote folder.  Of their 2 TB only what an experiment reads
exists as bytes: the manifest, or the `.dvc` files, name all the rest.  Three of them:

- `directory, cache`: one tracked directory of a million files, the file's bytes in the source's cache;
- `directory, remote`: the same with an empty cache, so that everything comes from the remote;
- `pointers, cache`: a `.dvc` file in Git for each of 100,000 files.

The fault loses values; in the first of them bit rot is tried too, which asks the real DVC for the file.

An experiment goes through the acts that the engine uses, on a SQLite ledger, in a process of its own.  What was written
on the source is judged by an inventory of it (every file and folder: inode, size, mode, links, times of change and
modification).  Prints a table and writes benchmarks/results/sparse.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "sparse.json"
TOTAL_BYTES = 2_000_000_000_000
FILE_BYTES = 2_000_000  # 2 TB over a million files
SECONDS, TIMES = 60.0, 2.0
FAULT, PARAMS = "data.missing_values", {"columns": ["temp"], "fraction": 0.2}
FAULTS: dict[str, dict[str, Any]] = {FAULT: PARAMS, "data.object_bitrot": {"where": "cache", "flips": 3}}
STEPS = ("source before", "resolve", "open", "arm", "inject", "inspect", "revert", "fingerprint", "source after")


# --- sources ---------------------------------------------------------------------------------------------------------


def make_file(path: Path) -> None:
    """A Parquet file of about FILE_BYTES."""
    from tests.dvc_sources import table, write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table(50_000))
    write_table(path, table(int(50_000 * FILE_BYTES / path.stat().st_size)))


def put_in(roots: Sequence[Path], source: Path, suffix: str = "") -> str:
    """An object of each cache or remote; returns what it is called."""
    name = hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest()
    for root in roots:
        target = root / "files" / "md5" / name[:2] / (name[2:] + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o444)
    return name + suffix


def name_of(number: int) -> str:
    return f"part-{number:07d}.parquet"


def invented(number: int) -> str:
    """MD5 of a file that exists by name only."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def pointer(md5: str, size: int, path: str, nfiles: int = 0) -> str:
    files = f"  nfiles: {nfiles}\n" if nfiles else ""
    return f"outs:\n- md5: {md5}\n  size: {size}\n{files}  hash: md5\n  path: {path}\n"


def repository(folder: Path) -> tuple[Path, Path]:
    """An empty Git+DVC repository and its remote folder."""
    from chaos_tasks.targets import git

    repo, remote = folder / "source", folder / "remote"
    git.git(None, "init", "--quiet", "-b", "main", str(repo))
    (repo / ".dvc").mkdir()
    (repo / ".dvc" / "config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {remote}\n")
    (repo / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (repo / "train.py").write_text("print('trains on what it is given')\n")
    (repo / "raw").mkdir()
    return repo, remote


def directory(folder: Path, entries: int, where: str) -> str:
    """One tracked directory; returns the path of the file that exists."""
    repo, remote = repository(folder)
    chosen, real, manifest = entries * 2 // 3, folder / "real.parquet", folder / "manifest"
    make_file(real)
    roots = [remote, repo / ".dvc" / "cache"] if where == "cache" else [remote]
    md5 = put_in(roots, real)
    with manifest.open("w") as file:
        for number in range(entries):
            entry = {"md5": md5 if number == chosen else invented(number), "relpath": name_of(number)}
            file.write(("[" if number == 0 else ", ") + json.dumps(entry))
        file.write("]")
    named = put_in(roots, manifest, ".dir")
    (repo / "raw" / "parts.dvc").write_text(pointer(named, TOTAL_BYTES, "parts", entries))
    (repo / "raw" / ".gitignore").write_text("/parts\n")
    commit(repo)
    real.unlink()
    manifest.unlink()
    return f"raw/parts/{name_of(chosen)}"


def pointers(folder: Path, entries: int) -> str:
    """A pointer in Git for each file, checked out in the source."""
    repo, remote = repository(folder)
    chosen, real = entries * 2 // 3, folder / "real.parquet"
    make_file(real)
    md5 = put_in([remote, repo / ".dvc" / "cache"], real)
    for number in range(entries):
        one = repo / "raw" / f"{number // 1000:04d}" / f"{name_of(number)}.dvc"
        one.parent.mkdir(exist_ok=True)
        size = real.stat().st_size if number == chosen else TOTAL_BYTES // entries
        one.write_text(pointer(md5 if number == chosen else invented(number), size, name_of(number)))
    commit(repo)
    real.unlink()
    return f"raw/{chosen // 1000:04d}/{name_of(chosen)}"


def commit(repo: Path) -> None:
    from chaos_tasks.targets import git

    git.git(repo, "add", "-A")
    git.git(repo, "commit", "--quiet", "-m", "first")
    git.git(repo, "gc", "--quiet")


def inventory(root: Path) -> dict[str, list[int]]:
    """Every file and folder with what cannot be put back unnoticed; the time of last access is left out."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [".", *folders, *files]:
            state = (Path(folder) / name).lstat()
            found[f"{folder}/{name}"] = [
                state.st_ino,
                state.st_size,
                state.st_mode,
                state.st_nlink,
                state.st_mtime_ns,
                state.st_ctime_ns,
            ]
    return found


# --- one experiment, in a process of its own -------------------------------------------------------------------------


def experiment(folder: Path, path: str, kind: str) -> dict[str, Any]:
    """Arm, inject, inspect, revert and fingerprint through the engine's own acts."""
    from chaos_tasks import acts, registry
    from chaos_tasks.acts import ActParts
    from chaos_tasks.clients import from_credentials
    from chaos_tasks.clock import SystemClock
    from chaos_tasks.faults.base import FaultContext
    from chaos_tasks.ledger import open_ledger
    from chaos_tasks.model.handle import Finding, Handle
    from chaos_tasks.model.place import DvcPlace
    from chaos_tasks.model.plan import Recorder
    from chaos_tasks.model.target import DvcSource
    from chaos_tasks.targets import dvc
    from chaos_tasks.targets.dvc_fingerprint import fingerprint_touched

    repo, clone, took = folder / "source", folder / "run" / "clone", dict[str, float]()
    clone.parent.mkdir()
    context = FaultContext(
        clock=SystemClock(), clients=from_credentials({}), scratch=folder / "run" / "scratch", lease_s=600
    )
    fault = cast(Any, registry.fault(kind))
    parts = ActParts(open_ledger(f"sqlite:///{folder}/run/ledger.db"), fault, context, Recorder())
    told = FAULTS[kind]
    params = fault.params_type.model_validate(told)
    spec = DvcSource(repo=str(repo), rev="main", data=(path,), format="parquet")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is resident now
    base, written = peak_mib(), written_bytes()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        took[name] = time.perf_counter() - began

    with step("source before"):
        before = fingerprint_touched(repo, [path])
    with step("resolve"):
        version = dvc.resolve(spec)
    with step("open"):
        dvc.open_clone(spec, version, clone, materialise=[path])
    opened = on_disk(clone)
    place = DvcPlace(clone=str(clone), source=str(repo), commit=version.commit, data=(path,), format="parquet")
    with step("arm"):
        prior = fault.snapshot(place, params, context)
        handle = Handle(
            id="sparse/1", run_id="sparse", step="s", kind=kind, place=place, params=told, prior=prior, seed=1
        )
        state = acts.arm(parts, handle, lease_s=600)
    pristine = acts.before_fingerprint(parts, handle)
    old = touched(clone, path)
    with step("inject"):
        receipt = acts.inject(parts, state, by="bench")
    new, injected = touched(clone, path), on_disk(clone)
    with step("inspect"):
        finding = fault.inspect(handle, params, context)
    state = cast(Any, parts.ledger.handle(handle.id))
    with step("revert"):
        acts.revert(parts, state, by="revert task")
    with step("fingerprint"):
        after = fault.fingerprint(place, context)
    with step("source after"):
        sealed = fingerprint_touched(repo, [path])
    return {
        "seconds": took,
        "total_s": sum(took.values()),
        "touched_bytes": {"before": old, "after": new},
        "clone_bytes": {"opened": opened, "injected": injected, "git": on_disk(clone / ".git")},
        "written_bytes": written_bytes() - written,
        "peak_mib": {"process": peak_mib(), "before": base, "children": children_mib()},
        "injected": receipt.effective and finding is Finding.INJECTED,
        "restored": pristine is not None and after.digest == pristine.digest,
        "source_seal_equal": before.digest == sealed.digest,
    }


def touched(clone: Path, path: str) -> int:
    """Bytes of the file, and of the manifest that names it, as they are now."""
    from chaos_tasks.targets import dvc

    output = dvc.output_of(clone, path)
    manifest = dvc.cache_of(clone).path(output.md5).stat().st_size if output.is_directory else 0
    return (clone / path).stat().st_size + manifest


def on_disk(root: Path) -> int:
    """Allocated bytes below a folder."""
    total = 0
    for folder, _, files in os.walk(root):
        total += sum((Path(folder) / name).lstat().st_blocks * 512 for name in files)
    return total


def written_bytes() -> int:
    """Sent to the disk by this process and the children that it has waited for."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def children_mib() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


# --- all of them -----------------------------------------------------------------------------------------------------


def measure(name: str, build: Callable[[Path], str], kind: str = FAULT) -> dict[str, Any]:
    """Build a source, run the experiment, and compare the inventories."""
    with tempfile.TemporaryDirectory(prefix="squall-sparse-") as temporary:
        folder = Path(temporary)
        path = build(folder)
        before = inventory(folder / "source") | inventory(folder / "remote")
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.sparse", "--child", str(folder), path, kind]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        after = inventory(folder / "source") | inventory(folder / "remote")
    result = json.loads(done.stdout)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return {"source": name, "fault": kind, **result, "inventory": len(before), "changed_on_source": len(changed)}


def report(row: dict[str, Any]) -> None:
    """One source's part of the table."""
    old, new = row["touched_bytes"]["before"], row["touched_bytes"]["after"]
    disk = row["clone_bytes"]["injected"]
    peak = max(row["peak_mib"]["process"], row["peak_mib"]["children"])
    print(f"\n{row['source']}")
    print("  " + ", ".join(f"{step} {row['seconds'][step]:.2f}" for step in STEPS) + " s")
    print(f"  total {row['total_s']:.1f} s (aim: at most {SECONDS:g})")
    print(
        f"  touched {old / 1e6:.1f} MB before and {new / 1e6:.1f} MB after; clone at most {disk / 1e6:.1f} MB on disk:"
    )
    print(
        f"  {disk / (old + new):.2f} times both versions (aim: at most {TIMES:g}), {disk / old:.2f} times the old one"
    )
    print(f"  written in all {row['written_bytes'] / 1e6:.1f} MB; peak memory {peak:.0f} MiB")
    print(f"  injected {row['injected']}, restored {row['restored']}, seal equal {row['source_seal_equal']}, ", end="")
    print(f"changed on the source: {row['changed_on_source']} of {row['inventory']} files and folders")


def main() -> None:
    """Three sources, a few minutes with the building of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--pointers", type=int, default=100_000)
    parser.add_argument("--only", default="", help="Rows whose name has this in it; the others stay as they were.")
    parser.add_argument("--child", nargs=3, default=None)
    options = parser.parse_args()
    if options.child:
        folder, path, kind = options.child
        print(json.dumps(experiment(Path(folder), path, kind)))
        return
    million = f"directory of {options.entries:,}, cache"
    sources: dict[str, tuple[Callable[[Path], str], str]] = {
        million: (lambda folder: directory(folder, options.entries, "cache"), FAULT),
        f"directory of {options.entries:,}, remote": (
            lambda folder: directory(folder, options.entries, "remote"),
            FAULT,
        ),
        f"{options.pointers:,} pointers, cache": (lambda folder: pointers(folder, options.pointers), FAULT),
        f"{million}, bit rot": (lambda folder: directory(folder, options.entries, "cache"), "data.object_bitrot"),
    }
    before = {row["source"]: row for row in json.loads(RESULTS.read_text())["results"]} if RESULTS.exists() else {}
    results = []
    for name, (build, kind) in sources.items():
        if options.only in name:
            results.append(measure(name, build, kind))
            report(results[-1])
        elif name in before:
            results.append(before[name])
    about = {"python": platform.python_version(), "cpus": os.cpu_count(), "load_1m": os.getloadavg()[0]}
    RESULTS.write_text(
        json.dumps({"about": about, "fault": FAULT, "params": PARAMS, "results": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
