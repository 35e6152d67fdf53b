"""A bucket of signed heads: an object for each, put only where no object of that name is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos_tasks.errors import SetupError
from chaos_tasks.model.sealing import S3Place
from chaos_tasks.ports import Clients
from chaos_tasks.sealing.folder import SUFFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


@dataclass(frozen=True)
class Bucket:
    """Whoever may delete in it could still not delete versions under Object Lock."""

    place: S3Place
    clients: Clients

    @property
    def name(self) -> str:
        """By bucket and prefix."""
        return f"s3://{self.place.bucket}/{self.place.prefix}"

    def publish(self, file: str, text: str) -> str:
        """Put the object; the receipt is its version, or its digest where the bucket keeps no versions."""
        from botocore.exceptions import BotoCoreError, ClientError

        key, body = f"{self.place.prefix}{file}{SUFFIX}", text.encode()
        try:
            known = self._first(key)
            if known is None:
                answer = self._client().put_object(
                    Bucket=self.place.bucket,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    ContentType="text/plain; charset=utf-8",
                )
                return f"{key} version {answer.get('VersionId') or answer['ETag']}"
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code")) not in TAKEN:
                raise self._failed(error) from error
            known = self._first(key)
        except BotoCoreError as error:
            raise self._failed(error) from error
        if known is None or known[1] != body:
            raise SetupError(f"{self.name}{file} is there already, and says something else")
        return f"{key} version {known[0]}"

    def notes(self) -> Mapping[str, str]:
        """Every object in its oldest version: what was put first under a name, hidden by a delete marker or not."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = {key: self._first(key) for key in self._keys()}
        except (BotoCoreError, ClientError) as error:
            raise self._failed(error) from error
        prefix = len(self.place.prefix)
        return {
            key[prefix:].removesuffix(SUFFIX): entry[1].decode("utf-8", errors="replace")
            for key, entry in sorted(found.items())
            if entry is not None
        }

    def _keys(self) -> set[str]:
        pages = (
            self._client()
            .get_paginator("list_object_versions")
            .paginate(Bucket=self.place.bucket, Prefix=self.place.prefix)
        )
        return {each["Key"] for page in pages for each in page.get("Versions", []) if each["Key"].endswith(SUFFIX)}

    def _first(self, key: str) -> tuple[str, bytes] | None:
        client = self._client()
        versions = [
            each
            for page in client.get_paginator("list_object_versions").paginate(Bucket=self.place.bucket, Prefix=key)
            for each in page.get("Versions", [])
            if each["Key"] == key
        ]
        if not versions:
            return None
        # Newest first, as S3 lists them; times may be cut to seconds.
        version = min(reversed(versions), key=lambda each: each["LastModified"]).get("VersionId") or "null"
        if version == "null":  # the bucket keeps no versions
            answer = client.get_object(Bucket=self.place.bucket, Key=key)
        else:
            answer = client.get_object(Bucket=self.place.bucket, Key=key, VersionId=version)
        return version, answer["Body"].read()

    def _client(self) -> S3Client:
        return self.clients.s3(self.place.credentials, endpoint=self.place.endpoint, region=self.place.region)

    def _failed(self, error: Exception) -> SetupError:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        return SetupError(
            f"{self.name} cannot be used by {self.place.credentials!r} ({code})",
            remedy="mend [checkpoints], or give that identity s3:PutObject, s3:GetObject and s3:ListBucketVersions",
        )
