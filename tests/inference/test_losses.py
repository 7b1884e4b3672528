import numpy as np

import vibayes as vb
from vibayes.inference.losses import History


def test_losses_format_as_the_latest_of_them():
    texts = []
    with vb.Model():
        vb.Normal("x", 0, 2, shape=2)
        inference = vb.ADVI(random_seed=1)

    def look(approx, losses, i):
        texts.append(f"{losses:.1f} {losses[-1]:.1f} {losses[-2:].mean():.1f}")

    approx = inference.fit(2, callbacks=[look], backend="py", progressbar=False)
    first, second = approx.hist
    assert texts == [
        f"{first:.1f} " * 2 + f"{first:.1f}",
        f"{second:.1f} " * 2 + f"{approx.hist.mean():.1f}",
    ]


def test_losses_that_a_fit_goes_back_behind_are_forgotten():
    history = History(np.array([5.0]))
    for begin in range(0, 3000, 100):
        history.extend(np.arange(begin, begin + 100.0))
    history.rewind(1001)
    history.extend(np.array([-1.0]))
    assert history.length == 1002
    np.testing.assert_array_equal(history.view(0, 1002), [5.0, *range(1000), -1.0])
