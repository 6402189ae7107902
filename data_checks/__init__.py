"""What is held about the artefacts, callable without Dagster: Great Expectations suites, and an Evidently report of
semantic-ID drift.

Each of :mod:`data_checks.events`, :mod:`data_checks.items`, :mod:`data_checks.sids` and :mod:`data_checks.drift` has
``CHECKS``, the static list of what it checks, and ``check(workspace_root)``, which does it.
:mod:`data_checks.batches` judges landed files for the stage ``events``. Great Expectations, Evidently and pandas take
seconds to import and are imported by ``check`` and ``judge`` only.
"""
