"""Kills of faults whose undo has a memory: a bucket's policy on SeaweedFS, a data file with a saved copy.

Squall is the real command: `squall run FILE`, with the sweeper that it starts by itself.  Chaos Toolkit runs the same
change as Python actions with a rollback, which is its documented way; the state from before is a file beside the
experiment.  It is written twice: `plain` saves whenever it injects, `careful` keeps a copy that is already there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_tasks.lab import identities, processes, seaweedfs
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.seaweedfs import S3Ports, S3Server
from chaos_tasks.lab.state import Identities

ROOT = Path(__file__).resolve().parents[1]
LEASE_S = 15
LATER_S = 20.0
"""How long nobody does anything beside Chaos Toolkit: nothing of it is left that could."""

LONGEST_S = 120.0
BUCKET = identities.BUCKET
DENIED = identities.USER_ARN.format(name=identities.PIPELINE_USER)
OWNERS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "owners",
            "Effect": "Deny",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/somebody-else"},
            "Action": "s3:DeleteObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        }
    ],
}
ROWS = "id,label\n" + "".join(f"{row},{row % 2}\n" for row in range(40))

# --- Chaos Toolkit -------------------------------------------------------------------------------------------

STRIKE = """\
import json, os, pathlib, shutil, signal
def strike(point):
    if os.environ.get("POINT") != point:
        return
    if os.environ["HOW"] == "GROUP":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), getattr(signal, os.environ["HOW"]))
def watch():
    strike("under fault")
    return True
SAVED = pathlib.Path("saved")
def keep(save):
    if not (os.environ["CARE"] == "careful" and SAVED.exists()):
        save()
"""

FILE = """\
DATA = pathlib.Path(os.environ["DATA"])
def inject():
    strike("before inject")
    keep(lambda: shutil.copy(DATA, SAVED))
    head, *rows = DATA.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    hurt = [f"{key},{1 - int(label)}" if int(key) % 4 == 0 else f"{key},{label}" for key, label in cells]
    DATA.write_text("\\n".join([head, *hurt]) + "\\n")
    strike("after inject")
def undo():
    strike("before undo")
    shutil.copy(SAVED, DATA)
    SAVED.unlink()
    strike("after undo")
"""

POLICY = """\
import boto3
BUCKET, DENIED = os.environ["BUCKET"], os.environ["DENIED"]
def s3(who):
    key, secret = os.environ[who].split()
    return boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], region_name="us-east-1",
                        aws_access_key_id=key, aws_secret_access_key=secret)
def inject():
    strike("before inject")
    before = s3("INJECTOR").get_bucket_policy(Bucket=BUCKET)["Policy"]
    keep(lambda: SAVED.write_text(before))
    policy = json.loads(before)
    arn = f"arn:aws:s3:::{BUCKET}/*"
    policy["Statement"].append({"Sid": f"chaos{len(policy['Statement'])}", "Effect": "Deny",
                                "Principal": {"AWS": DENIED}, "Action": "s3:GetObject", "Resource": arn})
    s3("INJECTOR").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    strike("after inject")
def undo():
    strike("before undo")
    s3("REVERTER").put_bucket_policy(Bucket=BUCKET, Policy=SAVED.read_text())
    SAVED.unlink()
    strike("after undo")
"""


def _activity(kind: str, func: str) -> dict[str, object]:
    return {"type": kind, "name": func, "provider": {"type": "python", "module": "hurting", "func": func}}


TOOLKIT = {
    "title": "A change that is taken back",
    "description": "Save, change, look, put back",
    "method": [_activity("action", "inject"), _activity("probe", "watch")],
    "rollbacks": [_activity("action", "undo")],
    "runtime": {"rollbacks": {"strategy": "always"}},
}

# --- Squall --------------------------------------------------------------------------------------------------

SETTINGS = """\
[squall]
experiments = "."
environments = ["lab"]
lanes = 1

[targets.small]
file = "target.yaml"
environment = "lab"
disposable = true
families = ["data", "cloud"]

[[targets.small.identities.not_applicable]]
check = "principals"
families = ["data"]
reason = "One user of this machine runs the whole comparison."
"""

TARGET = """\
version: 1
name: small
source: {{type: dvc, repo: "{repo}", rev: main, data: [rows.csv], format: csv}}
workload: {{type: command, run: "{{python}} {work} {{data}} {{out}}", timeout: 60s}}
reads: {{metrics: metrics.json}}
resources:
  bucket: {{type: s3, endpoint: "{endpoint}", bucket: {bucket}, principal: {user}, credentials: pipeline}}
