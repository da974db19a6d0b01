"""Loss and exact gradients of an `Adder` by backpropagation through time, on kept buffers.

Plain PyTorch spends most of a long batch outside arithmetic: on fresh memory, on a graph of a node for each
operation, and on tanh. Four observations remove that; none of them is an approximation.

1. *A skewed stack is one layer.* Let layer k work on position t - k while layer 0 works on position t. Every layer
   of such a "slot" then needs only the slot before it, so a stack of L layers is one recurrent cell with state
   [batch, L, hidden] and block bidiagonal weights, and one pointwise operation serves all layers.
2. *tanh is a logistic function*, tanh(x) = 2 σ(2x) - 1, and σ is six times cheaper. The state is kept as
   s = (h + 1) / 2 (RNN, GRU) or s = h / 2 (LSTM); the constants are folded into the weights once a batch.
3. *There are only 100 digit pairs*, so embedding, input weights and biases of layer 0 are a table of 100 rows.
4. *Folding is differentiable.* From the parameters to the folded weights (a few small matrices) autograd does the
   work; from the folded weights to the loss, where the length is, the recurrences below do, forward and backward.
"""

import torch
from torch.nn.functional import embedding, linear, pad

CHUNK_BYTES = 2 << 20  # states of one chunk of slots: what stays in cache
KEPT_BYTES = 4 << 30  # what the forward walk may keep for the backward walk; past it, segments are recomputed

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class RNN:
    """s' = σ(z), with h = 2s - 1.

    Backward: dz = ds' s' (1 - s').
    """

    blocks, reach = 1, 1  # blocks of pre-activations a layer; how many of them each of its two inputs reaches
    scale, shift = (2,), -1  # of each block, for tanh; of the state, h = 2s + shift
    states, kept = "s", 1  # names of the states; tensors of their size kept of every slot

    def buffers(self, new, slots, *shape):
        s = new("s", slots + 1, *shape)
        return {"s": s, "z": s[1:]}  # z becomes s' in place

    def gradient_buffers(self, new, slots, *shape):
        ds = new("ds", slots + 1, *shape)
        return {"ds": ds, "dz": ds[1:]}

    def forward_views(self, s, z):
        return (z,)

    def forward(self, z):
        z.sigmoid_()

    def backward_views(self, s, z, ds, dz):
        return z, dz

    def backward(self, s, ds):
        sigmoid_backward(ds, s, grad_input=ds)


class LSTM:
    """i, f, g, o = σ(z);  c' = f c + i (g - ½);  q = σ(4c');  s' = o (q - ½), with h = 2s and 2c the usual cell state.

    Backward: do = ds' (q - ½);  dc' += 4 ds' o q (1 - q);  di = dc' (g - ½);  df = dc' c;  dg = dc' i;  dc = dc' f;
    then dz is d(i, f, g, o) through σ.
    """

    blocks, reach = 4, 4
    scale, shift = (1, 1, 2, 1), 0
    states, kept = "sc", 7

    def buffers(self, new, slots, *shape):
        states = {name: new(name, slots + 1, *shape) for name in "sc"}
        return states | {"q": new("q", slots, *shape), "z": new("z", slots, *shape[:2], 4, shape[2])}

    def gradient_buffers(self, new, slots, *shape):
        dc, dq = (new(name, *shape).expand(slots, -1, -1, -1) for name in ("dc", "dq"))  # every slot uses the same
        dz = new("dz", slots, *shape[:2], 4, shape[2])
        return {"ds": new("ds", slots + 1, *shape), "dc": dc, "dq": dq, "dz": dz}

    def forward_views(self, s, c, q, z):
        return z, *z.unbind(3), c[:-1], c[1:], q, s[1:]

    def forward(self, z, i, f, g, o, c, c_next, q, s_next):
        z.sigmoid_()
        torch.mul(f, c, out=c_next).addcmul_(i, g).sub_(i, alpha=0.5)
        torch.mul(c_next, 4, out=q).sigmoid_()
        torch.mul(o, q, out=s_next).sub_(o, alpha=0.5)

    def backward_views(self, s, c, q, z, ds, dc, dq, dz):
        return z, *z.unbind(3), c[:-1], q, ds[1:], dc, dq, dz, *dz.unbind(3)

    def backward(self, z, i, f, g, o, c, q, ds, dc, dq, dz, di, df, dg, do):
        torch.mul(ds, q, out=do).sub_(ds, alpha=0.5)
        torch.mul(ds, o, out=dq)
        dc.add_(sigmoid_backward(dq, q, grad_input=dq), alpha=4)
        torch.mul(dc, g, out=di).sub_(dc, alpha=0.5)
        torch.mul(dc, c, out=df)
        torch.mul(dc, i, out=dg)
        dc.mul_(f)
        sigmoid_backward(dz, z, grad_input=dz)


