"""Settings: squall.toml, then the endpoints of running embedded servers, then the environment; the last one wins."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from chaos_tasks import reading
from chaos_tasks.connections import NAMED
from chaos_tasks.errors import InvalidFile, Problem, SetupError
from chaos_tasks.model.base import Value
from chaos_tasks.model.calendar import ChangeCalendar
from chaos_tasks.model.consent import ApprovalPolicy
from chaos_tasks.model.data import DataDeclaration, DataPolicy
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.identity import IdentityPolicy
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.packs import PackPlaces
from chaos_tasks.model.sealing import KeyFiles, SealingPlaces
from chaos_tasks.model.telemetry import Telemetry
from chaos_tasks.strict_yaml import Document, Location
from chaos_tasks.validation import problems_of

FILE_NAME = "squall.toml"
ENDPOINTS_FILE = "endpoints.json"
MAX_LANES = 512
BETWEEN_TASKS = timedelta(minutes=10)


class Webhook(Value):
    """A receiver of notices over HTTP."""

    url: str = Field(description="http(s) address; ${NAME} is filled from the environment, since it may be a secret.")
    secret_variable: str = Field("", description="Environment variable with the key that signs what is sent.")
    timeout_s: float = Field(3.0, gt=0, le=30)
    tries: int = Field(3, ge=1, le=10)


class BorrowedNotifier(Value):
    """A notifier class that somebody else has made, such as those of Airflow's providers."""

    notifier: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="Dotted path, e.g. airflow.providers.smtp.notifications.smtp.SmtpNotifier.",
    )
    arguments: Mapping[str, JsonValue] = Field(
        default_factory=dict,
        description="What it is made with, a conn id among them; its templates are filled with `text` and `notice`.",
    )
    timeout_s: float = Field(15.0, gt=0, le=120, description="Longest wait for it.")


class Notify(Value):
    """Whom to tell what needs action."""

    file: str = Field("notices.jsonl", description="File of JSON lines, relative to home; empty: none.")
    repeat_after: Duration = Field(timedelta(hours=1), description="When the same is told again while it lasts.")
    webhooks: Mapping[str, Webhook] = Field(default_factory=dict)
    notifiers: Mapping[str, BorrowedNotifier] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        """What was told through a channel is remembered by its name."""
        twice = sorted(set(self.webhooks) & set(self.notifiers))
        if twice:
            raise ValueError(f"{', '.join(twice)} is both a webhook and a notifier: give each a name of its own")
        return self


class TargetEntry(Value):
    """A line of the inventory: what may be hurt, owned apart from experiment files."""

    file: str = Field(description="Path of the target file, relative to squall.toml.")
    environment: str = Field(description="lab, dev, staging, production, ...")
    disposable: bool = Field(False, description="Irreversible faults run on disposable targets only.")
    families: tuple[str, ...] = Field((), description="Families of faults that may be used on it.")
    data: DataDeclaration = Field(DataDeclaration(), description="What its data are, and where copies may lie.")
    identities: IdentityPolicy = Field(IdentityPolicy(), description="Who injects, who reverts, and what is proved.")


class Endpoints(Value):
    """Where running servers are; written by `squall up`, absent in production."""

    ledger_url: str = ""
    mlflow_uri: str = ""
    mlflow_ui_url: str = ""
    airflow_url: str = ""
    credentials_file: str = Field("", description="JSON file (mode 0600) of named credentials.")
    variables: Mapping[str, str] = Field(default_factory=dict, description="For ${NAME} in target files.")
    keys: KeyFiles = KeyFiles()
    checkpoints: SealingPlaces = SealingPlaces()


