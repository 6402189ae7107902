-- Without a catalogue every item of the log is known, by its id only.
CREATE TABLE catalogue AS
SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INTEGER) AS item, item_id AS title, '' AS text
FROM (SELECT DISTINCT item_id FROM interactions WHERE item_id IS NOT NULL)
