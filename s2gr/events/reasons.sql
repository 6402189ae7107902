-- Why a row is rejected, and which of it the quarantine holds.
CREATE TYPE reason AS ENUM (
    'missing_user', 'missing_item', 'unparsable_timestamp', 'unknown_item', 'duplicate_event',
    'missing_item_id', 'duplicate_item'
);

CREATE TABLE quarantine (file VARCHAR, row BIGINT, reason VARCHAR, record VARCHAR)
