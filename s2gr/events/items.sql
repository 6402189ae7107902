-- The catalogue: the items that occur in the log.
SELECT item_id, coalesce(nullif(trim(title), ''), item_id) AS title, coalesce(text, '') AS text
FROM staged_items
JOIN item_keys USING (item_id)
SEMI JOIN ordered USING (item)
WHERE reason IS NULL
ORDER BY item_id
