"""Channel fusions that need no attention: from ``(N, M, D)`` markers to one vector per tile."""

from torch import Tensor, nn

from wsi_tools.errors import InputError

__all__ = ["ConcatFusion", "MeanFusion", "require_markers"]


def require_markers(features: Tensor) -> Tensor:
    """Return ``(N, M, D)`` features, or raise `InputError` where there is no marker axis."""
    if features.ndim != 3:
        raise InputError(
            f"features of shape {tuple(features.shape)} have no marker axis to fuse; embed the "
            "slides with --panel, or leave --channel-fusion out"
        )
    return features


class MeanFusion(nn.Module):
    """The mean over the markers: ``(N, M, D)`` to ``(N, D)``, any M."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Fuse; there is no marker attention to return."""
        return require_markers(features).mean(dim=1), None


class ConcatFusion(nn.Module):
    """The markers side by side: ``(N, M, D)`` to ``(N, M·D)`` for one fixed panel.

    Args:
        in_dim: feature width D.
        markers: number of markers M of every slide.
    """

    def __init__(self, in_dim: int, *, markers: int) -> None:
        super().__init__()
        self.markers, self.out_dim = markers, in_dim * markers

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Fuse; there is no marker attention to return."""
        if (found := require_markers(features).shape[1]) != self.markers:
            raise InputError(
                f"concat fusion was built for {self.markers} markers and met {found}; use "
                "--channel-fusion fluoroformer or mean where slides differ"
            )
        return features.flatten(1), None
