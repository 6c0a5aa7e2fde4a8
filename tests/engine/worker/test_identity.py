"""A worker's place in the state directory: found again, never shared, refused in one sentence."""

from pathlib import Path

import pytest

from ottla.errors import StateError
from ottla.worker.identity import worker_place


def test_a_restarted_worker_finds_its_place_and_its_id(tmp_path: Path) -> None:
    with worker_place(tmp_path, "app") as first:
        pass
    with worker_place(tmp_path, "app") as second:
        assert second == first
        assert second.directory == tmp_path / "app" / "0"


def test_a_second_worker_takes_the_next_place_and_leaves_it_free(tmp_path: Path) -> None:
    with worker_place(tmp_path, "app") as first, worker_place(tmp_path, "app") as second:
        assert (first.directory.name, second.directory.name) == ("0", "1")
        assert first.worker_id != second.worker_id
    with worker_place(tmp_path, "app") as again:
        assert again == first


def test_apps_do_not_share_places(tmp_path: Path) -> None:
    with worker_place(tmp_path, "one") as one, worker_place(tmp_path, "two") as two:
        assert one.directory != two.directory
        assert one.worker_id != two.worker_id


def test_an_id_that_is_none_is_refused_and_not_replaced(tmp_path: Path) -> None:
    with worker_place(tmp_path, "app") as place:
        kept = place.directory / "worker-id"
    kept.write_text("")
    with pytest.raises(StateError, match="worker-id holds '', which is no worker's id; remove it for a new one"):
        worker_place(tmp_path, "app").__enter__()
    kept.unlink()
    kept.mkdir()
    with pytest.raises(StateError, match="cannot be used: Is a directory"):
        worker_place(tmp_path, "app").__enter__()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"state directory .*file cannot be used: Not a directory"):  # noqa: SIM117
        with worker_place(tmp_path / "file", "app"):
            pass
