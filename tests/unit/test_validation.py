"""From pydantic's errors to a line, a cause and a remedy in the user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chaos_tasks import strict_yaml
from chaos_tasks.errors import Problem
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.target import Target
from chaos_tasks.validation import problems_of

LINES = """\
version: 1
name: tidy
hypothesis: The model stays as good as it was.
owner: ml-platform
target: flights
steady_state:
  - name: done
    probe: workload.completed
    tolerance:
      type: range
      min: 0
method:
  - name: flip
    fault: data.label_flip
    trigger:
      at: elapsed
      after: 2s
guards:
  lease: 10s
analysis:
  seeds: 2
""".splitlines()


def problems(text: str, model: type[Experiment] | type[Target] = Experiment) -> list[Problem]:
    document = strict_yaml.load(Path("an.yaml"), text)
    with pytest.raises(ValidationError) as caught:
        model.model_validate(document.content)
    return problems_of(caught.value, document, model)


INDENTED = [index for index, line in enumerate(LINES) if line.startswith("  ") and not line.startswith("  - ")]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(INDENTED), st.from_regex(r"zz[a-z]{2,6}", fullmatch=True))
def test_an_unknown_field_planted_anywhere_is_found_on_its_line(after: int, name: str) -> None:
    indent = LINES[after][: len(LINES[after]) - len(LINES[after].lstrip())]
    # Below a key that opens a mapping the new line would be its first field.
    opens = LINES[after].endswith(":")
    lines = [*LINES[: after + 1], f"{indent}{'  ' if opens else ''}{name}: 1", *LINES[after + 1 :]]
    (found,) = problems("\n".join(lines))
    assert found.line == after + 2
    assert found.field.endswith(name)
    assert found.cause == f"unknown field `{name}`"
    assert found.remedy


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "remedy"),
    [
        ("seeds: 2", "seeds: many", 21, "analysis.seeds", "paired trials"),
        ("seeds: 2", "seeds: 0", 21, "analysis.seeds", "paired trials"),
        ("at: elapsed", "at: sometimes", 15, "method.0.trigger", "choose one of them"),
        ("      at: elapsed\n", "", 15, "method.0.trigger", "add `at:`"),
        ("after: 2s", "aftr: 2s", 17, "method.0.trigger.aftr", "did you mean `after`?"),
        ("      min: 0\n", "", 9, "steady_state.0.tolerance", "squall schema"),
        ("lease: 10s", "lease: soon", 19, "guards.lease", "A fault whose lease"),
        ("target: flights", "target: Big Flights", 5, "target", "hyphens"),
        ("version: 1", "version: 2", 1, "version", "version"),
    ],
)
def test_a_wrong_value_names_line_field_and_remedy(old: str, new: str, line: int, field: str, remedy: str) -> None:
    found = problems("\n".join(LINES).replace(old, new))
    assert any((one.line, one.field) == (line, field) and remedy in one.remedy for one in found), found


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = "\n".join(LINES).replace("owner:", "ownr:").replace("seeds: 2", "seeds: 0").replace("lease: 10s", "lease: 1")
    found = problems(text)
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert {one.field for one in found} == {"owner", "ownr", "guards.lease", "analysis.seeds"}


def test_the_sort_of_a_workload_that_nobody_knows_lists_the_known_ones() -> None:
    text = "name: t\nsource: {type: dvc, repo: r, data: [a]}\nworkload:\n  type: spark\n"
    (found,) = problems(text, Target)
    assert (found.line, found.field) == (3, "workload")
    assert "'command', 'dvc_stage'" in found.cause
