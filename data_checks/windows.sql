-- The two windows that are compared, as the table `windows` (side, nth, item_id, codes).
-- Views: events, sids (item_id, codes: one list per item). Parameter: $newest, how many events are the newest.
--
-- Current: the newest events by time, whatever their split. Events that share the oldest timestamp of the window all
-- belong to it: cutting through a tie would sort users, not time. Reference: the training events before it.
-- `nth` numbers each side's events with a SID in a total order, for a reproducible sample; NULL for those without.
CREATE TEMP TABLE windows AS
WITH cutoff AS (
    SELECT min(timestamp) AS since
    FROM (SELECT timestamp FROM events ORDER BY timestamp DESC LIMIT $newest)
),

sided AS (
    SELECT
        user_id,
        item_id,
        position,
        timestamp,
        CASE WHEN timestamp >= since THEN 'current' ELSE 'reference' END AS side
    FROM events CROSS JOIN cutoff
    WHERE timestamp >= since OR split = 'train'
)

SELECT
    side,
    timestamp,
    codes,
    CASE
        WHEN codes IS NOT NULL
            THEN row_number() OVER (PARTITION BY side, codes IS NULL ORDER BY user_id, position)
    END AS nth
FROM sided LEFT JOIN sids USING (item_id)
