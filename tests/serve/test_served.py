"""What a running service takes over, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2gr.errors import UserError
from s2gr.params import Params, Runtime
from s2gr.publish.versions import current_version, switch
from s2gr.serve.served import Lists, Shelf
from s2gr.workspace import Workspace


def hidden(shelf: Shelf) -> set[str]:
    recommender = shelf.current.recommender
    return {recommender.item_ids[row] for row in shelf.current.hidden.tolist()}


def test_a_list_is_taken_over_though_what_is_published_can_not_be_read(served: Workspace, tmp_path: Path) -> None:
    deny = tmp_path / "deny.txt"
    deny.write_text("i05\n")
    shelf = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists(deny=deny))
    first, damaged = current_version(served.published), "20990101T000000Z-00000000"
    (served.published / damaged).mkdir()
    switch(served.published, damaged)
    deny.write_text("i05\ni06\n")
    assert shelf.refresh()
    assert hidden(shelf) == {"i05", "i06"}
    for _ in range(2):
        with pytest.raises(UserError, match=damaged):
            shelf.refresh()
    assert shelf.current.version == first
    assert first
    switch(served.published, first)
    assert not shelf.refresh()


def test_a_list_that_fits_the_new_version_alone_comes_with_it(served: Workspace, tmp_path: Path) -> None:
    allow = tmp_path / "allow.txt"
    allow.write_text("i05\n")
    shelf = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists(allow=allow))
    allow.write_text("i06\ni07\n")
    # As if all that it names had come with a version that was published since.
    shelf.current.recommender.row_of.clear()
    with pytest.raises(UserError, match="nothing of the published model"):
        shelf.refresh()
    shelf._version = "an older one"
    assert shelf.refresh()
    assert len(hidden(shelf)) == 58
    assert not shelf.refresh()
