"""The lab's IAM users and what each may do: the pipeline, the injector and the reverter are three principals."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from chaos_tasks.lab import signing_keys
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.machine_people import AUDITS
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.seaweedfs import S3Server, allow, create_bucket, create_user
from chaos_tasks.lab.state import Identities

BUCKET = "flights"
PIPELINE_USER = "flights-pipeline"
INJECTOR_USER = "squall-injector"
REVERTER_USER = "squall-reverter"
AUDITOR_USER = "squall-auditor"
STORE_BUCKET = "squall-store"
STORE_USER = "squall-store"
MLFLOW_BUCKET = "mlflow"
MLFLOW_USER = "mlflow"
SEALER_BUCKET = signing_keys.BUCKET
SEALER_USER = "squall-sealer"
USER_ARN = "arn:aws:iam::000000000000:user/{name}"
"""How SeaweedFS names a user in a bucket policy; with any other account the policy matches nobody, silently."""

IAM = "arn:aws:iam:::*"
"""SeaweedFS checks IAM calls against this one resource: a policy can limit the call, not whom it is about."""


def pipeline_policy(bucket: str = BUCKET) -> dict[str, JsonValue]:
    """Read data and models, write results: what the target needs, and all that faults may take away."""
    arn = f"arn:aws:s3:::{bucket}"
    return allow(
        (("s3:GetObject",), (f"{arn}/*",)),
        (("s3:ListBucket", "s3:GetBucketLocation"), (arn,)),
        (("s3:PutObject",), (f"{arn}/out/*",)),
    )


def injector_policy(bucket: str = BUCKET) -> dict[str, JsonValue]:
    """Take access away: deny by policy, take a user's policy, deactivate a key; and read versions of data from S3."""
    arn = f"arn:aws:s3:::{bucket}"
    return allow(
        (("iam:ListAccessKeys", "iam:TagUser", "iam:UpdateAccessKey"), (IAM,)),
        (("iam:ListUserPolicies", "iam:GetUserPolicy", "iam:DeleteUserPolicy"), (IAM,)),
        (("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:ListBucket"), (arn,)),
        (("s3:GetObject",), (f"{arn}/*",)),
    )


def reverter_policy(bucket: str = BUCKET) -> dict[str, JsonValue]:
    """Give access back; under a key that no fault is allowed to name, and without a right to take any."""
    return allow(
        (("iam:GetUser", "iam:ListAccessKeys", "iam:UpdateAccessKey"), (IAM,)),
        (("iam:ListUserPolicies", "iam:GetUserPolicy", "iam:PutUserPolicy"), (IAM,)),
        (("iam:ListUserTags", "iam:UntagUser"), (IAM,)),
        (("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"), (f"arn:aws:s3:::{bucket}",)),
    )


def auditor_policy(bucket: str = BUCKET) -> dict[str, JsonValue]:
    """Read what everybody may do, and change nothing; SeaweedFS takes no policy without an action of S3."""
    return allow((AUDITS, (IAM,)), (("s3:GetBucketPolicy",), (f"arn:aws:s3:::{bucket}",)))


def make_store(server: S3Server) -> Credentials:
    """The bucket by which files cross between machines, and a principal that may use it and nothing else."""
    create_bucket(server, STORE_BUCKET)
    return create_user(server, STORE_USER, store_policy())


def store_policy(bucket: str = STORE_BUCKET) -> dict[str, JsonValue]:
    """Lay clones down, fetch them, and delete them with all their versions at the verdict."""
    arn = f"arn:aws:s3:::{bucket}"
    return allow(
        (("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning"), (arn,)),
        (("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"), (f"{arn}/*",)),
    )


def make_mlflow(server: S3Server) -> Credentials:
    """The bucket of MLflow's artifacts, and a principal for its server that may use it and nothing else."""
    create_bucket(server, MLFLOW_BUCKET)
    arn = f"arn:aws:s3:::{MLFLOW_BUCKET}"
    listing = ("s3:ListBucket", "s3:GetBucketLocation"), (arn,)
    objects = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), (f"{arn}/*",)
    return create_user(server, MLFLOW_USER, allow(listing, objects))


def ensure_sealer(server: S3Server, folder: Path) -> Credentials:
    """The bucket of signed heads, with versions, and a principal that may add and read; its key is kept."""
    path = folder / "sealer.json"
    create_bucket(server, SEALER_BUCKET)
    server.client("s3").put_bucket_versioning(Bucket=SEALER_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    if path.exists():
        known = Credentials.model_validate_json(path.read_text(encoding="utf-8"))
        present = server.client("iam").list_access_keys(UserName=SEALER_USER)["AccessKeyMetadata"]
        if known.access_key in {each["AccessKeyId"] for each in present}:
            return known
    arn = f"arn:aws:s3:::{SEALER_BUCKET}"
    listing = ("s3:ListBucket", "s3:ListBucketVersions"), (arn,)
    made = create_user(
        server, SEALER_USER, allow(listing, (("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"), (f"{arn}/*",)))
    )
    write_private(path, made.model_dump_json())
    return made


def ensure(server: S3Server, folder: Path) -> Identities:
    """Create bucket, users and policies where missing; keys are kept and replaced only when they no longer work."""
    create_bucket(server, BUCKET)
    path = folder / "identities.json"
    if path.exists():
        known = Identities.model_validate_json(path.read_text(encoding="utf-8"))
        if known.admin == server.admin and known.auditor is not None and _still_work(server, known):
            return known
    made = Identities(
        admin=server.admin,
        pipeline=create_user(server, PIPELINE_USER, pipeline_policy()),
        injector=create_user(server, INJECTOR_USER, injector_policy()),
        reverter=create_user(server, REVERTER_USER, reverter_policy()),
        auditor=create_user(server, AUDITOR_USER, auditor_policy()),
    )
    write_private(path, made.model_dump_json(indent=1))
    return made


def _still_work(server: S3Server, known: Identities) -> bool:
    """Whether the server still has the keys; one that a fault has deactivated counts, its revert needs it."""
    iam = server.client("iam")
    wanted = {
        PIPELINE_USER: known.pipeline.access_key,
        INJECTOR_USER: known.injector.access_key,
        REVERTER_USER: known.reverter.access_key,
    }
    for user, key in wanted.items():
        present = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        if key not in {each["AccessKeyId"] for each in present}:
            return False
    return True
