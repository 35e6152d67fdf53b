"""`python -m chaos_tasks.workloads.dvc_repro`: reproduce one stage in a clone, then copy what a trial reads to {out}.

It ends with DVC's exit code, and never commits, pushes or touches the clone's source.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SHOWN = "dvc-shown.json"  # as the probes dvc.metric and dvc.param read it


def main(arguments: Sequence[str]) -> int:
    """Exit code of DVC; 0 too when an optional output is missing, since the trial's reader will say so."""
    options = _parse(arguments)
    set_parameters(Path(options.repo) / "params.yaml", options.set_param)
    code = subprocess.run(repro(options.stage), cwd=options.repo, check=False).returncode
    if code == 0:
        copy_reads(Path(options.repo) / options.outputs, Path(options.out), options.read)
        if options.show:
            (Path(options.out) / SHOWN).write_text(json.dumps(shown(options.repo)), encoding="utf-8")
    return code if code >= 0 else 128 - code


def repro(stage: str) -> list[str]:
    """--force, since an equal seed would otherwise be answered from the run cache and train nothing."""
    options = ("--single-item", "--force", "--no-run-cache", "--no-commit")
    return [sys.executable, "-m", "dvc", "repro", *options, stage]


def set_parameters(params_file: Path, changes: Sequence[str]) -> None:
    """Write `a.b=value` into the clone's params.yaml (`dvc repro` takes none on its command line)."""
    if not changes:
        return
    import yaml

    params = yaml.safe_load(params_file.read_text(encoding="utf-8")) if params_file.exists() else {}
    for change in changes:
        name, _, value = change.partition("=")
        _put(params, name.split("."), yaml.safe_load(value))
    params_file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def _put(params: dict[str, object], path: Sequence[str], value: object) -> None:
    *above, last = path
    for name in above:
        inner = params.setdefault(name, {})
        if not isinstance(inner, dict):
            raise SystemExit(f"params.yaml: {name} holds a value, so {'.'.join(path)} cannot be set below it")
        params = inner
    params[last] = value


def shown(repo: str) -> dict[str, object]:
    """What `dvc metrics show` and `dvc.api.params_show` say in the clone; empty where DVC cannot say it."""
    import dvc.api

    command = (sys.executable, "-m", "dvc", "metrics", "show", "--json")
    said = subprocess.run(command, cwd=repo, check=False, stdout=subprocess.PIPE).stdout
    here = (json.loads(said or "{}").get("") or {}).get("data") or {}
    metrics = {file: told["data"] for file, told in here.items() if "data" in told}
    return {"metrics": metrics, "params": dvc.api.params_show(repo=repo)}


def copy_reads(outputs: Path, out: Path, names: Sequence[str]) -> None:
    """Copy, never link: the trial's folder outlives the clone."""
    for name in names:
        if (outputs / name).is_file():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(outputs / name, out / name)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dvc_repro", description=__doc__)
    for name in ("--repo", "--stage", "--out", "--outputs"):
        parser.add_argument(name, required=True)
    parser.add_argument("--set-param", action="append", default=[])
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("--show", action="store_true", help="leave what DVC shows beside what the trial reads")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
