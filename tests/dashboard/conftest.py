"""The browser that looks at the dashboard."""

from tests.web.conftest import browser

__all__ = ["browser"]
