-- What the published model has seen: its training events, and the whole log that it was cut from.
SELECT
    count(*) AS events,
    count(*) FILTER (split = 'train') AS training_events,
    min(timestamp) AS first,
    max(timestamp) AS last,
    min(timestamp) FILTER (split = 'train') AS training_first,
    max(timestamp) FILTER (split = 'train') AS training_last
FROM read_parquet({events})
