"""An in-toto Statement v1 as a frozen value (https://in-toto.io/Statement/v1), in RFC 8785 bytes.

Measured numbers are texts: other readers turn JSON numbers into floats before they hash them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, ValidationError, field_validator, model_validator

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.model.base import Value, canonical

TYPE = "https://in-toto.io/Statement/v1"
LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128, "sha1": 40, "gitCommit": 40, "gitTree": 40, "md5": 32}

Hexadecimal = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]
TypeUri = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]


class SubjectDigest(Value):
    """What a statement is about: a name, and at least one digest of its bytes."""

    name: str = Field(min_length=1)
    digest: Mapping[str, Hexadecimal] = Field(min_length=1)

    @field_validator("digest")
    @classmethod
    def _is_whole(cls, digest: Mapping[str, str]) -> Mapping[str, str]:
        for algorithm, value in digest.items():
            if len(value) != LENGTHS.get(algorithm, len(value)):
                raise ValueError(f"a digest {algorithm} has {LENGTHS[algorithm]} digits")
        return digest


class Statement(Value):
    """Subjects, and a predicate of a named type about them."""

    model_config = ConfigDict(populate_by_name=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field("https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[SubjectDigest, ...] = Field(min_length=1)
    predicate_type: TypeUri = Field(alias="predicateType")
    predicate: Mapping[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_exact_numbers_and_names(self) -> Self:
        _refuse_floats(self.predicate, "predicate")
        if len({each.name for each in self.subject}) != len(self.subject):
            raise ValueError("two subjects have one name")
        return self

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: the payload of an envelope."""
        return canonical(self.model_dump(mode="json", by_alias=True))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Statement:
        """A statement from an opened envelope; raises SignatureInvalid when it is none."""
        try:
            return cls.model_validate(json.loads(raw))
        except (ValidationError, ValueError, RecursionError) as error:
            raise SignatureInvalid(f"this is no in-toto Statement v1 ({type(error).__name__})") from None


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise ValueError(f"{where} is a number with a point: write it as a decimal text")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_floats(item, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            _refuse_floats(item, f"{where}[{at}]")
