WITH lengths AS (SELECT count(*) AS length FROM ordered GROUP BY user),
followed AS (
    SELECT timestamp = lag(timestamp) OVER (PARTITION BY user ORDER BY position) AS tied FROM ordered
)
SELECT
    (SELECT count(*) FROM lengths) AS users,
    (SELECT count(DISTINCT item) FROM ordered) AS items,
    (SELECT count(*) FROM ordered) AS events,
    (SELECT count(*) FROM ordered WHERE split = 'train') AS train,
    (SELECT count(*) FROM ordered WHERE split = 'validation') AS validation,
    (SELECT count(*) FROM ordered WHERE split = 'test') AS test,
    (SELECT count(*) FILTER (tied) / count(*) FROM followed) AS tied_share,
    (SELECT avg(length) FROM lengths) AS mean_length,
    (SELECT median(length) FROM lengths) AS median_length,
    (SELECT strftime(min(timestamp), '%Y-%m-%dT%H:%M:%SZ') FROM ordered) AS first_timestamp,
    (SELECT strftime(max(timestamp), '%Y-%m-%dT%H:%M:%SZ') FROM ordered) AS last_timestamp
