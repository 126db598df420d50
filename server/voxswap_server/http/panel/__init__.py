"""The panel: a show's one voice, steered by many hands. docs/PANEL.md has its actions and messages."""
