-- Events that an admitted file of a lower rank has brought before.
CREATE TABLE repeated AS
SELECT place
FROM (
    SELECT place, row_number() OVER (PARTITION BY user, item, timestamp ORDER BY place) AS occurrence
    FROM repeats
    WHERE occurrence_in_file = 1 AND place >> 40 IN (SELECT rank FROM admitted_events)
)
WHERE occurrence > 1
