"""Loss and exact gradients of an `Adder` by backpropagation through time, on kept buffers.

Plain PyTorch spends most of a long batch outside arithmetic: on fresh memory, on a graph of a node for each operation,
and on tanh. Four observations remove that; none of them is an approximation.

1. *A skewed stack is one layer.* Let layer l work on position t - l while layer 0 works on position t. Every layer of such
   a "slot" then needs only the slot before it, so a stack of L layers is one recurrent cell with state [batch, L, hidden]
   and block bidiagonal weights, and one pointwise operation serves all layers.
2. *tanh is a logistic function*, tanh(x) = 2 σ(2x) - 1, and σ is six times cheaper. The state is kept as s = (h + 1) / 2
   (RNN, GRU) or s = h / 2 (LSTM); the constants are folded into the weights once a batch.
3. *There are only 100 digit pairs*, so embedding, input weights and biases of layer 0 are a table of 100 rows.
4. *Folding is differentiable.* From the parameters to the folded weights (a few small matrices) autograd does the work;
   from the folded weights to the loss, where the length is, the recurrences below do, forward and backward.
"""

from itertools import repeat

import torch
from torch.nn.functional import embedding, linear, pad

CHUNK_BYTES = 2 << 20  # states of one chunk of slots: what stays in cache
KEPT_BYTES = 4 << 30  # what the forward walk may keep for the backward walk; past it, segments are recomputed

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class RNN:
    """s' = σ(z), with h = 2s - 1. Backward: dz = ds' s' (1 - s')."""

    blocks, reach = 1, 1  # blocks of pre-activations a layer; how many of them each of its two inputs reaches
    scale, shift = (2,), -1  # of the blocks, for tanh; h = 2s + shift
    start = {"s": 0.5}

    def buffers(self, new, slots, batch, layers, hidden):
        s = new("s", slots + 1, batch, layers, hidden)
        return {"s": s, "z": s[1:, :, :, None]}

    def gradient_buffers(self, new, slots, batch, layers, hidden):
        ds = new("ds", slots + 1, batch, layers, hidden)
        return {"ds": ds, "dz": ds[1:, :, :, None]}

    def forward_views(self, s, z):
        return (s[1:],)

    def forward(self, s):
        s.sigmoid_()

    def backward_views(self, s, z, ds, dz):
        return s[1:], ds[1:]

    def backward(self, s, ds):
        sigmoid_backward(ds, s, grad_input=ds)


