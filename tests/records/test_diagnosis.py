import warnings
from dataclasses import replace

import numpy as np
import pytest

import vibayes as vb
from vibayes.records.diagnosis import Diagnosis, VariableCheck
from vibayes.records.findings import Attempt


def example(**changes):
    facts = dict(family="a family", elbo=-3.0, elbo_mcse=0.1, khat=0.2, ess=900.0, draws=1000)
    facts |= dict(converged=True, stopped="it was done", checked_by="better draws")
    return Diagnosis(**facts | changes)


def test_why_weights_are_weak():
    weak = example(checked_by="", khat=0.9)
    assert "Pareto k is 0.90, and more than 0.7 is too much" in weak.verdict
    few = example(checked_by="", khat=0.6, ess=30.0)
    assert "only 30 of 1000 weighted draws count" in few.verdict


class TestShown:
    wrong = example(
        khat=0.9,
        variables=tuple(VariableCheck(f"b[{i}]", 0.1 * i, 1.5, 0.01) for i in range(12)),
        attempts=(
            Attempt("full rank & more", -3.5, 0.95, 12.0, 1000, 1.5),
            Attempt("moves", np.nan, np.nan, 500.0, 2000, 9.0),
        ),
    )

    def test_text(self):
        text = str(self.wrong)
        assert "does not hold the posterior" in text
        assert "-3.00 ± 0.10" in text
        assert "b[11]: mean +1.10 sd off, width 1.50 of what it is" in text
        assert "… and 4 more" in text
        assert "full rank & more" in text
        lines = text.splitlines()
        (moves,) = [line for line in lines if line.lstrip().startswith("moves")]
        assert moves.split()[1:] == ["-", "-", "500", "of", "2000", "9.0"]

    def test_html(self):
        from html.parser import HTMLParser

        opened = []

        class Parser(HTMLParser):
            def handle_starttag(self, tag, attrs):
                opened.append(tag)

            def handle_endtag(self, tag):
                assert opened.pop() == tag

        found = self.wrong._repr_html_()
        Parser().feed(found)
        assert opened == []
        assert "full rank &amp; more" in found
        assert "firebrick" in found
        assert "seagreen" in example()._repr_html_()
        assert "gray" in example(why_not="nothing to go by")._repr_html_()

    def test_names_are_escaped(self):
        assert "<script>" not in example(family="<script>")._repr_html_()

    def test_what_is_not_there_is_not_shown(self):
        bare = example(elbo=np.nan, khat=np.nan, ess=np.nan, checked_by="")
        for name in ("ELBO", "Pareto k  ", "effective draws", "compared with", "modes left out"):
            assert name not in str(bare)

    def test_attributes_for_programs(self):
        assert self.wrong.at_fault[0].name == "b[11]"
        assert self.wrong.judged
        assert not self.wrong.fits


class TestChecks:
    def test_little_differences_pass(self):
        assert VariableCheck("x", 0.1, 0.95).good
        assert VariableCheck("x", -0.1, 1.1).good

    @pytest.mark.parametrize(("shift", "ratio"), [(0.3, 1.0), (-0.3, 1.0), (0, 0.7), (0, 1.5)])
    def test_larger_ones_do_not(self, shift, ratio):
        assert not VariableCheck("x", shift, ratio).good

    def test_noise_explains_some(self):
        assert VariableCheck("x", 0.3, 0.8, noise=0.4).good
        assert VariableCheck("x", 0.0, 1.5, ratio_noise=0.5).good
        assert not VariableCheck("x", 0.0, 1.5, noise=9.0, ratio_noise=0.3).good

    @pytest.mark.parametrize("tails", [{"below": 0.1}, {"above": 0.12}, {"below": 0.01}])
    def test_tails(self, tails):
        check = VariableCheck("x", 0.0, 1.0, **tails)
        assert check.is_off_in_a_tail
        assert not check.good
        assert replace(check, tail_noise=0.08).good
        assert "beyond its 5 % and 95 % points" in str(check)
        verdict = example(variables=(check,)).verdict
        assert "x: 5 % or 95 % point off (means agree)" in verdict

    def test_what_is_not_a_number_is_off(self):
        assert VariableCheck("x", np.nan, 1.0).is_shifted


class TestWarnings:
    def test_categories(self):
        with pytest.warns(vb.ConvergenceWarning, match="Not converged"):
            example(converged=False).warn()
        shifted = (VariableCheck("x", 0.9, 1.0),)
        with pytest.warns(vb.ApproximationWarning, match="the mean of x is off"):
            example(variables=shifted).warn()
        with pytest.warns(vb.ConvergenceWarning):
            example(variables=shifted, converged=False).warn()

    def test_good_and_unknown_are_silent(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            example().warn()
            example(converged=None).warn()
            example(why_not="there is nothing to judge by").warn()

    def test_they_name_the_line(self):
        with pytest.warns(vb.ConvergenceWarning) as caught:
            example(converged=False).warn()
        assert caught[0].filename == __file__

    def test_they_are_users_warnings(self):
        assert issubclass(vb.ConvergenceWarning, UserWarning)
        assert issubclass(vb.ApproximationWarning, UserWarning)
        assert not issubclass(vb.ConvergenceWarning, vb.ApproximationWarning)

    def test_weak_weights_are_not_advised(self):
        shifted = example(variables=(VariableCheck("x", 0.9, 1.0),))
        assert "importance=True" in shifted.verdict
        assert "importance=True" not in replace(shifted, khat=0.8).verdict
        assert "importance=True" not in replace(shifted, ess=20.0).verdict