class GRU:
    """z is n, r, u, m;  r, u = σ(r, u);  n = σ(n + r m);  s' = n + u (s - n), with h = 2s - 1.

    PyTorch's variant: n is the input's share of the candidate and m the state's, each with its bias, so the state does
    not reach block n, nor the input block m.
    Backward: dn = ds' (1 - u) through σ;  dm = dn r;  dr = dn m and du = ds' (s - n) through σ;  ds += ds' u.
    """

    blocks, reach = 4, 3
    scale, shift = (2, 1, 1, 2), -1
    states, kept = "s", 5

    def buffers(self, new, slots, *shape):
        return {"s": new("s", slots + 1, *shape), "z": new("z", slots, *shape[:2], 4, shape[2])}

    def gradient_buffers(self, new, slots, *shape):
        return {"ds": new("ds", slots + 1, *shape), "dz": new("dz", slots, *shape[:2], 4, shape[2])}

    def forward_views(self, s, z):
        return z[:, :, :, 1:3], *z.unbind(3), s[:-1], s[1:]

    def forward(self, ru, n, r, u, m, s, s_next):
        ru.sigmoid_()
        n.addcmul_(r, m).sigmoid_()
        torch.lerp(n, s, u, out=s_next)

    def backward_views(self, s, z, ds, dz):
        return z[:, :, :, 1:3], *z.unbind(3), s[:-1], ds[:-1], ds[1:], dz[:, :, :, 1:3], *dz.unbind(3)

    def backward(self, ru, n, r, u, m, s, ds, ds_next, dru, dn, dr, du, dm):
        torch.sub(s, n, out=du).mul_(ds_next)
        ds.addcmul_(ds_next, u)
        torch.mul(ds_next, u, out=dn)
        torch.sub(ds_next, dn, out=dn)
        sigmoid_backward(dn, n, grad_input=dn)
        torch.mul(dn, m, out=dr)
        torch.mul(dn, r, out=dm)
        sigmoid_backward(dru, ru, grad_input=dru)


class Buffers(dict):
    """Named tensors, kept until another shape or dtype is asked for, and views of their slots, kept as long."""

    def __init__(self):
        self.views = {}

    def __call__(self, name, *shape, dtype):
        kept = self.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            del kept
            self.views.clear()
            self.pop(name, None)  # free the old one first
            self[name] = torch.empty(shape, dtype=dtype)
        return self[name]

    def slots(self, buffer):
        """`buffer.unbind()`, made once: a batch spends a tenth of its time on views if it makes its own."""
        key = buffer.data_ptr(), buffer.shape, buffer.stride()  # never another's: views keep the memory from reuse
        if key not in self.views:
            self.views[key] = buffer.unbind()
        return self.views[key]


