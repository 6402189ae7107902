-- One round of the k-core: drop users and items with fewer than {k} events. Repeated until nothing is dropped. The counts
-- are kept up, not made anew: after the first round few events go.
CREATE OR REPLACE TABLE dropped AS
SELECT user, item, place
FROM log
WHERE user IN (SELECT user FROM user_counts WHERE events < {k}) OR item IN (SELECT item FROM item_counts WHERE events < {k});

DELETE FROM log WHERE place IN (SELECT place FROM dropped);

CREATE OR REPLACE TABLE user_counts AS
SELECT user, user_counts.events - coalesce(gone.events, 0) AS events
FROM user_counts
LEFT JOIN (SELECT user, count(*) AS events FROM dropped GROUP BY user) AS gone USING (user)
WHERE user_counts.events >= {k};

CREATE OR REPLACE TABLE item_counts AS
SELECT item, item_counts.events - coalesce(gone.events, 0) AS events
FROM item_counts
LEFT JOIN (SELECT item, count(*) AS events FROM dropped GROUP BY item) AS gone USING (item)
WHERE item_counts.events >= {k}
