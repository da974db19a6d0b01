"""Digits and sums, against Python's own big integers."""

import functools
import time

import numpy as np
import pytest
from flint import fmpz
from hypothesis import example, given
from hypothesis import strategies as st

import addrnn
from addlab import engine


def integer(digits):
    """A digit array's value by repeated multiplication: independent of the module and of str(int)'s limit."""
    return sum(int(d) * 10**i for i, d in enumerate(digits))


@given(st.integers(1, 6000), st.integers(0, 2**32))
def test_sampled_sums_equal_python_integers(digit_len, seed):
    num1, num2, total = addrnn.sample(2, digit_len, np.random.default_rng(seed))
    assert num1.shape == num2.shape == total.shape == (2, digit_len + 1) and total.dtype == np.int64
    for a, b, c in zip(num1, num2, total, strict=True):
        assert a[-1] == b[-1] == 0 and 0 <= c.min() and c.max() <= 9
        assert integer(a) + integer(b) == integer(c)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
@example([(9, 0)] * 30)
@example([(9, 1)] + [(4, 5)] * 30)
@example([(0, 0)] * 30)
@example([(9, 9)] * 30)
def test_carry_add_equals_python_integers(columns):
    num1, num2 = np.array([*columns, (0, 0)]).T
    assert integer(addrnn.carry_add(num1, num2)) == integer(num1) + integer(num2)


def test_all_nines_of_6000_digits():
    nines, one = np.full((1, 6001), 9), np.zeros((1, 6001), dtype=int)
    nines[0, -1], one[0, 0] = 0, 1
    assert addrnn.carry_add(nines, one)[0].tolist() == [0] * 6000 + [1]


def test_digits_are_uniform():
    num1, num2, _ = addrnn.sample(2000, 50, np.random.default_rng(1))
    for digits in (num1[:, :-1], num2[:, :-1]):
        counts = np.bincount(digits.ravel(), minlength=10)
        assert abs(counts - 10_000).max() < 5 * np.sqrt(10_000 * 0.9)


def test_chains_cover_their_share_of_pairs_and_keep_sums_right():
    num1, num2, total = addrnn.sample(4000, 10, np.random.default_rng(2), chains=0.5)
    assert all(integer(a) + integer(b) == integer(c) for a, b, c in zip(num1, num2, total, strict=True))
    plain1, plain2, _ = addrnn.sample(4000, 10, np.random.default_rng(2))
    nines, plain = ((x + y)[:, :-1] == 9 for x, y in ((num1, num2), (plain1, plain2)))
    assert 0.09 < plain.mean() < 0.11 < nines.mean()


@given(st.integers(0, 10**50), st.integers(0, 5))
def test_digits_of_ints_and_strings_agree(number, zeros):
    digits = addrnn.to_digits(number)
    assert integer(digits) == number
    assert np.array_equal(digits, addrnn.to_digits("0" * zeros + str(number)))
    assert addrnn.to_text(digits) == str(number)


def test_digits_beyond_pythons_limit():
    assert addrnn.to_digits(10**20_000 - 1).tolist() == [9] * 20_000
    assert addrnn.to_text(addrnn.to_digits("7" * 20_000)) == fmpz("7" * 20_000).str()


@pytest.mark.parametrize("bad", [-1, "-1", "12a", "", " 1", "1_0", "١", 1.0, None, True, "+1"])
def test_what_is_no_number_is_refused_in_one_line(bad):
    with pytest.raises(ValueError, match=r"^number to add \(--add\): got .*, allowed is [^\n]*$"):
        addrnn.to_digits(bad)


def test_the_worked_carry_of_the_docstring():
    table = {line.split()[0]: [int(n) for n in line.split()[-4:]] for line in addrnn.carry_add.__doc__.splitlines()
             if line.strip().startswith(("num1", "num2", "total"))}
    assert addrnn.carry_add(np.array(table["num1"]), np.array(table["num2"])).tolist() == table["total"]
    assert (integer(table["num1"]), integer(table["num2"]), integer(table["total"])) == (275, 348, 623)


@pytest.mark.parametrize("chains", [7, -0.1, float("nan")])
def test_a_share_of_chains_beyond_one_is_refused(chains):
    with pytest.raises(ValueError, match=r"^chains \(--chains\): got .*, allowed is [^\n]*$"):
        addrnn.sample(2, 3, np.random.default_rng(0), chains=chains)


def test_drawing_a_batch_of_5000_digits_takes_well_under_a_tenth_of_its_gradients():
    model = addrnn.Adder(addrnn.Config())
    batch = addrnn.sample(200, 5000, np.random.default_rng(0))

    def seconds(action):
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin
    gradients = functools.partial(engine.gradients, model)
    gradients(*(digits[:2, :2] for digits in batch))  # compiles
    draws = [seconds(lambda: addrnn.sample(200, 5000, np.random.default_rng(0))) for _ in range(3)]
    assert min(draws) < seconds(lambda: gradients(*batch)) / 10


@pytest.mark.parametrize(("given", "values"), [
    ([0, 1], [0, 1]), ((1,), [1]), (range(3), [0, 1, 2]), (np.arange(2), [0, 1]), ("[0, 1]", [0, 1]),
    ("[1e-3, 1e-2]", [1e-3, 1e-2]), (["1e-3"], [1e-3]), ("['RNN', \"GRU\"]", ["RNN", "GRU"]), ("[RNN]", ["RNN"])])
def test_lists_are_read_as_papermill_yaml_and_python_hand_them_over(given, values):
    found = addrnn.as_list(given, "seeds")
    assert found == values and all(type(a) is type(b) for a, b in zip(found, values, strict=True))


@pytest.mark.parametrize("given", ["1, 2", 5, "", "[]", [], "RNN", None, {0: 1}, "[1,]"])
def test_what_is_no_list_is_refused_in_one_line(given):
    with pytest.raises(ValueError, match=r"^seeds: got .*, allowed is a list of values, like \[0, 1\]$"):
        addrnn.as_list(given, "seeds")
