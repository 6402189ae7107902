-- Of every file with an `updated` that is no time: how many, and the first one.
SELECT rank, count(*) AS unread, arg_min(unread, row) AS first
FROM items
JOIN ranks USING (batch)
WHERE unread IS NOT NULL
GROUP BY rank
ORDER BY rank
