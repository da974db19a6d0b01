"""Which models the kernels serve: those whose every part is plain, for the kernels read weights and not code."""

import functools

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from addlab.engine import cells

FORWARDS = set()
CELLS = {getattr(nn, name): name for name in cells.CELLS}
PARTS = {"embed_layer": {nn.Embedding}, "rnn": set(CELLS), "dense": {nn.Linear}}
OPTIONS = {  # beyond the class; sizes are free
    "embed_layer": dict(num_embeddings=10, padding_idx=None, max_norm=None, scale_grad_by_freq=False, sparse=False),
    "rnn": dict(bias=True, bidirectional=False, batch_first=False, proj_size=0),
    "dense": dict(out_features=10),
}


def served(forward):
    """Mark a method `forward` as what the kernels compute: dense(rnn(embeddings of both numbers, side by side)).

    The function itself is noted, so that a subclass with a forward of its own is not taken for it.
    """
    FORWARDS.add(forward)
    return forward


@functools.cache
def shapes(cell, layers, hidden, embedding):
    """{name: shape} of all parameters of an adder, in torch's order."""
    rows, found = len(cells.CELLS[cell].inputs) * hidden, {"embed_layer.weight": (10, embedding)}
    for k in range(layers):
        found |= {f"rnn.weight_ih_l{k}": (rows, hidden if k else 2 * embedding), f"rnn.weight_hh_l{k}": (rows, hidden),
                  f"rnn.bias_ih_l{k}": (rows,), f"rnn.bias_hh_l{k}": (rows,)}
    return found | {"dense.weight": (10, hidden), "dense.bias": (10,)}


def sizes(model):
    """(cell's name, layers, hidden, embedding) of a model that is served."""
    return CELLS[type(model.rnn)], model.rnn.num_layers, model.rnn.hidden_size, model.embed_layer.embedding_dim


def named(model):
    """{name: parameter} of a model's three parts, which is all that a served model has, in torch's order."""
    return {f"{part}.{name}": p for part in PARTS for name, p in model._modules[part]._parameters.items()
            if p is not None}


def refusal(model):
    """What keeps a model from being served, in words that follow "got"; "" if nothing does."""
    kind = type(model)
    if not isinstance(model, nn.Module) or kind.forward not in FORWARDS or kind.__call__ is not nn.Module.__call__:
        return f"{kind.__name__}, whose forward the engine does not know"
    parts = model._modules
    if (parts.keys() != PARTS.keys() or None in parts.values() or model._parameters
            or any(part._modules for part in parts.values())):
        return f"{kind.__name__} with other parts than {', '.join(PARTS)}"
    if _has_any_global_hook():
        return "a hook of all modules"
    if hooked(model):
        return f"{kind.__name__} with a hook"
    for name, part in parts.items():
        if type(part) not in PARTS[name]:
            return f"{name} that is a {type(part).__name__}"
        for option, value in OPTIONS[name].items():
            if getattr(part, option) != value:
                return f"{name} with {option}={getattr(part, option)}"
        if hooked(part):
            return f"{name} with a hook"
    rnn = parts["rnn"]
    if rnn.mode != cells.CELLS[CELLS[type(rnn)]].mode:
        return f"rnn of mode {rnn.mode}"
    if rnn.dropout and rnn.training:
        return f"rnn with dropout={rnn.dropout} in training mode"
    parameters, wanted = named(model), shapes(*sizes(model))
    if list(parameters) != list(wanted):
        return f"other parameters than an adder's: {', '.join(sorted(parameters.keys() ^ wanted.keys())) or 'disorder'}"
    if len(set(map(id, parameters.values()))) < len(parameters):
        return "one parameter in two places"
    for name, p in parameters.items():
        if p.shape != wanted[name]:
            return f"{name} of shape {tuple(p.shape)}"
        if not (p.is_cpu and p.dtype is torch.float32 and type(p) is nn.Parameter and p.is_contiguous()):
            return f"{name} that is a {type(p).__name__} of {p.dtype} on {p.device}"
        if p._backward_hooks or p._post_accumulate_grad_hooks:
            return f"{name} with a hook"
    return ""


def hooked(module):
    """Whether calling a module does more than its class says."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
                or module._backward_pre_hooks or "forward" in vars(module))
