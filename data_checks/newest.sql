-- Nothing is published: the views reference_events and current_events of the one {log}.
--
-- Current: the newest events by time, whatever their split. Events that share the oldest timestamp of the window all
-- belong to it: cutting through a tie would sort users, not time. Reference: the training events before it. Times later
-- than {now} are those of no clock; the view ahead has them, and nothing else.
CREATE VIEW log AS FROM read_parquet({log}) WHERE timestamp <= {now};

CREATE VIEW ahead AS SELECT timestamp FROM read_parquet({log}) WHERE timestamp > {now};

CREATE TEMP TABLE cutoff AS
SELECT min(timestamp) AS since FROM (SELECT timestamp FROM log ORDER BY timestamp DESC LIMIT {newest});

CREATE VIEW current_events AS SELECT log.* FROM log CROSS JOIN cutoff WHERE timestamp >= since;

CREATE VIEW reference_events AS SELECT log.* FROM log CROSS JOIN cutoff WHERE timestamp < since AND split = 'train'
