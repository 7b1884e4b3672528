import numpy as np

import vibayes as vb


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


def test_html_after_a_fit():
    with vb.Model():
        vb.Normal("a")
        approx = vb.MeanField()
    approx.hist = np.linspace(3, 1, 1234)
    html = approx._repr_html_()
    assert "1,234" in html
    assert "<polyline" in html
