"""The files of results: ``<task id>/<run id>/<file>``, in a local folder or in a bucket.

Every attempt writes into a folder of its own. What it has written exists for clients only when
the task's row names the folder, which is one write of the task store.
"""

from resources.results.attempt_folder import CHECKPOINT, MANIFEST, AttemptFolder
from resources.results.files import HashingFile, ResultFile
from resources.results.result_store import ResultStore

__all__ = [
    "CHECKPOINT",
    "MANIFEST",
    "AttemptFolder",
    "HashingFile",
    "ResultFile",
    "ResultStore",
]
