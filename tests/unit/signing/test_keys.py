"""Private keys are files of their owner's, and their bytes come out nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError, SignatureInvalid
from chaos_tasks.signing.keys import SigningKey, load_signing_key, load_verify_keys, public_path, save_signing_key


def test_a_key_is_kept_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    key = SigningKey.generate("a.example/log")
    public = save_signing_key(key, tmp_path / "keys" / "log.key")
    assert (tmp_path / "keys" / "log.key").stat().st_mode & 0o777 == 0o600
    assert load_signing_key(tmp_path / "keys" / "log.key").verify_key == key.verify_key
    assert load_verify_keys(public) == (key.verify_key,)
    assert public == public_path(tmp_path / "keys" / "log.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_key_that_others_could_touch_is_refused(tmp_path: Path, mode: int) -> None:
    save_signing_key(SigningKey.generate("a.example/log"), tmp_path / "log.key")
    (tmp_path / "log.key").chmod(mode)
    with pytest.raises(SetupError, match="open to others"):
        load_signing_key(tmp_path / "log.key")


def test_a_key_behind_a_link_is_refused(tmp_path: Path) -> None:
    save_signing_key(SigningKey.generate("a.example/log"), tmp_path / "log.key")
    (tmp_path / "link").symlink_to(tmp_path / "log.key")
    with pytest.raises(SetupError, match="cannot be read"):
        load_signing_key(tmp_path / "link")


def test_a_key_never_replaces_another(tmp_path: Path) -> None:
    save_signing_key(SigningKey.generate("a.example/log"), tmp_path / "log.key")
    before = (tmp_path / "log.key").read_bytes()
    with pytest.raises(SetupError, match="already"):
        save_signing_key(SigningKey.generate("a.example/log"), tmp_path / "log.key")
    assert (tmp_path / "log.key").read_bytes() == before


def test_no_text_of_a_key_or_of_an_error_has_its_bytes(tmp_path: Path) -> None:
    key = SigningKey.generate("a.example/log")
    secret = key.private_line().rpartition("+")[2]
    assert secret not in repr(key)
    (tmp_path / "log.key").write_text(key.private_line()[:-4] + "AAAA")
    os.chmod(tmp_path / "log.key", 0o600)
    with pytest.raises(SignatureInvalid) as caught:
        load_signing_key(tmp_path / "log.key")
    assert secret[:16] not in str(caught.value)


def test_a_name_that_a_note_cannot_carry_is_refused() -> None:
    for name in ("", "a b", "a+b", "a\nb", "a\u00a0b"):
        with pytest.raises(SignatureInvalid):
            SigningKey.generate(name)
