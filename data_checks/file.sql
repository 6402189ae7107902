-- The rows of a raw file that can be read; the others tell nothing of drift. Views: workspace_log, sids.
--
-- The reference was cut to its k-core, a raw file has the tail that every log has. So its items without a semantic ID
-- count from {k} events on, those of the workspace's log added: from then on the log would have them, too.
CREATE TEMP TABLE readable AS
SELECT user_id, item_id, CAST(timestamp AS TIMESTAMPTZ) AS timestamp, row AS position
FROM interactions
WHERE columns(*) IS NOT NULL;

CREATE TEMP TABLE rare AS
SELECT item_id
FROM (
    SELECT user_id, item_id, timestamp FROM readable
    UNION
    SELECT user_id, item_id, timestamp FROM workspace_log
)
ANTI JOIN sids USING (item_id)
GROUP BY item_id
HAVING count(*) < {k};

CREATE VIEW newer AS FROM readable ANTI JOIN rare USING (item_id)
