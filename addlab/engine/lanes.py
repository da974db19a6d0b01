"""Sixteen float32 in one register: the SIMD type that the kernels are written in.

Numba's loops over arrays reach a tenth of a core's arithmetic, since arrays may overlap. Here every vector operation is
written out: one order, explicit fused multiply-adds, so that the bits of a result do not depend on the processor.
LLVM maps sixteen floats to whatever registers there are: one of AVX-512, two of AVX, four of SSE or NEON.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from addlab.engine.compiling import OPTIONS

WIDTH = 16

FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR, INTEGERS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(INT, WIDTH)
POINTER = types.CPointer(types.float32)


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
        return load_vector(builder, builder.gep(arguments[0], [arguments[1]]))
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


@njit(**OPTIONS)
def zeros(count):
    """Memory of zeros, aligned likewise."""
    memory = aligned(count)
    memory[:] = np.float32(0)
    return memory


@njit(**OPTIONS)
def copy(source, to, count):
    """Copy `count` floats, whole vectors, from a pointer to another."""
    for i in range(0, count, WIDTH):
        store(to, i, load(source, i))


@njit(**OPTIONS)
def add(source, to, count):
    """Add `count` floats, whole vectors, at a pointer to those at another."""
    for i in range(0, count, WIDTH):
        store(to, i, load(to, i) + load(source, i))


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


@intrinsic
def root(typing, x):
    """The square root, which IEEE 754 rounds alike everywhere."""
    def generate(context, builder, signature, arguments):
        return call(builder, "sqrt", *arguments)
    return lanes(lanes), generate


@intrinsic
def high_bits(typing, x):
    """The upper 24 of each lane's 32 bits, as a whole number."""
    def generate(context, builder, signature, arguments):
        bits = builder.lshr(builder.bitcast(arguments[0], INTEGERS), integers([8] * WIDTH))
        return builder.sitofp(bits, VECTOR)
    return lanes(lanes), generate


def _select_bit(bit):
    """`then` in lanes whose bit of this number is 1, else `otherwise`."""
    @intrinsic
    def select(typing, x, then, otherwise):
        def generate(context, builder, signature, arguments):
            bits = builder.and_(builder.bitcast(arguments[0], INTEGERS), integers([1 << bit] * WIDTH))
            return builder.select(builder.icmp_signed("!=", bits, integers([0] * WIDTH)), *arguments[1:])
        return lanes(lanes, lanes, lanes), generate
    return select


select_bit_0, select_bit_1 = _select_bit(0), _select_bit(1)
