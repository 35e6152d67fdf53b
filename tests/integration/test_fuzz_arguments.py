"""Nonsense on the command line, for every command there is: a documented exit code, a message, and no act."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.cli.main import squall
from tests.fuzzing import ask, assert_answered, budget, tree
from tests.integration.test_fuzz_files import Project, project

__all__ = ["project"]

STARTS_SERVERS = frozenset({"up", "down", "night"})
"""Without an argument that is refused these start or stop real servers, which no fuzzer should."""

WORDS = (
    "",
    " ",
    "-",
    "--",
    "nowhere",
    "run-nowhere/step",
    "precious",
    "é\u202e",
    "x" * 5000,
    "a\nb",
    "../..",
    "%s",
    "--=",
)
NUMBERS = ("nan", "inf", "-inf", "-1", "0", "1e400", "9" * 5000, "0x10", "1_0", "²", "1.5")
PATHS = ("", ".", "/dev/null", "/dev/full", "/proc/self/mem", "no/such/folder/file", "x" * 300, "experiments", "a\x00b")


def commands() -> dict[tuple[str, ...], click.Command]:
    """Every command of the tree, by its words."""
    found: dict[tuple[str, ...], click.Command] = {}

    def walk(group: click.Group, words: tuple[str, ...]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None, name
            found[(*words, name)] = command
            if isinstance(command, click.Group):
                walk(command, (*words, name))

    walk(squall, ())
    return found


COMMANDS = commands()


def values(parameter: click.Parameter) -> st.SearchStrategy[str]:
    """What may be written for a parameter: right in its form, or not even that."""
    if isinstance(parameter.type, click.Path | click.File):
        return st.sampled_from([*PATHS, "experiments/fuzzed.yaml"])
    if isinstance(parameter.type, click.Choice):
        return st.sampled_from([*map(str, parameter.type.choices), *WORDS])
    if parameter.type.name in ("integer", "float", "integer range", "float range"):
        return st.sampled_from([*NUMBERS, *WORDS[:4], "1"])
    return st.sampled_from([*WORDS, "fuzzed", *NUMBERS[:2]]) | st.text(max_size=20)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command line of the tree, mostly in its form."""
    words = draw(st.sampled_from(sorted(COMMANDS)))
    command, told = COMMANDS[words], list(words)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            told += draw(st.lists(values(parameter), min_size=0 if not parameter.required else 1, max_size=2))
        elif isinstance(parameter, click.Option) and draw(st.booleans()):
            told.append(draw(st.sampled_from(parameter.opts)))
            told += [] if parameter.is_flag else [draw(values(parameter))]
    told += draw(st.lists(st.sampled_from(["--nonsense", "-x", "--help", "-h", "\u0000"]), max_size=1))
    if words[0] in STARTS_SERVERS:
        told.append("--nonsense")
    if "--watch" in told:  # it goes on until it is stopped
        told.remove("--watch")
    if "--trial" in told:  # a trial of a real target is no nonsense
        told = ["NOTRIAL" if one == "precious" else one for one in told]
    return told


@pytest.fixture(autouse=True)
def whole(project: Project) -> Iterator[None]:
    project.restore()
    yield
    for name in ("HALT",):
        (project.root / "home" / name).unlink(missing_ok=True)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own way to SQLAlchemy, for a pack
@budget(50)
@given(line=lines())
def test_nonsense_is_answered_and_begins_nothing(project: Project, line: list[str]) -> None:
    before = tree(project.root / "source")
    project.beat()
    project.assert_untouched(before, [ask(line)])


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e400"])
@pytest.mark.parametrize(
    "line",
    [
        ["run", "experiments/fuzzed.yaml", "--hold"],
        ["run", "experiments/fuzzed.yaml", "--wait"],
        ["run", "experiments/fuzzed.yaml", "--intensity"],
        ["plan", "experiments/fuzzed.yaml", "--intensity"],
        ["ramp", "experiments/fuzzed.yaml", "--levels"],
        ["sweep", "--watch", "--every"],
        ["night", "--timeout"],
    ],
    ids=lambda line: " ".join([line[0], line[-1]]),
)
def test_a_number_that_is_none_is_refused(project: Project, line: list[str], number: str) -> None:
    project.beat()
    answer = ask([*line, number])
    project.assert_untouched(tree(project.root / "source"), [answer])
    assert answer.code in (2, 4), answer.text


def test_every_command_has_its_words() -> None:
    assert ("run",) in COMMANDS
    assert ("audit", "verify") in COMMANDS
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
@pytest.mark.parametrize(
    "line",
    [
        ["run"],
        ["plan"],
        ["ramp"],
        ["validate"],
        ["audit", "verify", "--checkpoint"],
        ["gate", "propose", "fuzzed", "--report"],
        ["promote", "models:/m/1", "champion", "--require", "data.label_flip", "--statement"],
    ],
    ids=" ".join,
)
def test_a_file_without_an_end_is_refused_and_fills_no_memory(project: Project, line: list[str], device: str) -> None:
    answer = ask([*line, device])
    assert_answered(answer)
    assert "or no end" in answer.text
