-- The items as landed, with their file's rank and the reason of every rejected row. Rank 0 is the strongest file.
CREATE TABLE staged_items AS
SELECT
    rank, row, item_id, title, text, updated,
    CAST(CASE
        WHEN item_id IS NULL THEN 'missing_item_id'
        WHEN row_number() OVER (PARTITION BY rank, item_id, updated ORDER BY row) > 1 THEN 'duplicate_item'
    END AS reason) AS reason
FROM items
JOIN ranks USING (batch);

DROP TABLE items