"""

WORK = """\
import json, pathlib, sys
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
(out / "metrics.json").write_text(json.dumps({"rows": len((pathlib.Path(sys.argv[1]) / "rows.csv").read_text())}))
"""

EXPERIMENT = """\
version: 1
name: {kind}
hypothesis: The work completes.
owner: benchmark
target: small
steady_state: [{{name: done, probe: workload.completed, tolerance: {{type: exactly, value: true}}}}]
method: [{{name: hurt, {step}}}]
guards: {{lease: {lease}s, blast_radius: 1.0}}
analysis: {{seeds: 1, base_seed: 1}}
"""

STEPS = {
    "file": "fault: data.label_flip, target: data, params: {column: label, fraction: 0.25}",
    "policy": "fault: cloud.deny_access, target: bucket, params: {actions: [s3:GetObject]}",
}
FAULTS = {"file": "data.label_flip", "policy": "cloud.deny_access"}


@dataclass(frozen=True)
class Lab:
    """One S3 server and one small project for all cells."""

    folder: Path
    server: S3Server
    people: Identities
    packages: Path

    def reset(self) -> None:
        """The policy as its owners have it."""
        self.server.client().put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(OWNERS))

    def policy(self) -> str:
        """Digest of what the policy says, whatever the order of its words."""
        found = json.loads(self.server.client().get_bucket_policy(Bucket=BUCKET)["Policy"])
        from chaos_tasks.targets.aws import policy_digest

        return policy_digest(found)


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """Started, and ended with all that it started."""
    folder = Path(tempfile.mkdtemp(prefix="squall-beside-"))
    try:
        server = seaweedfs.start(folder / "s3", S3Ports.of(LabPorts.free()), owner=folder)
        people = identities.ensure(server, folder / "s3")
        made = Lab(folder, server, people, _packages(folder / "packages"))
        _project(made)
        yield made
    finally:
        processes.end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _packages(folder: Path) -> Path:
    """boto3 for the opponent's environment, which lacks it, and nothing else of ours."""
    import boto3

    folder.mkdir()
    site = Path(boto3.__file__).parents[1]
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py"):
        (folder / name).symlink_to(site / name)
    return folder


def _project(made: Lab) -> None:
    project, repo = made.folder / "project", made.folder / "source"
    for folder in (project, repo):
        folder.mkdir()
    (repo / "rows.csv").write_text(ROWS)
    dvc, git = (sys.executable, "-m", "dvc"), ("git", "-c", "user.email=b@example.org", "-c", "user.name=b")
    command: tuple[str, ...]
    for command in ((*git, "init", "-q", "-b", "main"), (*dvc, "init", "-q"), (*dvc, "add", "-q", "rows.csv")):
        subprocess.run(command, cwd=repo, check=True, capture_output=True)
    for command in ((*git, "add", "--all"), (*git, "commit", "-q", "-m", "Rows")):
        subprocess.run(command, cwd=repo, check=True, capture_output=True)
    (project / "squall.toml").write_text(SETTINGS)
    (project / "work.py").write_text(WORK)
    told = {"repo": repo, "work": project / "work.py", "endpoint": made.server.endpoint}
    (project / "target.yaml").write_text(TARGET.format(**told, bucket=BUCKET, user=identities.PIPELINE_USER))
    for kind, step in STEPS.items():
        (project / f"{kind}.yaml").write_text(EXPERIMENT.format(kind=kind, step=step, lease=LEASE_S))
    keys = {name: getattr(made.people, name) for name in ("pipeline", "injector", "reverter")}
    named = {name: {"access_key_id": key.access_key, "secret_access_key": key.secret} for name, key in keys.items()}
    path = project / "credentials.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(named))


def run(command: list[str], cwd: Path, env: Mapping[str, str]) -> int:
    """In a session of its own, so that a group's end is not ours."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        start_new_session=True,
        timeout=120,
        check=False,
    )
    return done.returncode


@dataclass(frozen=True)
class Cell:
    """What one kill left: at once, later, and once somebody has run the experiment again."""

    left: bool
    later: bool
    again: bool | None


def toolkit(made: Lab, python: str, care: str, kind: str, point: str, how: str) -> Cell:
    """Chaos Toolkit; run again after every kill, as a person would who sees a run that died."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "rows.csv"
        data.write_text(ROWS)
        made.reset()
        (folder / "hurting.py").write_text(STRIKE + (FILE if kind == "file" else POLICY))
        (folder / "experiment.json").write_text(json.dumps(TOOLKIT))
        env = {"CARE": care, "DATA": str(data), "BUCKET": BUCKET, "DENIED": DENIED, "ENDPOINT": made.server.endpoint}
        for who, key in (("INJECTOR", made.people.injector), ("REVERTER", made.people.reverter)):
            env[who] = f"{key.access_key} {key.secret}"
        env["PYTHONPATH"] = f"{folder}:{made.packages}"
        chaos = [str(Path(python).parent / "chaos"), "--no-version-check", "run", "--rollback-strategy", "always"]
        state: Callable[[], str] = (lambda: digest(data)) if kind == "file" else made.policy
        before = state()
        run([*chaos, "experiment.json"], folder, {**env, "POINT": point, "HOW": how})
        left = state() != before
        later = left and hurt_after(lambda: state() != before, LATER_S, until_well=False)
        run([*chaos, "experiment.json"], folder, {**env, "POINT": "", "HOW": ""})
        return Cell(left, later, state() != before)


