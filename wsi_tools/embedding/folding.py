"""Networks made faster on a CPU with the same answer: norms folded away, kernels fused.

A batch norm that follows a convolution is another scale and offset of its weights, exactly in exact
arithmetic (Jacob et al., CVPR 2018, section 3.2). What can be traced is rewritten as such; what
cannot, or then answers otherwise, stays as it is.
"""

import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wsi_tools.embedding.onednn import (
    ACTIVATIONS,
    Convolution,
    Product,
    computes_in,
    is_plain,
)

__all__ = ["quickened"]

# What tracing raises where a network's way depends on its input, or leaves the tensors.
_UNTRACEABLE = (TraceError, TypeError, RuntimeError, AttributeError, LookupError, AssertionError)
TOLERANCE = 1e-4  # of the features' norm: rounding stays far below it, a mistake far above


def quickened(network: nn.Module, px: int, dtype: torch.dtype) -> nn.Module:
    """The network on oneDNN's kernels where they are known to be faster.

    Args:
        network: on the CPU, in evaluation mode, channels last; not to be used any more.
        px: side of its pictures.
        dtype: what it computes in; in bfloat16 under autocast, as before.

    Returns:
        What takes and gives the same, to rounding; the network itself where nothing can be done.
    """
    if not computes_in(dtype):
        return network
    made = _folded(network, px)
    for name, layer in list(made.named_modules()):
        if isinstance(layer, Convolution):
            layer.pack(dtype)
        elif name and type(layer) is nn.Linear and dtype == torch.float32:
            made.set_submodule(name, Product(layer))
    return made


def _folded(network: nn.Module, px: int) -> nn.Module:
    """The network with its norms in its convolutions; itself where it has none or goes astray."""
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        return network
    seed = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 3, px, px, generator=seed).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        traced = _traced(network, pictures)
        if traced is None:
            return network
        made = _Rewriting(traced).done()
        return made if _agree(network(pictures), made(pictures)) else network


class _Tracer(fx.Tracer):
    """Looks into every module but the layers of torch, and norms of any make."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _traced(network: nn.Module, pictures: Tensor) -> fx.GraphModule | None:
    """Layers in the order they are called, with the shapes of what they give."""
    try:
        traced = fx.GraphModule(network, _Tracer().trace(network))
        ShapeProp(traced).propagate(pictures)
    except _UNTRACEABLE:
        return None
    return traced.eval()


def _agree(expected: Tensor, found: Tensor) -> bool:
    return bool((found - expected).norm() <= TOLERANCE * expected.norm())


class _Rewriting:
    """A traced network on its way; only layers with weights that are called once are touched."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced, self.graph = traced, traced.graph
        calls = Counter(node.target for node in self.nodes() if node.op == "call_module")
        self.once = {target for target, times in calls.items() if times == 1}

    def done(self) -> fx.GraphModule:
        """Take out what is idle, fold norms, then choose kernels."""
        for node in self.nodes():
            if isinstance(self.called(node), nn.Identity | nn.Dropout):
                self.replace(node, node.args[0])
        for node in self.nodes():
            if _is_known(norm := self.layer(node)):
                self.fold(node, norm)
        for node in self.nodes():
            if is_plain(layer := self.layer(node)):
                self.fuse(node, layer)
        self.graph.lint()
        self.traced.recompile()
        self.traced.delete_all_unused_submodules()
        return self.traced

    def nodes(self) -> list[fx.Node]:
        """As they are now, in order."""
        return list(self.graph.nodes)

    def called(self, node: Any) -> Any:
        """The module that a node calls, or None."""
        calls = isinstance(node, fx.Node) and node.op == "call_module"
        return self.traced.get_submodule(node.target) if calls else None

    def layer(self, node: Any) -> Any:
        """The same, None also where others call that module too."""
        layer = self.called(node)
        return layer if layer is not None and node.target in self.once else None

    def replace(self, node: fx.Node, by: Any) -> None:
        """Let another node stand where this one stood."""
        node.replace_all_uses_with(by)
        self.graph.erase_node(node)

    def fold(self, node: fx.Node, norm: Any) -> None:
        """Put a norm into the convolution before it."""
        before: Any = node.args[0]
        layer = self.layer(before)
        if not is_plain(layer) or _follower(before) is not node:
            return
        self.traced.set_submodule(before.target, fuse_conv_bn_eval(layer, norm))
        after = before
        if hasattr(norm, "act"):
            target = f"{node.target}_act"  # beside the norm: the network may not lose its own
            self.traced.add_submodule(target, norm.act)
            after = self.call(target, before, at=node)
        self.replace(node, after)

    def call(self, target: str, *given: fx.Node, at: fx.Node) -> fx.Node:
        """Call a module just before a node."""
        self.once.add(target)
        with self.graph.inserting_before(at):
            made: fx.Node = self.graph.call_module(target, given)
        made.meta.update(given[0].meta)  # its shape
        return made

    def fuse(self, node: fx.Node, layer: nn.Conv2d) -> None:
        """One kernel for a convolution, a sum that takes its result alone, and an activation."""
        target, total = str(node.target), _follower(node)
        maps: Any = node.args[0]
        if (other := _addend(total, node)) is not None:
            both = self.call(target, maps, other, at=total)
            both.meta.update(node.meta)
            self.replace(total, both)
            self.graph.erase_node(node)
            node = both
        after = _follower(node)
        activation = ACTIVATIONS.get(type(self.called(after)), "none")
        self.traced.set_submodule(target, Convolution(layer, _shape(maps)[1:], activation))
        if activation != "none":
            self.replace(after, node)


def _follower(node: Any) -> Any:
    """The one node that takes what this one gives; None where several do."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_known(norm: Any) -> bool:
    """Torch's own norm, or timm's, which has an activation inside."""
    idle = isinstance(getattr(norm, "drop", None), nn.Identity)
    timms = isinstance(norm, nn.BatchNorm2d) and idle and hasattr(norm, "act")
    return (type(norm) is nn.BatchNorm2d or timms) and norm.track_running_stats


def _addend(total: Any, node: fx.Node) -> fx.Node | None:
    """What a map is added to, if that is of the same shape."""
    if total is None or total.target not in (operator.add, operator.iadd) or total.kwargs:
        return None
    others = [each for each in total.args if each is not node]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    return others[0] if _shape(others[0]) == _shape(node) else None


def _shape(node: fx.Node) -> Any:
    return getattr(node.meta.get("tensor_meta"), "shape", None)
