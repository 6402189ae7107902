-- Without an items file every item of the log is known, by its id only; `row` is where it first occurs.
CREATE VIEW items AS
SELECT min(row) AS row, item_id, item_id AS title, '' AS text
FROM interactions
WHERE item_id IS NOT NULL
GROUP BY item_id;

CREATE VIEW item_records AS SELECT 0 AS row, '' AS record WHERE false;
