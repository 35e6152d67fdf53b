"""A process of another host proves nothing: neither that a fault is in nor that it is out."""

from __future__ import annotations

import os

import pytest

from chaos_tasks.errors import FaultError
from chaos_tasks.faults.process.places import process_place
from chaos_tasks.targets.process import place_of


def test_a_process_of_another_host_is_refused_naming_where_to_go() -> None:
    here = place_of(os.getpid(), trial_id="r/treatment/1", out="out", checkpoints="checkpoints")
    assert process_place(here) is here
    with pytest.raises(FaultError, match="runs on elsewhere") as caught:
        process_place(here.model_copy(update={"host": "elsewhere"}))
    assert "on elsewhere" in caught.value.remedy
