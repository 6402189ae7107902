-- The total order of every user's events.
CREATE VIEW placed AS
SELECT
    user, item, timestamp,
    CAST(row_number() OVER chronological - 1 AS INTEGER) AS position,
    count(*) OVER (PARTITION BY user) AS length,
    timestamp = lag(timestamp) OVER chronological AS tied
FROM tied_log
WINDOW chronological AS (PARTITION BY user ORDER BY timestamp, tie, place)
