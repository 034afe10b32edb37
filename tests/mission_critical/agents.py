"""The application under test. What an agent does is scripted by its name and by the message.

Every body notes that it was entered in a file, so that a test can count across deaths of the
process. `gate` holds a body until the test opens it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path

import httpx

from goldenpath import (
    App,
    ProviderUnavailable,
    RunContext,
    ToolContext,
    ToolFailed,
    agent,
    tool,
)

DIRECTORY = Path(os.environ.get("MISSION_DIRECTORY", "."))
_lock = threading.Lock()


def note(name: str, **fields: object) -> None:
    """Append to the file of effects; one write, so that a kill cannot cut it."""
    line = json.dumps({"name": name, "pid": os.getpid(), **fields}) + "\n"
    with _lock, (DIRECTORY / "effects").open("a") as file:
        file.write(line)


async def gate(name: str) -> None:
    """Wait until the test opens this gate."""
    while not (DIRECTORY / "gates" / name).exists():
        await asyncio.sleep(0.01)


def die() -> None:
    """The end of this process, as from the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


# -- tools -----------------------------------------------------------------------------------


@tool
async def lookup(query: str) -> dict[str, object]:
    """Find something."""
    note("lookup", query=query)
    return {"query": query, "rows": [1, 2, 3]}


@tool
async def delayed(label: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"value of {label}"


@tool
async def failing(password: str, nested: dict[str, dict[str, str]]) -> str:
    raise ValueError(f"it broke with {password} and {nested}")


@tool(timeout=0.2)
async def tardy(api_key: str) -> str:
    note("tardy")
    await asyncio.sleep(3600)
    return "too late"


@tool(approval=True, secret={"pin"})
async def transfer(amount: int, pin: str) -> str:
    note("transfer", amount=amount)
    return f"moved {amount}"


@tool
async def login(user: str, password: str) -> dict[str, str]:
    return {"user": user, "token": "TOKEN-OF-RESULT"}


@tool
async def careful(label: str, context: ToolContext) -> str:
    """Not idempotent: must never be entered twice for one call."""
    note("careful", label=label, call_id=context.call_id)
    if label.startswith("hold"):
        await gate(label)
    if label.startswith("die"):
        die()
    return f"careful {label}"


@tool(idempotent=True)
async def repeatable(label: str, context: ToolContext) -> str:
    """Idempotent: entered again with the same call id."""
    before = label in {e.get("label") for e in _noted("repeatable")}
    note("repeatable", label=label, call_id=context.call_id)
    if label.startswith("hold") and not before:
        await gate(label)
    if label.startswith("die") and not before:
        die()
    return f"repeatable {label}"


def _noted(name: str) -> list[dict[str, object]]:
    path = DIRECTORY / "effects"
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [r for r in rows if r["name"] == name]


@tool(idempotent=True, retries=2)
async def flaky(label: str) -> str:
    note("flaky", label=label)
    if len([e for e in _noted("flaky") if e["label"] == label]) < 3:
        raise ConnectionError("not yet")
    return "at last"


@tool
async def advancing(context: ToolContext) -> str:
    context.progress("begun", 0.1)
    await asyncio.sleep(0)
    context.progress("nearly", 0.9)
    await asyncio.sleep(0.1)
    return "done"


@tool
async def endless(label: str) -> str:
    """Hangs until cancelled, and says so."""
    note("endless_began", label=label)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        note("endless_cancelled", label=label)
        raise
    return ""


@tool
def blocking(label: str, context: ToolContext) -> str:
    """Blocks its thread until the gate opens; then its late result must be dropped."""
    note("blocking_began", label=label)
    while not (DIRECTORY / "gates" / label).exists():
        time.sleep(0.01)
    try:
        context.progress("late")
    except Exception as error:
        note("blocking_refused", label=label, error=type(error).__name__)
    note("blocking_ended", label=label)
    return "LATE RESULT"


@tool
async def fetch(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=1.0) as web:
        answer = await web.get(url)
        answer.raise_for_status()
        return answer.text


@tool(idempotent=True, retries=2, timeout=1)
async def fetch_again(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=0.5) as web:
        answer = await web.get(url)
        answer.raise_for_status()
        return answer.text


# -- agents ----------------------------------------------------------------------------------


@agent("weather", description="One tool, a few pieces.", tools=[lookup])
async def weather(run: RunContext, message: str) -> str | None:
    await run.think("Looking for the table")
    found = await run.call(lookup, query=message)
    for piece in ("It is ", "sunny, ", f"says {found['query']}. ", "☀️ 🌍 ", "End."):
        await run.write(piece)
        await asyncio.sleep(0)
    return None


@agent("plain", description="No tools.")
async def plain(run: RunContext, message: str) -> str | None:
    await run.think("Thinking of an answer")
    return f"You said: {message}"


@agent("many", tools=[delayed, lookup, login])
async def many(run: RunContext, message: str) -> str | None:
    results = await asyncio.gather(
        run.call(delayed, label="slow", seconds=0.3),
        run.call(delayed, label="middle", seconds=0.15),
        run.call(delayed, label="quick", seconds=0.01),
        run.call(lookup, query="q"),
        run.call(login, user="ada", password="PASSWORD-OF-CALL"),
    )
    return json.dumps(results)


@agent("trouble", tools=[failing, tardy, transfer, login])
async def trouble(run: RunContext, message: str) -> str | None:
    outcomes: list[str] = []
    for call in (
        lambda: run.call(
            failing, password="SECRET-ONE", nested={"deep": {"Authorization": "SECRET-TWO"}}
        ),
        lambda: run.call(tardy, api_key="SECRET-THREE"),
        lambda: run.call(transfer, amount=7, pin="SECRET-FOUR"),
        lambda: run.call(login, user="ada", password="SECRET-FIVE"),
    ):
        try:
            await call()
            outcomes.append("ok")
        except ToolFailed as failure:
            outcomes.append(failure.status)
    return " ".join(outcomes)


@agent("raises", tools=[failing, lookup])
async def raises(run: RunContext, message: str) -> str | None:
    if message == "first":
        raise RuntimeError("INTERNAL before the first event")
    await run.think("so far so good")
    if message == "thinking":
        raise RuntimeError("INTERNAL in thinking")
    if message == "tool":
        await run.call(failing, password="x", nested={})
    await run.call(lookup, query="q")
    if message == "after":
        raise RuntimeError("INTERNAL after a tool")
    await run.write("The answer is beg")
    if message == "group":
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise())
            tasks.create_task(run.call(delayed, label="x", seconds=30))
    raise RuntimeError("INTERNAL while writing")


