import numpy as np
import pytest

import vibayes as vb
from vibayes.streaming.kinds import is_streamed


@pytest.mark.parametrize("value", [3, [1, 2], np.zeros(3), None, vb.Model, {"a": [1]}])
def test_what_is_in_memory_is_not_streamed(value):
    assert not is_streamed(value)
