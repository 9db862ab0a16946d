"""The service's classes at Dagster's extension points, and every import of Dagster's inner parts.

``dagster.yaml`` names the classes. They take no configuration there: they read `Settings`.
"""
