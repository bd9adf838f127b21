"""What happens when a lot happens at once, or somebody is killed?  `python -m tests.stress`.

Each scenario returns its problems as lines, none for a pass; tests/integration/test_stress.py runs
them with modest counts.
"""
