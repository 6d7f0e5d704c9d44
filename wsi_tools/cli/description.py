"""A slide's facts as lines for a person."""

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]


def lines(facts: Facts) -> Iterator[str]:
    """The facts of one slide: who reads it, its pyramid, its scale and where that comes from."""
    width, height = facts["levels"][0]["size"]
    yield f"{facts['slide_id']}: {facts['vendor']} by {facts['reader']}, {width} × {height} px"
    for reader, reason in facts["tried"]:
        yield f"  not by {reader}: {reason}"
    yield from (f"  level {place}: {_level(each)}" for place, each in enumerate(facts["levels"]))
    yield from _resolutions(facts)
    bounds = facts["bounds"]
    yield f"  bounds: {bounds['width']} × {bounds['height']} px at ({bounds['x']}, {bounds['y']})"
    yield from _channels(facts)
    yield f"  stored: {_layout(facts['layout'])}"
    if "read" in facts:
        yield f"  tiles: {_plan(facts['read'])}"
    yield from (f"  warning: {text}" for text in facts["warnings"])


def _level(level: Facts) -> str:
    width, height = level["size"]
    return f"{width} × {height} px, 1/{level['downsample']:g}"


def _resolutions(facts: Facts) -> Iterator[str]:
    if not facts["resolutions"]:
        yield "  mpp: unknown; give it with --mpp-override 0.25"
    for each in facts["resolutions"]:
        verdict = each["refused"] or ("used" if each == facts["resolution"] else "not used")
        yield f"  mpp: {each['mpp_x']:g} × {each['mpp_y']:g} from {each['source']} ({verdict})"


def _channels(facts: Facts) -> Iterator[str]:
    """Colours on one line, markers each on its own."""
    if not facts["multiplex"]:
        yield f"  channels: {', '.join(_channel(each) for each in facts['channels'])}"
        return
    for each in facts["channels"]:
        exposure = f", {each['exposure_ms']:g} ms" if each["exposure_ms"] else ""
        yield f"  channel {each['index']}: {_channel(each)}{exposure}"


def _channel(channel: Facts) -> str:
    return f"{channel['name']} {channel['dtype']}"


def _layout(layout: Facts) -> str:
    tile = layout["tile_px"]
    shape = f"tiles of {tile[0]} × {tile[1]} px" if tile else "no tiles"
    return f"{shape}, {layout['compression']}"


def _plan(plan: Facts) -> str:
    if "impossible" in plan:
        return f"none ({plan['impossible']})"
    how = "resampled" if plan["resampled"] else "as they are"
    side, wide = plan["level_px"][0], plan["level0_px"][0]
    at_level0 = f" ({wide:g} px of level 0)" if plan["level"] else ""
    return (
        f"{plan['tile_px']} px at {plan['mpp']:g} µm/px from {side:g} px of level {plan['level']}"
        f"{at_level0}, {how}"
    )
