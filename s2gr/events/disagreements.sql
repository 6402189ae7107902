-- Items of which two admitted files say different things, where no `updated` tells which is newer.
SELECT item_id
FROM (
    SELECT item_id, title, text
    FROM staged_items
    WHERE reason IS NULL AND rank IN (SELECT rank FROM admitted_items)
    QUALIFY rank() OVER (PARTITION BY item_id ORDER BY updated DESC NULLS LAST) = 1
)
GROUP BY item_id
HAVING count(DISTINCT (title, text)) > 1
