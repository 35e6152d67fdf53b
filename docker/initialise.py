"""Run once before everything else: schemas of the databases, pools, bucket and passwords.  Safe to run again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

POOLS = {
    "squall_work": (os.environ["SQUALL_LANES"], "Squall: workloads, one per lane"),
    "squall_control": ("32", "Squall: arm, inject, judge and publish; never waits for workloads"),
    "squall_revert": ("8", "Squall: reverts and nothing else; never waits for anything"),
}
USERS = {
    "admin": "AIRFLOW_ADMIN_PASSWORD",
    "operator": "AIRFLOW_OPERATOR_PASSWORD",
    "auditor": "AIRFLOW_AUDITOR_PASSWORD",
}


def main() -> None:
    run("airflow", "db", "migrate")
    run("mlflow", "db", "upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"])  # before two processes meet an empty one
    for name, (slots, description) in POOLS.items():
        run("airflow", "pools", "set", name, slots, description)  # where a pool is missing, a task waits for ever
    make_bucket(os.environ["MLFLOW_BUCKET"])
    write_passwords(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]))


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def make_bucket(name: str) -> None:
    """Also when it is there already."""
    import boto3
    from botocore.exceptions import ClientError

    s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        s3.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise


def write_passwords(path: Path) -> None:
    """For Airflow's simple auth manager; it opens the file for writing, so it cannot be a read-only secret."""
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({user: os.environ[variable] for user, variable in USERS.items()}, file)
    partial.replace(path)


if __name__ == "__main__":
    main()
