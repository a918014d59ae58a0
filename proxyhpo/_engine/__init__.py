"""The climb: a study that says what is to be done next, and the loop that has it done.

:mod:`ladder` says who climbs, :mod:`state` what is known, :mod:`study` what comes next,
:mod:`work` what one training is, and :mod:`climb` puts them together.
"""
