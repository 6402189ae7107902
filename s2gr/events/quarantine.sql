-- Every rejected row as it lay in its file. The records are read again from the files: only rejected rows are kept.
SELECT {interactions} AS file, rejected.row, CAST(rejected.reason AS VARCHAR) AS reason, landed.record
FROM (SELECT row, reason FROM staged_events WHERE reason IS NOT NULL) AS rejected
JOIN interaction_records AS landed USING (row)
UNION ALL
SELECT {items} AS file, rejected.row, CAST(rejected.reason AS VARCHAR) AS reason, landed.record
FROM (SELECT row, reason FROM staged_items WHERE reason IS NOT NULL) AS rejected
JOIN item_records AS landed USING (row)
ORDER BY file, row, reason
