-- The events as landed, with users and items as integers, and the reason of every rejected row.
CREATE TABLE user_keys AS
SELECT user_id, CAST(row_number() OVER (ORDER BY user_id) AS INTEGER) AS user
FROM (SELECT DISTINCT user_id FROM interactions WHERE user_id IS NOT NULL);

CREATE TABLE staged_events AS
SELECT
    interactions.row, user_keys.user, item_keys.item, interactions.timestamp,
    CAST(CASE
        WHEN interactions.user_id IS NULL THEN 'missing_user'
        WHEN interactions.item_id IS NULL THEN 'missing_item'
        WHEN interactions.timestamp IS NULL THEN 'unparsable_timestamp'
        WHEN item_keys.item IS NULL THEN 'unknown_item'
    END AS reason) AS reason
FROM interactions
LEFT JOIN user_keys USING (user_id)
LEFT JOIN item_keys USING (item_id);

-- A duplicate has the user, item and timestamp of an earlier sound row. They are few, so they are found by grouping first:
-- a window over the whole log would hold it in memory.
CREATE TABLE duplicates AS
SELECT row
FROM (
    SELECT row, row_number() OVER (PARTITION BY user, item, timestamp ORDER BY row) AS occurrence
    FROM staged_events
    SEMI JOIN (
        SELECT user, item, timestamp FROM staged_events WHERE reason IS NULL
        GROUP BY user, item, timestamp HAVING count(*) > 1
    ) AS repeated USING (user, item, timestamp)
    WHERE reason IS NULL
)
WHERE occurrence > 1;

UPDATE staged_events SET reason = 'duplicate_event' WHERE row IN (SELECT row FROM duplicates);
