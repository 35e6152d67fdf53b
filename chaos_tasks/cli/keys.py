"""Commands about keys: make, show, rotate."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import SetupError
from chaos_tasks.sealing.keyring import Keyring, rotation
from chaos_tasks.settings import find_settings
from chaos_tasks.signing.keys import SigningKey, load_signing_key, public_path, save_signing_key


@click.group("keys")
def keys_command() -> None:
    """Make, show and rotate the keys that sign the log's heads, reports and packs."""


@keys_command.command("new")
@click.argument("role")
@click.option("--name", help="Name in signatures; by default the log's origin, and for others origin/ROLE.")
def new_command(role: str, name: str | None) -> int:
    """Make the key of ROLE (log, report or a person of [keys]) where squall.toml says; never over another."""
    settings = find_settings()
    ring = Keyring(settings.keys, settings.root)
    origin = ring.origin or f"{socket.gethostname()}/squall"
    key = SigningKey.generate(name or (origin if role == "log" else f"{origin}/{role}"))
    if role == "log" and settings.keys.origin and key.name != settings.keys.origin:
        raise SetupError(
            f"the log key must be named as the log is, {settings.keys.origin!r}", remedy="leave --name out"
        )
    public = save_signing_key(key, ring.path(role))
    click.echo(
        f"{key.verify_key.vkey}\n\nPrivate  {ring.path(role)}  (mode 0600: keep a copy offline)\nPublic   {public}"
    )
    return ExitCode.HELD


@keys_command.command("show")
def show_command() -> int:
    """Print every public key that is known here: give these lines to auditors, by a way of their own."""
    settings = find_settings()
    for key in Keyring(settings.keys, settings.root).known():
        click.echo(key.vkey)
    return ExitCode.HELD


@keys_command.command("rotate")
@click.argument("role")
def rotate_command(role: str) -> int:
    """Replace the key of ROLE, on record and signed by the old key and the new one; the old vkey stays known."""
    from chaos_tasks.composition import build
    from chaos_tasks.model.record import Note, Record, RecordKind

    with build() as squall:
        path = squall.sealer.keys.path(role)
        old = load_signing_key(path)
        new = SigningKey.generate(old.name)
        waiting = path.with_name(f"{path.name}.next")
        waiting.unlink(missing_ok=True)  # of a rotation that was cut off before anything said so
        save_signing_key(new, waiting)
        facts = {"role": role, "old": old.verify_key.vkey, "new": new.verify_key.vkey}
        squall.ledger.append(
            Record(
                kind=RecordKind.KEY_ROTATED,
                idem_key=f"key/{new.verify_key.hint}",
                occurred_at=squall.clock.now(),
                run_id="keys",
                recorder=squall.sealer.recorder,
                payload=Note(
                    text=f"the key of {role} was replaced", facts={**facts, "note": str(rotation(role, old, new))}
                ),
            )
        )
    _retire(path, waiting, old)
    click.echo(
        f"{new.verify_key.vkey}\n\nThe old key is {path}.retired-{old.verify_key.id.hex()}; its vkey stays known."
    )
    return ExitCode.HELD


def _retire(path: Path, waiting: Path, old: SigningKey) -> None:
    retired = path.with_name(f"{path.name}.retired-{old.verify_key.id.hex()}")
    path.replace(retired)
    waiting.replace(path)
    lines = public_path(path).read_text(encoding="utf-8") if public_path(path).is_file() else ""
    fresh = public_path(waiting).read_text(encoding="utf-8")
    kept = lines if old.verify_key.vkey in lines else f"{old.verify_key.vkey}\n{lines}"
    public_path(waiting).write_text(fresh + kept, encoding="utf-8")
    public_path(waiting).replace(public_path(path))
