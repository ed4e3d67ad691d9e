"""The panels of the split view's page, in the order of their tabs."""

from __future__ import annotations

from photofinish.client.ui.page.panels import PagePanel

PANELS: tuple[PagePanel, ...] = ()
"""`PagePanel(key="race", title="race.tab", build=build_race_panel)` each; its words: ui/race/assets/words.json."""