class BPTT:
    """Loss and exact gradients of an Adder on kept buffers.

    `model` has .embed_layer (Embedding), .rnn (RNN, LSTM or GRU with biases, time-major) and .dense (Linear), on the
    CPU. `kept_bytes` bounds what the forward walk keeps; a longer sequence is walked in segments within that bound,
    and the backward walk recomputes each but the last from its first state. Both ways give the same bits.
    """

    def __init__(self, model, kept_bytes=KEPT_BYTES):
        self.model, self.kept_bytes = model, kept_bytes
        self.cell = {"RNN_TANH": RNN, "LSTM": LSTM, "GRU": GRU}[model.rnn.mode]()
        self.layers, self.hidden = model.rnn.num_layers, model.rnn.hidden_size
        self.gap = (self.cell.blocks - self.cell.reach) * self.hidden
        scale = torch.tensor(self.cell.scale, dtype=torch.float64).repeat_interleave(self.hidden)
        reached = scale[: len(scale) - self.gap], scale[self.gap :]
        self.scale = torch.stack(reached * self.layers)  # of what layer 0 gets from below and from itself, layer 1, …
        self.digit_pairs = torch.cartesian_prod(torch.arange(10), torch.arange(10))
        self.links = list(self.find_links())
        self.training, self.predicting = Buffers(), Buffers()

    def __call__(self, num1, num2, total):
        """Mean cross-entropy over all digits; overwrites .grad of every parameter.

        num1, num2, total: int64 [batch, digits]. Returns a tensor without dimensions.
        """
        folded = self.fold()
        with torch.no_grad():
            loss, gradients = Walk(self, self.training, num1, num2, folded, self.kept_bytes).gradients(total)
        self.model.zero_grad()
        torch.autograd.backward(folded, gradients)
        return loss

    @torch.no_grad()
    def predict(self, num1, num2):
        """The most likely digit at every position: int64 [batch, digits]; states of one chunk are all it keeps."""
        walk = Walk(self, self.predicting, num1, num2, self.fold(), kept_bytes=0)
        digits = torch.empty(num1.T.shape, dtype=torch.int64)
        for first in walk.segments:
            walk.enter(first)
            walk.forward(first)
            digits[walk.positions(first)] = walk.logits(first).argmax(0).view(-1, len(num1))
        return digits.T

    def find_links(self):
        """What reaches what: layer, columns of the state it reads, pre-activations it reaches, rows of the weights."""
        hidden, blocks = self.hidden, self.cell.blocks * self.hidden
        for k in range(self.layers):
            start, to, by, below = k * hidden, k * blocks, 2 * k * hidden, hidden * (k > 0)
            if not self.gap:  # one product for what comes from below and from the layer itself
                yield k, slice(start - below, start + hidden), slice(to, to + blocks), slice(by - below, by + hidden)
                continue
            yield k, slice(start, start + hidden), slice(to + self.gap, to + blocks), slice(by, by + hidden)
            if below:
                yield k, slice(start - hidden, start), slice(to, to + blocks - self.gap), slice(by - hidden, by)

    @torch.enable_grad()
    def fold(self):
        """The weights of the walk, as differentiable functions of the model's parameters.

        Returns table [100, layers * blocks * hidden], what digit pair and biases give each pre-activation; weights
        [(2 * layers - 1) * hidden, reach * hidden], of layer 0's state, then of the state below and of the own state of
        every layer above; dense [10, hidden] and its bias [10].
        """
        model, shift, gap, above = self.model, self.cell.shift, self.gap, range(1, self.layers)
        w_in, b_in, w, b = (
            [getattr(model.rnn, f"{name}_l{k}") for k in range(self.layers)]
            for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        if gap:  # PyTorch's r, z, n becomes n, r, u for the input
            w_in, b_in = ([p.roll(gap, 0) for p in ps] for ps in (w_in, b_in))
        scale = self.scale.to(w[0].dtype)
        weights = torch.stack([w[0].T] + [m.T for k in above for m in (w_in[k], w[k])]) * (2 * scale[1:, None])
        bias = torch.stack([b[0]] + [m for k in above for m in (b_in[k], b[k])]) * scale[1:]
        if shift:
            bias = bias + weights.sum(1) * (shift / 2)
        embedded = embedding(self.digit_pairs, model.embed_layer.weight).flatten(1)
        digits = linear(embedded, w_in[0], b_in[0]) * scale[0]
        below, own = torch.cat([digits, bias[1::2].flatten().expand(len(digits), -1)], 1), bias[::2]
        if gap:
            below, own = pad(below.view(len(digits), self.layers, -1), (0, gap)).flatten(1), pad(own, (gap, 0))
        dense = model.dense.weight
        return below + own.flatten(), weights.flatten(0, 1), 2 * dense, model.dense.bias + shift * dense.sum(1)


class Walk:
    """One batch's way through the slots: layer k works on position t in slot t + k.

    The tape holds the slots of one segment, row 0 the state before them; a segment is walked in chunks.
    """

    def __init__(self, bptt, buffers, num1, num2, folded, kept_bytes):
        self.cell, self.links = bptt.cell, bptt.links
        self.table, self.weights, self.dense, self.dense_bias = folded
        self.zero = {"s": -self.cell.shift / 2, "c": 0}  # what stands for h = 0, c = 0
        self.blocks = [self.weights[by] for *_, by in self.links]
        self.batch, self.length = num1.shape
        self.lag, self.slots = bptt.layers - 1, self.length + bptt.layers - 1
        self.shape = self.batch, bptt.layers, bptt.hidden
        slot_bytes = self.batch * bptt.layers * bptt.hidden * self.dense.element_size()
        self.chunk = max(1, min(128, CHUNK_BYTES // slot_bytes))
        pieces = -(-self.slots * slot_bytes * self.cell.kept // max(kept_bytes, 1))
        self.segment = max(1, -(-self.slots // (pieces * self.chunk))) * self.chunk
        self.segments = range(0, self.slots, self.segment)

        def new(name, *shape, dtype=self.dense.dtype):
            return buffers(name, *shape, dtype=dtype)

        self.new, self.unbind = new, buffers.slots
        self.tape = self.cell.buffers(new, min(self.slots, self.segment), *self.shape)
        self.pairs = new("pairs", self.slots, self.batch, dtype=torch.int64)
        torch.mul(num1.T, 10, out=self.pairs[: self.length]).add_(num2.T)
        self.pairs[self.length :] = 0  # only layers above still work

    def gradients(self, total):
        """The mean loss, and its gradients in the four folded weights."""
        new, tape = self.new, self.tape
        self.target = new("target", self.length, self.batch, dtype=torch.int64).copy_(total.T)
        saved = {name: new(f"{name} of segments", len(self.segments), *self.shape) for name in self.cell.states}
        for k, begin in enumerate(self.segments):
            self.enter(begin)
            for name in saved:
                saved[name][k] = tape[name][0]
            for first in self.chunks(begin):
                self.forward(first)

        self.loss = self.dense.new_zeros(())
        self.sums = [torch.zeros_like(weight) for weight in (self.table, self.weights, self.dense, self.dense_bias)]
        self.gradient = self.cell.gradient_buffers(new, self.chunk, *self.shape)
        for name in self.cell.states:
            self.gradient[f"d{name}"][0] = 0
        for k, begin in reversed(list(enumerate(self.segments))):
            if begin != self.begin:
                self.begin = begin
                for name in saved:
                    tape[name][0] = saved[name][k]
                for first in self.chunks(begin):
                    self.forward(first)
            for first in reversed(self.chunks(begin)):
                self.backward(first)
        return self.loss / self.target.numel(), self.sums

    def chunks(self, begin):
        """First slots of the chunks of the segment that begins at a slot."""
        return range(begin, min(begin + self.segment, self.slots), self.chunk)

    def enter(self, begin):
        """Take row 0 of the tape from the segment before, or from the zero state."""
        self.begin = begin
        for name in self.cell.states:
            self.tape[name][0] = self.tape[name][self.segment] if begin else self.zero[name]

    def rows(self, first):
        """The tape of a chunk: its slots, and of the states also the one before them."""
        row, count = first - self.begin, min(self.chunk, self.slots - first)
        return count, {name: t[row : row + count + (name in self.cell.states)] for name, t in self.tape.items()}

    def products(self, first, count, state, z, weights):
        """For each slot of a chunk, the products in it: columns of the state, pre-activations, weights between them."""
        products = [[] for _ in range(count)]
        for (k, of, to, _), weight in zip(self.links, weights, strict=True):
            work = self.at_work(k, first, count)
            views = zip(products[work], self.unbind(state[work, :, of]), self.unbind(z[work, :, to]), strict=True)
            for product, columns, block in views:
                product.append((columns, block, weight))
        return products

    def at_work(self, layer, first, count):
        """The slots of a chunk in which a layer works."""
        return slice(max(layer - first, 0), max(min(layer - first + self.length, count), 0))

    def positions(self, first):
        """Positions at which the top layer works in a chunk."""
        return slice(max(first - self.lag, 0), max(min(first + self.chunk, self.slots) - self.lag, 0))

    def top(self, states, first, begin):
        """What the top layer has at these positions, of states that begin at a slot: [positions * batch, hidden]."""
        at, ahead = self.positions(first), self.lag + 1 - begin
        return states[at.start + ahead : at.stop + ahead, :, -1].flatten(0, 1)

    def logits(self, first):
        """Logits [10, positions * batch]: softmax over the first dimension is far faster than over a last of ten."""
        top = self.top(self.tape["s"], first, self.begin)
        logits = self.new("logits", 10 * self.chunk * self.batch)[: 10 * len(top)].view(10, -1)
        return torch.addmm(self.dense_bias[:, None], self.dense, top.T, out=logits)

    def forward(self, first):
        """Fill the tape for a chunk of slots."""
        count, tape = self.rows(first)
        s, z = tape["s"].flatten(2), tape["z"].flatten(2)
        torch.index_select(self.table, 0, self.pairs[first : first + count].flatten(), out=z.flatten(0, 1))
        products = self.products(first, count, s[:-1], z, self.blocks)
        views = zip(*map(self.unbind, self.cell.forward_views(**tape)), strict=True)
        for slot, (product, view) in enumerate(zip(products, views, strict=True), first):
            for state, to, weight in product:
                to.addmm_(state, weight)
            self.cell.forward(*view)
            if slot < self.lag:  # layers above have not begun
                for name in self.cell.states:
                    tape[name][slot - first + 1, :, slot + 1 :] = self.zero[name]

    def backward(self, first):
        """Add a chunk's loss and gradients to the sums; the states' gradient goes on to the chunk before."""
        count, tape = self.rows(first)
        gradient = {name: t[: count + (name == "ds")] for name, t in self.gradient.items()}
        gradient["ds"][-1] = gradient["ds"][0]
        gradient["ds"][:-1] = 0
        self.head(first)
        dtable, dweights, _, _ = self.sums
        s, ds, dz = tape["s"].flatten(2), gradient["ds"].flatten(2), gradient["dz"].flatten(2)
        products = self.products(first, count, ds[:-1], dz, [block.T for block in self.blocks])
        views = zip(*map(self.unbind, self.cell.backward_views(**tape, **gradient)), strict=True)
        for slot, (product, view) in reversed(list(enumerate(zip(products, views, strict=True), first))):
            if slot < self.lag:
                for name in self.cell.states:
                    gradient[f"d{name}"][slot - first + (name == "s"), :, slot + 1 :] = 0
            self.cell.backward(*view)
            for state, to, weight in product:
                state.addmm_(to, weight)
        for k, of, to, by in self.links:
            work = self.at_work(k, first, count)
            dweights[by].addmm_(s[:-1][work, :, of].flatten(0, 1).T, dz[work, :, to].flatten(0, 1))
        dtable.index_add_(0, self.pairs[first : first + count].flatten(), dz.flatten(0, 1))

    def head(self, first):
        """Cross-entropy of the top layer's positions in a chunk, and back to their states."""
        logits = self.logits(first)
        target = self.target[self.positions(first)].view(1, -1)
        scores = self.new("scores", 10 * self.chunk * self.batch)[: logits.numel()].view(10, -1)
        torch.log_softmax(logits, 0, out=scores)
        self.loss -= scores.gather(0, target).sum()
        scores.exp_().scatter_(0, target, -1, reduce="add")  # probabilities less the one-hot target
        _, _, ddense, dbias = self.sums
        share = 1 / self.target.numel()
        self.top(self.gradient["ds"], first, first).addmm_(scores.T, self.dense, alpha=share)
        ddense.addmm_(scores, self.top(self.tape["s"], first, self.begin), alpha=share)
        dbias.add_(scores.sum(1), alpha=share)
