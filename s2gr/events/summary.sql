WITH lengths AS (SELECT count(*) AS length FROM ordered GROUP BY user)
SELECT
    (SELECT count(*) FROM lengths) AS users,
    count(DISTINCT item) AS items,
    count(*) AS events,
    count(*) FILTER (split = 'train') AS train,
    count(*) FILTER (split = 'validation') AS validation,
    count(*) FILTER (split = 'test') AS test,
    count(*) FILTER (tied) / count(*) AS tied_share,
    (SELECT avg(length) FROM lengths) AS mean_length,
    (SELECT median(length) FROM lengths) AS median_length,
    strftime(min(timestamp), '%Y-%m-%dT%H:%M:%SZ') AS first_timestamp,
    strftime(max(timestamp), '%Y-%m-%dT%H:%M:%SZ') AS last_timestamp
FROM ordered
