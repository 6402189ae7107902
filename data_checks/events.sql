-- One row: the invariants of the event log that no single event shows.
-- Views: events (with `row`, the row's place in the file), items, quarantine. $landed: the rows of the log's file.
-- $split: events.split, as which the log was made.
WITH ordered AS (
    SELECT
        *,
        lag(user_id) OVER file AS user_above,
        lag(position) OVER file AS position_above,
        lag(timestamp) OVER history AS timestamp_before,
        row_number() OVER history - 1 AS place,
        count(*) OVER (PARTITION BY user_id) AS user_events,
        min(timestamp) FILTER (split = 'validation') OVER () AS first_validation,
        min(timestamp) FILTER (split = 'test') OVER () AS first_test
    FROM events
    WINDOW file AS (ORDER BY row), history AS (PARTITION BY user_id ORDER BY position, row)
),

judged AS (
    SELECT
        position IS DISTINCT FROM place AS gap,
        timestamp < timestamp_before AS backwards,
        timestamp = timestamp_before AS tied,
        row > 0 AND (user_id, position) <= (user_above, position_above) AS misplaced,
        CASE $split
            -- The last event of a user is the test, the one before the validation target.
            WHEN 'leave-one-out' THEN split IS DISTINCT FROM CASE
                WHEN user_events < 3 THEN 'train'
                WHEN place = user_events - 1 THEN 'test'
                WHEN place = user_events - 2 THEN 'validation'
                ELSE 'train'
            END
            -- The parts follow each other in time, and no moment belongs to two.
            ELSE CASE split
                WHEN 'train' THEN timestamp >= first_validation OR timestamp >= first_test
                WHEN 'validation' THEN timestamp >= first_test
                ELSE split IS DISTINCT FROM 'test'
            END
        END AS wrong_split,
        place > 0 AS has_predecessor
    FROM ordered
),

per_event AS (
    SELECT
        count(*) AS events,
        count(*) FILTER (gap) AS position_gaps,
        count(*) FILTER (backwards) AS backward_steps,
        count(*) FILTER (misplaced) AS misplaced_rows,
        count(*) FILTER (wrong_split) AS wrong_splits,
        coalesce(count(*) FILTER (tied) / nullif(count(*) FILTER (has_predecessor), 0), 0) AS tied_share
    FROM judged
),

item_counts AS (SELECT item_id, count(*) AS n FROM events GROUP BY item_id),

user_counts AS (SELECT user_id, count(*) AS n FROM events GROUP BY user_id),

popular AS (
    -- The most popular hundredth of the items, at least one.
    SELECT n FROM item_counts ORDER BY n DESC LIMIT (SELECT greatest(1, count(*) // 100) FROM item_counts)
)

SELECT
    per_event.*,
    (SELECT count(*) FROM events ANTI JOIN items USING (item_id)) AS unknown_item_events,
    (SELECT count(*) FROM items ANTI JOIN events USING (item_id)) AS items_without_events,
    (SELECT coalesce(min(n), 0) FROM user_counts) AS fewest_user_events,
    (SELECT coalesce(min(n), 0) FROM item_counts) AS fewest_item_events,
    (SELECT coalesce(sum(n), 0) FROM popular) / nullif(per_event.events, 0) AS popular_share,
    (SELECT count(*) FROM events WHERE timestamp > now() + INTERVAL 1 DAY) AS future_events,
    (SELECT count(*) FROM events WHERE timestamp < TIMESTAMPTZ '1990-01-01 00:00:00+00') AS ancient_events,
    -- Of the landed events; the quarantine holds rejected rows of the items file, too.
    (SELECT count(*) FROM quarantine WHERE reason NOT IN ('missing_item_id', 'duplicate_item')) / nullif($landed, 0)
        AS quarantined_share
FROM per_event
