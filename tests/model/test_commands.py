"""Commands: one body, one canonical form, one hash."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.model.commands import (
    AnyCommand,
    Receipt,
    Send,
    body_hash,
    decode_command,
    encode_command,
    receipt_of,
)
from goldenpath.model.journal import CommandSettled
from tests.model.shapes import examples, of

KINDS = get_args(AnyCommand)
COMMANDS: st.SearchStrategy[Any] = st.one_of(*(of(kind) for kind in KINDS))


@examples(150)
@given(COMMANDS)
def test_a_command_survives(command: Any) -> None:
    """Decoding what was encoded gives an equal command."""
    assert decode_command(encode_command(command)) == command


@examples(150)
@given(COMMANDS, st.randoms(use_true_random=False))
def test_equal_commands_have_equal_bytes(command: Any, random: Any) -> None:
    """However a client ordered and spaced its JSON: the same command is the same body."""
    items = list(json.loads(encode_command(command)).items())
    random.shuffle(items)
    written = json.dumps(dict(items), indent=random.choice([None, 2])).encode()
    body = encode_command(decode_command(written))
    assert body == encode_command(command)
    assert body_hash(body) == body_hash(encode_command(command))


@examples(150)
@given(COMMANDS, COMMANDS)
def test_different_commands_have_different_hashes(one: Any, other: Any) -> None:
    """So that the same id with another body is found out."""
    same = body_hash(encode_command(one)) == body_hash(encode_command(other))
    assert same == (one == other)


def test_what_is_left_out_is_its_default() -> None:
    """A field that is not given, and one given as its default, are the same command."""
    short = decode_command(b'{"kind":"send","text":"hi"}')
    full = decode_command(
        b'{"attachments":[],"when_busy":"queue","agent":null,"text":"hi","thread_id":null,'
        b'"kind":"send"}'
    )
    assert encode_command(short) == encode_command(full)


def test_the_canonical_form_stays() -> None:
    """Hashes of stored receipts depend on these bytes: they change in no release."""
    body = encode_command(Send(text="Grüße"))
    assert body == (
        '{"kind":"send","thread_id":null,"text":"Grüße","agent":null,"when_busy":"queue",'
        '"attachments":[]}'.encode()
    )
    assert body_hash(body) == ("f0858936eed95b1d1083a039bad1e02a5d43780e1903c55fcf6a7e51fe494b23")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"kind":"sing","text":"la"}',
        b'{"kind":"send"}',
        b'{"kind":"send","text":1}',
        b'{"kind":"send","text":"hi","mood":"good"}',
        b'{"kind":"decide","approval_id":"a","decision":"maybe"}',
    ],
)
def test_what_is_no_command_is_refused(body: bytes) -> None:
    """Unknown kinds, missing, wrong and extra fields."""
    with pytest.raises(msgspec.ValidationError):
        decode_command(body)


@examples(60)
@given(of(CommandSettled))
def test_a_receipt_says_what_was_settled(settled: CommandSettled) -> None:
    """Every field of a receipt is the entry's of the same name."""
    receipt = receipt_of(settled)
    for name in Receipt.__struct_fields__:
        assert getattr(receipt, name) == getattr(settled, name)