class LSTM:
    """i, f, g, o = σ(z);  c' = f c + i (g - ½);  q = σ(4c');  s' = o (q - ½), with h = 2s and c half of the usual cell.

    Backward: do = ds' (q - ½);  dc' += 4 ds' o q (1 - q);  di = dc' (g - ½);  df = dc' c;  dg = dc' i;  dc = dc' f;
    then dz is d(i, f, g, o) through σ.
    """

    blocks, reach = 4, 4
    scale, shift = (1, 1, 2, 1), 0
    start = {"s": 0.0, "c": 0.0}

    def buffers(self, new, slots, batch, layers, hidden):
        return {
            "s": new("s", slots + 1, batch, layers, hidden),
            "c": new("c", slots + 1, batch, layers, hidden),
            "q": new("q", slots, batch, layers, hidden),
            "z": new("z", slots, batch, layers, 4, hidden),
        }

    def gradient_buffers(self, new, slots, batch, layers, hidden):
        return {
            "ds": new("ds", slots + 1, batch, layers, hidden),
            "dc": new("dc", 1, batch, layers, hidden),
            "dq": new("dq", 1, batch, layers, hidden),
            "dz": new("dz", slots, batch, layers, 4, hidden),
        }

    def forward_views(self, s, c, q, z):
        return z, *z.unbind(3), c[:-1], c[1:], q, s[1:]

    def forward(self, z, i, f, g, o, c, c_next, q, s_next):
        z.sigmoid_()
        torch.mul(f, c, out=c_next).addcmul_(i, g).sub_(i, alpha=0.5)
        torch.mul(c_next, 4, out=q).sigmoid_()
        torch.mul(o, q, out=s_next).sub_(o, alpha=0.5)

    def backward_views(self, s, c, q, z, ds, dc, dq, dz):
        slots = len(q)
        carried = dc.expand(slots, -1, -1, -1), dq.expand(slots, -1, -1, -1)
        return z, *z.unbind(3), c[:-1], q, ds[1:], *carried, dz, *dz.unbind(3)

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
    """n, r, u, m: z's four blocks;  r, u = σ(r, u);  n = σ(n + r m);  s' = n + u (s - n), with h = 2s - 1.

    PyTorch's variant: m is the state's share of the candidate with its bias, n the input's. Block n is not reached by the
    state, block m not by the layer below.
    Backward: dn = ds' (1 - u) through σ;  dm = dn r;  dr = dn m and du = ds' (s - n) through σ;  ds = ds' u.
    """

    blocks, reach = 4, 3
    scale, shift = (2, 1, 1, 2), -1
    start = {"s": 0.5}

    def buffers(self, new, slots, batch, layers, hidden):
        return {
            "s": new("s", slots + 1, batch, layers, hidden),
            "z": new("z", slots, batch, layers, 4, hidden),
        }

    def gradient_buffers(self, new, slots, batch, layers, hidden):
        return {
            "ds": new("ds", slots + 1, batch, layers, hidden),
            "dz": new("dz", slots, batch, layers, 4, hidden),
        }

    def forward_views(self, s, z):
        return z[:, :, :, 1:3], *z.unbind(3), s[:-1], s[1:]

    def forward(self, ru, n, r, u, m, s, s_next):
        ru.sigmoid_()
        n.addcmul_(r, m).sigmoid_()
        torch.lerp(n, s, u, out=s_next)

    def backward_views(self, s, z, ds, dz):
        return z[:, :, :, 1:3], *z.unbind(3), s[:-1], ds[1:], ds[:-1], dz[:, :, :, 1:3], *dz.unbind(3)

    def backward(self, ru, n, r, u, m, s, ds_next, ds, dru, dn, dr, du, dm):
        torch.sub(s, n, out=du).mul_(ds_next)
        ds.addcmul_(ds_next, u)
        torch.mul(ds_next, u, out=dn)
        torch.sub(ds_next, dn, out=dn)
        sigmoid_backward(dn, n, grad_input=dn)
        torch.mul(dn, m, out=dr)
        torch.mul(dn, r, out=dm)
        sigmoid_backward(dru, ru, grad_input=dru)


CELLS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


class Buffers(dict):
    """Named tensors, kept until another shape or dtype is asked for."""

    def __init__(self, like):
        super().__init__()
        self.like = like

    def __call__(self, name, *shape, dtype=None):
        dtype = dtype or self.like.dtype
        kept = self.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            self.pop(name, None)
            kept = self[name] = torch.empty(shape, dtype=dtype)
        return kept


KEPT = {"RNN": 1, "LSTM": 7, "GRU": 5}


