"""Where neural engines are tested: in an environment that has them, without the network."""

import os

import pytest

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "WANDB_MODE": "disabled"}
os.environ |= OFFLINE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Libraries of others warn as they please."""
    for item in items:
        if "neural" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
