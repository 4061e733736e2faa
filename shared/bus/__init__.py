"""Turns over FastStream and Redis: each stage's effect on a stream happens in order and exactly once."""

from shared.bus.connection import Connection
from shared.bus.errors import EngineError
from shared.bus.mesh import Mesh, Step
from shared.bus.outside import Bus
from shared.bus.replica import Limits
from shared.bus.service import Service
from shared.bus.stage import Context
from shared.bus.turn import State

__all__ = ["Bus", "Connection", "Context", "EngineError", "Limits", "Mesh", "Service", "State", "Step"]
