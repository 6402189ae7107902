-- Of every file with times that no log of today's holds: how many are ancient, how many there are in all, and the first one.
SELECT
    place >> 40 AS rank,
    count(*) FILTER (timestamp < TIMESTAMP '1990-01-01') AS ancient,
    count(*) AS implausible,
    min(place & ((1::BIGINT << 40) - 1)) AS row,
    strftime(arg_min(timestamp, place), '%Y-%m-%d') AS date
FROM staged_events
WHERE timestamp < TIMESTAMP '1990-01-01' OR timestamp >= TIMESTAMP '2100-01-01'
GROUP BY rank
