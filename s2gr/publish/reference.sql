-- The log that a model was made from, as drift is measured against it: users are numbers, nobody's name leaves the log.
SELECT
    CAST(dense_rank() OVER (ORDER BY user_id) AS INTEGER) AS user_id,
    item_id,
    timestamp,
    position
FROM read_parquet({events})
ORDER BY timestamp, user_id, position
