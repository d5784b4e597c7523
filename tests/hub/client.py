"""Turning the library, and huggingface_hub below it, to a hub of the tests."""

from pathlib import Path

import pytest
from huggingface_hub import HfFileSystem, constants
from huggingface_hub.utils import close_session

from hub.server import Hub
from smdl.hub import client


def turn_to(hub: Hub, monkeypatch: pytest.MonkeyPatch, folder: Path, **more: object) -> None:
    """Ask ``hub`` for everything, without a token, with an empty cache below ``folder`` and with short waits."""
    for name, value in {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_TOKEN_PATH": str(folder / "token"),
        "HF_HUB_ETAG_TIMEOUT": 2,
        "HF_HUB_DOWNLOAD_TIMEOUT": 1,
        "HF_HUB_OFFLINE": False,
        **more,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "ATTEMPTS", 4)
    HfFileSystem.clear_instance_cache()
    close_session()
