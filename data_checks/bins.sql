-- The bins that the distributions are compared in: `bins` (feature, value, bin) and their counts,
-- `counts` (feature, bin, number, reference, recent, current). Table: windows.
--
-- Features: code_1 … code_L, and `prefix`, the pair (code 1, code 2). A value of which the smaller window would expect
-- fewer than five events, if both windows were alike, falls into the bin `rare` (Cochran's rule): the PSI of near-empty
-- bins is all noise. Both windows together decide which values are rare, so that the bins favour neither.
-- `number` counts the bins of a feature from 0, in the order of their names.
CREATE TEMP TABLE tally AS
WITH long AS (
    SELECT side, recent, unnest(codes) AS code, generate_subscripts(codes, 1) AS level
    FROM windows
    WHERE codes IS NOT NULL
),

valued AS (
    SELECT 'code_' || level AS feature, code::VARCHAR AS value, side, recent FROM long
    UNION ALL
    SELECT 'prefix' AS feature, codes[1] || '-' || codes[2] AS value, side, recent
    FROM windows
    WHERE codes IS NOT NULL
)

SELECT
    feature,
    value,
    count(*) FILTER (side = 'reference') AS reference,
    count(*) FILTER (recent) AS recent,
    count(*) FILTER (side = 'current') AS current
FROM valued
GROUP BY feature, value;

CREATE TEMP TABLE bins AS
WITH totals AS (
    SELECT feature, sum(reference) AS n_reference, sum(current) AS n_current FROM tally GROUP BY feature
)

SELECT
    feature,
    value,
    CASE
        WHEN (reference + current) * least(n_reference, n_current) / (n_reference + n_current) < 5 THEN 'rare'
        ELSE value
    END AS bin,
    reference,
    recent,
    current
FROM tally JOIN totals USING (feature);

CREATE TEMP TABLE counts AS
SELECT
    feature,
    bin,
    CAST(row_number() OVER (PARTITION BY feature ORDER BY bin) - 1 AS INTEGER) AS number,
    sum(reference)::BIGINT AS reference,
    sum(recent)::BIGINT AS recent,
    sum(current)::BIGINT AS current
FROM bins
GROUP BY feature, bin
