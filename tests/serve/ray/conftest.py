"""One Ray with the service for all tests of this folder; it ends with the last of them."""

from pathlib import Path

import pytest

from tests.serve.ray.service import Service

HERE = Path(__file__).parent
_running: list[Service] = []


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """With two editors, as faults leave it."""
    if not _running:
        one = Service(tmp_path_factory.mktemp("service") / "data")
        _running.append(one)
        one.up()
    return _running[0]


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if _running and (nextitem is None or HERE not in nextitem.path.parents):
        _running.pop().down()
