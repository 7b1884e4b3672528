"""Minibatches of data that are not in memory.

``sources`` reads blocks of rows, ``shuffle`` makes an endless random sequence of rows of them,
``feed`` does that in the background of a fit, and ``stream`` has the tensors that show the rows.
"""
