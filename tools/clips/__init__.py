"""Draws the simulator's clips and composes their sound: ``python -m tools.clips``.

A module for each motif, with what is seen (`draw`) and what is heard (`sound`). Everything that moves is back where it
began when the clip ends, so that a player that repeats it shows no seam.
"""
