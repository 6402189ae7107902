-- Leave-one-out: the last event is the test target, the one before it the validation target. A user with fewer than three
-- events has no history to predict from: all train.
CREATE TABLE ordered AS
SELECT
    user, item, timestamp, position, tied,
    CASE
        WHEN length < 3 OR position < length - 2 THEN 'train'
        WHEN position = length - 2 THEN 'validation'
        ELSE 'test'
    END AS split
FROM placed
