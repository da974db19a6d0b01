"""Sixteen float32 in one register: the SIMD type that the kernels are written in.

Numba's loops over arrays reach a tenth of a core's arithmetic, since arrays may overlap. Here every vector operation is
written out: one order, explicit fused multiply-adds, so that the bits of a result do not depend on the processor.
LLVM maps sixteen floats to whatever registers there are: one of AVX-512, two of AVX, four of SSE or NEON.
"""

import hashlib
import operator
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}

FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR, INTEGERS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(INT, WIDTH)
POINTER = types.CPointer(types.float32)


def kernel(function):
    """Compile a function for this processor, once: Numba keeps it on disk, beside the source or in the user's cache.

    Numba looks for changes only in the function's own file; so the name in the cache tells of all the engine's files.
    """
    sources = (Path(__file__).with_name(f"{name}.py") for name in ("lanes", "cells", "bptt", "parameters"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    function.__qualname__ = f"{function.__name__}_{digest[:8]}"
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither folder can be written: every process compiles for itself
        return njit(**OPTIONS)(function)


class Lanes(types.Type):
    def __init__(self):
        super().__init__("Lanes")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def integers(values):
    return ir.Constant(INTEGERS, list(values))


def call(builder, name, *arguments):
    """Call an LLVM intrinsic of sixteen floats, which must be declared by its name."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f32"), arguments)


def spread(builder, value):
    """A vector with one float in all lanes."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, value, ir.Constant(INT, 0)), nothing,
                                  integers([0] * WIDTH))


def load_vector(builder, pointer):
    return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def store_vector(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


# Memory

@intrinsic
def address(typing, array, index):
    """Where an element of a one-dimensional float32 array lies."""
    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])
    return POINTER(array, types.intp), generate


@intrinsic
def ahead(typing, pointer, count):
    """A pointer `count` floats on."""
    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])
    return POINTER(POINTER, types.intp), generate


@intrinsic
def load(typing, pointer, index):
    """Sixteen floats from there on."""
    def generate(context, builder, signature, arguments):
        return load_vector(builder, builder.gep(*arguments[:1], [arguments[1]]))
    return lanes(POINTER, types.intp), generate


@intrinsic
def store(typing, pointer, index, value):
    """Sixteen floats to there."""
    def generate(context, builder, signature, arguments):
        store_vector(builder, arguments[2], builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()
    return types.void(POINTER, types.intp, lanes), generate


@njit(**OPTIONS)
def aligned(count):
    """Uninitialised memory for `count` floats that begins at a cache line."""
    memory = np.empty(count + WIDTH, np.float32)
    return memory[-(memory.ctypes.data // 4) % WIDTH :][:count]


# Arithmetic

@intrinsic
def fill(typing, number):
    """A number in all lanes."""
    def generate(context, builder, signature, arguments):
        return spread(builder, context.cast(builder, arguments[0], signature.args[0], types.float32))
    return lanes(number), generate


@intrinsic
def fma(typing, x, y, z):
    """x y + z, rounded once."""
    def generate(context, builder, signature, arguments):
        return call(builder, "fma", *arguments)
    return lanes(lanes, lanes, lanes), generate


@intrinsic
def select_less(typing, x, y, then, otherwise):
    """`then` in lanes where x < y, else `otherwise`."""
    def generate(context, builder, signature, arguments):
        x, y, then, otherwise = arguments
        return builder.select(builder.fcmp_ordered("<", x, y), then, otherwise)
    return lanes(lanes, lanes, lanes, lanes), generate


def _operator(symbol, name):
    @infer_global(symbol)
    class Template(ConcreteTemplate):
        cases = (signature(lanes, lanes, lanes),)

    @lower_builtin(symbol, lanes, lanes)
    def lower(context, builder, signature, arguments):
        return getattr(builder, name)(*arguments)


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"),
                       (operator.truediv, "fdiv")):
    _operator(_symbol, _name)


@njit(**OPTIONS)
def minimum(x, y):
    """The smaller, lane by lane; not a number where x is not."""
    return select_less(y, x, y, x)


@njit(**OPTIONS)
def maximum(x, y):
    """The larger, lane by lane; not a number where x is not."""
    return select_less(x, y, y, x)


@njit(**OPTIONS)
def flush(x):
    """x, or 0 where |x| is below 2**-100: products of what is smaller end in denormals, which cost 5 to 13 times."""
    zero, tiny = fill(0.0), fill(2.0**-100)
    return select_less(zero - tiny, x, select_less(x, tiny, zero, x), x)


def _reduction(combine):
    """Combine all lanes, in four steps of pairs 8, 4, 2 and 1 lanes apart; the result is in every lane."""
    @intrinsic
    def reduce(typing, x):
        def generate(context, builder, signature, arguments):
            x = arguments[0]
            for distance in (8, 4, 2, 1):
                other = builder.shuffle_vector(x, ir.Constant(VECTOR, ir.Undefined),
                                               integers(lane ^ distance for lane in range(WIDTH)))
                x = combine(builder, x, other)
            return x
        return lanes(lanes), generate
    return reduce


lane_sum = _reduction(lambda builder, x, y: builder.fadd(x, y))
lane_max = _reduction(lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), y, x))


