"""What is left of a run that was struck: places, ledger, processes, the source, and whether the next run can be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil

from chaos_tasks import acts, registry
from chaos_tasks.carrying import Carrier, carried
from chaos_tasks.composition import Squall
from chaos_tasks.errors import SquallError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.lab.waiting import NotReadyError, wait_until
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.loading import load_experiment
from chaos_tasks.model.handle import HandleState, Phase
from chaos_tasks.model.place import DvcPlace, ProcessPlace
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Act, RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.targets.process import MARK_VARIABLE, host
from tests.airflow_kills.project import AFTER
from tests.airflow_kills.scene import Scene
from tests.airflow_kills.stacks import SUPERVISOR, squall_of
from tests.system.tiny_target import TinyProject

SETTLE_S = 15.0


def look(scene: Scene, source_before: str, known: frozenset[str], scratch: Path) -> Iterator[str]:
    """Everything that is not as promised; ``known``: what the ledger had to say before the run, of other runs."""
    with squall_of(scene.stack) as squall:
        for state in squall.ledger.handles(run_id=scene.run_id):
            yield from _not_undone(squall, state, scratch)
        yield from _no_next_run(squall, scene)
    yield from _left_running(scene)
    if digest_of_source(scene.lab.project) != source_before:
        yield "the source repository is not what it was"
    yield from sorted(not_whole(squall.settings.ledger_url) - known)


def _not_undone(squall: Squall, state: HandleState, scratch: Path) -> Iterator[str]:
    handle = state.handle
    if state.phase is not Phase.REVERTED:
        yield f"{handle.id} is {state.phase.value}"
    fault = carried(
        registry.fault(handle.kind), Carrier.of(squall.settings.variables, squall.settings.home, squall.clients)
    )
    context = FaultContext(clock=squall.clock, clients=squall.clients, scratch=scratch)
    before = acts.before_fingerprint(acts.ActParts(squall.ledger, fault, context, Recorder()), handle)
    elsewhere = isinstance(handle.place, ProcessPlace) and handle.place.host != host()
    if elsewhere or _is_deleted(squall, state):  # only its own machine can see it; `_left_running` looks at all of them
        after = _recorded_after(squall, state)
    else:
        after = fault.fingerprint(handle.place, context).digest
    if before is None or after != before.digest:
        yield f"the place of {handle.id} is not what it was when it was armed"


def _is_deleted(squall: Squall, state: HandleState) -> bool:
    """Whether the clone went with the verdict, as its record says: then nothing is left to look at."""
    gone = list(squall.ledger.records(run_id=state.handle.run_id, kinds=(RecordKind.CLONE_DELETED,)))
    return isinstance(state.handle.place, DvcPlace) and bool(gone)


def _recorded_after(squall: Squall, state: HandleState) -> str:
    """What whoever reverted it found on the machine of the process."""
    found = ""
    for stored in squall.ledger.records(run_id=state.handle.run_id, kinds=(RecordKind.REVERT_VERIFIED,)):
        act = stored.record.payload
        if isinstance(act, Act) and act.handle_id == state.handle.id and act.after is not None:
            found = act.after.digest
    return found


def _left_running(scene: Scene) -> Iterator[str]:
    """Workloads bear the run in their environment; a supervisor has nothing to do once no run is under way."""
    with suppress(NotReadyError):  # whatever is on its way out gets a moment
        wait_until(lambda: not _running(scene), what="the end of the run's processes", timeout_s=SETTLE_S)
    for process, what in _running(scene):
        yield f"still runs: {what} (pid {process.pid})"


def _running(scene: Scene) -> list[tuple[psutil.Process, str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            ours = environment.get("SQUALL_CONFIG") == str(scene.lab.project.config)
            if environment.get(MARK_VARIABLE, "").startswith(f"{scene.run_id}/"):
                found.append((process, "workload"))
            elif ours and SUPERVISOR in " ".join(process.cmdline()):
                found.append((process, "supervisor"))
    return found


def digest_of_source(project: TinyProject) -> str:
    """Of every file of the source, its Git and DVC folders included, but for DVC's temporary ones."""
    source = project.root / "source"
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        name = str(path.relative_to(source))
        if path.is_file() and not name.startswith(".dvc/tmp/"):
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _no_next_run(squall: Squall, scene: Scene) -> Iterator[str]:
    """Another experiment on the same target is armed, and put away again."""
    file = squall.settings.experiments_dir / f"{AFTER}.yaml"
    request = RunRequest(
        run_id=f"{scene.run_id}-after", experiment=load_experiment(file).experiment, requested_by="user:tests"
    )
    try:
        plan = squall.engine.arm(request)
        squall.engine.revert(plan.run_id)
        squall.engine.judge(plan.run_id)
    except SquallError as error:
        yield f"no new run can arm: {error.message}"


def not_whole(url: str) -> frozenset[str]:
    """What `squall audit verify` finds, and what is open."""
    with closing(open_ledger(url)) as ledger:
        found = verify(ledger)
    answers = (("integrity", found.integrity), ("order", found.order), ("completeness", found.completeness))
    offences = {f"{name} of the ledger: {offence.what}" for name, answer in answers for offence in answer.first}
    still = {f"{handle} is open" for handle in found.open_handles}
    return frozenset(offences | still | {f"{run_id} never ends" for run_id in found.unfinished_runs})
