"""What to look at on a place, in words and as the command that shows it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from chaos_tasks.model.notice import Sight
from chaos_tasks.model.place import DvcPlace, InstancePlace, Place, ProcessPlace, S3Place, StreamPlace, TaskPlace

LONGEST = 500
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


def where(place: Place) -> str:
    """The place in words."""
    match place:
        case DvcPlace():
            return f"clone {place.clone} of {clean(place.source)} at {place.commit[:12]}"
        case ProcessPlace():
            return f"process group {place.pgid} on {place.host} (trial {place.trial_id})"
        case TaskPlace():
            return f"task {place.task_id} of {place.dag_id}, run {place.run_id}: pid {place.pid} on {place.host}"
        case StreamPlace():
            return f"streams below {place.key_prefix} at {clean(place.url)}"
        case S3Place():
            at = f" at {clean(place.endpoint)}" if place.endpoint else ""
            return f"user {place.principal}, bucket {place.bucket}, prefix {place.prefix or '(all)'}{at}"
        case InstancePlace():
            at = f" at {clean(place.endpoint)}" if place.endpoint else ""
            return f"instance {place.instance_id} in {place.region}{at}"


def looks(place: Place) -> Iterator[Sight]:
    """Commands that show the state of the place, without changing it."""
    for command in _commands(place):
        yield Sight(name="look", text=command)


def clean(text: str) -> str:
    """Without the password of a URL, and not endless: what is told must not carry what a foreign error quotes."""
    short = text if len(text) <= LONGEST else text[:LONGEST] + " ..."
    return _PASSWORD.sub("", short)


def _commands(place: Place) -> Iterator[str]:
    match place:
        case DvcPlace():
            yield f"git -C {shlex.quote(place.clone)} status --short"
            yield f"dvc --cd {shlex.quote(place.clone)} status"
        case ProcessPlace():
            yield f"ps -o pid,pgid,stat,lstart,args -g {place.pgid}    # on {place.host}"
        case TaskPlace():
            yield f"ps -o pid,stat,lstart,args -p {place.pid}    # on {place.host}"
        case StreamPlace():
            yield f"redis-cli -u {shlex.quote(clean(place.url))} keys {shlex.quote(place.key_prefix + '*')}"
        case S3Place():
            at = _endpoint(place.endpoint)
            yield f"aws s3api get-bucket-policy --bucket {place.bucket}{at}"
            yield f"aws iam list-access-keys --user-name {_user(place.principal)}{at}"
            yield f"aws iam list-user-policies --user-name {_user(place.principal)}{at}"
        case InstancePlace():
            ids = f"--instance-ids {place.instance_id} --region {place.region}"
            yield f"aws ec2 describe-instances {ids}{_endpoint(place.endpoint)}"


def _endpoint(endpoint: str) -> str:
    return f" --endpoint-url {shlex.quote(clean(endpoint))}" if endpoint else ""


def _user(principal: str) -> str:
    return shlex.quote(principal.rpartition("/")[2])