@intrinsic
def first_lane(typing, x):
    """The float in lane 0."""
    def generate(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], ir.Constant(INT, 0))
    return types.float32(lanes), generate


@intrinsic
def floor(typing, x):
    def generate(context, builder, signature, arguments):
        return call(builder, "floor", *arguments)
    return lanes(lanes), generate


@intrinsic
def power_of_two(typing, x):
    """2**x for whole numbers x from -126 to 127."""
    def generate(context, builder, signature, arguments):
        exponent = builder.add(builder.fptosi(arguments[0], INTEGERS), integers([127] * WIDTH))
        return builder.bitcast(builder.shl(exponent, integers([23] * WIDTH)), VECTOR)
    return lanes(lanes), generate


@intrinsic
def exponent(typing, x):
    """The whole number n for which 2**n <= x < 2**(n + 1), for normal x above 0."""
    def generate(context, builder, signature, arguments):
        bits = builder.lshr(builder.bitcast(arguments[0], INTEGERS), integers([23] * WIDTH))
        return builder.sitofp(builder.sub(bits, integers([127] * WIDTH)), VECTOR)
    return lanes(lanes), generate


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
def log1p(x):
    """log(1 + x) for finite x from 0 on (Cephes' polynomial for the logarithm), to a few units in the last place."""
    one = fill(1.0)
    y = one + x
    lost = x - (y - one)  # what rounding 1 + x took away
    n = exponent(y)
    fraction = y * power_of_two(fill(0.0) - n) - one  # from 0 to 1
    high = fill(0.41421356)
    n = select_less(high, fraction, n + one, n)
    fraction = select_less(high, fraction, (fraction - one) * fill(0.5), fraction)
    square = fraction * fraction
    tail = logarithm(fraction) * (square * fraction)
    tail = fma(n, fill(-2.12194440e-4), tail)
    tail = fma(fill(-0.5), square, tail) + fraction
    return fma(n, fill(0.693359375), tail) + lost / y


# Products

def registers():
    """How many vector registers there are, and how many of them sixteen floats take."""
    features = numba.config.CPU_FEATURES
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    if "+avx512f" in features:
        return 32, 1
    if "+avx" in features:
        return 16, 2
    return (16 if "x86" in llvmlite.binding.get_process_triple() or "i686" in llvmlite.binding.get_process_triple()
            else 32), 4


