"""Scripts that tests start as processes of their own, and may kill.

On Linux a fork server that has imported the package starts them: importing torch and its compiler
takes longer than most of these scripts run. Elsewhere each is a new interpreter.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys

__all__ = ["CONTEXT", "start"]

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
"""Of processes that are started quickly, where this is possible."""

if sys.platform == "linux":
    CONTEXT.set_forkserver_preload(["proxyhpo", "torch._dynamo"])


def start(script, *arguments, stderr=None):
    """Starts a script, whose output is read from ``stdout``. It finds the modules that tests find.

    Args:
        script: its path.
        *arguments: its arguments.
        stderr: ``subprocess.PIPE``, or None to leave it where it is.

    Returns:
        A ``Popen``, or what behaves like one.
    """
    command = [str(each) for each in (script, *arguments)]
    if sys.platform == "linux":
        return _Script(command, has_stderr=stderr is not None)
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


class _Script:
    """A script in a process that was forked from the server."""

    def __init__(self, command, *, has_stderr):
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(1 + has_stderr)]
        theirs = [writer for _, writer in pipes]
        self._process = CONTEXT.Process(target=_run, args=(command, dict(os.environ), theirs))
        self._process.start()
        files = []
        for reader, writer in pipes:
            files.append(os.fdopen(os.dup(reader.fileno()), encoding="utf-8"))
            reader.close()
            writer.close()
        self.stdout, self.stderr = (*files, None)[:2]
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is not None:  # nothing else would end it
            self.kill()
        self.wait()
        for file in (self.stdout, self.stderr):
            if file is not None:
                file.close()

    @property
    def returncode(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self._process.terminate()

    def kill(self):
        self._process.kill()

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"the script has not ended after {timeout} s")
        return self.returncode


def _run(command, environment, pipes):
    """Runs the script in this process, which behaves as a new interpreter."""
    os.environ.clear()
    os.environ.update(environment)
    for file, pipe in enumerate(pipes, 1):
        os.dup2(pipe.fileno(), file)
        pipe.close()
    # pytest may have ignored it in the server, as a background job of a shell does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
