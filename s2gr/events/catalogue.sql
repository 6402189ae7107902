-- One row an item, with an integer for it (by the order of the ids). Of two rows of one item the newer `updated` counts;
-- where that decides nothing, the file with more rows, for a catalogue grows.
CREATE TABLE catalogue AS
SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INTEGER) AS item, title, text
FROM (
    SELECT item_id, title, text
    FROM staged_items
    WHERE reason IS NULL AND rank IN (SELECT rank FROM admitted_items)
    QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY updated DESC NULLS LAST, rank, row) = 1
)
