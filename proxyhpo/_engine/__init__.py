"""The engine: promotes trials up the ladder until the study is complete.

:mod:`state` rebuilds what is known from the stored events, :mod:`promotion` selects the trials that
are promoted, :mod:`study` decides which training runs next, and :mod:`climb` is the loop that runs
it.
"""
