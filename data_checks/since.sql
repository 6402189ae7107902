-- A model is published: the views reference_events, the {log} that it was made from; current_events, the newest {window}
-- of what is newer, and {fewest} events at least; past, what the workspace knows of the time before (with the users'
-- names, which {log} has not); and ahead, times that no clock has shown: later than {published} in the {log}, later than
-- {now} in what is newer. They count nowhere else: with one of them as the end of the log nothing would ever be newer.
-- Views or tables: workspace_log, newer (user_id, item_id, timestamp, position).
--
-- Newer by time and not by absence from the log: an old event that a k-core lets in only now tells nothing of today.
CREATE VIEW reference_events AS
SELECT CAST(user_id AS VARCHAR) AS user_id, item_id, timestamp, position
FROM read_parquet({log})
WHERE timestamp <= {published};

CREATE VIEW sound AS FROM newer WHERE timestamp <= {now};

CREATE VIEW ahead AS
SELECT timestamp FROM read_parquet({log}) WHERE timestamp > {published}
UNION ALL
SELECT timestamp FROM newer WHERE timestamp > {now};

CREATE TEMP TABLE began AS
SELECT greatest(
    (SELECT max(timestamp) FROM reference_events),
    least(
        (SELECT max(timestamp) FROM sound) - INTERVAL {window},
        (SELECT min(timestamp) FROM (SELECT timestamp FROM sound ORDER BY timestamp DESC LIMIT {fewest}))
        - INTERVAL 1 MICROSECOND
    )
) AS at;

CREATE VIEW current_events AS
SELECT user_id, item_id, timestamp, position FROM sound CROSS JOIN began WHERE timestamp > began.at;

CREATE VIEW past AS
SELECT user_id, item_id, timestamp, position FROM workspace_log CROSS JOIN began WHERE timestamp <= began.at
