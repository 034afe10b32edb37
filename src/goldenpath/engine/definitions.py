"""What users define: tools and agents. Mistakes are found here, when the program starts."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

import msgspec

from goldenpath.errors import ConfigError
from goldenpath.model.ids import CallId, UserId

if TYPE_CHECKING:
    from goldenpath.engine.context import RunContext

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_SECRETS = frozenset({"password", "secret", "token", "api_key", "authorization", "cookie"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class ToolContext:
    """Given to a tool that asks for it by a parameter of this type; usable from any thread.

    `call_id` is the idempotency key of the call, the same in every attempt. `deadline` is the
    seconds that the body had when it was called.
    """

    __slots__ = ("_progress", "call_id", "deadline", "user_id")

    def __init__(
        self,
        call_id: CallId,
        user_id: UserId,
        deadline: float,
        progress: Callable[[str, float | None], None],
    ) -> None:
        self.call_id = call_id
        self.user_id = user_id
        self.deadline = deadline
        self._progress = progress

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Tell the user how far it is (`fraction` 0 to 1). Raises `RunEnded` after the end."""
        self._progress(text, fraction)


class Tool(Generic[P, R]):
    """A function that agents may call through `RunContext.call`; made by `@tool`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        description: str | None,
        idempotent: bool,
        timeout: float | None,
        retries: int,
        approval: bool,
        secret: Iterable[str],
        on_ambiguous: Literal["agent", "user"],
    ) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "")
        where = f"tool {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{where}: a name is letters, digits, '_', '.', '-', at most 64")
        if retries < 0 or (retries and not idempotent):
            raise ConfigError(f"{where}: retries={retries} needs idempotent=True (and is >= 0)")
        if timeout is not None and timeout <= 0:
            raise ConfigError(f"{where}: timeout={timeout} must be more than 0 seconds")
        if on_ambiguous not in ("agent", "user"):
            raise ConfigError(f"{where}: on_ambiguous={on_ambiguous!r} is not 'agent' or 'user'")
        self.description = description or inspect.getdoc(function) or ""
        self.idempotent = idempotent
        self.timeout = timeout
        self.retries = retries
        self.approval = approval
        self.secret = frozenset(s.lower() for s in secret) | DEFAULT_SECRETS
        self.on_ambiguous = on_ambiguous
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = inspect.signature(function)
        """Of the function, with what the engine gives it."""
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception as error:
            raise ConfigError(f"{where}: its type hints cannot be read: {error}") from error
        self.result_type: Any = hints.get("return", Any)
        self.context_parameter: str | None = None
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(
                    f"{where}: *args and **kwargs have no schema; name each parameter"
                )
            if parameter.name not in hints:
                raise ConfigError(
                    f"{where}: parameter {parameter.name!r} has no type; annotate it, e.g. "
                    f"{parameter.name}: str"
                )
            hint = hints[parameter.name]
            if hint is ToolContext:
                self.context_parameter = parameter.name
            elif parameter.default is parameter.empty:
                fields.append((parameter.name, hint))
            else:
                fields.append((parameter.name, hint, parameter.default))
        required = [f for f in fields if len(f) == 2]
        optional = [f for f in fields if len(f) == 3]
        try:
            self.parameters: type[msgspec.Struct] = msgspec.defstruct(
                "Parameters", [*required, *optional], kw_only=True, forbid_unknown_fields=True
            )
            self.schema: dict[str, Any] = msgspec.json.schema(self.parameters)
        except TypeError as error:
            raise ConfigError(f"{where}: its parameters have no JSON schema: {error}") from error
        self._asked = self.signature.replace(
            parameters=[
                p for p in self.signature.parameters.values() if p.name != self.context_parameter
            ]
        )
        """What agents call it with."""
        functools.update_wrapper(self, function)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Name and check a call's arguments; values of the parameters' types. Raises TypeError."""
        bound = self._asked.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function, outside of any run (in a unit test, say)."""
        return cast("R", self.function(*args, **kwargs))


@overload
def tool(function: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    idempotent: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    approval: bool = False,
    secret: Iterable[str] = (),
    on_ambiguous: Literal["agent", "user"] = "agent",
) -> _ToolDecorator: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a typed function (async, or sync: then it runs in a thread).

    `idempotent` tools may be called again with the same `call_id` after a crash, and take
    `retries`; `timeout` is seconds for each call of the body; `approval` asks the user first;
    `secret` names keys, at any depth, that events never show; `on_ambiguous` says who decides when
    a crash left unknown whether it ran. Raises `ConfigError` for what cannot work.
    """
    decorate = _ToolDecorator(options)
    made: Any = decorate if function is None else decorate(function)
    return made


