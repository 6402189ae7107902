-- What landed, as it was read: one row a row of a file, `batch` numbers the files.
CREATE OR REPLACE TABLE interactions (batch INTEGER, row BIGINT, user_id VARCHAR, item_id VARCHAR, timestamp TIMESTAMP);
-- `unread`: an `updated` that is no time, as it stands there.
CREATE OR REPLACE TABLE items (
    batch INTEGER, row BIGINT, item_id VARCHAR, title VARCHAR, text VARCHAR, updated TIMESTAMP, unread VARCHAR
);
