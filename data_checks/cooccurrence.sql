-- One row: what is held about the pairs. Views: pairs (item_a, item_b, count, and `row`, the row's place in the file),
-- items, events. $window: cooccurrence.window, the greatest distance in a history.
WITH neighbours AS (
    SELECT
        item_a, item_b, count, row,
        lag(row) OVER () AS row_above, lag(item_a) OVER () AS a_above, lag(item_b) OVER () AS b_above
    FROM pairs
),

train AS (SELECT user_id, item_id FROM events WHERE split = 'train'),

histories AS (SELECT count(*) AS length FROM train GROUP BY user_id),

-- What fits: each event with those up to $window places after it.
room AS (
    SELECT coalesce(sum(greatest(length - distance, 0)), 0) AS occurrences
    FROM histories CROSS JOIN range(1, $window + 1) AS distances (distance)
),

met AS (SELECT DISTINCT item_id FROM train),

paired AS (SELECT item_a AS item_id FROM pairs UNION SELECT item_b FROM pairs),

unknown AS (SELECT item_id FROM paired ANTI JOIN items USING (item_id)),

untrained AS (SELECT item_id FROM paired ANTI JOIN met USING (item_id))

SELECT
    (SELECT count(*) FROM unknown) AS unknown_pairs,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM unknown) AS unknown_pairs_examples,
    (
        SELECT count(*) FROM neighbours
        WHERE item_a >= item_b
            OR row > 0 AND (row <> row_above + 1 OR (item_a, item_b) <= (a_above, b_above))
            OR item_a IS NULL OR item_b IS NULL
    ) AS misplaced_pairs,
    (SELECT count(*) FROM pairs WHERE count IS NULL OR count < 1) AS low_counts,
    (SELECT count(*) FROM untrained) AS untrained_pairs,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM untrained) AS untrained_pairs_examples,
    greatest((SELECT coalesce(sum(count), 0) FROM pairs) - (SELECT occurrences FROM room), 0)::BIGINT
        AS surplus_occurrences,
    1 - (SELECT count(*) FROM items SEMI JOIN paired USING (item_id)) / nullif((SELECT count(*) FROM items), 0)
        AS without_pair