def squall(made: Lab, kind: str, point: str, how: str) -> Cell:
    """`squall run` with a new home, and the sweeper that it starts; run again where something was left."""
    project = made.folder / "project"
    home = Path(tempfile.mkdtemp(dir=made.folder, prefix="home-"))
    made.reset()
    env = {
        "SQUALL_CONFIG": str(project / "squall.toml"),
        "SQUALL_HOME": str(home),
        "SQUALL_CREDENTIALS": str(project / "credentials.json"),
        "PYTHONPATH": str(ROOT),
        "STRIKE_AT": FAULTS[kind],
    }
    base = [sys.executable, "-m", "benchmarks.kills_with_memory", "run", str(project / f"{kind}.yaml"), "--quiet"]
    source = made.folder / "source" / "rows.csv"
    before = made.policy(), digest(source)

    def hurt() -> bool:
        clones = [digest(path) for path in home.glob("runs/*/clone/rows.csv")]
        return (made.policy(), digest(source)) != before or any(one != before[1] for one in clones)

    try:
        run([*base, "--run-id", "first"], project, {**env, "POINT": point, "HOW": how})
        left = hurt()
        later = left and hurt_after(hurt, LONGEST_S, until_well=True)
        again = None
        if left:
            code = run([*base, "--run-id", "second"], project, {**env, "POINT": "", "HOW": ""})
            again = hurt() or code != 0
        return Cell(left, later, again)
    finally:
        end_sweepers(home)


def hurt_after(hurt: Callable[[], bool], within_s: float, *, until_well: bool) -> bool:
    """Whether it is still hurt when the time is up, or for ``until_well`` as soon as it is well."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if until_well and not hurt():
            return False
        time.sleep(0.25)
    return hurt()


def end_sweepers(home: Path) -> None:
    """Those of this cell, told by their environment."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SQUALL_HOME") == str(home) and "sweep" in process.cmdline():
                process.send_signal(signal.SIGKILL)
                process.wait(5)


def digest(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def measure(python: str, kills: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Every cell of every side; ``kills`` are pairs of how and where."""
    rows: list[dict[str, Any]] = []
    with lab() as made:
        for how, point in kills:
            for kind in STEPS:
                cells = {
                    "plain": toolkit(made, python, "plain", kind, point, how),
                    "careful": toolkit(made, python, "careful", kind, point, how),
                    "squall": squall(made, kind, point, how),
                }
                for name, cell in cells.items():
                    rows.append({"kind": kind, "how": how, "point": point, "side": name, **vars(cell)})
                print(kind, how, point, {name: tuple(vars(cell).values()) for name, cell in cells.items()}, flush=True)
    return rows


def counts(rows: list[dict[str, Any]]) -> Iterator[str]:
    """One line per kind and side."""
    for kind in STEPS:
        for side in ("plain", "careful", "squall"):
            mine = [row for row in rows if (row["kind"], row["side"]) == (kind, side)]
            left, later = (sum(bool(row[when]) for row in mine) for when in ("left", "later"))
            again = [row["again"] for row in mine if row["left"]]
            spoilt = f"after another run {sum(map(bool, again))} of {len(again)}"
            yield f"{kind:7} {side:8} left {left:2} of {len(mine)}, later {later:2}, {spoilt}"


# --- the command, which strikes itself -----------------------------------------------------------------------


def struck_squall(arguments: list[str]) -> int:
    """`squall ARGUMENTS` with a strike around the fault's acts and at the beginning of the treatment trials."""
    from benchmarks.kills_beside import around, strike
    from chaos_tasks import registry
    from chaos_tasks.cli.main import run as cli_run
    from chaos_tasks.engine import Engine

    fault = type(registry.fault(os.environ["STRIKE_AT"]))
    around(fault, "inject", "before inject", "after inject")
    around(fault, "revert", "before undo", "after undo")
    original = Engine.exercise

    def exercise(*args: Any, **kwargs: Any) -> int:
        strike("under fault")
        return original(*args, **kwargs)

    Engine.exercise = exercise  # type: ignore[method-assign]
    return cli_run(arguments)


if __name__ == "__main__":
    sys.exit(struck_squall(sys.argv[1:]))
