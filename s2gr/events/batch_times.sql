-- First and last time of every file's readable events: what its place among the files follows from.
SELECT batch, min(timestamp) AS first_timestamp, max(timestamp) AS last_timestamp
FROM interactions
WHERE user_id IS NOT NULL AND item_id IS NOT NULL
GROUP BY batch
