-- The sound events of all admitted files, each once.
CREATE TABLE log AS
SELECT user, item, timestamp, place
FROM staged_events
ANTI JOIN repeated USING (place)
WHERE reason IS NULL AND place >> 40 IN (SELECT rank FROM admitted_events);

DROP TABLE staged_events;

CREATE TABLE user_counts AS SELECT user, count(*) AS events FROM log GROUP BY user;

CREATE TABLE item_counts AS SELECT item, count(*) AS events FROM log GROUP BY item
