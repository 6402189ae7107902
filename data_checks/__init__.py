"""What is held about the artefacts, callable without Dagster: Great Expectations suites, and an Evidently report of
semantic-ID drift.

Each suite (:mod:`data_checks.suites`) is a module that has ``CHECKS``, the static list of what it checks, and
``check(workspace_root)``, which does it. :mod:`data_checks.batches` judges landed files for the stage ``events``.
Great Expectations, Evidently and pandas take seconds to import and are imported by ``check`` and ``judge`` only.
"""
