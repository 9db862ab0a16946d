"""The revisions of the task store's tables, run by `resources.store.migrate`."""
