"""`check`, `backup`, `restore` and `forget` on a store, stopped or running."""

import json
from pathlib import Path

import anyio

from tests.cli.conftest import Invoke, ended, running


def test_a_sound_store_has_no_breach(url: str, goldenpath: Invoke) -> None:
    code, out, err = goldenpath("check", "--store", url)
    assert (code, err) == (0, "")
    assert "2 users checked, 0 breaches" in out


def test_check_for_programs(url: str, goldenpath: Invoke) -> None:
    _, out, _ = goldenpath("check", "--store", url, "--json")
    assert json.loads(out.splitlines()[-1]) == {"users": 2, "breaches": 0}


def test_every_breach_is_named_and_the_exit_is_1(
    url: str, goldenpath: Invoke, tmp_path: Path
) -> None:
    """What is in the file is exchanged behind the store's back: an answer, for one as long."""
    file = tmp_path / "users.db"
    whole = file.read_bytes()
    assert whole.count(b'"output":"Found FIRST TEA"') >= 1
    file.write_bytes(whole.replace(b'"output":"Found FIRST TEA"', b'"output":"Found OTHER TEA"', 1))
    code, out, _ = goldenpath("check", "--store", url)
    assert code == 1
    assert "ada: " in out
    code, out, _ = goldenpath("check", "--store", url, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert rows[0]["breach"]["user"] == "ada"
    assert rows[-1]["breaches"] == len(rows) - 1 > 0


def test_a_backup_of_a_running_store_can_be_restored(
    url: str, goldenpath: Invoke, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"

    async def back_up() -> None:
        async with running(url):
            code, out, err = await anyio.to_thread.run_sync(
                lambda: goldenpath("backup", str(copy), "--store", url)
            )
            assert (code, err) == (0, "")
            assert "copied" in out

    anyio.run(back_up)
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    code, out, err = goldenpath("restore", str(copy), "--store", restored)
    assert (code, err) == (0, "")
    assert "restored" in out
    before = goldenpath("log", "ada", "--store", url, "--json")
    assert goldenpath("log", "ada", "--store", restored, "--json") == before
    assert goldenpath("check", "--store", restored)[0] == 0

    async def goes_on() -> None:
        async with running(restored) as (app, assembly):
            await ended(assembly, "ada", await app.send(user_id="ada", text="after"))

    anyio.run(goes_on)


def test_a_backup_overwrites_nothing(url: str, goldenpath: Invoke, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    code, _, err = goldenpath("backup", str(tmp_path / "copy.db"), "--store", url)
    assert (code, "exists" in err) == (2, True)
    code, _, err = goldenpath("backup", str(tmp_path / "no" / "copy.db"), "--store", url)
    assert (code, "does not exist" in err) == (2, True)


def test_a_restore_replaces_only_when_told_and_keeps_what_was_there(
    url: str, goldenpath: Invoke, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    goldenpath("backup", str(copy), "--store", url)
    code, _, err = goldenpath("restore", str(copy), "--store", url)
    assert (code, "--replace" in err) == (2, True)
    code, out, err = goldenpath("restore", str(copy), "--store", url, "--replace")
    assert (code, err) == (0, "")
    assert "is kept as" in out
    assert goldenpath("check", "--store", url)[0] == 0


def test_a_restore_beside_a_running_server_is_refused(
    url: str, goldenpath: Invoke, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    goldenpath("backup", str(copy), "--store", url)

    async def try_it() -> tuple[int, str, str]:
        async with running(url):
            return await anyio.to_thread.run_sync(
                lambda: goldenpath("restore", str(copy), "--store", url, "--replace")
            )

    code, _, err = anyio.run(try_it)
    assert (code, "in use" in err) == (2, True)


def test_what_is_no_backup_is_refused(url: str, goldenpath: Invoke, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Ada")
    target = f"sqlite:///{tmp_path / 'new.db'}"
    for name in ("letter", "missing"):
        code, _, err = goldenpath("restore", str(tmp_path / name), "--store", target)
        assert (code, len(err.splitlines())) == (2, 1)
    assert not (tmp_path / "new.db").exists()


def test_a_forgotten_user_leaves_no_text(url: str, goldenpath: Invoke, tmp_path: Path) -> None:
    code, out, err = goldenpath("forget", "ada", "--store", url)
    assert (code, err) == (0, "")
    assert "erased everything of ada" in out
    _, log, _ = goldenpath("log", "ada", "--store", url, "--internal", "--reveal")
    assert "tea" not in log.replace("TEA", "tea")
    for file in tmp_path.glob("users.db*"):
        assert b"first tea" not in file.read_bytes()
    assert goldenpath("check", "--store", url)[0] == 0
    assert "fail" in goldenpath("runs", "--store", url)[1]


def test_an_unknown_user_cannot_be_forgotten(url: str, goldenpath: Invoke) -> None:
    code, _, err = goldenpath("forget", "eve", "--store", url)
    assert (code, "'eve'" in err) == (2, True)


def test_forgetting_beside_a_running_server_says_how(url: str, goldenpath: Invoke) -> None:
    async def try_it() -> tuple[int, str, str]:
        async with running(url):
            return await anyio.to_thread.run_sync(
                lambda: goldenpath("forget", "ada", "--store", url)
            )

    code, _, err = anyio.run(try_it)
    assert code == 2
    assert "DELETE /v1/me" in err


def test_a_store_that_is_not_there_is_named(goldenpath: Invoke, tmp_path: Path) -> None:
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    for command in (
        ["log", "ada"],
        ["runs"],
        ["check"],
        ["backup", str(tmp_path / "x")],
        ["forget", "a"],
    ):
        code, _, err = goldenpath(*command, "--store", missing)
        assert (code, len(err.splitlines())) == (2, 1), command
        assert "missing.db" in err
    assert not (tmp_path / "missing.db").exists()
