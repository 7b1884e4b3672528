"""The Python code in the page on saving runs as it stands."""

import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "saving.md"


@pytest.mark.ci
def test_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.M):
            exec(compile(block, str(PAGE), "exec"), namespace)
    assert {f.name for f in tmp_path.iterdir()} == {"approximation.nc", "fit.nc", "stopped.nc"}
