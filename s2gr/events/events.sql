SELECT user_id, item_id, CAST(timestamp AS TIMESTAMPTZ) AS timestamp, position, split
FROM ordered
JOIN user_keys USING (user)
JOIN catalogue USING (item)
ORDER BY user, position
