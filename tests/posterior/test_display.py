import numpy as np
import pytest

import vibayes as vb
from vibayes.posterior.display import ABOUT_CIRCULAR, FEW, FIRST
from vibayes.posterior.summary import rounded


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    with vb.Model(coords={"side": ["left", "right"]}) as model:
        b = vb.Normal("b", 0, 10, dims="side")
        scale = vb.HalfNormal("scale", 5)
        vb.Normal("y", b, scale, observed=rng.normal([1, 200], 1, size=(30, 2)))
        return vb.fit(model=model, random_seed=1, progressbar=False)


def rows_in(text):
    """Return the cells of the table of the posterior, by the name of the row."""
    table = text.split("\n\n")[1].splitlines()
    assert table[0].split() == ["mean", "sd", "3%", "97%"]
    return {line.split()[0]: line.split()[1:] for line in table[1:]}


def test_few_variables_are_shown_with_means_widths_and_tails(fitted):
    rows = rows_in(str(fitted))
    assert list(rows) == ["b[left]", "b[right]", "scale"]
    draws = fitted.sample(20_000, random_seed=2).posterior["b"].values[0, :, 1]
    shown = [float(cell.replace(",", "")) for cell in rows["b[right]"]]
    expected = [draws.mean(), draws.std(), *np.quantile(draws, [0.03, 0.97])]
    np.testing.assert_allclose(shown, expected, atol=0.15 * draws.std())


def test_the_verdict_the_elbo_and_the_time_are_told_in_lines(fitted):
    lines = str(fitted).split("\n\n")[2].splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines if not line.startswith("why"))
    assert facts["verdict"] == fitted.diagnosis.verdict
    assert facts["ELBO"].startswith(f"{fitted.diagnosis.elbo:,.2f} ±")
    assert float(facts["seconds"].split(",")[0]) > 0
    assert lines[-1] == f"why it ended  {fitted.ending.reason}"


def test_it_looks_the_same_again_and_repr_is_one_line(fitted):
    seeds = fitted.noise_seeds.n_children_spawned
    assert str(fitted) == str(fitted)
    assert fitted.noise_seeds.n_children_spawned == seeds
    assert repr(fitted) == "<MeanField: MeanFieldGroup(b, scale), 3 dimensions>"
    assert str(fitted).splitlines()[0] == repr(fitted)


def test_html_has_the_same_table_and_one_curve_at_most(fitted):
    html = fitted._repr_html_()
    for cells in rows_in(str(fitted)).values():
        for cell in cells:
            assert f">{cell}</td>" in html
    assert fitted.diagnosis.verdict in html
    assert html.count("<svg") == (len(fitted.hist) > 2)


def test_rows_of_angles_are_those_of_directions_and_say_so():
    with vb.Model(coords={"bird": ["tern", "gull"]}) as model:
        vb.VonMises("heading", [np.pi, 0.5], 40, dims="bird")
        vb.Normal("x", np.pi, 1)
        approx = vb.fit(method="laplace", model=model, random_seed=1, progressbar=False)
    rows = {line.split("  ")[0]: line.split()[-4:] for line in str(approx).splitlines()[2:6]}
    assert list(rows)[1:] == ["heading[tern] (circular)", "heading[gull] (circular)", "x"]
    draws = approx.sample(20_000, random_seed=2).posterior["heading"].values[0, :, 0]
    assert draws.std() > 2  # as of numbers
    about = np.mod(draws, 2 * np.pi)  # the other cut is far away
    expected = np.array([about.mean(), about.std(), *np.quantile(about, [0.03, 0.97])])
    shown = np.array([float(cell) for cell in rows["heading[tern] (circular)"]])
    turns = np.round((shown[0] - expected[0]) / (2 * np.pi)) * 2 * np.pi
    np.testing.assert_allclose(shown - [turns, 0, turns, turns], expected, atol=0.03)
    html = approx._repr_html_()
    assert html.count("(circular)</td>") == 2
    assert ABOUT_CIRCULAR in str(approx)
    assert ABOUT_CIRCULAR in html


def test_without_angles_nothing_is_said_of_them(fitted):
    assert "circular" not in str(fitted) + fitted._repr_html_()


def test_of_many_variables_the_first_are_shown_and_the_others_counted():
    def shown(n):
        with vb.Model() as model:
            vb.Normal("a")
            x = vb.Normal("x", shape=n)
            vb.Deterministic("twice", 2 * x)
            approx = vb.ADVI(model=model, random_seed=1)
            approx.fit(3, backend="py", progressbar=False)
        return rows_in(str(approx.approx))

    few = shown((FEW - 2) // 2)
    assert len(few) == FEW - 1
    assert "twice[8]" in few
    many = shown((50, 3))
    assert list(many) == ["a", "x[0,", "x[1,", "x[2,", "…"]
    assert many["…"] == ["and", f"{1 + 2 * 150 - FIRST}", "more"]


def test_what_is_too_large_or_cannot_be_drawn_is_shown_without_a_table():
    with vb.Model() as model:
        vb.Normal("x", shape=100_000)
        approx = vb.MeanField(model=model)
    approx.hist = np.linspace(3, 1, 10)
    assert "no table of the posterior" in str(approx)
    assert "no table of the posterior" in approx._repr_html_()


def test_a_fit_that_was_refined_took_longer():
    with vb.Model() as model:
        vb.Normal("x")
    advi = vb.ADVI(model=model, random_seed=1)
    advi.fit(3, backend="py", progressbar=False)
    before = advi.approx.outcome.seconds
    advi.refine(3, progressbar=False)
    assert advi.approx.outcome.seconds > before > 0


@pytest.mark.parametrize(
    ("number", "sd", "text"),
    [
        (1234.5678, 0.0123, "1,234.5678"),
        (1234.5678, 45.6, "1,234.6"),
        (1234.5678, 4560.0, "1,235"),
        (1.23456e-7, 1e-8, "1.2346e-07"),
        (2.5, 0.0, "2.5"),
        (np.nan, 1.0, "nan"),
    ],
)
def test_numbers_have_the_digits_that_their_width_lets_tell(number, sd, text):
    assert rounded(number, sd) == text


def test_html_of_several_groups():
    with vb.Model():
        a = vb.Normal("a", shape=(2, 3))
        vb.Normal("b & c")
        approx = vb.Approximation([vb.Group([a], vfam="full_rank"), vb.Group(None, vfam="mf")])
    html = approx._repr_html_()
    assert "FullRankGroup" in html
    assert "a (2 × 3)" in html
    assert "b &amp; c" in html
    assert "not fitted yet" in html
    assert "<svg" not in html
    assert "97%" not in html
    assert "97%" not in str(approx)


def test_html_after_a_fit():
    with vb.Model():
        vb.Normal("a")
        approx = vb.MeanField()
    approx.hist = np.linspace(3, 1, 1234)
    html = approx._repr_html_()
    assert "1,234" in html
    assert html.count("<polyline") == 1
    approx.hist = np.array([2.0, 1.0])
    assert "<polyline" not in approx._repr_html_()