async def _raise() -> None:
    await asyncio.sleep(0.05)
    raise KeyError("INTERNAL in a task")


@agent("hangs", tools=[endless, blocking, lookup], deadline=0.6)
async def hangs(run: RunContext, message: str) -> str | None:
    await run.write("Half an ans")
    kind, _, label = message.partition(" ")
    match kind:
        case "await":
            await asyncio.Event().wait()
        case "tool":
            await run.call(endless, label=label)
        case "thread":
            await run.call(blocking, label=label)
        case "swallow":
            while not (DIRECTORY / "gates" / label).exists():
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    note("swallowed", label=label)
            try:
                await run.write("LATE TEXT")
            except BaseException as error:
                note("late_refused", label=label, error=type(error).__name__)
            try:
                await run.call(lookup, query="LATE CALL")
            except BaseException as error:
                note("late_refused", label=label, error=type(error).__name__)
    return "never"


@agent("blocks_loop")
async def blocks_loop(run: RunContext, message: str) -> str | None:
    hold_the_loop_for_a_while(float(message))
    return "done"


def hold_the_loop_for_a_while(seconds: float) -> None:
    """Named so that the watchdog's report can be recognised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@agent("nothing")
async def nothing(run: RunContext, message: str) -> str | None:
    await run.think("Hm.")
    return {"none": None, "empty": "", "blank": " \n\t "}.get(message)


@agent("number")
async def number(run: RunContext, message: str) -> str | None:
    return 42  # type: ignore[return-value]


@agent("story", tools=[lookup])
async def story(run: RunContext, message: str) -> str | None:
    """`COUNT PAUSE`: that many pieces, that far apart in seconds."""
    count, _, pause = message.partition(" ")
    await run.think("Once upon a time")
    await run.call(lookup, query="tale")
    for index in range(int(count)):
        await run.write(f"piece {index:04}. ")
        await asyncio.sleep(float(pause or 0))
    return None


@agent("gated", tools=[lookup])
async def gated(run: RunContext, message: str) -> str | None:
    """Writes, waits for the gate named by the message, writes."""
    await run.write("before ")
    await gate(message)
    await run.write("after")
    return None


@agent("confidential", tools=[lookup])
async def confidential(run: RunContext, message: str) -> str | None:
    """Everything that a user said goes through every kind of event."""
    await run.think(f"thinking of {message}")
    found = await run.call(lookup, query=message)
    await run.write(f"heard {message}; ")
    await run.write(f"found {found['query']}; ")
    await run.write("before: " + " | ".join(m.text for m in run.history))
    if "FAIL" in message:
        raise RuntimeError(f"boom {message}")
    return None


@agent("asks", tools=[transfer])
async def asks(run: RunContext, message: str) -> str | None:
    """A tool that waits for the user."""
    await run.think("asking")
    try:
        return await run.call(transfer, amount=int(message or 1), pin="0000")
    except ToolFailed as failure:
        return f"{failure.status}"


@agent("confides")
async def confides(run: RunContext, message: str) -> str | None:
    answer = await run.approve(f"May I tell {message}?", arguments={"what": message})
    return f"{answer.decision}: {answer.reason}"


@agent("permits")
async def permits(run: RunContext, message: str) -> str | None:
    """Asks by itself, with an expiry in seconds."""
    answer = await run.approve("May I?", expires=float(message))
    return answer.decision


@agent("sleeper", tools=[careful])
async def sleeper(run: RunContext, message: str) -> str | None:
    """Sleeps durably between two calls."""
    first = await run.call(careful, label="before sleep")
    await run.sleep(float(message))
    second = await run.call(careful, label="after sleep")
    return f"{first}, {second}"


@agent("worker", tools=[endless, lookup])
async def worker(run: RunContext, message: str) -> str | None:
    await run.write("child at work. ")
    if message.startswith("endless"):
        await run.call(endless, label=message)
    return None


@agent("parent")
async def parent(run: RunContext, message: str) -> str | None:
    await run.think("asking a colleague")
    return "parent got: " + await run.agent("worker", message)


@agent("ward", tools=[repeatable])
async def ward(run: RunContext, message: str) -> str | None:
    return "child has " + await run.call(repeatable, label="hold-child")


@agent("guardian")
async def guardian(run: RunContext, message: str) -> str | None:
    return "guarded: " + await run.agent("ward", message)


@agent("endless_tool", tools=[endless])
async def endless_tool(run: RunContext, message: str) -> str | None:
    await run.write("partial ")
    return await run.call(endless, label=message)


@agent("staged", tools=[careful, repeatable])
async def staged(run: RunContext, message: str) -> str | None:
    """Goes through every kind of entry. `hold STAGE` or `die STAGE`: there, in the first attempt.

    The label of the tool's call is unique to the run by its thread, so that effects can be told.
    """
    how, _, stage = message.partition(" ")

    async def reach(here: str) -> None:
        if stage == here and run.attempt == 1:
            note("reached", stage=here, run_id=run.run_id)
            if how == "die":
                die()
            await asyncio.Event().wait()

    await reach("started")
    await run.think("first thought")
    await reach("thinking")
    try:
        if stage == "in_tool":
            value = await run.call(careful, label=f"{how}-careful")
        elif stage == "in_repeatable":
            value = await run.call(repeatable, label=f"{how}-repeatable")
        else:
            value = await run.call(careful, label="quick")
    except ToolFailed as failure:
        value = f"[{failure.status}]"
    await reach("tool_end")
    await run.write(f"I have {value}; ")
    await run.write("and ")
    await reach("mid_output")
    other = await run.call(repeatable, label="second")
    await run.write(f"then {other}.")
    await reach("before_end")
    return None


@agent("between_tools", tools=[careful])
async def between_tools(run: RunContext, message: str) -> str | None:
    """Waits for the gate named by the message between two calls."""
    first = await run.call(careful, label=f"{message} one")
    await gate(message)
    return f"{first}, {await run.call(careful, label=f'{message} two')}"


@agent("wanderer", tools=[careful, repeatable])
async def wanderer(run: RunContext, message: str) -> str | None:
    """A second of everything, made to be interrupted anywhere."""
    await run.think("on the way")
    found = await run.call(repeatable, label=f"wanderer {message}")
    for index in range(10):
        await run.write(f"{message}.{index} ")
        await asyncio.sleep(0.03)
    try:
        done = await run.call(careful, label=message)
    except ToolFailed as failure:
        done = f"[{failure.status}]"
    await run.sleep(0.3)
    await run.write(f"{found}; {done}.")
    return None


@agent("flaky_caller", tools=[flaky])
async def flaky_caller(run: RunContext, message: str) -> str | None:
    return await run.call(flaky, label=message)


@agent("poison")
async def poison(run: RunContext, message: str) -> str | None:
    """Kills its process each time."""
    note("poison", run_id=run.run_id, attempt=run.attempt)
    die()
    return None


@agent("fragile", recover="fail")
async def fragile(run: RunContext, message: str) -> str | None:
    await run.write("fragile ")
    await gate(message)
    return None


@agent("fragile_tool", tools=[careful], recover="fail")
async def fragile_tool(run: RunContext, message: str) -> str | None:
    return await run.call(careful, label=message)


@agent("progressive", tools=[advancing])
async def progressive(run: RunContext, message: str) -> str | None:
    return await run.call(advancing)


@agent("reader", tools=[fetch])
async def reader(run: RunContext, message: str) -> str | None:
    """Calls a provider by a tool, as a plain call: no failure is hidden."""
    return await run.call(fetch, url=message)


@agent("patient", tools=[fetch_again])
async def patient(run: RunContext, message: str) -> str | None:
    return await run.call(fetch_again, url=message)


@agent("model", deadline=5)
async def model(run: RunContext, message: str) -> str | None:
    """Streams from a model's HTTP API; one that breaks off is asked again from the start."""
    for _ in range(3):
        try:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=1.0) as web,
                web.stream("GET", message) as answer,
            ):
                answer.raise_for_status()
                async for text in answer.aiter_text():
                    await run.write(text)
            return None
        except httpx.TransportError:
            await run.restart()
    raise ConnectionError("INTERNAL the model broke off three times")


@agent("no_provider")
async def no_provider(run: RunContext, message: str) -> str | None:
    raise ProviderUnavailable("INTERNAL the model's service answers 503")


app = App(
    agents=[
        *(weather, plain, many, trouble, raises, hangs, blocks_loop, nothing, number, story),
        *(
            gated,
            confidential,
            confides,
            asks,
            permits,
            sleeper,
            worker,
            parent,
            ward,
            guardian,
            endless_tool,
            staged,
        ),
        *(
            between_tools,
            wanderer,
            flaky_caller,
            progressive,
            poison,
            fragile,
            fragile_tool,
            reader,
            patient,
            model,
            no_provider,
        ),
    ]
)
