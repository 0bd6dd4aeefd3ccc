"""Pruning: whole filters removed by geometric median, so that a network gets smaller and faster.

`groups` finds which channels belong together, `surgery` zeroes or removes them, `layout` turns rates into a
`ModelConfig`, `search` looks for good rates. The result is an ordinary network: it loads without this room.
"""
