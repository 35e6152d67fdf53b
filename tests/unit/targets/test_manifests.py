"""One entry of a manifest is found and changed in place, and the result is what DVC itself would write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.targets import manifests
from chaos_tasks.targets.objects import Objects

NAMES = [
    *(f"part-{number:05d}.parquet" for number in range(500)),
    "a b.csv",
    "z\u00fcrich/\u6771\u4eac.csv",
    'quote".csv',
    "back\\slash.csv",
    '", "relpath": "nested.csv',
    '{"md5": "x.csv',
    "\U0001f600.csv",
    "deep/er/still.csv",
]


def digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def dvc_manifest(entries: dict[str, str]) -> bytes:
    """Written by DVC's own code."""
    from dvc_data.hashfile.tree import Tree

    return bytes(Tree.from_list([{"md5": md5, "relpath": name} for name, md5 in entries.items()]).as_bytes())


def stored(root: Path, content: bytes) -> tuple[Objects, str]:
    objects, name = Objects(root), hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"
    objects.path(name).parent.mkdir(parents=True)
    objects.path(name).write_bytes(content)
    return objects, name


@pytest.mark.parametrize("ordered", [True, False], ids=["as DVC sorts", "unsorted"])
def test_every_entry_is_found(tmp_path: Path, ordered: bool) -> None:
    content = dvc_manifest({name: digest(name) for name in NAMES})
    if not ordered:
        content = json.dumps(json.loads(content)[::-1], sort_keys=True).encode()
    objects, manifest = stored(tmp_path, content)
    for name in NAMES:
        found = manifests.find(objects.path(manifest), name)
        assert found is not None, name
        assert (found.name, found.md5) == (name, digest(name))


@pytest.mark.parametrize("name", ["part-00500.parquet", "", "part-0000", "nested.csv", "x.csv", "zz", "slash.csv"])
def test_what_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    objects, manifest = stored(tmp_path, dvc_manifest({one: digest(one) for one in NAMES}))
    assert manifests.find(objects.path(manifest), name) is None


def test_an_empty_directory_has_no_entry(tmp_path: Path) -> None:
    objects, manifest = stored(tmp_path, dvc_manifest({}))
    assert manifests.find(objects.path(manifest), "a") is None


@pytest.mark.parametrize("name", [NAMES[0], NAMES[250], *NAMES[499:]])
def test_a_changed_entry_gives_what_dvc_would_write(tmp_path: Path, name: str) -> None:
    entries = {one: digest(one) for one in NAMES}
    objects, manifest = stored(tmp_path, dvc_manifest(entries))
    renamed = manifests.with_entry(objects, manifest, name, digest("new"))
    expected = dvc_manifest({**entries, name: digest("new")})
    assert objects.path(renamed).read_bytes() == expected
    assert renamed == hashlib.md5(expected, usedforsecurity=False).hexdigest() + ".dir"
    assert objects.holds(renamed)
    assert objects.names() == sorted([manifest, renamed])


def test_a_large_manifest_is_copied_in_pieces(tmp_path: Path) -> None:
    entries = {f"part-{number:07d}.parquet": digest(str(number)) for number in range(30_000)}  # 2.4 MB, over a piece
    objects, manifest = stored(tmp_path, dvc_manifest(entries))
    renamed = manifests.with_entry(objects, manifest, "part-0029999.parquet", digest("new"))
    assert objects.path(renamed).read_bytes() == dvc_manifest({**entries, "part-0029999.parquet": digest("new")})


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'[{"relpath": "a"}]'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SetupError, match="no manifest"):
        manifests.find(tmp_path / "x", "a")
