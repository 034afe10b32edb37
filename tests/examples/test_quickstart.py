"""The first example answers as it says."""

import runpy
from pathlib import Path

import pytest

from goldenpath import App
from goldenpath.config import Settings
from goldenpath.model.ids import UserId
from tests.cli.conftest import ended

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is a tea?", "One tea is 3.20."),
        ("A beer!", "I know the prices of tea, coffee, water."),
    ],
)
@pytest.mark.anyio
async def test_the_waiter_knows_prices(tmp_path: Path, question: str, answer: str) -> None:
    app: App = runpy.run_path(str(EXAMPLE))["app"]
    settings = Settings(store=f"sqlite:///{tmp_path / 'users.db'}", auth_secret="s" * 32)
    async with app.running(settings) as assembly:
        receipt = await app.send(user_id="ada", text=question)
        await ended(assembly, "ada", receipt)
        assert receipt.run_id is not None
        row = await assembly.host.store.run(UserId("ada"), receipt.run_id)
        assert row is not None
        assert row.output == answer
