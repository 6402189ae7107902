-- One row: the invariants of the event log that no single event shows.
-- Views: events (with `row`, the row's place in the file), items, batches.
-- $split: events.split, as which the log was made. $known: the names of the splits. $until: what is later is no time.
--
-- Neighbours are taken in the order of the file, which is read once, in constant memory: where it is the order of the
-- log (`misplaced_rows` is 0), a user's history is what lies between two changes of user.
WITH neighbours AS (
    SELECT
        *,
        lag(row) OVER () AS row_above,
        lag(user_id) OVER () AS user_above,
        lag(position) OVER () AS position_above,
        lag(timestamp) OVER () AS timestamp_above,
        lead(user_id) OVER () AS user_below,
        lead(user_id, 2) OVER () AS user_two_below
    FROM events
),

cuts AS (
    SELECT
        min(timestamp) FILTER (split = 'validation') AS first_validation,
        min(timestamp) FILTER (split = 'test') AS first_test
    FROM events
),

judged AS (
    SELECT
        user_id, item_id, timestamp, position, split,
        user_id IS NOT DISTINCT FROM user_above AND row > 0 AS has_predecessor,
        position IS DISTINCT FROM CASE WHEN has_predecessor THEN position_above + 1 ELSE 0 END AS gap,
        has_predecessor AND timestamp < timestamp_above AS backwards,
        has_predecessor AND timestamp = timestamp_above AS tied,
        row > 0 AND (row IS DISTINCT FROM row_above + 1 OR (user_id, position) <= (user_above, position_above))
            AS misplaced,
        CASE $split
            -- The last event of a user is the test, the one before the validation target.
            WHEN 'leave-one-out' THEN split IS DISTINCT FROM CASE
                WHEN user_below IS DISTINCT FROM user_id THEN CASE WHEN position < 2 THEN 'train' ELSE 'test' END
                WHEN user_two_below IS DISTINCT FROM user_id
                    THEN CASE WHEN position < 1 THEN 'train' ELSE 'validation' END
                ELSE 'train'
            END
            -- The parts follow each other in time, and no moment belongs to two.
            ELSE CASE split
                WHEN 'train' THEN timestamp >= first_validation OR timestamp >= first_test
                WHEN 'validation' THEN timestamp >= first_test
                ELSE split IS DISTINCT FROM 'test'
            END
        END AS wrong_split
    FROM neighbours CROSS JOIN cuts
),

per_event AS (
    SELECT
        count(*) AS events,
        count(*) - count(user_id) AS null_user_id,
        count(*) - count(item_id) AS null_item_id,
        count(*) - count(timestamp) AS null_timestamp,
        count(*) - count(position) AS null_position,
        count(*) - count(split) AS null_split,
        count(*) FILTER (split NOT IN (SELECT unnest($known))) AS unknown_splits,
        (list(DISTINCT split) FILTER (split NOT IN (SELECT unnest($known))))[:5] AS unknown_splits_examples,
        count(*) FILTER (gap) AS position_gaps,
        count(*) FILTER (backwards) AS backward_steps,
        count(*) FILTER (misplaced) AS misplaced_rows,
        count(*) FILTER (wrong_split) AS wrong_splits,
        coalesce(count(*) FILTER (tied) / nullif(count(*) FILTER (has_predecessor), 0), 0) AS tied_share,
        count(*) FILTER (timestamp > $until) AS future_events,
        count(*) FILTER (timestamp < TIMESTAMPTZ '1990-01-01 00:00:00+00') AS ancient_events
    FROM judged
),

item_counts AS (SELECT item_id, count(*) AS n FROM events GROUP BY item_id),

unknown_items AS (SELECT item_id, n FROM item_counts ANTI JOIN items USING (item_id)),

popular AS (
    -- The most popular hundredth of the items, at least one.
    SELECT n FROM item_counts ORDER BY n DESC LIMIT (SELECT greatest(1, count(*) // 100) FROM item_counts)
),

landed AS (
    SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(rejected), 0) AS rejected
    FROM batches
    WHERE status = 'admitted' AND role = 'interactions'
)

SELECT
    per_event.*,
    (SELECT coalesce(sum(n), 0) FROM unknown_items) AS unknown_item_events,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM unknown_items) AS unknown_item_events_examples,
    (SELECT coalesce(min(n), 0) FROM (SELECT count(*) AS n FROM events GROUP BY user_id)) AS fewest_user_events,
    (SELECT coalesce(min(n), 0) FROM item_counts) AS fewest_item_events,
    (SELECT coalesce(sum(n), 0) FROM popular) / nullif(per_event.events, 0) AS popular_share,
    (SELECT rejected / nullif(rows, 0) FROM landed) AS quarantined_share,
    (SELECT count(*) FROM batches WHERE status = 'refused') AS refused_files,
    (SELECT list(reason ORDER BY file)[:5] FROM batches WHERE status = 'refused') AS refused_files_examples
FROM per_event
