import numpy as np
import pytest
import xarray

from vibayes.posterior.summary import format_table, summary_rows


def test_rows_and_table():
    rng = np.random.default_rng(1)
    x = rng.normal(3, 2, size=(2, 5000))
    v = rng.normal([10, -10], size=(2, 5000, 2))
    posterior = xarray.Dataset(
        {"x": (("chain", "draw"), x), "v": (("chain", "draw", "side"), v)},
        coords={"side": ["left", "right"]},
    )
    rows = summary_rows(posterior)
    assert [row.name for row in rows] == ["x", "v[left]", "v[right]"]
    assert rows[0].mean == pytest.approx(3, abs=0.1)
    assert rows[0].sd == pytest.approx(2, abs=0.1)
    assert (rows[0].lower, rows[0].upper) == pytest.approx(np.quantile(x, [0.03, 0.97]))
    assert rows[2].mean == pytest.approx(-10, abs=0.1)
    table = format_table(rows)
    assert "94% interval" in table
    assert table.splitlines()[2].startswith("v[left]")
