import numpy as np

import vibayes as vb
from vibayes.streaming.batch import BatchVariable


def test_every_minibatch_tells_what_it_shows():
    data = np.zeros((60, 2))
    kept = vb.Minibatch(data, 10, random_seed=3)
    read = vb.Minibatch(lambda: iter([data]), batch_size=10, total_size=60, random_seed=3)
    for minibatch in (kept, read):
        assert isinstance(minibatch, BatchVariable)
        assert minibatch.batch_shape == (10, 2)
        assert minibatch.whole_shape == (60, 2)
        assert minibatch.is_sampled
        (rows,) = minibatch.shown_rows()
        assert (rows.length, rows.key) == (60, (60, 10, 3))
        part = minibatch.sampled(7, {}, np.random.SeedSequence(1))
        assert part.shape == (7, 2)
        assert not isinstance(minibatch.clone(), BatchVariable)
    assert (kept.in_memory, read.in_memory) == (True, False)
    assert vb.Minibatch(data, None).shown_rows() == []
