"""Verdicts as JUnit XML: one suite per experiment, one case per check and one for the outcome.

Deviated is a failure, unreverted and aborted are errors, inconclusive is skipped or, where strict, an error: what could
not be measured must not look green by accident.  Each case carries its sentence and one line of numbers for an expert.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from chaos_tasks.judging.wording import compact
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Verdict

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(verdicts: Sequence[Verdict], *, strict: bool = True) -> str:
    """The XML; ``strict`` makes inconclusive an error, as the exit code of `squall run` does."""
    suites = Xml.Element("testsuites", name="squall")
    for verdict in verdicts:
        suites.append(_suite(verdict, strict))
    for name in ("tests", "failures", "errors", "skipped"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"


def _suite(verdict: Verdict, strict: bool) -> Xml.Element:
    cases = [_outcome_case(verdict, strict)] + [_check_case(verdict, check) for check in verdict.checks]
    suite = Xml.Element("testsuite", name=verdict.experiment, timestamp=verdict.decided_at.isoformat())
    suite.set("time", f"{verdict.trials_wall_s:.3f}")
    suite.set("tests", str(len(cases)))
    for name, found in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(found) is not None for case in cases)))
    properties = Xml.SubElement(suite, "properties")
    for name, value in (("run_id", verdict.run_id), ("response", verdict.response.value)):
        Xml.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    return suite


def _outcome_case(verdict: Verdict, strict: bool) -> Xml.Element:
    case = Xml.Element("testcase", classname=f"squall.{verdict.experiment}", name="outcome")
    if verdict.outcome is Outcome.HELD:
        Xml.SubElement(case, "system-out").text = _clean(verdict.sentence)
        return case
    if verdict.known_finding is not None:
        known = verdict.known_finding
        Xml.SubElement(case, "skipped", message=_clean(f"known finding {known.ticket}, until {known.expires}"))
        return case
    kind = {Outcome.DEVIATED: "failure", Outcome.INCONCLUSIVE: "error" if strict else "skipped"}
    found = Xml.SubElement(case, kind.get(verdict.outcome, "error"), message=_clean(verdict.sentence))
    found.set("type", verdict.outcome.value)
    return case


def _check_case(verdict: Verdict, check: CheckResult) -> Xml.Element:
    """A known finding's failed check is skipped, so that the suite stays green until the finding expires."""
    case = Xml.Element("testcase", classname=f"squall.{verdict.experiment}", name=check.check)
    kind = "failure" if check.state is CheckState.FAILED and verdict.known_finding is None else "skipped"
    if check.state is not CheckState.PASSED:
        found = Xml.SubElement(case, kind, message=_clean(check.sentence))
        found.set("type", check.reason.value)
        found.text = _clean(compact(check))
    Xml.SubElement(case, "system-out").text = _clean(f"{check.sentence}\n{compact(check)}")
    return case


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
