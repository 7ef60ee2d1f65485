"""A plugin for nose2's worker processes (`-N 2`): tests there may start processes of their own, and
one that takes its worker along ends the run."""

import atexit
import logging
import multiprocessing
import os
import sys

from nose2.events import Plugin


class SideBySide(Plugin):
    """nose2's workers are daemons, to which multiprocessing allows no children; and where one dies,
    nose2 says so for ever."""

    configSection = "side-by-side"
    alwaysOn = True

    def __init__(self):
        logging.getLogger("nose2.plugins.mp").addFilter(_end_at_a_death)

    def registerInSubprocess(self, event):
        event.pluginClasses.append(type(self))

    def startSubprocess(self, event):
        multiprocessing.current_process()._config["daemon"] = False

    def stopSubprocess(self, event):
        atexit._run_exitfuncs()  # servers end so; multiprocessing's processes don't call it


def _end_at_a_death(record):
    if "closed unexpectedly" in record.getMessage():
        print("A test ended the process that ran it. Alone, nose2 -v shows which.", file=sys.stderr)
        os._exit(1)
    return True