class Settings(Value):
    """All that composition needs to build the parts."""

    root: Path
    home: Path
    experiments_dir: Path
    lanes: int = Field(ge=1, le=MAX_LANES, description="Trials that run at the same time.")
    max_parallel_experiments: int = Field(ge=1)
    ledger_url: str
    mlflow_uri: str
    mlflow_ui_url: str = ""
    airflow_url: str = ""
    credentials_file: str = ""
    python: str = Field(description="Interpreter that workloads run with.")
    environments: tuple[str, ...] = Field(description="Environments in which anything may be injected at all.")
    campaign_alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Largest mean share of false ones among the findings of a night that stand."
    )
    sweeper_max_age_s: float = 30.0
    require_sweeper: bool = True
    between_tasks: Duration = Field(BETWEEN_TASKS, description="Longest wait of a fault that is in for its next task.")
    targets: Mapping[str, TargetEntry] = Field(default_factory=dict)
    notify: Notify = Notify()
    telemetry: Telemetry = Telemetry()
    connections: Mapping[str, str] = Field(
        default_factory=dict, description="Credentials by name that are connections of Airflow: `airflow:ID`."
    )
    calendar: ChangeCalendar = Field(ChangeCalendar(), description="When faults may be in.")
    limits: BlastLimits = Field(BlastLimits(), description="How much may be hurt.")
    keys: KeyFiles = Field(KeyFiles(), description="Keys that sign, and keys that are known.")
    checkpoints: SealingPlaces = Field(SealingPlaces(), description="Where signed heads of the log are kept.")
    packs: PackPlaces = Field(PackPlaces(), description="Where copies of evidence packs may go.")
    approvals: ApprovalPolicy = Field(ApprovalPolicy(), description="Who has to agree before.")
    data: DataPolicy = Field(DataPolicy(), description="What may be copied, and where places are.")
    variables: Mapping[str, str] = Field(default_factory=dict)

    def target_path(self, name: str) -> Path:
        """Path of a target's file; raises SetupError listing the inventory."""
        return self.root / self.entry(name).file

    def entry(self, name: str) -> TargetEntry:
        """The inventory's line for a target; raises SetupError listing the inventory."""
        if name not in self.targets:
            known = ", ".join(sorted(self.targets)) or "none"
            raise SetupError(
                f"target {name!r} is not in the inventory {self.root / FILE_NAME} (known: {known})",
                remedy=f"add a table [targets.{name}] with file, environment and families",
            )
        return self.targets[name]


class _General(Value):
    home: str = ".squall"
    experiments: str = "dags/experiments"
    lanes: int | None = Field(None, ge=1, le=MAX_LANES, description="Trials that run at the same time.")
    max_parallel_experiments: int | None = Field(None, ge=1)
    python: str = ""
    environments: tuple[str, ...] = ("lab", "dev", "staging")
    campaign_alpha: float = Field(0.05, gt=0, lt=0.5)
    sweeper_max_age_s: float = 30.0
    require_sweeper: bool = True
    between_tasks: Duration = BETWEEN_TASKS


class _Url(Value):
    url: str = ""


class SettingsFile(Value):
    """The file squall.toml: its tables."""

    squall: _General = _General()
    ledger: _Url = _Url()
    mlflow: _Url = _Url()
    credentials: Mapping[str, Annotated[str, Field(pattern=f"^{NAMED.pattern}$")]] = Field(default_factory=dict)
    lab: Mapping[str, Mapping[str, int | str | bool]] = Field(default_factory=dict)
    targets: Mapping[str, TargetEntry] = Field(default_factory=dict)
    notify: Notify = Notify()
    telemetry: Telemetry = Telemetry()
    calendar: ChangeCalendar = ChangeCalendar()
    limits: BlastLimits = BlastLimits()
    keys: KeyFiles | None = None
    checkpoints: SealingPlaces | None = None
    packs: PackPlaces = PackPlaces()
    approvals: ApprovalPolicy = ApprovalPolicy()
    data: DataPolicy = DataPolicy()

    @model_validator(mode="after")
    def _places_are_declared(self) -> Self:
        """A misspelt place would be none."""
        named = {name for entry in self.targets.values() for name in entry.data.residency}
        unknown = sorted(named - set(self.data.places))
        if unknown:
            raise ValueError(f"residency names {', '.join(unknown)}, which [data.places] does not have")
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        """A misspelt name would leave a target without its limits."""
        environments = {*self.squall.environments, *(entry.environment for entry in self.targets.values())}
        scopes = [*self.calendar.windows, *self.calendar.freezes]
        of_environments = {name for one in scopes for name in one.environments} | set(self.limits.environments)
        of_environments |= set(self.approvals.environments)
        of_targets = {name for one in scopes for name in one.targets} | set(self.limits.targets)
        unknown = sorted((of_environments - environments) | (of_targets - set(self.targets)))
        if unknown:
            raise ValueError(
                f"[calendar], [limits] or [approvals] names {', '.join(unknown)}, which the inventory does not have"
            )
        return self


def find_settings(environment: Mapping[str, str] | None = None, start: Path | None = None) -> Settings:
    """Settings of the nearest squall.toml (SQUALL_CONFIG names one); raises SetupError or InvalidFile."""
    env = os.environ if environment is None else environment
    path = _locate(env, start or Path.cwd())
    return read_settings(path, env)


def _locate(env: Mapping[str, str], start: Path) -> Path:
    if env.get("SQUALL_CONFIG"):
        return Path(env["SQUALL_CONFIG"]).expanduser().resolve()
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise SetupError(
        f"no {FILE_NAME} in {start} or above it",
        remedy=f"begin with `squall init PATH`, run squall in a folder with a {FILE_NAME}, or name one in the "
        "environment variable SQUALL_CONFIG",
    )


