"""The nightly refresh: fetches the champion, or goes on with the last one, and scores with it."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import batches
import metrics
import serving

TRIES = 2
BACKOFF = 0.2
TIMEOUT = 0.5
PULL_FAILED = 4
NO_MODEL = 5
UNUSABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # a torn or foreign archive


def alarm(out: Path, name: str, reason: str) -> None:
    """What the team on call would see; a reason is a class name, never a message."""
    with (out / "alarms.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"t": time.time(), "alarm": name, "reason": reason}) + "\n")


def pull(repo: Path, target: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "pull", "--force", target], cwd=repo, check=True)


def download(endpoint: str | None, bucket: str, key: str, to: Path) -> None:
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"total_max_attempts": 1})
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=patience)
    to.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())


def fetch(args: argparse.Namespace, to: Path) -> Exception | None:
    """A usable model in `to`, or why there is none."""
    from botocore.exceptions import BotoCoreError, ClientError

    failure: Exception | None = None
    for left in range(TRIES - 1, -1, -1):
        try:
            download(args.endpoint, args.bucket, args.key, to)
            serving.load(to)
            return None
        except (BotoCoreError, ClientError, *UNUSABLE) as error:
            failure = error
            time.sleep(BACKOFF if left else 0)
    return failure


def obtain(args: argparse.Namespace, to: Path) -> bool:
    """Whether the model is stale; the last good one is kept in the fallback folder."""
    cached = args.fallback / "model.npz"
    failure = fetch(args, to)
    if failure is None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(to, cached)
        return False
    alarm(args.out, "artifact_stale", type(failure).__name__)
    if not cached.exists():
        sys.exit(NO_MODEL)
    shutil.copyfile(cached, to)
    return True


def run(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    if args.pull:
        try:
            pull(args.repo, args.pull)
        except subprocess.CalledProcessError as error:
            alarm(args.out, "data_pull_failed", type(error).__name__)
            sys.exit(PULL_FAILED)
    start = time.perf_counter()
    path = args.out / "model.npz"
    stale = obtain(args, path)
    seconds = time.perf_counter() - start
    model = serving.load(path)
    rows = batches.encode(batches.read(args.sealed), model.encoding)
    measured = metrics.overall(rows.labels, model.score(rows))
    found = {**measured, "stale": float(stale), "seconds_download": seconds}
    (args.out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--key", default="models/champion.npz")
    parser.add_argument("--endpoint", help="of S3; left out, AWS itself")
    parser.add_argument("--sealed", type=Path, required=True)
    parser.add_argument("--fallback", type=Path, required=True, help="folder of the last good model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repo", type=Path, default=Path())
    parser.add_argument("--pull", help="a DVC target to pull first")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
