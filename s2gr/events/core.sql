-- One round of the k-core: drop users and items with fewer than $k events. Repeated until nothing is dropped.
CREATE OR REPLACE TABLE log AS
SELECT *
FROM log
SEMI JOIN (SELECT user FROM log GROUP BY user HAVING count(*) >= $k) AS users USING (user)
SEMI JOIN (SELECT item FROM log GROUP BY item HAVING count(*) >= $k) AS items USING (item)
