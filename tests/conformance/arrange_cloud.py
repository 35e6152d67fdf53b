"""Cloud faults: S3 and IAM on SeaweedFS, where each arrangement has a bucket and a user of its own, EC2 on moto."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from chaos_tasks.faults.cloud.deactivate_key import DeactivateKey
from chaos_tasks.faults.cloud.deny_access import DenyAccess
from chaos_tasks.faults.cloud.stop_instance import StopInstance
from chaos_tasks.testing.conformance import Arrangement
from tests.conformance.collected import Builder
from tests.integration.faults.clouds import MachineWorld, PipelineWorld


def _denying(params: Mapping[str, JsonValue]) -> Builder:
    def build(folder: Path, request: pytest.FixtureRequest) -> Arrangement:
        world = PipelineWorld(request.getfixturevalue("s3_lab"), folder)
        return Arrangement(fault=DenyAccess(), place=world.place, params=params, make_context=world.context)

    return build


def _deactivating(folder: Path, request: pytest.FixtureRequest) -> Arrangement:
    world = PipelineWorld(request.getfixturevalue("s3_lab"), folder)
    return Arrangement(fault=DeactivateKey(), place=world.place, params={}, make_context=world.context)


def _stopping(folder: Path, request: pytest.FixtureRequest) -> Arrangement:
    world = MachineWorld(request.getfixturevalue("moto_ec2"), folder)
    return Arrangement(fault=StopInstance(), place=world.place, params={}, make_context=world.context)


ARRANGEMENTS: dict[str, Builder] = {
    "cloud.deactivate_key": _deactivating,
    "cloud.deny_access": _denying({"via": "bucket_policy"}),
    "cloud.stop_instance": _stopping,
}
