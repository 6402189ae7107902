-- Within a timestamp the log's own order decides.
CREATE VIEW tied_log AS SELECT *, place AS tie FROM log
