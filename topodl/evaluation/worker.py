"""A worker: a process of its own that does trainings of a study for the process that started it.

`crew.py` is the parent's side. What to do comes as one line on standard input, what the parent should know
goes out as lines of JSON. Standard input is closed when the parent dies, or on purpose: the worker ends then.
"""

from __future__ import annotations

import _thread
import base64
import json
import os
import pickle
import sys
import threading
import time
import traceback

import torch

from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.failures import TrainingFailedError
from topodl.evaluation.handed_over import HandedOver, Order, read_handed_over
from topodl.evaluation.study import work_on

__all__ = ["main"]

_SECONDS_TO_END = 10.0
_STOPPED = 130


def main() -> int:
    """Do what the parent sends, and return the exit status."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is not for the parent

    def say(kind: str, text: str) -> None:
        channel.write(json.dumps([kind, text]) + "\n")

    try:
        order: Order = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))
        threading.Thread(target=_end_with_the_parent, daemon=True).start()
        if order.threads is not None:
            torch.set_num_threads(order.threads)
        work_on(
            order.trainings,
            order.settings,
            order.output,
            objects=HandedOver() if order.objects is None else read_handed_over(order.objects),
            awaited=order.awaited,
            note=lambda text: say("note", text),
            shown=False,
        )
    except TrainingFailedError as error:
        say("training", str(error))
        return 2
    except (InputError, MissingDependencyError, OSError) as error:
        say("input", str(error))
        return 2
    except KeyboardInterrupt:
        return _STOPPED
    except Exception:
        say("failure", traceback.format_exc())
        return 1
    return 0


def _end_with_the_parent() -> None:
    # Not through `sys.stdin`, whose lock a thread may not hold when the interpreter ends.
    os.read(0, 1)
    _thread.interrupt_main()
    time.sleep(_SECONDS_TO_END)
    os._exit(_STOPPED)


if __name__ == "__main__":
    sys.exit(main())
