-- The items as landed, the reason of every rejected row, and an integer for every item (by the order of the ids).
CREATE TYPE reason AS ENUM (
    'missing_user', 'missing_item', 'unparsable_timestamp', 'unknown_item', 'duplicate_event',
    'missing_item_id', 'duplicate_item'
);

CREATE TABLE staged_items AS
SELECT
    row, item_id, title, text,
    CAST(CASE
        WHEN item_id IS NULL THEN 'missing_item_id'
        WHEN row_number() OVER (PARTITION BY item_id ORDER BY row) > 1 THEN 'duplicate_item'
    END AS reason) AS reason
FROM items;

CREATE TABLE item_keys AS
SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INTEGER) AS item
FROM staged_items
WHERE reason IS NULL;
