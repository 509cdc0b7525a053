# SPDX-License-Identifier: EUPL-1.2
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from world import World  # noqa: E402


@pytest.fixture(scope="session")
def world():
    """One gateway with two workers for all tests that leave it as it was."""
    with World() as made:
        yield made.begin()
        check_end(made)


@pytest.fixture
def new_world():
    """A gateway of the test's own: `new_world(workers=1, ...)` gives one that has begun."""
    made = []

    def make(begin=True, **settings):
        world = World(**settings)
        made.append(world)
        world.__enter__()
        return world.begin() if begin else world

    yield make
    for world in made:
        try:
            if "gateway" in world.processes:
                check_end(world)
        finally:
            world.__exit__()


@pytest.fixture(autouse=True)
def clean_origin(request):
    if "world" in request.fixturenames:
        request.getfixturevalue("world").origin.clear()


def check_end(world):
    """It ends by itself with 0, and no sanitizer has said anything."""
    code = world.stop("gateway", patience_s=20)
    text = world.log_text()
    assert "Sanitizer" not in text and "runtime error" not in text, text[-6000:]
    assert code == 0, (code, text[-3000:])