class BPTT:
    """Loss and exact gradients of an Adder on kept buffers.

    `model` has .embed_layer (Embedding), .rnn (RNN, LSTM or GRU with biases, time-major) and .dense (Linear), on the CPU.
    `kept_bytes` bounds what the forward walk keeps; a longer sequence is walked in segments of that size, which the backward
    walk recomputes from their first states. Both ways give the same bits.
    """

    def __init__(self, model, kept_bytes=KEPT_BYTES):
        self.model, self.kept_bytes = model, kept_bytes
        self.cell = CELLS[model.rnn.mode.split("_")[0]]()
        self.layers, self.hidden = model.rnn.num_layers, model.rnn.hidden_size
        gap = self.cell.blocks - self.cell.reach
        scale = torch.tensor(self.cell.scale, dtype=torch.float64).repeat_interleave(self.hidden)
        reached = scale[: len(scale) - gap * self.hidden], scale[gap * self.hidden :]
        self.scale = torch.stack(reached * self.layers)  # of what reaches layer 0 from below, itself, layer 1 from below, …
        self.digit_pairs = torch.cartesian_prod(torch.arange(10), torch.arange(10))
        self.kept, self.predicting = Buffers(model.dense.weight), Buffers(model.dense.weight)

    def __call__(self, num1, num2, total):
        """Mean cross-entropy over all digits; overwrites .grad of every parameter.

        num1, num2, total: int64 [batch, digits]. Returns a tensor without dimensions.
        """
        parameters = list(self.model.parameters())
        folded = self.fold()
        with torch.no_grad():
            loss, gradients = self.walk(num1, num2, total, *folded)
        for parameter, gradient in zip(parameters, torch.autograd.grad(folded, parameters, gradients), strict=True):
            parameter.grad = gradient.contiguous()  # what a fused optimizer takes for granted
        return loss

    @torch.no_grad()
    def predict(self, num1, num2):
        """The most likely digit at every position: int64 [batch, digits]. Memory for states does not grow with length."""
        batch, length = num1.shape
        table, weights, dense, dense_bias = self.fold()
        slots, chunk = length + self.layers - 1, self.chunk(batch)
        tape = self.cell.buffers(self.predicting, chunk, batch, self.layers, self.hidden)
        pairs = self.pairs(self.predicting, num1, num2)
        digits = torch.empty(length, batch, dtype=torch.int64)
        self.begin(tape)
        for first in range(0, slots, chunk):
            count = min(chunk, slots - first)
            self.forward(tape, 0, first, length, pairs[first : first + count], table, weights)
            top = self.top(tape["s"], 0, first, count)
            if top is not None:
                position = max(first - self.layers + 1, 0)
                best = torch.addmm(dense_bias[:, None], dense, top.T).argmax(0).view(-1, batch)
                digits[position : position + len(best)] = best
            for state in self.cell.start:
                tape[state][0] = tape[state][count]
        return digits.T

    def fold(self):
        """The weights of the walk, as differentiable functions of the model's parameters.

        Returns table [100, layers * blocks * hidden], what digit pair and biases give each pre-activation; weights
        [(2 * layers - 1) * hidden, reach * hidden], U of layer 0, then W and U of every layer above, transposed;
        dense [10, hidden] and its bias [10].
        """
        cell, model, layers = self.cell, self.model, self.layers
        w_in, b_in, w, b = (
            [getattr(model.rnn, f"{name}_l{k}") for k in range(layers)]
            for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        gap = (cell.blocks - cell.reach) * self.hidden
        scale = self.scale.to(w[0].dtype)
        with torch.enable_grad():
            if gap:  # PyTorch's r, z, n becomes n, r, u for the input
                w_in, b_in = ([p.roll(gap, 0) for p in ps] for ps in (w_in, b_in))
            above = range(1, layers)
            weights = torch.stack([w[0].T] + [m.T for k in above for m in (w_in[k], w[k])]) * (2 * scale[1:, None])
            bias = torch.stack([b[0]] + [m for k in above for m in (b_in[k], b[k])]) * scale[1:]
            if cell.shift:
                bias = bias + weights.sum(1) * (cell.shift / 2)
            embedded = embedding(self.digit_pairs, model.embed_layer.weight).flatten(1)
            digits = linear(embedded, w_in[0], b_in[0]) * scale[0]
            table = torch.cat([digits, bias[1::2].flatten().expand(len(digits), -1)], 1).view(len(digits), layers, -1)
            table = pad(table, (0, gap)) + pad(bias[::2], (gap, 0))
            dense = model.dense.weight
            return table.flatten(1), weights.flatten(0, 1), 2 * dense, model.dense.bias + cell.shift * dense.sum(1)

    def links(self, first, count, length):
        """Products of a chunk of slots, in four slices: slots in which the layer works, columns of the state it reads,
        columns of the pre-activations it reaches, rows of the weights."""
        hidden, reach, blocks = self.hidden, self.cell.reach * self.hidden, self.cell.blocks * self.hidden
        for k in range(self.layers):
            when = slice(max(k - first, 0), max(min(k - first + length, count), 0))
            own, to, by = k * hidden, k * blocks, 2 * k * hidden
            below = hidden if k else 0
            if reach == blocks:  # one product for both
                yield when, slice(own - below, own + hidden), slice(to, to + blocks), slice(by - below, by + hidden)
                continue
            yield when, slice(own, own + hidden), slice(to + blocks - reach, to + blocks), slice(by, by + hidden)
            if below:
                yield when, slice(own - hidden, own), slice(to, to + reach), slice(by - hidden, by)

    def chunk(self, batch):
        """Slots in a chunk."""
        slot = batch * self.layers * self.hidden * self.model.dense.weight.element_size()
        return max(1, min(128, CHUNK_BYTES // slot))

    def pairs(self, new, num1, num2):
        """Digit pairs 10 a + b by slot: [slots, batch]; 0 where layer 0 is done and only layers above still work."""
        batch, length = num1.shape
        pairs = new("pairs", length + self.layers - 1, batch, dtype=torch.int64)
        torch.mul(num1.T, 10, out=pairs[:length]).add_(num2.T)
        pairs[length:] = 0
        return pairs

    def begin(self, tape):
        for state, start in self.cell.start.items():
            tape[state][0] = start

    def top(self, s, row, first, count):
        """The top layer's states [positions * batch, hidden] after slots first to first + count, or None."""
        idle = max(self.layers - 1 - first, 0)
        if idle >= count:
            return None
        return s[row + idle + 1 : row + count + 1, :, -1].flatten(0, 1)

    def forward(self, tape, row, first, length, pairs, table, weights):
        """Slots first, first + 1, … on rows row, row + 1, … of the tape."""
        count, start = len(pairs), self.cell.start
        rows = {name: t[row : row + count + (name in start)] for name, t in tape.items()}
        s, z = rows["s"].flatten(2), rows["z"].flatten(2)
        torch.index_select(table, 0, pairs.flatten(), out=z.flatten(0, 1))
        products = [[] for _ in pairs]
        for when, of, to, by in self.links(first, count, length):
            work = zip(products[when], z[when, :, to].unbind(), s[:-1][when, :, of].unbind(), repeat(weights[by]))
            for product, *factors in work:
                product.append(factors)
        views = zip(*(view.unbind() for view in self.cell.forward_views(**rows)), strict=True)
        for slot, (product, view) in enumerate(zip(products, views), first):
            for to, of, weight in product:
                to.addmm_(of, weight)
            self.cell.forward(*view)
            if slot < self.layers - 1:  # layers above have not begun
                for state, value in start.items():
                    rows[state][slot - first + 1, :, slot + 1 :] = value

    def backward(self, tape, gradients, row, first, length, pairs, weights, sums):
        """Back through the same slots: `gradients` of the states, in its last row coming in and in its first going out."""
        count, start = len(pairs), self.cell.start
        rows = {name: t[row : row + count + (name in start)] for name, t in tape.items()}
        rows |= {name: t[: count + (name == "ds")] for name, t in gradients.items()}
        s, ds, dz = rows["s"].flatten(2), rows["ds"].flatten(2), rows["dz"].flatten(2)
        dtable, dweights = sums
        products = [[] for _ in pairs]
        for when, of, to, by in self.links(first, count, length):
            work = zip(products[when], ds[:-1][when, :, of].unbind(), dz[when, :, to].unbind(), repeat(weights[by].T))
            for product, *factors in work:
                product.append(factors)
        views = zip(*(view.unbind() for view in self.cell.backward_views(**rows)), strict=True)
        for slot, (product, view) in reversed(list(enumerate(zip(products, views), first))):
            if slot < self.layers - 1:
                rows["ds"][slot - first + 1, :, slot + 1 :] = 0
                if "dc" in rows:
                    rows["dc"][:, :, slot + 1 :] = 0
            self.cell.backward(*view)
            for of, to, weight in product:
                of.addmm_(to, weight)
        for when, of, to, by in self.links(first, count, length):
            dweights[by].addmm_(s[:-1][when, :, of].flatten(0, 1).T, dz[when, :, to].flatten(0, 1))
        dtable.index_add_(0, pairs.flatten(), dz.flatten(0, 1))

    def walk(self, num1, num2, total, table, weights, dense, dense_bias):
        """Loss and its gradients in table, weights, dense and dense_bias."""
        cell, new, (batch, length) = self.cell, self.kept, num1.shape
        slots, chunk = length + self.layers - 1, self.chunk(batch)
        shape = batch, self.layers, self.hidden
        slot_bytes = batch * self.layers * self.hidden * dense.element_size() * KEPT[type(cell).__name__]
        segment = max(1, self.kept_bytes // (slot_bytes * chunk)) * chunk
        tape = cell.buffers(new, min(slots, segment), *shape)
        gradients = cell.gradient_buffers(new, chunk, *shape)
        pairs = self.pairs(new, num1, num2)
        target = new("target", length, batch, dtype=torch.int64).copy_(total.T)
        loss = dense.new_zeros(())
        dtable, dweights, ddense, dbias = sums = [torch.zeros_like(p) for p in (table, weights, dense, dense_bias)]
        logits, scores = (new(name, 10 * chunk * batch) for name in ("logits", "scores"))
        firsts = range(0, slots, segment)
        saved = {state: new(f"first {state}", len(firsts), *shape) for state in cell.start}

        def forward(begin):
            for first in range(begin, min(begin + segment, slots), chunk):
                stop = min(first + chunk, begin + segment)
                self.forward(tape, first - begin, first, length, pairs[first:stop], table, weights)

        self.begin(tape)
        for k, begin in enumerate(firsts):
            for state in saved:
                if k:
                    tape[state][0] = tape[state][segment]
                saved[state][k] = tape[state][0]
            forward(begin)
        gradients["ds"][0] = 0
        if "dc" in gradients:
            gradients["dc"].zero_()
        for k, begin in reversed(list(enumerate(firsts))):
            if k < len(firsts) - 1:
                for state in saved:
                    tape[state][0] = saved[state][k]
                forward(begin)
            for first in reversed(range(begin, min(begin + segment, slots), chunk)):
                count = min(chunk, slots - first)
                ds = gradients["ds"]
                ds[count] = ds[0]
                ds[:count].zero_()
                top = self.top(tape["s"], first - begin, first, count)
                if top is not None:
                    n = len(top)
                    position = max(first - self.layers + 1, 0)
                    wanted = target[position : position + n // batch].view(1, -1)
                    logit, score = logits[: 10 * n].view(10, n), scores[: 10 * n].view(10, n)
                    torch.addmm(dense_bias[:, None], dense, top.T, out=logit)
                    torch.log_softmax(logit, 0, out=score)
                    loss -= score.gather(0, wanted).sum()
                    score.exp_().scatter_(0, wanted, -1, reduce="add")
                    share = 1 / (batch * length)
                    self.top(ds, 0, first, count).addmm_(score.T, dense, alpha=share)
                    ddense.addmm_(score, top.T.T, alpha=share)
                    dbias.add_(score.sum(1), alpha=share)
                self.backward(tape, gradients, first - begin, first, length, pairs[first : first + count], weights, (dtable, dweights))
        return loss / (batch * length), sums
