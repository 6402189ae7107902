-- PSI = Σ (r − c)·ln(r / c) of each feature over its bins, r and c the bin's shares of the two windows.
-- Table: counts. An empty bin gets the share that Evidently gives it, so that both tools say the same: 0.0001, or a
-- millionth of the window's smallest share where that is smaller than 0.0001.
WITH raw AS (
    SELECT
        feature,
        bin,
        reference / sum(reference) OVER whole AS r,
        current / sum(current) OVER whole AS c
    FROM counts
    WINDOW whole AS (PARTITION BY feature)
),

smallest AS (
    SELECT
        feature,
        min(r) FILTER (r > 0) AS smallest_r,
        min(c) FILTER (c > 0) AS smallest_c
    FROM raw
    GROUP BY feature
),

filled AS (
    SELECT
        feature,
        bin,
        CASE WHEN r > 0 THEN r WHEN smallest_r <= 0.0001 THEN smallest_r / 1000000 ELSE 0.0001 END AS r,
        CASE WHEN c > 0 THEN c WHEN smallest_c <= 0.0001 THEN smallest_c / 1000000 ELSE 0.0001 END AS c
    FROM raw JOIN smallest USING (feature)
)

-- Summed in the order of the bins: in the order of the threads, the last digits would change from run to run.
SELECT feature, sum((r - c) * ln(r / c) ORDER BY bin) AS psi
FROM filled
GROUP BY feature
ORDER BY feature
