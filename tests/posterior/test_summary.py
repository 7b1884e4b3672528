import numpy as np
import pytest
import xarray
from scipy.stats import circmean, circstd

from vibayes.posterior.summary import circular_row_of, format_table, row_of, summary_rows


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


@pytest.mark.parametrize("mean", [-3.1, 0.4, np.pi])
@pytest.mark.parametrize("kappa", [0.5, 40.0])
def test_angles_have_the_mean_and_the_sd_of_directions(mean, kappa, rng):
    x = rng.vonmises(mean, kappa, size=4000)
    row = circular_row_of("x", x)
    ends = {"high": np.pi, "low": -np.pi}
    assert row.mean == pytest.approx(circmean(x, **ends))
    assert row.sd == pytest.approx(circstd(x, **ends))
    assert row.lower < row.mean < row.upper
    inside = np.mod(x - row.lower, 2 * np.pi) < row.upper - row.lower
    assert inside.mean() == pytest.approx(0.94, abs=0.001)


def test_angles_far_from_the_cut_are_summarized_as_numbers_are(rng):
    x = rng.normal(0.3, 0.05, size=4000)
    on_line, on_circle = row_of("x", x), circular_row_of("x", x)
    assert (on_circle.lower, on_circle.upper) == pytest.approx((on_line.lower, on_line.upper))
    assert on_circle.mean == pytest.approx(on_line.mean, abs=1e-4)
    assert on_circle.is_circular
    assert not on_line.is_circular


def test_the_width_of_an_angle_may_be_tiny(rng):
    x = rng.normal(0.3, 1e-9, size=4000)
    assert circular_row_of("x", x).sd == pytest.approx(x.std(), rel=1e-3)
