-- One row: what is held about the recommendations. Views: recommendations (with `row`, the row's place in the file),
-- items, events. $k: recommendations.k, $exclude_seen: recommendations.exclude_seen.
--
-- Neighbours are taken in the order of the file, which is read once: where it is that of users and ranks
-- (`misplaced_recommendations` is 0), a user's list is what lies between two changes of user.
WITH neighbours AS (
    SELECT
        *,
        lag(row) OVER () AS row_above,
        lag(user_id) OVER () AS user_above,
        lag(rank) OVER () AS rank_above,
        lag(score) OVER () AS score_above
    FROM recommendations
),

judged AS (
    SELECT
        *,
        row > 0 AND user_id = user_above AS continued,
        rank IS DISTINCT FROM CASE WHEN continued THEN rank_above + 1 ELSE 1 END OR rank > $k AS wrong_rank,
        row > 0 AND (row <> row_above + 1 OR user_id < user_above) AS misplaced,
        continued AND score > score_above AS rising
    FROM neighbours
),

per_row AS (
    SELECT
        count(*) AS rows,
        count(*) FILTER (wrong_rank) AS wrong_ranks,
        count(*) FILTER (misplaced) AS misplaced_recommendations,
        count(*) FILTER (rising) AS rising_scores,
        count(*) FILTER (score IS NULL OR NOT isfinite(score)) AS scores_not_finite
    FROM judged
),

repeated AS (
    SELECT user_id, item_id FROM recommendations GROUP BY user_id, item_id HAVING count(*) > 1
),

unknown AS (SELECT DISTINCT item_id FROM recommendations ANTI JOIN items USING (item_id)),

met AS (SELECT user_id, item_id FROM recommendations SEMI JOIN events USING (user_id, item_id) WHERE $exclude_seen),

users AS (SELECT user_id, count(DISTINCT item_id) AS met FROM events GROUP BY user_id),

lists AS (SELECT user_id, count(*) AS length FROM recommendations GROUP BY user_id),

-- Who has met everything has nothing left to be recommended.
forgotten AS (
    SELECT user_id FROM users ANTI JOIN lists USING (user_id)
    WHERE NOT ($exclude_seen AND met >= (SELECT count(*) FROM items))
),

firsts AS (SELECT item_id, count(*) AS n FROM recommendations WHERE rank = 1 GROUP BY item_id)

SELECT
    per_row.*,
    (SELECT count(*) FROM repeated) AS repeated_recommendations,
    (SELECT list(user_id || ': ' || item_id ORDER BY user_id)[:5] FROM repeated) AS repeated_recommendations_examples,
    (SELECT count(*) FROM unknown) AS unknown_recommended,
    (SELECT list(item_id ORDER BY item_id)[:5] FROM unknown) AS unknown_recommended_examples,
    (SELECT count(*) FROM met) AS seen_recommended,
    (SELECT list(user_id || ': ' || item_id ORDER BY user_id)[:5] FROM met) AS seen_recommended_examples,
    (SELECT count(*) FROM lists ANTI JOIN users USING (user_id)) AS strangers,
    (SELECT count(*) FROM forgotten) AS users_forgotten,
    (SELECT list(user_id ORDER BY user_id)[:5] FROM forgotten) AS users_forgotten_examples,
    (SELECT count(*) FILTER (length < $k) / nullif(count(*), 0) FROM lists) AS short_lists,
    (SELECT max(n) / nullif(sum(n), 0) FROM firsts) AS favourite_share
FROM per_row
