"""What the tests of this folder share; a module with a scene of its own has a fixture of the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.disturbed import begun
from tests.chaos.scene import Act, Scene, make_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The usual scene; it is only copied, so that one serves all."""
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def act(scene: Scene, tmp_path: Path) -> Act:
    """A session in the middle."""
    return begun(scene, tmp_path / "act")
