"""Real faults by file name, for processes that find this folder on PYTHONPATH.

A worker that opens `*kill*` dies at once, one that opens `*hang*` waits for ever; the decoder's child aborts on `*abort*`.
"""

import importlib.machinery
import os
import sys
import time
from pathlib import PurePath


def _worker(module):
    plain = module.Decoder.frames

    def frames(self, view, *rest, **options):
        name = PurePath(getattr(view, "path", str(view))).name
        if "kill" in name:
            os._exit(9)
        if "hang" in name:
            time.sleep(1e6)
        return plain(self, view, *rest, **options)

    module.Decoder.frames = frames


def _child(module):
    plain = module.Video.__init__

    def init(self, path, limits):
        if "abort" in PurePath(path).name:
            os.abort()
        plain(self, path, limits)

    module.Video.__init__ = init


class _Faults:
    changes = {"synclora.media.decode": _worker, "synclora.media.reader": _child}  # noqa: RUF012

    @classmethod
    def find_spec(cls, name, path, target=None):
        change = cls.changes.get(name)
        if change is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def changed(module):
            load(module)
            change(module)

        spec.loader.exec_module = changed
        return spec


sys.meta_path.insert(0, _Faults)
