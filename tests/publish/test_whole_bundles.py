"""A bundle appears whole or not at all, and is refused when it is damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from s2gr import Recommender
from s2gr.errors import UserError
from s2gr.manifest import MANIFEST, read_manifest, verified
from s2gr.publish.publishing import publish
from s2gr.publish.versions import current_bundle, current_version, version_names
from s2gr.workspace import Workspace, write_json

from .variants import MadeWith, other


def test_a_copy_without_links_says_how_to_link(finished: Workspace, made_with: MadeWith) -> None:
    name = publish(finished, made_with()).current
    link = finished.published / "current"
    link.unlink()
    shutil.copytree(finished.published / name, link)
    with pytest.raises(UserError, match=rf"current: expected a link to a version, .* `ln -s {name} {link}`"):
        current_version(finished.published)


def test_any_damaged_file_is_named_in_one_line(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    bundle = current_bundle(finished.published)
    for name in read_manifest(bundle).files:
        path = bundle / name
        whole = path.read_bytes()
        place = len(whole) // 2
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for damaged in (flipped, whole[:-1], b""):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=f"{name} is damaged") as error:
                Recommender.load(finished.published / "current")
            assert "\n" not in str(error.value)
        path.unlink()
        with pytest.raises(UserError, match=f"{name} is missing, so the bundle is not whole"):
            Recommender.load(finished.published / "current")
        path.write_bytes(whole)
    Recommender.load(finished.published / "current")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no published bundle, or a half-written one: it has no manifest.json"),
        ("", "manifest.json is damaged"),
        ("[]", "manifest.json is damaged"),
        ('{"version": 1}', "manifest.json is damaged"),
    ],
)
def test_a_bundle_without_a_whole_manifest_is_refused(
    finished: Workspace, made_with: MadeWith, text: str | None, message: str
) -> None:
    publish(finished, made_with())
    path = finished.published / "current" / MANIFEST
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Recommender.load(finished.published / "current")


def test_an_edited_list_of_files_and_another_format_are_refused(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    path = finished.published / "current" / MANIFEST
    told = json.loads(path.read_text(encoding="utf-8"))
    write_json({**told, "files": dict(list(told["files"].items())[1:])}, path)
    with pytest.raises(UserError, match="its list of files is not what was written"):
        verified(path.parent)
    write_json({**told, "format": 99}, path)
    with pytest.raises(UserError, match="has another format than"):
        verified(path.parent)


def test_a_damaged_champion_can_be_published_again(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, made_with()).current
    (finished.published / first / "data/sids.parquet").write_bytes(b"")
    again = publish(finished, made_with())
    assert again.kind == "published"
    verified(finished.published / "current")


KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, yaml
from s2gr.errors import UserError
from s2gr.manifest import verified
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import current_bundle, version_names
from s2gr.workspace import Workspace

workspace, params = Workspace(Path(sys.argv[1])), yaml.safe_load(sys.argv[2])

def attempt(number):
    params["evaluation"]["bootstrap"] = 100 + number
    return publish(workspace, Params.model_validate(params))

started = time.monotonic()
served = [attempt(0).current]
takes = time.monotonic() - started
generator = np.random.default_rng(0)
for number, wait in enumerate(generator.uniform(0, takes, 10), start=1):
    child = os.fork()
    if not child:
        attempt(number)
        os._exit(0)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    now = verified(current_bundle(workspace.published)).version
    # The old one, or the one that was being published: the newest there is.
    assert now == served[-1] or now == version_names(workspace.published)[-1], (now, served)
    served.append(now)
final = attempt(99)
assert final.kind == "published"
left = sorted(path.name for path in workspace.published.iterdir() if path.name.startswith("."))
assert left == [".lock", ".publishing"], left
"""


def test_killed_at_ten_random_points_the_old_or_the_new_version_is_served(
    finished: Workspace, made_with: MadeWith
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(finished.root), json.dumps(made_with().model_dump(mode="json"))]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr


def test_two_at_once_leave_one_whole_current_version(finished: Workspace, made_with: MadeWith) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: publish(finished, other(made_with, number)), range(2)))
    assert [each.kind for each in found] == ["published"] * 2
    assert sorted(each.current for each in found) == version_names(finished.published)
    assert verified(finished.published / "current").version == version_names(finished.published)[-1]