class _ToolDecorator:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options: dict[str, Any] = {
            "name": None,
            "description": None,
            "idempotent": False,
            "timeout": None,
            "retries": 0,
            "approval": False,
            "secret": (),
            "on_ambiguous": "agent",
            **options,
        }

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        made: Tool[..., Any] = Tool(function, **self._options)
        return made


AgentFunction = Callable[["RunContext", str], Awaitable[str | None]]


class Agent:
    """An agent that runs can be of; made by `@agent`."""

    def __init__(
        self,
        name: str,
        function: AgentFunction,
        *,
        description: str = "",
        tools: Sequence[Tool[..., Any]] = (),
        version: str = "1",
        recover: Literal["replay", "fail"] = "replay",
        deadline: float | None = None,
    ) -> None:
        where = f"agent {name!r}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: a name is letters, digits, '_', '.', '-', at most 64")
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(f"{where}: must be an 'async def' function of (run, message)")
        try:
            inspect.signature(function).bind(None, "")
        except TypeError as error:
            raise ConfigError(f"{where}: must take (run, message): {error}") from None
        if deadline is not None and deadline <= 0:
            raise ConfigError(f"{where}: deadline={deadline} must be more than 0 seconds")
        if recover not in ("replay", "fail"):
            raise ConfigError(f"{where}: recover={recover!r} is not 'replay' or 'fail'")
        seen: set[str] = set()
        for one in tools:
            if not isinstance(one, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"{where}: {one!r} is not a tool; decorate it with @tool")
            if one.name in seen:
                raise ConfigError(f"{where}: two tools are named {one.name!r}; rename one")
            seen.add(one.name)
        self.name = name
        self.function = function
        self.description = description
        self.tools = tuple(tools)
        self.version = version
        self.recover = recover
        self.deadline = deadline


def agent(
    name: str,
    *,
    description: str = "",
    tools: Sequence[Tool[..., Any]] = (),
    version: str = "1",
    recover: Literal["replay", "fail"] = "replay",
    deadline: float | None = None,
) -> Callable[[AgentFunction], Agent]:
    """Make an agent of `async def f(run, message) -> str | None`.

    `version` says which code wrote a journal: change it when the steps change. `recover="fail"`
    ends a run whose process died instead of replaying it. `deadline` is seconds of active time.
    """

    def decorate(function: AgentFunction) -> Agent:
        return Agent(
            name,
            function,
            description=description,
            tools=tools,
            version=version,
            recover=recover,
            deadline=deadline,
        )

    return decorate


class AgentRegistry:
    """The agents of an application, by name; the first is the default."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        if not agents:
            raise ConfigError("agents: the list is empty; give App at least one @agent")
        self._agents: dict[str, Agent] = {}
        for one in agents:
            if not isinstance(one, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"agents: {one!r} is not an agent; decorate it with @agent(...)")
            if one.name in self._agents:
                raise ConfigError(f"agents: two are named {one.name!r}; rename one")
            self._agents[one.name] = one
        self.default = agents[0]

    def get(self, name: str) -> Agent | None:
        """The agent of that name."""
        return self._agents.get(name)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())
