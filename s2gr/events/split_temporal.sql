-- One cut in time for all users: the newest {held_out} of the events test, as many before them validate. Events of one
-- timestamp are never parted: all of them lie on the later side of a cut.
CREATE TABLE ordered AS
WITH cuts AS (
    SELECT
        quantile_disc(timestamp, 1 - 2 * {held_out}) AS validation_from,
        quantile_disc(timestamp, 1 - {held_out}) AS test_from
    FROM log
)
SELECT
    user, item, timestamp, position, tied,
    CASE
        WHEN timestamp >= test_from THEN 'test'
        WHEN timestamp >= validation_from THEN 'validation'
        ELSE 'train'
    END AS split
FROM placed CROSS JOIN cuts
