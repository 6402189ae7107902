-- The two windows that are compared, as the table `windows`.
-- Views: reference_events, current_events (user_id, item_id, timestamp, position), sids (item_id, codes: a list per item).
--
-- `block` numbers what one user did in one stretch of time as long as the current window: events inside a block hang
-- together (a burst of one user), blocks don't. `recent` marks the newest events of the reference, as many as the
-- current window has. `nth` numbers each side's events with a SID in a total order, for a reproducible sample.
CREATE TEMP TABLE windows AS
WITH ends AS (SELECT max(timestamp) AS reference_to FROM reference_events),

-- Bursts last minutes: a window of minutes must not cut them.
span AS (
    SELECT
        (SELECT epoch_us(reference_to) FROM ends) AS reference_to,
        greatest(epoch_us(max(timestamp)) - epoch_us(min(timestamp)), 3600000000) AS length
    FROM current_events
),

newest AS (
    SELECT min(timestamp) AS recent_from
    FROM (
        SELECT timestamp FROM reference_events
        ORDER BY timestamp DESC LIMIT (SELECT count(*) FROM current_events)
    )
),

sided AS (
    SELECT
        'reference' AS side, user_id, item_id, timestamp, position,
        (span.reference_to - epoch_us(timestamp)) // span.length AS stretch,
        timestamp >= newest.recent_from AS recent
    FROM reference_events CROSS JOIN span CROSS JOIN newest
    UNION ALL
    SELECT 'current' AS side, user_id, item_id, timestamp, position, -1 AS stretch, false AS recent
    FROM current_events
)

SELECT
    side,
    timestamp,
    recent,
    item_id,
    codes,
    CAST(dense_rank() OVER (ORDER BY side, user_id, stretch) - 1 AS INTEGER) AS block,
    CASE
        WHEN codes IS NOT NULL
            THEN row_number() OVER (PARTITION BY side, codes IS NULL ORDER BY user_id, timestamp, position)
    END AS nth
FROM sided LEFT JOIN sids USING (item_id)
