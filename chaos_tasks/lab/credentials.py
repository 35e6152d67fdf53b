"""A key pair of the lab: shown masked, written in full only to owner-only files."""

from __future__ import annotations

import secrets

from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer


class Credentials(BaseModel):
    """An access key and its secret, as S3, IAM and EC2 clients take them."""

    model_config = ConfigDict(frozen=True)

    access_key: str
    secret_key: SecretStr

    @classmethod
    def drawn(cls) -> Credentials:
        """A new random pair."""
        return cls(access_key=f"SQ{secrets.token_hex(9).upper()}", secret_key=SecretStr(secrets.token_urlsafe(30)))

    @property
    def secret(self) -> str:
        """The secret in the clear, for a client."""
        return self.secret_key.get_secret_value()

    def as_environment(self) -> dict[str, str]:
        """The two variables that AWS clients read."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret}

    @field_serializer("secret_key", when_used="json")
    def _in_full(self, value: SecretStr) -> str:
        # JSON of this value is written by private_files.write_private only.
        return value.get_secret_value()
