"""What the API and the pipelines stand on: settings, task types, stores, the source, results.

Imports nothing of ``api``, ``pipelines`` or ``workers``.
"""
