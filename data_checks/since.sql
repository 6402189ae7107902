-- A model is published: the views reference_events, the {log} that it was made from; current_events, the newest {window}
-- of what is newer, and {fewest} events at least; and past, what the workspace knows of the time before (with the users' names, which {log} has not).
-- Views or tables: workspace_log, newer (user_id, item_id, timestamp, position).
--
-- Newer by time and not by absence from the log: an old event that a k-core lets in only now tells nothing of today.
CREATE VIEW reference_events AS
SELECT CAST(user_id AS VARCHAR) AS user_id, item_id, timestamp, position FROM read_parquet({log});

CREATE TEMP TABLE began AS
SELECT greatest(
    (SELECT max(timestamp) FROM reference_events),
    least(
        (SELECT max(timestamp) FROM newer) - INTERVAL {window},
        (SELECT min(timestamp) FROM (SELECT timestamp FROM newer ORDER BY timestamp DESC LIMIT {fewest}))
        - INTERVAL 1 MICROSECOND
    )
) AS at;

CREATE VIEW current_events AS
SELECT user_id, item_id, timestamp, position FROM newer CROSS JOIN began WHERE timestamp > began.at;

CREATE VIEW past AS
SELECT user_id, item_id, timestamp, position FROM workspace_log CROSS JOIN began WHERE timestamp <= began.at
