"""tanh, σ, e**x, logarithms, sin and cos of sixteen floats, by polynomials: the system's own differ by machine."""

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from addlab.engine.compiling import OPTIONS
from addlab.engine.lanes import (
    VECTOR,
    WIDTH,
    call,
    exponent,
    fill,
    floor,
    fma,
    lanes,
    maximum,
    minimum,
    power_of_two,
    select_less,
)


def polynomial(*coefficients):
    """The polynomial of these coefficients, the highest first, by Horner's rule."""
    @intrinsic
    def value(typing, x):
        def generate(context, builder, signature, arguments):
            y, *others = (ir.Constant(VECTOR, [float(np.float32(c))] * WIDTH) for c in coefficients)
            for c in others:
                y = call(builder, "fma", y, arguments[0], c)
            return y
        return lanes(lanes), generate
    return value


numerator = polynomial(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
                       1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)
denominator = polynomial(1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


TANH_ERROR = 3e-7      # of the exact value, over every float32; 2.92e-7 was measured
SIGMOID_ERROR = 1.7e-7  # in all, likewise


@njit(**OPTIONS)
def tanh(x):
    """tanh as a ratio of polynomials (Eigen's), within TANH_ERROR of the exact value and never beyond ±1."""
    one = fill(1.0)
    x = maximum(minimum(x, fill(7.9)), fill(-7.9))
    square = x * x
    y = x * numerator(square) / denominator(square)
    return maximum(minimum(y, one), fill(-1.0))


@njit(**OPTIONS)
def sigmoid(x):
    """σ(x) = 1/2 + 1/2 tanh(x/2), within SIGMOID_ERROR."""
    half = fill(0.5)
    return fma(half, tanh(x * half), half)


exponential = polynomial(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
                         5.0000001201e-1)


@njit(**OPTIONS)
def exp(x):
    """e**x for x from -60 to 60 (Cephes' polynomial), to a few units in the last place."""
    whole = floor(fma(maximum(fill(-60.0), minimum(fill(60.0), x)), fill(1.44269504), fill(0.5)))
    rest = fma(whole, fill(2.12194440e-4), fma(whole, fill(-0.693359375), x))  # x - whole ln 2, ln 2 in two parts
    y = fma(exponential(rest), rest * rest, rest)
    return (y + fill(1.0)) * power_of_two(whole)


logarithm = polynomial(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
                       -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)


@njit(**OPTIONS)
def log(y):
    """The natural logarithm of finite normal numbers above 0 (Cephes' polynomial), to a few units in the last place."""
    one = fill(1.0)
    n = exponent(y)
    fraction = y * power_of_two(fill(0.0) - n) - one  # from 0 to 1
    high = fill(0.41421356)
    n = select_less(high, fraction, n + one, n)
    fraction = select_less(high, fraction, (fraction - one) * fill(0.5), fraction)
    square = fraction * fraction
    tail = logarithm(fraction) * (square * fraction)
    tail = fma(n, fill(-2.12194440e-4), tail)
    tail = fma(fill(-0.5), square, tail) + fraction
    return fma(n, fill(0.693359375), tail)


@njit(**OPTIONS)
def log1p(x):
    """log(1 + x) for finite x from 0 on, to a few units in the last place."""
    one = fill(1.0)
    y = one + x
    lost = x - (y - one)  # what rounding 1 + x took away
    return log(y) + lost / y


sine = polynomial(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
cosine = polynomial(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)


@njit(**OPTIONS)
def sin(x):
    """sin x for |x| up to π/4 (Cephes' polynomial), to a few units in the last place."""
    square = x * x
    return fma(sine(square) * square, x, x)


@njit(**OPTIONS)
def cos(x):
    """cos x for |x| up to π/4, likewise."""
    square = x * x
    return fma(cosine(square), square * square, fma(fill(-0.5), square, fill(1.0)))
