"""The panels of the split view's page, in the order of their tabs."""

from __future__ import annotations

from photofinish.client.ui.measuring.panel import MEASURING_PANEL
from photofinish.client.ui.page.panels import PagePanel
from photofinish.client.ui.page.why.panel import WHY_PANEL
from photofinish.client.ui.picture.panel import PICTURE_PANEL, VIDEO_PANEL

PANELS: tuple[PagePanel, ...] = (WHY_PANEL, PICTURE_PANEL, VIDEO_PANEL, MEASURING_PANEL)
"""`PagePanel(key="race", title="race.tab", build=build_race_panel)` each; its words: ui/race/assets/words.json."""