def block(rows, vectors):
    """A product that stays in registers: `rows` rows by `vectors` vectors of sums.

    out[r, 16 v + lane] = start[r, …] + sum over k of a[r, k] w[k, …], k rising, each step one fma. out, start, a and w
    are pointers; the numbers behind them are the distance to the next row of each, and for a also to its next k.
    """
    def body(function):
        builder = ir.IRBuilder(function.append_basic_block())
        out, out_row, start, start_row, a, a_row, a_next, w, w_row, steps = function.args
        places = [(r, v) for r in range(rows) for v in range(vectors)]

        def at(base, distance, r, v=0):
            count = builder.add(builder.mul(distance, ir.Constant(distance.type, r)),
                                ir.Constant(distance.type, WIDTH * v))
            return builder.gep(base, [count])

        sums = {place: cgutils.alloca_once(builder, VECTOR) for place in places}  # which LLVM keeps in registers
        for r, v in places:
            builder.store(load_vector(builder, at(start, start_row, r, v)), sums[r, v])
        with cgutils.for_range(builder, steps) as loop:
            weights = [load_vector(builder, at(builder.gep(w, [builder.mul(loop.index, w_row)]), w_row, 0, v))
                       for v in range(vectors)]
            here = builder.gep(a, [builder.mul(loop.index, a_next)])
            for r in range(rows):
                factor = spread(builder, builder.load(at(here, a_row, r)))
                for v in range(vectors):
                    builder.store(call(builder, "fma", factor, weights[v], builder.load(sums[r, v])), sums[r, v])
        for r, v in places:
            store_vector(builder, builder.load(sums[r, v]), at(out, out_row, r, v))
        builder.ret_void()

    @intrinsic
    def product(typing, out, out_row, start, start_row, a, a_row, a_next, w, w_row, steps):
        def generate(context, builder, signature, arguments):
            # A function of its own, called: inlined at every product, it would take LLVM a minute.
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
            name = f"product_{rows}x{vectors}"
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            if function.is_declaration:
                function.linkage = "linkonce_odr"
                function.attributes.add("noinline")
                body(function)
            builder.call(function, arguments)
            return context.get_dummy_value()
        size = types.intp
        return types.void(POINTER, size, POINTER, size, POINTER, size, size, POINTER, size, size), generate
    return product


def panel(vectors, heights):
    """A product of any even number of rows by `vectors` vectors, in blocks of the three heights, the last of them 2."""
    first, second, third = (block(rows, vectors) for rows in heights)
    high, middle, low = heights

    @njit(**OPTIONS)
    def product(out, out_row, start, start_row, a, a_row, a_next, w, w_row, rows, steps):
        r = 0
        while rows - r >= high:
            first(ahead(out, r * out_row), out_row, ahead(start, r * start_row), start_row, ahead(a, r * a_row), a_row,
                  a_next, w, w_row, steps)
            r += high
        while rows - r >= middle:
            second(ahead(out, r * out_row), out_row, ahead(start, r * start_row), start_row, ahead(a, r * a_row),
                   a_row, a_next, w, w_row, steps)
            r += middle
        while rows - r >= low:
            third(ahead(out, r * out_row), out_row, ahead(start, r * start_row), start_row, ahead(a, r * a_row), a_row,
                  a_next, w, w_row, steps)
            r += low
    return product


NUMBER, SHARE = registers()
HEIGHTS = (2, 2, 2) if (NUMBER, SHARE) == (16, 4) else (6, 4, 2)  # what fits beside the weights and a factor
single = panel(1, HEIGHTS)

if SHARE == 1:
    quad, pair = panel(4, HEIGHTS), panel(2, HEIGHTS)

    @njit(**OPTIONS)
    def multiply(out, out_row, start, start_row, a, a_row, a_next, w, w_row, rows, columns, steps):
        """out[rows, columns] = start + a w over `steps`, as `block` says; rows are even, columns whole vectors.

        The width of a block fits the registers, which changes no bit: each sum has its own order.
        """
        at = 0
        while columns - at >= 4 * WIDTH:
            quad(ahead(out, at), out_row, ahead(start, at), start_row, a, a_row, a_next, ahead(w, at), w_row, rows,
                 steps)
            at += 4 * WIDTH
        if columns - at >= 2 * WIDTH:
            pair(ahead(out, at), out_row, ahead(start, at), start_row, a, a_row, a_next, ahead(w, at), w_row, rows,
                 steps)
            at += 2 * WIDTH
        if columns - at >= WIDTH:
            single(ahead(out, at), out_row, ahead(start, at), start_row, a, a_row, a_next, ahead(w, at), w_row, rows,
                   steps)
else:
    @njit(**OPTIONS)
    def multiply(out, out_row, start, start_row, a, a_row, a_next, w, w_row, rows, columns, steps):
        """out[rows, columns] = start + a w over `steps`, as `block` says; rows are even, columns whole vectors."""
        for at in range(0, columns, WIDTH):
            single(ahead(out, at), out_row, ahead(start, at), start_row, a, a_row, a_next, ahead(w, at), w_row, rows,
                   steps)
