-- A model is published: the views reference_events, the {log} that it was made from; current_events, what is newer; and
-- past, what the workspace knows of the time before (with the users' names, which {log} has not).
-- Views or tables: workspace_log, newer (user_id, item_id, timestamp, position).
--
-- Newer by time and not by absence from the log: an old event that a k-core lets in only now tells nothing of today.
CREATE VIEW reference_events AS
SELECT CAST(user_id AS VARCHAR) AS user_id, item_id, timestamp, position FROM read_parquet({log});

CREATE TEMP TABLE ended AS SELECT max(timestamp) AS at FROM reference_events;

CREATE VIEW current_events AS
SELECT user_id, item_id, timestamp, position FROM newer CROSS JOIN ended WHERE timestamp > ended.at;

CREATE VIEW past AS
SELECT user_id, item_id, timestamp, position FROM workspace_log CROSS JOIN ended WHERE timestamp <= ended.at
