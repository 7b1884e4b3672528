import pytensor.tensor as pt
from pytensor.graph.traversal import toposort

from vibayes.backend.numba_linker.writer import last_uses, memory_of, nodes_of_steps


def no_call(node):
    return False


def test_what_steps_read_of_a_setup_all_of_them_read():
    x, y = pt.vectors("xy")
    fixed = pt.exp(y)
    result = pt.sin(fixed + x) * x
    order = list(toposort([result]))
    roots = memory_of(order, no_call)
    steps = nodes_of_steps(order, [x], roots)
    assert steps == {node for node in order if node is not fixed.owner}
    order = [fixed.owner, *(node for node in order if node is not fixed.owner)]
    assert last_uses(order, 1, [result], roots)[fixed] == len(order)
    assert last_uses(order, None, [result], roots)[fixed] < len(order)


def test_views_live_as_long_as_what_reads_them():
    x = pt.matrix("x")
    whole = pt.exp(x)
    view = whole.T
    result = view + 1
    order = list(toposort([result]))
    roots = memory_of(order, no_call)
    assert roots[view] == {view, whole}
    assert last_uses(order, None, [result], roots)[whole] == order.index(result.owner)
    assert memory_of(order, lambda node: node is result.owner)[result] >= {view, whole}


def test_what_a_step_changes_in_place_it_makes_anew():
    x, y = pt.vectors("xy")
    made = pt.exp(y)
    changed = pt.set_subtensor(made[0], x[0]).owner
    inplace = type(changed.op)(changed.op.idx_list, inplace=True, set_instead_of_inc=True)
    result = inplace(*changed.inputs)
    order = list(toposort([result]))
    roots = memory_of(order, no_call)
    assert made.owner in nodes_of_steps(order, [x], roots)
    assert not nodes_of_steps(order, [], roots)
