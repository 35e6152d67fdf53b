"""A source that cannot be used is refused in one sentence, with what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import dvc, git

POINTER = "outs:\n- md5: {md5}\n  size: 3\n  hash: md5\n  path: a.csv\n"


def repository(folder: Path, files: dict[str, str]) -> Path:
    git.git(None, "init", "--quiet", "-b", "main", str(folder))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git.git(folder, "add", "-A")
    git.git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    return folder


def source(folder: Path, rev: str = "main") -> DvcSource:
    return DvcSource(repo=str(folder), rev=rev, data=("a.csv",), format="csv")


def refusal(spec: DvcSource) -> str:
    with pytest.raises(SetupError) as refused:
        dvc.resolve(spec)
    assert refused.value.remedy
    return refused.value.message


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(source(tmp_path / "nowhere"))


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    assert "no Git repository" in refusal(source(tmp_path))


def test_a_repository_without_dvc_is_refused(tmp_path: Path) -> None:
    assert "no DVC repository" in refusal(source(repository(tmp_path, {})))


def test_an_unknown_revision_is_named(tmp_path: Path) -> None:
    assert "'v9'" in refusal(source(repository(tmp_path, {".dvc/config": ""}), rev="v9"))


def test_an_untracked_file_is_named(tmp_path: Path) -> None:
    assert "a.csv is not tracked by DVC" in refusal(source(repository(tmp_path, {".dvc/config": ""})))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  path: a.csv\n", "DVC 2"),
        ("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  hash: md5\n  path: a.csv\n", "is a directory"),
        ("outs: []\n", "no pointer to one file"),
        ("[", "no pointer to one file"),
    ],
)
def test_a_pointer_that_is_no_single_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(source(repository(tmp_path, {".dvc/config": "", "a.csv.dvc": text})))


def test_the_digest_follows_the_bytes_and_not_the_commit(tmp_path: Path) -> None:
    first = repository(tmp_path / "1", {".dvc/config": "", "a.csv.dvc": POINTER.format(md5="a" * 32)})
    other = repository(tmp_path / "2", {".dvc/config": "", "a.csv.dvc": POINTER.format(md5="b" * 32)})
    digest = dvc.resolve(source(first)).data_digest
    git.git(first, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert dvc.resolve(source(first)).data_digest == digest
    assert dvc.resolve(source(other)).data_digest != digest
