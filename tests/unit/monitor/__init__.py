"""Tests of pyrunc/monitor."""
