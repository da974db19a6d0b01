"""Matrix products in blocks that stay in registers; the one thing in which targets differ, and it changes no bit."""

import llvmlite.binding
import numba
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from addlab.engine.compiling import OPTIONS
from addlab.engine.lanes import POINTER, VECTOR, WIDTH, ahead, call, load_vector, spread, store_vector


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
