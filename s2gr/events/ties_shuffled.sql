-- Within a timestamp a seeded shuffle decides. An MD5 and not hash(): the shuffle must outlive an upgrade of DuckDB. Of the
-- row in its file and not of the place: another file must not deal the ties of this one anew.
CREATE VIEW tied_log AS
SELECT log.*, md5_number_lower(concat_ws(chr(31), {seed}, user_id, item_id, place & ((1::BIGINT << 40) - 1))) AS tie
FROM log
JOIN user_keys USING (user)
JOIN catalogue USING (item)
