"""Makes the searches of pages, examples and notebooks short."""

from proxyhpo import ProxyHPO
from proxyhpo.executors import _processes
from proxyhpo.executors._devices import environments

__all__ = ["limit"]


def limit(n, *, patch=setattr, **changes):
    """Limits all searches of this process.

    They also have one worker process at most, since each takes seconds to start.

    Args:
        n: the most trials of a search.
        patch: sets an attribute; ``monkeypatch.setattr`` to undo it after a test.
        **changes: options that every search gets, whatever it says.
    """
    patch(_processes, "environments", lambda *given: environments(*given)[:1])
    _shorten("run", "n_trials", n, patch, changes)
    _shorten("ask", "n_trials", n, patch, {})
    _shorten("check", "n", n, patch, {})


def _shorten(method, name, n, patch, changes):
    full = getattr(ProxyHPO, method)

    def shortened(self, *given, **options):
        asked = given[0] if given else options.pop(name, None)
        return full(self, min(asked or n, n), **{**options, **changes})

    patch(ProxyHPO, method, shortened)
