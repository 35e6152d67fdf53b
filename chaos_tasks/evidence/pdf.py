"""The document as PDF/A-3a and PDF/UA-1, with the OSCAL results inside; same body, same bytes.

Needs the extra `pdf` (typst).  Text goes in as data and can be no markup; glyphs that its fonts lack are written
as their code points, since PDF/UA refuses a document that shows what cannot be read aloud.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from chaos_tasks.errors import SetupError, SquallError
from chaos_tasks.evidence.answers import LIMITS, control_lines, first_page
from chaos_tasks.evidence.body import Body, Injected
from chaos_tasks.evidence.controls import ControlTable

MAX_ROWS = 2_000  # of one table; the rest is in the CSV
READABLE = ((0x20, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x1E00, 0x1EFF), (0x2010, 0x203A), (0x2190, 0x2193))
"""Latin, Greek, Cyrillic, dashes, quotes and arrows: what typst's own fonts have."""


def render(body: Body, table: ControlTable, *, attached: Mapping[str, bytes] | None = None) -> bytes:
    """The PDF; ``attached`` are files to put inside, by name.

    Raises SetupError without typst, SquallError when the document cannot be made; HTML and JSON never wait for it.
    """
    try:
        import typst
    except ImportError as error:
        raise SetupError("PDFs need typst", remedy="install the extra: pip install 'squall[pdf]'") from error
    with tempfile.TemporaryDirectory(prefix="squall-pdf-") as name:
        folder = Path(name)
        source = folder / "report.typ"
        source.write_bytes(files("chaos_tasks.evidence").joinpath("templates", "report.typ").read_bytes())
        for path, content in (attached or {}).items():
            (folder / path).write_bytes(content)
        try:
            made = typst.compile(
                source,
                root=folder,
                ignore_system_fonts=True,
                sys_inputs={"told": json.dumps(_told(body, table, sorted(attached or {})))},
                pdf_standards=["a-3a", "ua-1"],
                timestamp=int(body.issued_at.timestamp()),
            )
        except (typst.TypstError, RuntimeError) as error:
            said = str(error).splitlines()[0]
            raise SquallError(
                f"the PDF could not be made: {said}", remedy="use the HTML page; it says the same"
            ) from error
    return bytes(made)


def _told(body: Body, table: ControlTable, attached: Sequence[str]) -> dict[str, object]:
    scope = body.scope
    subtitle = (
        f"Chaos experiments that began from {scope.since:%Y-%m-%d %H:%M} until {scope.until:%Y-%m-%d %H:%M} UTC. "
        f"Issued {body.issued_at:%Y-%m-%d %H:%M} UTC by Squall {body.squall_version}."
    )
    return {
        "title": readable(body.title),
        "author": "Squall",
        "subtitle": readable(subtitle),
        "answers": [
            {"question": one.question, "sentences": [readable(text) for text in one.sentences]}
            for one in first_page(body)
        ],
        "tables": _tables(body, table),
        "limits": [readable(one) for one in LIMITS],
        "attached": [
            {"path": name, "mime": "application/json", "description": f"{name}, OSCAL 1.2.1"} for name in attached
        ],
    }


def _tables(body: Body, table: ControlTable) -> list[dict[str, object]]:
    findings = [
        (one.risk_id, one.severity.value, one.state.value, one.owner, one.due.isoformat(), one.experiment, one.effect)
        for one in body.findings
    ]
    runs = [
        (one.experiment, f"{one.outcome.value}, {one.response.value}", one.target, _proofs(one.faults), one.sentence)
        for one in body.tested
    ]
    missing = [(one.experiment, one.state, one.owner, one.why) for one in body.unfinished]
    incidents = [
        (
            one.incident_id,
            one.experiment,
            f"{one.opened_at:%Y-%m-%d %H:%M}",
            "yes" if one.contained_at else "no",
            one.what,
        )
        for one in body.incidents
    ]
    note = f"These runs provide evidence relevant to the controls below. Table reviewed {body.controls_reviewed}."
    texts = [(one.title, one.text_version, one.applies_from, one.note) for one in table.frameworks.values()]
    return [
        _table("Findings", ("Id", "Severity", "State", "Owner", "Due", "Experiment", "Effect"), findings,
               (12, 9, 9, 12, 10, 16, 32), "None."),
        _table("Not among the results", ("Experiment", "State", "Owner", "Why"), missing, (20, 12, 14, 54), "Nothing."),
        _table("Incidents", ("Id", "Experiment", "Opened", "Contained", "What"), incidents,
               (10, 18, 16, 10, 46), "None."),
        _table("Runs", ("Experiment", "Outcome", "Target", "Faults", "What came out"), runs,
               (16, 13, 10, 26, 35), "None."),
        _table("Controls", ("Framework", "Control", "Evidence of", "Runs"), control_lines(body, table),
               (30, 36, 12, 22), "None.", note),
        _table("Texts", ("Text", "Version", "Applies from", "Note"), texts, (26, 26, 20, 28), "None."),
    ]  # fmt: skip


def _proofs(faults: Iterable[Injected]) -> str:

    return "; ".join(f"{one.kind}: {'undo proved' if one.proved else 'undo not proved'}" for one in faults)


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    nothing: str,
    note: str = "",
) -> dict[str, object]:
    cut = len(rows) - MAX_ROWS
    said = f"{note} {cut} more rows are in the CSV.".strip() if cut > 0 else note
    cells = [[readable(cell) for cell in row] for row in rows[:MAX_ROWS]]
    return {"title": title, "columns": [*columns], "rows": cells, "widths": [*widths], "nothing": nothing, "note": said}


def readable(text: str) -> str:
    """The text on one line, with what the fonts cannot show as U+XXXX."""
    return "".join(one if _shown(ord(one)) else f"U+{ord(one):04X}" for one in " ".join(text.split()))


def _shown(code: int) -> bool:
    return any(low <= code <= high for low, high in READABLE) and code != 0x7F and not 0x80 <= code <= 0x9F
