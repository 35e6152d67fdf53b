"""Promise: data are copied only as far as they are classified for, and only to where they may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped, InvalidFile
from chaos_tasks.model.data import Classification, DataDeclaration, DataPlace, DataPolicy
from chaos_tasks.safety.data import Copying
from chaos_tasks.settings import find_settings

POLICY = """\
[squall]
home = "home"
environments = ["lab"]

[data]
highest = "internal"

[data.places.eu]
regions = ["eu-central-1"]
folders = ["{folder}"]

[targets.credit]
file = "credit.yaml"
environment = "lab"

[targets.credit.data]
classification = "confidential"
residency = ["{place}"]
masked_repo = "masked"
keep_trials = "7d"
"""


def copying(home: Path, declared: DataDeclaration, policy: DataPolicy, region: str = "") -> Copying:
    return Copying("credit", declared, policy, home, region)


def test_what_is_not_declared_is_internal_and_may_be_copied(tmp_path: Path) -> None:
    assert DataDeclaration().classification is Classification.INTERNAL
    copying(tmp_path, DataDeclaration(), DataPolicy()).check()


@pytest.mark.parametrize("level", list(Classification))
def test_data_above_the_highest_are_refused_unless_masked_ones_are_named(tmp_path: Path, level: Classification) -> None:
    policy = DataPolicy(highest=Classification.INTERNAL)
    masked = DataDeclaration(classification=level, masked_repo="masked")
    copying(tmp_path, masked, policy).check()
    plain = copying(tmp_path, DataDeclaration(classification=level), policy)
    if level in (Classification.PUBLIC, Classification.INTERNAL):
        plain.check()
        return
    with pytest.raises(GuardTripped, match=f"are {level}, and copies are made of internal data at most"):
        plain.check()


def test_a_home_or_a_store_elsewhere_is_refused_with_the_place_in_words(tmp_path: Path) -> None:
    policy = DataPolicy(places={"eu": DataPlace(regions=("eu-central-1",), folders=(str(tmp_path / "eu"),))})
    declared = DataDeclaration(residency=("eu",))
    copying(tmp_path / "eu" / "home", declared, policy, "eu-central-1").check()
    copying(tmp_path / "eu" / "home", declared, policy).check()
    with pytest.raises(GuardTripped, match=r"may lie in eu only.*is in none of the folders"):
        copying(tmp_path / "us" / "home", declared, policy).check()
    with pytest.raises(GuardTripped, match="the store is in region us-east-1"):
        copying(tmp_path / "eu" / "home", declared, policy, "us-east-1").check()


def test_a_link_out_of_the_place_leads_out_of_it(tmp_path: Path) -> None:
    for name in ("eu", "us"):
        (tmp_path / name).mkdir()
    (tmp_path / "eu" / "home").symlink_to(tmp_path / "us")
    policy = DataPolicy(places={"eu": DataPlace(folders=(str(tmp_path / "eu"),))})
    with pytest.raises(GuardTripped, match="none of the folders"):
        copying(tmp_path / "eu" / "home", DataDeclaration(residency=("eu",)), policy).check()


def test_the_inventory_reads_it_and_refuses_a_place_that_is_not_declared(tmp_path: Path) -> None:
    config = tmp_path / "squall.toml"
    config.write_text(POLICY.format(folder=tmp_path, place="eu"))
    settings = find_settings({"SQUALL_CONFIG": str(config)})
    assert settings.entry("credit").data.keep_trials.days == 7
    assert settings.data.highest is Classification.INTERNAL
    config.write_text(POLICY.format(folder=tmp_path, place="mars"))
    with pytest.raises(InvalidFile, match="residency names mars"):
        find_settings({"SQUALL_CONFIG": str(config)})
