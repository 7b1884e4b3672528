import threading

import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.backend.compiled import Compiled
from vibayes.backend.settings import EXACT_ARITHMETIC, WITHOUT_TRACES


@pytest.mark.parametrize("setting", [EXACT_ARITHMETIC, WITHOUT_TRACES])
def test_whatever_threads_do_the_setting_of_before_is_put_back(setting):
    name = setting.name
    before = getattr(pytensor.config, name)
    entered, may_leave = threading.Event(), threading.Event()

    def longer():
        with setting:
            entered.set()
            may_leave.wait()
            assert getattr(pytensor.config, name) == setting.value

    with setting:
        thread = threading.Thread(target=longer)
        thread.start()
        entered.wait()
    assert getattr(pytensor.config, name) == setting.value  # the other one is still at work
    may_leave.set()
    thread.join()
    assert getattr(pytensor.config, name) == before


def test_an_error_in_the_block_puts_the_setting_back():
    before = pytensor.config.traceback__limit
    with pytest.raises(ValueError, match="of the block"), WITHOUT_TRACES, WITHOUT_TRACES:
        raise ValueError("of the block")
    assert pytensor.config.traceback__limit == before


def test_what_is_made_keeps_no_lines_of_code_and_what_users_write_does():
    with pytensor.config.change_flags(traceback__limit=8):
        with vb.Model():
            x = vb.Normal("x")
            y = x * 2
        assert any(y.tag.trace)
        made = Compiled().get("graph", lambda: pt.exp(x))
        assert not any(made.tag.trace)
