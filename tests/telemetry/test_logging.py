"""Diagnostics never hold a message's text or a token."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from goldenpath.errors import StoreUnavailableError
from goldenpath.telemetry.logging import configure

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    logging.getLogger("goldenpath.x").info("began on %s", 8700, extra={"host": "here", "n": 3})
    (line,) = lines(stream)
    assert line["message"] == "began on 8700"
    assert line["level"] == "info"
    assert line["logger"] == "goldenpath.x"
    assert (line["host"], line["n"]) == ("here", 3)
    assert str(line["time"]).endswith("Z")


@pytest.mark.parametrize(
    "text",
    [f"Bearer {JWT}", f"authorization: bearer {JWT}", f"goldenpath.v1, goldenpath.token.{JWT}", JWT,
     "Bearer opaque-0123", "goldenpath.token.opaque-0123"],
)  # fmt: skip
def test_tokens_are_blanked_in_texts_and_fields(text: str) -> None:
    stream = io.StringIO()
    configure("json", "debug", stream)
    logging.getLogger("any").warning("got %s", text, extra={"header": text, "thing": [text]})
    assert "opaque" not in stream.getvalue()
    assert "c2lnbmF0dXJl" not in stream.getvalue()
    assert "(redacted)" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_fields_that_may_hold_a_users_words_are_blanked(form: str) -> None:
    stream = io.StringIO()
    configure(form, "info", stream)
    logging.getLogger("any").info("x", extra={"text": "my secret plan", "arguments": {"q": "plan"}})
    assert "plan" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exceptions_text_is_left_out_and_its_frames_are_kept(form: str) -> None:
    stream = io.StringIO()
    configure(form, "info", stream)
    try:
        raise ValueError("cannot answer: my secret plan")
    except ValueError:
        logging.getLogger("any").exception("failed")
    assert "plan" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert "test_an_exceptions_text_is_left_out" in stream.getvalue()


def test_causes_and_groups_are_named_without_their_texts() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    try:
        try:
            raise KeyError("my secret plan")
        except KeyError as error:
            raise ExceptionGroup("plan", [RuntimeError("plan")]) from error
    except ExceptionGroup:
        logging.getLogger("any").exception("failed")
    assert "plan" not in stream.getvalue().replace("(plan", "")
    (line,) = lines(stream)
    assert line["errors"][0]["error"] == "RuntimeError"  # type: ignore[index]


def test_the_stores_errors_speak_to_the_operator() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    logging.getLogger("any").error("x", exc_info=StoreUnavailableError("disk full"))
    assert lines(stream)[0]["reason"] == "disk full"


def test_queries_and_frames_are_not_logged() -> None:
    stream = io.StringIO()
    configure("json", "debug", stream)
    web = logging.getLogger("uvicorn.error")
    web.info('%s - "WebSocket %s" [accepted]', "1.2.3.4:5", "/v1/socket?token=hush")
    web.warning("refused %s", "/v1/socket?token=hush")
    web.debug("< TEXT 'hush'")
    logging.getLogger("uvicorn.access").info('%s - "%s"', "1.2.3.4:5", "GET /v1/search?q=hush")
    logging.getLogger("websockets.server").debug("< TEXT 'hush'")
    assert [line["message"] for line in lines(stream)] == ["refused /v1/socket"]


def test_what_an_unheard_task_raised_is_not_shown() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    error = ValueError("my secret plan")
    logging.getLogger("asyncio").error(
        "Task exception was never retrieved\nfuture: <Task exception=%r>", error, exc_info=error
    )
    assert lines(stream)[0]["message"] == "Task exception was never retrieved"
    assert "plan" not in stream.getvalue()


def test_on_a_terminal_a_line_is_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure("auto", "info", stream)
    logging.getLogger("any").warning("low on disk", extra={"left": 3})
    assert stream.getvalue().rstrip().endswith("warning low on disk left=3")
