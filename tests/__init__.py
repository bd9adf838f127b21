"""The tests: unit (no root), golden (spec to plan), integration (root), bench."""