def read_settings(path: Path, env: Mapping[str, str]) -> Settings:
    """Settings of one file; raises InvalidFile naming the field."""
    file = _parse(path)
    root = path.parent
    home = _absolute(root, env.get("SQUALL_HOME") or file.squall.home)
    ends = _endpoints(home)
    lanes = _lanes(env, file)
    return Settings(
        root=root,
        home=home,
        experiments_dir=_absolute(root, env.get("SQUALL_EXPERIMENTS") or file.squall.experiments),
        lanes=lanes,
        max_parallel_experiments=file.squall.max_parallel_experiments or lanes + 3,
        ledger_url=env.get("SQUALL_LEDGER_URL") or file.ledger.url or ends.ledger_url or f"sqlite:///{home}/ledger.db",
        mlflow_uri=env.get("SQUALL_MLFLOW_URI") or file.mlflow.url or ends.mlflow_uri or f"sqlite:///{home}/mlflow.db",
        mlflow_ui_url=ends.mlflow_ui_url,
        airflow_url=env.get("SQUALL_AIRFLOW_URL") or ends.airflow_url,
        credentials_file=env.get("SQUALL_CREDENTIALS") or ends.credentials_file,
        python=env.get("SQUALL_PYTHON") or file.squall.python or sys.executable,
        environments=file.squall.environments,
        campaign_alpha=file.squall.campaign_alpha,
        sweeper_max_age_s=file.squall.sweeper_max_age_s,
        require_sweeper=file.squall.require_sweeper,
        between_tasks=file.squall.between_tasks,
        targets=file.targets,
        notify=file.notify,
        telemetry=file.telemetry,
        connections=file.credentials,
        calendar=file.calendar,
        limits=file.limits,
        keys=file.keys or ends.keys,
        checkpoints=file.checkpoints or ends.checkpoints,
        packs=file.packs,
        approvals=file.approvals,
        data=file.data,
        variables={"SQUALL_ROOT": str(root), "SQUALL_HOME": str(home), **ends.variables, **env},
    )


def _lanes(env: Mapping[str, str], file: SettingsFile) -> int:
    told = env.get("SQUALL_LANES")
    if told is None or told == "":
        return file.squall.lanes or os.cpu_count() or 1
    if not (told.isascii() and told.isdigit() and 1 <= int(told[:9]) <= MAX_LANES):
        raise SetupError(
            f"SQUALL_LANES is {told!r}", remedy=f"set it to a number from 1 to {MAX_LANES}, or leave it out"
        )
    return int(told)


def _parse(path: Path) -> SettingsFile:
    text = _read(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise InvalidFile(path, (Problem(line, "", f"TOML syntax: {error}", "mend that line"),)) from None
    except RecursionError:
        cause = "the values are nested too deeply"
        raise InvalidFile(path, (Problem(1, "", cause, "write them out"),)) from None
    except ValueError as error:  # a number of thousands of digits, a day that no calendar has
        raise InvalidFile(path, (Problem(1, "", f"a value cannot be read: {error}", "mend or quote it"),)) from None
    try:
        return SettingsFile.model_validate(content)
    except ValidationError as error:
        document = Document(path, content, _lines(text))
        raise InvalidFile(path, tuple(problems_of(error, document, SettingsFile))) from None


def _read(path: Path) -> str:
    try:
        return reading.text(path)
    except FileNotFoundError:
        raise SetupError(f"no such file: {path}", remedy="mend SQUALL_CONFIG, or leave it out") from None
    except UnicodeDecodeError:
        raise InvalidFile(path, (Problem(1, "", "the file is no UTF-8 text", "save it as UTF-8"),)) from None
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}", remedy="mend SQUALL_CONFIG, or its rights"
        ) from None


def _lines(text: str) -> dict[Location, int]:
    """Where tables and their keys stand, as far as plain lines tell; else a field gets its table's line."""
    found: dict[Location, int] = {}
    table: Location = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = re.match(r"\s*\[([^\[\]]+)\]", line), re.match(r"\s*([\w\"'.-]+)\s*=", line)
        if header:
            table = _names(header[1])
            found.setdefault(table, number)
        elif key:
            found.setdefault((*table, *_names(key[1])), number)
    return found


def _names(dotted: str) -> Location:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _absolute(root: Path, path: str) -> Path:
    chosen = Path(path).expanduser()
    return chosen if chosen.is_absolute() else root / chosen


def _endpoints(home: Path) -> Endpoints:
    path = home / ENDPOINTS_FILE
    existing = next((one for one in (home, *home.parents) if one.exists()), home)
    if not existing.is_dir():
        raise SetupError(
            f"the home {home} cannot be made: {existing} is a file", remedy="mend `home` in squall.toml, or SQUALL_HOME"
        )
    try:
        return Endpoints.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Endpoints()
    except (ValidationError, OSError) as error:
        raise SetupError(f"{path} cannot be read: {error}", remedy="run `squall down`, then `squall up`") from None
