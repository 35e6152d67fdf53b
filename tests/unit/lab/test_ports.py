"""Ports can be moved, and a taken one says who has it and how to go round it."""

from __future__ import annotations

import os
import socket

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.lab.ports import GRPC_OFFSET, LabPorts, is_free, require_free


def test_a_port_in_use_names_the_holder_and_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError) as found:
            require_free("redis", port)
    message = str(found.value)
    for told in (str(port), f"pid {os.getpid()}", "squall down", "SQUALL_PORT_REDIS", "[lab.ports] redis"):
        assert told in message


def test_the_grpc_twin_of_a_port_names_the_setting_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError, match=r"SQUALL_PORT_S3_FILER=NUMBER"):
            require_free("s3_filer+grpc", taken.getsockname()[1])


def test_environment_beats_file_beats_default() -> None:
    ports = LabPorts.from_settings({"redis": 7000, "mlflow": 7001}, {"SQUALL_PORT_REDIS": "7002"})
    assert (ports.redis, ports.mlflow, ports.airflow) == (7002, 7001, LabPorts().airflow)


@pytest.mark.parametrize(
    ("table", "environment", "told"),
    [({"reddis": 7000}, {}, "reddis"), ({}, {"SQUALL_PORT_REDIS": "many"}, "SQUALL_PORT_REDIS='many'")],
)
def test_a_wrong_setting_is_named(table: dict[str, int], environment: dict[str, str], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        LabPorts.from_settings(table, environment)


def test_a_number_out_of_range_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="redis"):
        LabPorts.from_settings({"redis": 70000}, {})


def test_free_ports_are_free_and_all_different() -> None:
    ports = LabPorts.free().model_dump()
    numbers = [*ports.values(), *(port + GRPC_OFFSET for name, port in ports.items() if name.startswith("s3"))]
    assert len(set(numbers)) == len(numbers)
    assert all(is_free(number) for number in numbers)
