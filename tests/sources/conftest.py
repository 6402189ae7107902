"""A database to read into."""

from collections.abc import Iterator

import duckdb
import pytest

from s2gr.database import database
from s2gr.params import Runtime


@pytest.fixture
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with database(Runtime(), tmp_path_factory.mktemp("state")) as connection:
        yield connection
