-- Within a timestamp the log's own order decides.
CREATE VIEW tied_log AS SELECT *, row AS tie FROM log;
