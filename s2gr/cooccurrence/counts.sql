-- How often two different items lie at most {window} positions apart in one user's training history (unordered pairs){limit}.
-- LEAD over integers, and not a self-join: half the time at ten million events.
WITH items AS (
    SELECT item_id, CAST(file_row_number AS INTEGER) AS item
    FROM read_parquet({items}, file_row_number = true)
),
train AS (
    SELECT user_id, position, item{instant}
    FROM read_parquet({events}) JOIN items USING (item_id)
    WHERE split = 'train'
),
pairs AS (
    SELECT item, unnest([{leads}]) AS other
    FROM train
    WINDOW history AS (PARTITION BY user_id ORDER BY position)
)
SELECT least(item, other) AS a, greatest(item, other) AS b, count(*) AS count
FROM pairs
WHERE item <> other
GROUP BY a, b
ORDER BY a, b
