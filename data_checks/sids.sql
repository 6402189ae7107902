-- One row: the invariants of the semantic IDs that no single row shows.
-- Views: sids (item_id, codes: one list per item, `row`: its place in the file), items (item_id, row), events.
-- Parameter: $codes, the number K of codes a level.
WITH long AS (
    SELECT item_id, unnest(codes) AS code, generate_subscripts(codes, 1) AS level FROM sids
),

usage AS (SELECT level, code, count(*) AS n FROM long GROUP BY level, code),

levels AS (
    -- A catalogue smaller than a level's code book can't use all of it.
    SELECT level, count(DISTINCT code) / least($codes, (SELECT count(*) FROM items)) AS utilisation
    FROM usage
    GROUP BY level
),

first_level AS (
    SELECT codes[1] AS code, count(DISTINCT item_id) AS items, count(events.user_id) AS events
    FROM sids LEFT JOIN events USING (item_id)
    GROUP BY ALL
)

SELECT
    (SELECT count(*) FROM sids) AS sids,
    (SELECT count(*) FROM sids) - (SELECT count(DISTINCT codes) FROM sids) AS shared_sids,
    (SELECT count(*) FROM sids) - (SELECT count(DISTINCT item_id) FROM sids) AS repeated_items,
    (SELECT count(*) FROM items ANTI JOIN sids USING (item_id)) AS items_without_sid,
    (SELECT count(*) FROM sids ANTI JOIN items USING (item_id)) AS sids_without_item,
    (SELECT count(*) FROM sids JOIN items USING (item_id) WHERE sids.row <> items.row) AS misplaced_rows,
    (SELECT count(*) FROM long WHERE code IS NULL OR code NOT BETWEEN 0 AND $codes - 1) AS codes_out_of_range,
    (SELECT coalesce(min(utilisation), 0) FROM levels) AS lowest_utilisation,
    -- How many times its fair share 1/K the most crowded first code holds: of the items, and of the events.
    (SELECT max(items) / nullif(sum(items), 0) * least($codes, sum(items)) FROM first_level) AS item_crowding,
    (SELECT max(events) / nullif(sum(events), 0) FROM first_level) AS event_crowding
