"""The page of settings says what the code does."""

from loadtest.settings_page import PAGE, page


def test_the_page_of_settings_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m loadtest.settings_page"


def test_every_setting_is_explained() -> None:
    rows = [row for row in page().splitlines() if row.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("| |")] == []
