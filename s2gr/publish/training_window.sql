-- What the published model has seen: its training events, and the whole log that it was cut from. A log ends with its last
-- event $until then; one of which all events come later, with the last of them.
SELECT
    count(*) AS events,
    count(*) FILTER (split = 'train') AS training_events,
    min(timestamp) AS first,
    coalesce(max(timestamp) FILTER (timestamp <= $until), max(timestamp)) AS last,
    min(timestamp) FILTER (split = 'train') AS training_first,
    coalesce(
        max(timestamp) FILTER (split = 'train' AND timestamp <= $until), max(timestamp) FILTER (split = 'train')
    ) AS training_last
FROM read_parquet({events})
