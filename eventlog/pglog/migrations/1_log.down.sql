DROP VIEW buffkit_log_events, buffkit_log_runs;
DROP TABLE buffkit_log_pending, buffkit_log_keys, buffkit_log_topics, buffkit_log_index, buffkit_log_indexed, buffkit_log_batches, buffkit_log;
DROP FUNCTION buffkit_log_append, buffkit_log_append_once, buffkit_log_newest, buffkit_log_notify, buffkit_log_commit, buffkit_log_bound, buffkit_log_trim,
	buffkit_log_collect, buffkit_log_epoch, buffkit_log_clock, buffkit_log_mark;
