-- The events as landed, with users and items as integers, and the reason of every rejected row. `place` is the log's own
-- order: first the rank of the file, then the row in it.
CREATE TABLE user_keys AS
SELECT user_id, CAST(row_number() OVER (ORDER BY user_id) AS INTEGER) AS user
FROM (SELECT DISTINCT user_id FROM interactions WHERE user_id IS NOT NULL);

CREATE TABLE staged_events AS
SELECT
    CAST(ranks.rank AS BIGINT) << 40 | row AS place, user_keys.user, catalogue.item, interactions.timestamp,
    CAST(CASE
        WHEN interactions.user_id IS NULL THEN 'missing_user'
        WHEN interactions.item_id IS NULL THEN 'missing_item'
        WHEN interactions.timestamp IS NULL THEN 'unparsable_timestamp'
        WHEN catalogue.item IS NULL THEN 'unknown_item'
    END AS reason) AS reason
FROM interactions
JOIN ranks USING (batch)
LEFT JOIN user_keys USING (user_id)
LEFT JOIN catalogue USING (item_id);

DROP TABLE interactions;

-- Sound events of one user, item and timestamp. They are few, so they are found by grouping first: a window over the whole
-- log would hold it in memory.
CREATE TABLE repeats AS
SELECT
    place, user, item, timestamp,
    row_number() OVER (PARTITION BY user, item, timestamp, place >> 40 ORDER BY place) AS occurrence_in_file
FROM staged_events
SEMI JOIN (
    SELECT user, item, timestamp FROM staged_events WHERE reason IS NULL
    GROUP BY user, item, timestamp HAVING count(*) > 1
) AS repeated USING (user, item, timestamp)
WHERE reason IS NULL;

UPDATE staged_events SET reason = 'duplicate_event'
WHERE place IN (SELECT place FROM repeats WHERE occurrence_in_file > 1)
