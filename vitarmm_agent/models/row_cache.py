"""Keys and values of replies that are decoded together, in room that is reserved ahead.

transformers' ``DynamicCache`` copies every key and value at every token, into memory a little larger
than what it frees. Here each layer has two buffers of ``[rows, heads, positions, head size]``. Rows
in use come first; the positions in use lie between ``start`` and ``end``, the same for every row. A
new position is written behind them in place, and the model gets views. A row shorter than others
has zeros before its first position.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from vitarmm_agent.models.prefix_cache import Layers

AHEAD = 64
"""Positions reserved ahead at least, and a quarter of the width where that is more."""


def room_for(rows: int, width: int, longest: int, limit: int) -> tuple[int, int]:
    """Rows and positions to reserve.

    Args:
        rows: how many there are.
        width: positions that are needed now.
        longest: positions that a row may come to at most.
        limit: product of rows and positions at most, unless what is needed now is more.
    """
    positions = max(width, min(longest, width + max(AHEAD, width // 4)))
    doubled = 1 << (rows - 1).bit_length()
    return max(rows, min(doubled, limit // positions)), positions


class RowLayer(CacheLayerMixin):
    """One layer's keys and values of all rows.

    Args:
        keys: tensor like those of a row: heads, head size, dtype and device are taken from it.
        values: likewise.
    """

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows = self.start = self.end = 0
        self._buffers = [keys[:0, :, :0].clone(), values[:0, :, :0].clone()]
        self._show()

    @property
    def room(self) -> tuple[int, int]:
        """Rows and positions that are reserved."""
        return self._buffers[0].shape[0], self._buffers[0].shape[-2]

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to do: shapes are known from the start."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new positions of every row, for which room must be reserved; return all of them."""
        count = key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self.rows].narrow(-2, self.end, count).copy_(new)  # refuses what has no room
        self.end += count
        return self._show()

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Positions with ``query_length`` more, and the offset of the first."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Positions of every row, padding included."""
        return self.end - self.start

    def get_max_length(self) -> int:
        """There is none."""
        return -1

    def move(self, rows: int, positions: int, width: int) -> None:
        """Go to new buffers for so many rows and positions, padded on the left to ``width``."""
        used, padding = (slice(self.rows), slice(None)), width - self.get_seq_length()
        self.keys = self.values = None  # or the old buffers would live on
        for index, old in enumerate(self._buffers):
            new = old.new_empty((rows, old.shape[1], positions, old.shape[3]))
            new[*used, :padding] = 0
            new[*used, padding:width] = old[*used, self.start : self.end]
            del old
            self._buffers[index] = new
        self.start, self.end = 0, width
        self._show()

    def join(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take one more row, of shape ``[1, heads, positions, head size]``; room is reserved."""
        first = self.end - keys.shape[-2]
        for buffer, new in zip(self._buffers, (keys, values), strict=True):
            buffer[: self.rows, :, first : self.start] = 0
            buffer[self.rows, :, self.start : first] = 0
            buffer[self.rows, :, first : self.end] = new[0]
        self.start = min(self.start, first)
        self.rows += 1
        self._show()

    def keep(self, moves: dict[int, int], rows: int, width: int) -> None:
        """Keep the first ``rows`` rows and last ``width`` positions, once rows are moved.

        Args:
            moves: row that is free → row that takes its place.
            rows: how many stay.
            width: positions that stay.
        """
        self.start = self.end - width
        if moves:
            free, taken = list(moves), list(moves.values())
            for buffer in self._buffers:
                buffer[free, :, self.start : self.end] = buffer[taken, :, self.start : self.end]
        self.rows = rows
        self._show()

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (b[: self.rows, :, self.start : self.end] for b in self._buffers)
        self.keys, self.values = keys, values
        return keys, values


class RowCache(Cache):
    """Keys and values of all rows in all layers; the cache that the model is given.

    Args:
        like: keys and values of a row, which does not join by that.
        limit: bytes to reserve at most, unless what is needed now is more.
    """

    def __init__(self, like: Layers, limit: int) -> None:
        self._own = [RowLayer(keys, values) for keys, values in like]
        super().__init__(layers=[*self._own])
        self.position_bytes = sum(tensor[0, :, :1].nbytes for pair in like for tensor in pair)
        self.limit = limit

    @property
    def reserved(self) -> int:
        """Bytes of all buffers."""
        rows, positions = self._layer.room
        return rows * positions * self.position_bytes

    def join(self, layers: Layers, longest: int) -> None:
        """Copy a row in.

        Args:
            layers: its keys and values, each of shape ``[1, heads, positions, head size]``.
            longest: positions, padding included, that a row may come to at most.
        """
        layer, length = self._layer, layers[0][0].shape[-2]
        rows, width = layer.rows + 1, max(layer.get_seq_length(), length)
        if rows > layer.room[0] or width > layer.end:
            self._move(rows, width, width, longest)
        for own, (keys, values) in zip(self._own, layers, strict=True):
            own.join(keys, values)

    def make_room(self, longest: int) -> None:
        """Reserve room for one more position of every row, where there is none."""
        layer = self._layer
        if layer.end == layer.room[1]:
            width = layer.get_seq_length()
            self._move(layer.rows, width, width + 1, longest)

    def keep(self, moves: dict[int, int], rows: int, width: int) -> None:
        """:meth:`RowLayer.keep` in every layer."""
        for layer in self._own:
            layer.keep(moves, rows, width)

    @property
    def _layer(self) -> RowLayer:
        """Any one of them: all have the same rows and positions."""
        return self._own[0]

    def _move(self, rows: int, width: int, needed: int, longest: int) -> None:
        room = room_for(rows, needed, longest, self.limit // self.position_bytes)
        for layer in self._own:
            layer.move(*room, width)
