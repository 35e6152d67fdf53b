"""YAML as people mean it: what is ambiguous is an error on its line, and no text ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks import strict_yaml
from chaos_tasks.errors import InvalidFile

HERE = Path("an.yaml")
NAMES = st.from_regex(r"k[a-z]{1,6}", fullmatch=True)
YAML_LIKE = st.lists(
    st.sampled_from(
        [*"ab01.:-[]{}&*!|>?#'\"%@,\n\t ", "!!int ", "!!bool ", "!!float ", "&a ", "*a", "key: ", "\n  - "]
    ),
    max_size=60,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), YAML_LIKE, YAML_LIKE.map(lambda text: f"key: {text}")))
def test_any_text_is_a_mapping_or_an_invalid_file(text: str) -> None:
    try:
        assert isinstance(strict_yaml.load(HERE, text).content, dict)
    except InvalidFile as error:
        incomplete = [one for one in error.problems if one.line < 1 or not one.cause or not one.remedy]
    else:
        incomplete = []
    assert not incomplete


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=8, unique=True), st.data())
def test_a_planted_duplicate_is_reported_on_its_own_line(names: list[str], data: st.DataObject) -> None:
    lines = [f"{name}: 1" for name in names]
    again = data.draw(st.sampled_from(names))
    at = data.draw(st.integers(names.index(again) + 1, len(lines)))
    lines.insert(at, f"{again}: 2")
    with pytest.raises(InvalidFile) as caught:
        strict_yaml.load(HERE, "\n".join(lines))
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (at + 1, again)
    assert f"line {names.index(again) + 1}" in problem.remedy


TREES = st.recursive(
    st.one_of(st.integers(-(10**9), 10**9), st.booleans(), st.none(), st.text(alphabet="abc xyz", max_size=6)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=5))
def test_what_is_written_as_yaml_is_read_back(content: dict[str, object]) -> None:
    assert strict_yaml.load(HERE, yaml.safe_dump(content)).content == content


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "No", "True", "FALSE"])
def test_words_that_may_be_booleans_must_be_written_out(word: str) -> None:
    with pytest.raises(InvalidFile, match="write true or false") as caught:
        strict_yaml.load(HERE, f"version: 1\nnightly: {word}\n")
    assert caught.value.problems[0].line == 2
    assert strict_yaml.load(HERE, f"nightly: '{word}'\n").content == {"nightly": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [("12:30", "12:30"), ("010", "010"), ("2026-01-01", "2026-01-01"), ("1e-3", 0.001), ("10_000", 10_000), ("-1", -1)],
)
def test_numbers_and_times_are_what_they_look_like(text: str, value: object) -> None:
    assert strict_yaml.load(HERE, f"a: {text}\n").content == {"a": value}


@pytest.mark.parametrize("tag", ["!!bool maybe", "!!int ''", "!!float ''", "!!timestamp x", "!python/none x"])
def test_a_tag_that_does_not_fit_its_text_is_a_problem_of_that_line(tag: str) -> None:
    with pytest.raises(InvalidFile, match="cannot be read") as caught:
        strict_yaml.load(HERE, f"version: 1\n\nfield: {tag}\n")
    assert caught.value.problems[0].line == 3


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 200_000, "? " * 50_000, "a: &a [*a]"], ids=["brackets", "keys", "itself"]
)
def test_a_file_without_a_bottom_ends_as_an_error_and_not_the_process(text: str) -> None:
    with pytest.raises(InvalidFile, match="nested too deeply"):
        strict_yaml.load(HERE, text)


def test_aliases_to_aliases_cannot_fill_the_memory() -> None:
    levels = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(InvalidFile, match="more than 50000 values"):
        strict_yaml.load(HERE, "\n".join(["k0: &k0 [1]", *levels]))


def test_variables_are_replaced_and_an_unset_one_names_its_field() -> None:
    document = strict_yaml.load(HERE, "repo: ${ROOT}/data\nnested:\n  - ${ABSENT}\n")
    with pytest.raises(InvalidFile, match="squall up") as caught:
        strict_yaml.expand(document, {"ROOT": "here"})
    assert [(one.line, one.field) for one in caught.value.problems] == [(3, "nested.0")]
    strict_yaml.expand(document, {"ROOT": "here"}, keep_unset=True)
    assert document.content == {"repo": "here/data", "nested": ["${ABSENT}"]}


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="it is a folder"):
        strict_yaml.load(tmp_path)
