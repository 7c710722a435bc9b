"""Pieces of work that wait at the same time: carried out together, each with its own outcome."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from vitarmm_agent.errors import InternalError
from vitarmm_agent.group_commit import GroupCommit, Piece, taken


@dataclass(eq=False)
class Number(Piece[int]):
    number: int


class Doubling:
    """Doubles numbers in groups of at most ``most``, once it may; refuses 13."""

    def __init__(self, most: int = 100) -> None:
        self.groups: list[list[int]] = []
        self.may = threading.Event()
        self.together = GroupCommit[Number](self._carry_out)
        self._most = most

    def _carry_out(self, waiting: deque[Number]) -> None:
        self.may.wait(timeout=20)
        group = [waiting.popleft() for _ in range(min(self._most, len(waiting)))]
        self.groups.append([piece.number for piece in group])
        for piece in group:
            if piece.number == 13:
                piece.fail(ValueError("13 cannot be doubled"))
            else:
                piece.settle(2 * piece.number)


async def all_at_once(doubling: Doubling, count: int) -> list[int | BaseException]:
    async def one(number: int, worker: ThreadPoolExecutor) -> int:
        piece = Number(number)
        await doubling.together.ajoin(piece, worker)
        return piece.outcome()

    with ThreadPoolExecutor(1) as worker:
        waiting = asyncio.gather(*(one(n, worker) for n in range(count)), return_exceptions=True)
        await asyncio.sleep(0.05)
        doubling.may.set()
        return await waiting


async def test_who_waits_by_then_is_carried_out_together() -> None:
    doubling = Doubling()
    assert await all_at_once(doubling, 12) == [2 * n for n in range(12)]
    assert doubling.groups == [list(range(12))]


async def test_a_group_may_be_a_part_of_those_who_wait() -> None:
    doubling = Doubling(most=5)
    assert await all_at_once(doubling, 12) == [2 * n for n in range(12)]
    assert [len(group) for group in doubling.groups] == [5, 5, 2]


async def test_an_error_is_told_to_its_own_caller() -> None:
    found = await all_at_once(Doubling(), 20)
    assert [n for n, one in enumerate(found) if isinstance(one, ValueError)] == [13]


def test_threads_form_groups_and_each_gets_its_own_outcome() -> None:
    doubling = Doubling(most=3)
    doubling.may.set()

    def one(number: int) -> int:
        piece = Number(number)
        doubling.together.join(piece)
        return piece.outcome()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(12))) == [2 * n for n in range(12)]


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_is_cancelled_leaves_or_stays(leaves: bool) -> None:
    doubling, busy, late = Doubling(), Number(1), Number(2)
    with ThreadPoolExecutor(1) as worker:
        worker.submit(doubling.may.wait, 20)  # nothing is carried out yet
        tasks = [
            asyncio.create_task(doubling.together.ajoin(piece, worker, leaves=leaves))
            for piece in (busy, late)
        ]
        await asyncio.sleep(0.02)
        tasks[1].cancel()
        await asyncio.sleep(0.02)
        doubling.may.set()
        await tasks[0]
        doubling.together.finish()
    assert tasks[1].cancelled() and busy.outcome() == 2
    assert late.settled is not leaves
    if leaves:
        with pytest.raises(InternalError, match="given up"):
            late.outcome()


def test_all_that_wait_are_taken_in_order() -> None:
    waiting = deque([1, 2, 3])
    assert taken(waiting) == [1, 2, 3] and not waiting  # type: ignore[type-var]
