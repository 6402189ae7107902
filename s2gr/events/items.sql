-- The catalogue: the items that occur in the log.
SELECT item_id, coalesce(nullif(trim(title), ''), item_id) AS title, coalesce(text, '') AS text
FROM catalogue
SEMI JOIN ordered USING (item)
ORDER BY item_id
