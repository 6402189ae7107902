-- Everything that is known of the users who were there since the model was published, a user after the other.
-- Views: past, the workspace's log up to then, and current_events.
WITH everything AS (
    SELECT user_id, item_id, timestamp, position, false AS since FROM past
    UNION ALL
    SELECT user_id, item_id, timestamp, position, true AS since FROM current_events
)

SELECT dense_rank() OVER (ORDER BY user_id) AS user, item_id, since
FROM everything
SEMI JOIN current_events USING (user_id)
ORDER BY user, timestamp, since, position
