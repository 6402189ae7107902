-- Of the written recommendations: rows, different items, users with a full list.
SELECT
    count(*) AS rows,
    count(DISTINCT item_id) AS items,
    count(*) FILTER (rank = $k) AS full_lists
FROM read_parquet({recommendations})
