"""What a place holds, seen by other eyes than the fault's own: one whose fingerprint lies would be its own judge.

Nothing of `chaos_tasks.faults` or `chaos_tasks.targets` is asked here, but files, Git, S3, IAM, EC2 and Redis.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos_tasks.model.place import DvcPlace, InstancePlace, Place, ProcessPlace, S3Place, StreamPlace
from chaos_tasks.ports import Clients

CHECKPOINT_BYTES = 1000  # the tiny workload's checkpoint of step n has n times as many
OURS_TO_KEEP = (".git", ".dvc/tmp")  # Git is asked below; notes of a fault that was taken back are evidence


def seen(place: Place, clients: Clients) -> str:
    """A text that is the same while all that any fault hurts is the same; empty for what ends with its run."""
    match place:
        case DvcPlace():
            return _told(_clone(Path(place.clone)))
        case S3Place():
            return _told(_access(place, clients))
        case InstancePlace():
            return _told(_instance(place, clients))
        case StreamPlace():
            return _told(_orders(place, clients))
        case _:
            return ""


def torn(place: Place) -> Iterator[str]:
    """Checkpoints that are not as the workload writes them, and files that it never wrote."""
    if not isinstance(place, ProcessPlace):
        return
    for file in sorted(Path(place.checkpoints).iterdir()):
        step, _, kind = file.name.partition(".")
        if kind == "ckpt" and file.stat().st_size != int(step) * CHECKPOINT_BYTES:
            yield f"{file.name} is torn: {file.stat().st_size} bytes"
        if "squall" in file.name:
            yield f"{file.name} is left among the checkpoints"


def difference(before: str, after: str) -> str:
    """What of it differs, by name."""
    was, found = json.loads(before or "{}"), json.loads(after or "{}")
    return ", ".join(sorted(name for name in was.keys() | found.keys() if was.get(name) != found.get(name)))


def _told(state: dict[str, Any]) -> str:
    return json.dumps(state, sort_keys=True, default=str)


def _clone(clone: Path) -> dict[str, Any]:
    """Every file with its mode, where HEAD is, all refs, and what Git finds changed."""
    files = [path for path in clone.rglob("*") if path.is_file()]
    names = {path.relative_to(clone).as_posix(): path for path in files}
    hashed = {
        name: f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
        for name, path in names.items()
        if not name.startswith(OURS_TO_KEEP)
    }
    return hashed | {
        "HEAD": (clone / ".git" / "HEAD").read_text(),
        "refs": _git(clone, "for-each-ref"),
        "status": _git(clone, "status", "--porcelain", "--untracked-files=all"),
        "locks": sorted(str(path) for path in (clone / ".git").rglob("*.lock")),
    }


def _git(clone: Path, *command: str) -> str:
    told = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", str(clone), *command]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _access(place: S3Place, clients: Clients) -> dict[str, Any]:
    where = {"endpoint": place.endpoint, "region": place.region}
    s3, iam = clients.s3(place.reverter, **where), clients.iam(place.reverter, **where)
    user = place.principal
    state: dict[str, Any] = {"bucket policy": ""}
    with suppress(s3.exceptions.ClientError):
        state["bucket policy"] = s3.get_bucket_policy(Bucket=place.bucket)["Policy"]
    keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    state |= {f"key {one['AccessKeyId']}": one["Status"] for one in keys}
    for name in iam.list_user_policies(UserName=user)["PolicyNames"]:
        state[f"policy {name}"] = iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"]
    state |= {f"tag {one['Key']}": one["Value"] for one in iam.list_user_tags(UserName=user)["Tags"]}
    return state


def _instance(place: InstancePlace, clients: Clients) -> dict[str, Any]:
    ec2 = clients.ec2(place.reverter, endpoint=place.endpoint, region=place.region)
    told = ec2.describe_instances(InstanceIds=[place.instance_id])["Reservations"][0]["Instances"][0]
    tags = {f"tag {one['Key']}": one["Value"] for one in told.get("Tags", [])}
    return {"state": told["State"]["Name"], **tags}


def _orders(place: StreamPlace, clients: Clients) -> dict[str, Any]:
    """Every plain key below the prefix: what a relay would obey."""
    redis = clients.redis(place.url)
    keys = [key for key in redis.scan_iter(f"{place.key_prefix}*") if redis.type(key) == b"string"]
    return {key.decode(): redis.get(key) for key in keys}
