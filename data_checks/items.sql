-- One row: what is held about the catalogue. Views: items (with `row`, the row's place in the file), events.
WITH neighbours AS (
    SELECT item_id, lag(item_id) OVER () AS above, row, lag(row) OVER () AS row_above FROM items
),

repeated AS (SELECT item_id, count(*) AS n FROM items WHERE item_id IS NOT NULL GROUP BY item_id HAVING count(*) > 1),

unmet AS (SELECT item_id FROM items ANTI JOIN events USING (item_id)),

texts AS (SELECT trim(text) AS text, count(*) AS n FROM items GROUP BY ALL)

SELECT
    count(*) AS items,
    count(*) - count(item_id) AS null_item_id,
    count(*) - count(title) AS null_title,
    count(*) - count(text) AS null_text,
    (SELECT coalesce(sum(n - 1), 0) FROM repeated) AS repeated_items,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM repeated) AS repeated_items_examples,
    (SELECT count(*) FROM neighbours WHERE row > 0 AND (row <> row_above + 1 OR item_id < above)) AS misplaced_items,
    (SELECT count(*) FROM unmet) AS items_without_events,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM unmet) AS items_without_events_examples,
    count(*) FILTER (coalesce(trim(text), '') = '') / nullif(count(*), 0) AS without_text,
    -- The items that share the most frequent text, if it is more than one item's.
    (SELECT coalesce(max(n) FILTER (n > 1 AND text <> ''), 0) FROM texts) / nullif(count(*), 0) AS same_text
FROM items
