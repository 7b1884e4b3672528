import pytest

from vibayes.backend.numba_linker import split as module

LONGEST = 12


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", LONGEST)


def run(lines, after):
    """Return what lines and those that come after them find, and how many functions they are."""
    calls, functions = module.split(lines, after, (), "part")
    scope = {}
    for name, arguments, body in functions:
        exec("\n".join([f"def {name}({arguments}):", *("    " + line for line in body)]), scope)
    exec("\n".join([*calls, *after]), scope)
    return scope, len(functions)


def test_few_lines_stay():
    lines = ["x1 = 1", "x2 = x1 + 1"]
    assert module.split(lines, ["y1 = x2"], (), "part") == (lines, [])


def test_names_of_earlier_parts_are_given_to_later_ones():
    n = 3 * LONGEST
    lines = ["x0 = 1", *(f"x{k} = x{k - 1} + x0" for k in range(1, n))]
    found, count = run(lines, [f"y1 = x{n - 1}"])
    assert count == 3
    assert found["y1"] == n


@pytest.mark.parametrize("before", range(LONGEST))
def test_sums_go_on_from_one_part_to_the_next(before):
    lines = [f"x{k} = {k}" for k in range(before)]
    lines += ["u1 = 0", "s1 = 0.0", "for i1 in range(3):", "    s1 = s1 + 1", "if u1:"]
    lines += ["    s1 = 7.0", *(f"z{k} = s1 + {k}" for k in range(LONGEST))]
    found, count = run(lines, ["y1 = z5"])
    assert count > 1
    assert found["y1"] == 8
