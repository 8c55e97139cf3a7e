"""Files that are written beside somebody who reads them, or who laid out links."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_autoresearch.files import replace_bytes, replace_text


@pytest.fixture
def view(tmp_path: Path) -> Path:
    path = tmp_path / "view"
    path.write_text("old")
    return path


def test_whoever_reads_sees_the_old_or_the_new_and_no_part_of_either(view: Path) -> None:
    with view.open() as reader:
        replace_text(view, "new")
        assert reader.read() == "old"
    assert view.read_text() == "new"


def test_a_link_is_replaced_and_what_it_leads_to_is_not(view: Path) -> None:
    mine = view.with_name("mine")
    view.rename(mine)
    view.symlink_to(mine)
    view.with_name("view.new").symlink_to(mine)
    replace_bytes(view, b"new")
    assert mine.read_text() == "old"
    assert not view.is_symlink()
    assert view.read_text() == "new"
