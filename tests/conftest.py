"""What several tests share."""

import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture
def mini() -> dict:
    """The mini study's config, a copy to change."""
    return copy.deepcopy(yaml.safe_load((ROOT / "config.mini.yaml").read_text()))
