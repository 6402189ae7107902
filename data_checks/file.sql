-- The rows of a raw file that can be read; the others tell nothing of drift.
CREATE TEMP TABLE newer AS
SELECT user_id, item_id, CAST(timestamp AS TIMESTAMPTZ) AS timestamp, row AS position
FROM interactions
WHERE columns(*) IS NOT NULL
