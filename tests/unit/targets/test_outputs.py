"""Which output of DVC's holds a data file: a pointer of its own, a tracked directory, or a stage's output."""

from __future__ import annotations

import pytest
import yaml

from chaos_tasks.errors import SetupError
from chaos_tasks.targets.pointers import Output, expect_kind, find_output, replace_output

FILE, TREE, NEW = "a" * 32, "b" * 32 + ".dir", "c" * 32
LOCK = f"""schema: '2.0'
stages:
  prepare@1:
    cmd: python prepare.py
    deps:
    - path: raw/parts
      hash: md5
      md5: {TREE}
      size: 9
      nfiles: 2
    outs:
    - path: prepared
      hash: md5
      md5: {TREE}
      size: 9
      nfiles: 2
    - path: table.csv
      hash: md5
      md5: {FILE}
      size: 3
"""


def pointer(md5: str, name: str, more: str = "") -> str:
    return f"outs:\n- md5: {md5}\n  size: 3\n  hash: md5\n  path: {name}\n{more}"


def find(files: dict[str, str], path: str) -> Output:
    return find_output(files.get, path, "here")


def test_a_file_by_itself() -> None:
    found = find({"raw/a.csv.dvc": pointer(FILE, "a.csv")}, "raw/a.csv")
    assert (found.pointer, found.path, found.md5) == ("raw/a.csv.dvc", "raw/a.csv", FILE)
    assert not found.is_directory


def test_the_tracked_directory_that_holds_a_file_however_deep() -> None:
    found = find({"raw/parts.dvc": pointer(TREE, "parts")}, "raw/parts/2013/01.csv")
    assert (found.pointer, found.path, found.inside("raw/parts/2013/01.csv")) == (
        "raw/parts.dvc",
        "raw/parts",
        "2013/01.csv",
    )
    assert found.is_directory


@pytest.mark.parametrize(("path", "md5"), [("table.csv", FILE), ("prepared/x/y.csv", TREE)])
def test_a_stage_s_output(path: str, md5: str) -> None:
    found = find({"dvc.lock": LOCK}, path)
    assert (found.pointer, found.md5) == ("dvc.lock", md5)


def test_a_dvc_lock_in_a_folder_speaks_of_that_folder() -> None:
    assert find({"sub/dvc.lock": LOCK}, "sub/table.csv").path == "sub/table.csv"
    with pytest.raises(SetupError, match="not tracked"):
        find({"sub/dvc.lock": LOCK}, "table.csv")


def test_a_stage_with_a_working_folder_of_its_own_is_not_mistaken() -> None:
    stages = yaml.safe_dump({"stages": {"prepare": {"foreach": [1], "do": {"cmd": "x", "wdir": "sub"}}}})
    with pytest.raises(SetupError, match="not tracked"):
        find({"dvc.lock": LOCK, "dvc.yaml": stages}, "table.csv")


@pytest.mark.parametrize(
    ("files", "path"), [({"raw.dvc": pointer(TREE, "raw")}, "raw"), ({"dvc.lock": LOCK}, "prepared")]
)
def test_a_directory_itself_is_refused_where_files_are_declared(files: dict[str, str], path: str) -> None:
    found = find(files, path)
    with pytest.raises(SetupError, match="is a directory") as refused:
        expect_kind(found, path, "here", folder=False)
    assert f"{path}/" in refused.value.remedy
    expect_kind(found, path, "here", folder=True)
    assert found.is_directory
    assert not found.holds(path)
    assert found.holds(f"{path}/a.csv")


def test_a_file_is_no_folder_of_images() -> None:
    with pytest.raises(SetupError, match="images and texts are directories"):
        expect_kind(find({"dvc.lock": LOCK}, "table.csv"), "table.csv", "here", folder=True)


def test_a_directory_of_dvc_2_is_refused() -> None:
    with pytest.raises(SetupError, match="DVC 2"):
        find({"raw.dvc": pointer(TREE, "raw").replace("  hash: md5\n", "")}, "raw/a.csv")


def test_what_is_no_md5_is_refused() -> None:
    with pytest.raises(SetupError, match="no MD5"):
        find({"a.csv.dvc": pointer("nothing", "a.csv")}, "a.csv")


def test_replacing_keeps_all_else() -> None:
    lock = {"dvc.lock": LOCK}
    text = replace_output(LOCK, find(lock, "table.csv"), NEW, 4)
    expected = yaml.safe_load(LOCK)
    expected["stages"]["prepare@1"]["outs"][1] |= {"md5": NEW, "size": 4}
    assert yaml.safe_load(text) == expected
    own = pointer(TREE, "parts", "meta: {owner: me}\n")
    text = replace_output(own, find({"raw/parts.dvc": own}, "raw/parts/a"), NEW + ".dir", 4)
    assert yaml.safe_load(text) == yaml.safe_load(own.replace(TREE, NEW + ".dir").replace("size: 3", "size: 4"))
