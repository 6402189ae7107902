-- The total order of every user's events, and the leave-one-out split: the last event is the test target, the one before
-- it the validation target. A user with fewer than three events has no history to predict from: all train.
CREATE TABLE ordered AS
WITH placed AS (
    SELECT
        user, item, timestamp,
        CAST(row_number() OVER chronological - 1 AS INTEGER) AS position,
        count(*) OVER (PARTITION BY user) AS length
    FROM tied_log
    WINDOW chronological AS (PARTITION BY user ORDER BY timestamp, tie, row)
)
SELECT
    user, item, timestamp, position,
    CASE
        WHEN length < 3 OR position < length - 2 THEN 'train'
        WHEN position = length - 2 THEN 'validation'
        ELSE 'test'
    END AS split
FROM placed
